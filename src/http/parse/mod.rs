//! Bytes to heads, strictly: what the gateway and another parser could understand in two
//! ways is refused, not repaired.
//!
//! Both parsers are resumable: they are called again with more bytes and go on at the first
//! line they have not read. A line is judged when it is whole, lines are judged in order,
//! and limits before grammar, so the verdict never depends on how the bytes were cut into
//! reads, and a sender of single bytes costs no more than one of whole heads.

mod lines;
mod request;
mod response;
mod target;

pub use request::{RequestError, RequestFacts, RequestParser};
pub use response::{ResponseError, ResponseFacts, ResponseParser};

/// How large a head may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The request line, or one header line, with its line end.
    pub line: usize,
    /// The whole head with the blank line.
    pub head: usize,
}

impl Limits {
    /// A head of this size, and no other limit for its lines.
    pub fn whole(head: usize) -> Limits {
        Limits { line: head, head }
    }
}

impl Default for Limits {
    /// nginx's `large_client_header_buffers 4 8k`, which Kong keeps.
    fn default() -> Limits {
        Limits {
            line: 8 * 1024,
            head: 32 * 1024,
        }
    }
}
