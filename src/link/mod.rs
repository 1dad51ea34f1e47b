//! How frames travel between the planes: a WebSocket over mutual TLS, or memory within one
//! process. Both ends see a [`Link`]; what the frames say is `wire`'s business.

mod dialer;
mod memory;
mod server;

pub use dialer::{Dialer, Target};
pub use memory::{InMemory, MemoryEnd, memory_pair};
pub use server::accept;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use std::future::Future;
use std::pin::Pin;

/// Why a link could not be opened or has ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the other end has closed the link")]
    Closed,
    /// The address cannot be reached, or the handshake failed.
    #[error("cannot connect to {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("the link failed: {0}")]
    Failed(String),
}

/// A future on the arbiter it was made on.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Frames on their way out. Closing it closes the link.
pub type FrameSink = Pin<Box<dyn Sink<Bytes, Error = LinkError>>>;

/// Frames on their way in: each item is a whole frame; an error or the end of the stream is
/// the end of the link.
pub type FrameStream = Pin<Box<dyn Stream<Item = Result<Bytes, LinkError>>>>;

/// An open link. It is not `Send`: a link lives on the arbiter that opened it.
pub struct Link {
    pub sink: FrameSink,
    pub stream: FrameStream,
}

impl Link {
    pub fn new(
        sink: impl Sink<Bytes, Error = LinkError> + 'static,
        stream: impl Stream<Item = Result<Bytes, LinkError>> + 'static,
    ) -> Link {
        Link {
            sink: Box::pin(sink),
            stream: Box::pin(stream),
        }
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// The link has ended.
    pub async fn send(&mut self, frame: Bytes) -> Result<(), LinkError> {
        self.sink.send(frame).await
    }

    /// The next frame; `None` at the end of the link.
    pub async fn receive(&mut self) -> Option<Result<Bytes, LinkError>> {
        self.stream.next().await
    }
}

/// Opens links: the data plane's side of whatever carries the frames.
pub trait Connect {
    /// Opens one link. Waiting and trying again is the caller's business.
    fn connect(&self) -> LocalFuture<'_, Result<Link, LinkError>>;
}
