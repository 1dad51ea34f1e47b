//! What a request head and a response head are; no IO.
//!
//! A head stays the raw bytes that came, plus an index of ranges. Changes are *lazy edits*
//! beside it, applied while the head is written to the other side. Whatever accepts a
//! request (our HTTP/1.1 driver, HTTP/2) converts into these types at its edge.

mod body;
mod edits;
mod head;
mod host;
#[cfg(feature = "data-plane")]
pub mod parse;
pub mod query;
mod reply;
mod status;
pub mod write;

pub use body::{BodyDecoder, BodyError, Decoded, Framing};
pub use edits::HeaderEdits;
pub use head::{HeaderIndex, RequestHead, ResponseHead, Span, Version, is_named};
pub use host::host_without_port;
pub use reply::Reply;
pub use status::{default_message, reason_phrase};

/// The product token of `Via` and `Server`.
pub const PRODUCT: &str = concat!("langur/", env!("CARGO_PKG_VERSION"));
