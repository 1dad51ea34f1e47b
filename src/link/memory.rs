//! A link within one process, for a node with both roles and for tests.

use super::{Connect, Frame, Link, LinkError, LocalFuture};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Frames a link of [`InMemory`] holds in each direction; a sender waits for room.
const FRAMES: usize = 4;

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
        let (here, there) = memory_pair(FRAMES);
        let accepted = (self.accept)(there);
        Box::pin(std::future::ready(accepted.map(|()| here.into())))
    }
}

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
        let sink = futures_util::sink::unfold(end.send, |send, frame: Frame| async move {
            // Memory does not vanish in silence: what asks whether it is there goes nowhere.
            if let Frame::Binary(bytes) = frame {
                send.send(bytes).await.map_err(|_| LinkError::Closed)?;
            }
            Ok(send)
        });
        let stream = futures_util::stream::unfold(end.receive, |mut receive| async move {
            let bytes = receive.recv().await?;
            Some((Ok(Frame::Binary(bytes)), receive))
        });
        Link::new(sink, stream)
    }
}
