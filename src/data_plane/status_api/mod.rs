//! The data plane's status listener.
//!
//! It serves the status API that both roles share and nothing else; what the data plane says
//! about itself comes through [`NodeStatus`].

pub use crate::telemetry::status::{NodeStatus, StatusContext, configure};
