//! The data plane's side of the cluster link; see `wire/LIFECYCLE.md`.
//!
//! `protocol` decides, `reconnect` says when to try again, `persist` what to write; `actor` is the
//! mailman.

mod actor;
mod persist;
mod protocol;
mod reconnect;
mod state;

pub use actor::{
    ApplyConfig, ConnectLink, Disconnect, GetLinkState, HeartbeatClient, InEffect, LinkState,
    LiveConfig,
};
pub use persist::Persist;
pub use protocol::step;
pub use state::{Input, LinkId, Origin, Output, Phase, Report, State};
