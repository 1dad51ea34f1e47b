//! What a request head and a response head are; no IO.
//!
//! A head stays the raw bytes that came, plus an index of ranges. Changes are *lazy edits*
//! beside it, applied while the head is written to the other side. Whatever accepts a
//! request (our HTTP/1.1 driver, HTTP/2) converts into these types at its edge.

mod body;
mod edits;
mod head;
#[cfg(feature = "data-plane")]
pub mod parse;
mod reply;
mod status;
pub mod write;

pub use body::{BodyDecoder, BodyError, Decoded, Framing};
pub use edits::HeaderEdits;
pub use head::{HeaderIndex, RequestHead, ResponseHead, Span, Version};
pub use reply::Reply;
pub use status::reason_phrase;
