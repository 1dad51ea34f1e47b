//! What the parts of a request's way agree on, whatever protocol it comes by: the contract between
//! drivers and the proxy, and the timers of both.

mod deadline;
mod pipeline;

pub use deadline::{Deadline, Deadlines, Elapsed};
pub use pipeline::*;
