//! The telemetry link as both ends see it: frames of bytes in order, or an end.
//!
//! Whatever carries the frames (a WebSocket on port 8006, memory within one process) is
//! converted into a [`Link`] at its edge.

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use std::future::Future;
use std::pin::Pin;
use tokio::sync::mpsc;

/// Why a link could not be opened or has ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the other end has closed the telemetry link")]
    Closed,
    #[error("the telemetry link failed: {0}")]
    Failed(String),
}

/// A future on the arbiter it was made on.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// An open link. It is not `Send`: a link lives on the arbiter that opened it.
pub struct Link {
    pub sink: Pin<Box<dyn Sink<Bytes, Error = LinkError>>>,
    /// Each item is a whole frame; an error or the end of the stream is the end of the link.
    pub stream: Pin<Box<dyn Stream<Item = Result<Bytes, LinkError>>>>,
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
}

/// Opens links: the data plane's side of whatever carries the frames.
pub trait Connect {
    /// Opens one link. Waiting and trying again is the caller's business.
    fn connect(&self) -> LocalFuture<'_, Result<Link, LinkError>>;
}

/// Opens links in memory and hands the other end of each to `accept`: how both planes of one
/// process are linked. `accept` may send the end to another thread.
pub struct InMemory<F> {
    accept: F,
}

impl<F: Fn(MemoryEnd) -> Result<(), LinkError>> InMemory<F> {
    pub fn new(accept: F) -> InMemory<F> {
        InMemory { accept }
    }
}

impl<F: Fn(MemoryEnd) -> Result<(), LinkError>> Connect for InMemory<F> {
    fn connect(&self) -> LocalFuture<'_, Result<Link, LinkError>> {
        let (here, there) = memory_pair(MEMORY_FRAMES);
        let accepted = (self.accept)(there);
        Box::pin(std::future::ready(accepted.map(|()| here.into())))
    }
}

/// Frames an in-memory link holds in each direction; a sender waits for room.
const MEMORY_FRAMES: usize = 4;

/// One end of a link in memory. It may move to another thread before it becomes a [`Link`].
pub struct MemoryEnd {
    send: mpsc::Sender<Bytes>,
    receive: mpsc::Receiver<Bytes>,
}

/// Two ends of a link in memory, holding up to `frames` frames in each direction.
pub fn memory_pair(frames: usize) -> (MemoryEnd, MemoryEnd) {
    let (to_right, from_left) = mpsc::channel(frames);
    let (to_left, from_right) = mpsc::channel(frames);
    let left = MemoryEnd {
        send: to_right,
        receive: from_right,
    };
    let right = MemoryEnd {
        send: to_left,
        receive: from_left,
    };
    (left, right)
}

impl From<MemoryEnd> for Link {
    fn from(end: MemoryEnd) -> Link {
        let sink = futures_util::sink::unfold(end.send, |send, frame: Bytes| async move {
            send.send(frame).await.map_err(|_| LinkError::Closed)?;
            Ok(send)
        });
        let stream = futures_util::stream::unfold(end.receive, |mut receive| async move {
            receive.recv().await.map(|frame| (Ok(frame), receive))
        });
        Link::new(sink, stream)
    }
}

impl Link {
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
