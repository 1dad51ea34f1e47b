//! One connected data plane, seen from the control plane.
//!
//! `protocol` decides, `history` knows what a peer lacks, `feed` is what all sessions share,
//! `actor` is the mailman; see `wire/LIFECYCLE.md`.

mod actor;
mod feed;
mod history;
mod protocol;
mod state;

#[cfg(test)]
pub use actor::Die;
pub use actor::{
    Admission, Challenge, ConfigAdvanced, Session, SessionEvent, SessionId, SessionNews,
    StopSession, Supersede,
};
pub use feed::{Effect, Feed};
pub use history::{Gap, History, MOST_OPS, MemoryHistory};
pub use protocol::step;
pub use state::{CloseReason, Identity, Input, Output, Report, State, SyncStatus};
