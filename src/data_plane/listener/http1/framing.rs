//! How a response is framed towards the client, and how it may end.

use crate::data_plane::exchange::{Reply, Truncated};
use crate::http::write;

/// How a response ended.
#[derive(Debug)]
pub enum Ending {
    /// Complete; the client may send the next request if it was told so.
    Complete {
        keep_alive: bool,
    },
    /// The upstream closed, stalled or sent junk in the middle of the body. The client
    /// learns it from the missing end.
    Truncated,
    ClientGone,
    /// Nothing was sent: the client gets this instead of the response.
    Withheld(Box<Reply>),
}

impl From<Truncated> for Ending {
    fn from(_: Truncated) -> Ending {
        Ending::Truncated
    }
}

/// The framing of the body towards the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    /// As long as Content-Length says, or empty.
    Plain,
    Chunked,
    /// Until the connection is closed.
    UntilClose,
}

/// Frames a piece of payload: appends what goes before it, returns what goes after it.
pub fn frame(out: &mut Vec<u8>, framed: Framed, length: usize, done: bool) -> &'static [u8] {
    if framed != Framed::Chunked {
        return b"";
    }
    write::chunk(out, length, done)
}
