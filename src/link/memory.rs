//! A link within one process, for a node with both roles and for tests.

use super::{Link, LinkError};
use bytes::Bytes;
use tokio::sync::mpsc;

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
