//! How frames travel between the planes: a WebSocket over mutual TLS, or memory within one
//! process. Both ends see a [`Link`]; what the frames say is `wire`'s business.

mod allowance;
mod dialer;
mod memory;
mod server;
mod socket;

pub use allowance::{Allowance, GREETING_FRAME};
pub use dialer::{Dialer, Target};
pub use memory::{InMemory, MemoryEnd, memory_pair};
pub use server::{Terms, accept};
pub use socket::{Socket, watch_peer};

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

/// What travels on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// What the planes say to each other.
    Binary(Bytes),
    /// Asks whether the other end is there; what carries the link answers it.
    Ping,
    /// The answer.
    Pong,
}

/// A future on the arbiter it was made on.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Frames on their way out. Closing it closes the link.
pub type FrameSink = Pin<Box<dyn Sink<Frame, Error = LinkError>>>;

/// Frames on their way in: each item is a whole frame; an error or the end of the stream is
/// the end of the link.
pub type FrameStream = Pin<Box<dyn Stream<Item = Result<Frame, LinkError>>>>;

/// An open link. It is not `Send`: a link lives on the arbiter that opened it.
pub struct Link {
    pub sink: FrameSink,
    pub stream: FrameStream,
    /// What the other end may send.
    pub allowance: Allowance,
}

impl Link {
    /// A link to a peer that needs no bounds.
    pub fn new(
        sink: impl Sink<Frame, Error = LinkError> + 'static,
        stream: impl Stream<Item = Result<Frame, LinkError>> + 'static,
    ) -> Link {
        Link {
            sink: Box::pin(sink),
            stream: Box::pin(stream),
            allowance: Allowance::known(usize::MAX),
        }
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// The link has ended.
    pub async fn send(&mut self, frame: Bytes) -> Result<(), LinkError> {
        self.sink.send(Frame::Binary(frame)).await
    }

    /// The next frame that says something; `None` at the end of the link.
    pub async fn receive(&mut self) -> Option<Result<Bytes, LinkError>> {
        loop {
            match self.stream.next().await? {
                Ok(Frame::Binary(bytes)) => return Some(Ok(bytes)),
                Ok(Frame::Ping | Frame::Pong) => {}
                Err(err) => return Some(Err(err)),
            }
        }
    }
}

/// Opens links: the data plane's side of whatever carries the frames.
pub trait Connect {
    /// Opens one link. Waiting and trying again is the caller's business.
    fn connect(&self) -> LocalFuture<'_, Result<Link, LinkError>>;
}
