//! What the parts of a request's way agree on, whatever protocol it comes by: the contracts of drivers with
//! the proxy and with the upstreams' codecs, and the buffers, sockets and timers that both sides use.

pub mod buffer;
mod deadline;
mod pipeline;
pub mod socket;
mod upstream;

pub use buffer::{Buffer, Buffers};
pub use deadline::{Deadline, Deadlines, Elapsed};
pub use pipeline::*;
pub use upstream::{
    BodyLength, BodyPiece, RequestProgress, ResponseKind, Traffic, Truncated, UpstreamStream,
    Upstreams,
};
