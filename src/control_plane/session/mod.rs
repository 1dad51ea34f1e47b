//! One connected data plane, seen from the control plane.
//!
//! `protocol` decides, `history` knows what a peer lacks; see `wire/LIFECYCLE.md`.

mod history;
mod protocol;

pub use history::{Gap, History, MemoryHistory};
pub use protocol::{CloseReason, Identity, Input, Output, Report, State, SyncStatus, step};
