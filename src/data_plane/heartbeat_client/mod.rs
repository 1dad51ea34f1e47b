//! The data plane's side of the cluster link; see `wire/LIFECYCLE.md`.
//!
//! `protocol` decides, `reconnect` says when to try again, `persist` what to write.

mod persist;
mod protocol;
mod reconnect;

pub use persist::Persist;
pub use protocol::{Input, LinkId, Output, Phase, Report, State, step};
