//! What a connection is to the actors: a sink and a stream of frames.
//!
//! A WebSocket over mutual TLS is one; so is a pair of queues in memory, which joins the two
//! planes of a node that is both.

use bytes::Bytes;
use futures_util::{Sink, Stream, sink, stream};
use std::pin::Pin;
use tokio::sync::mpsc;

/// Why a connection ended, in the words of whatever carried it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LinkError(pub String);

pub type FrameSink = Pin<Box<dyn Sink<Bytes, Error = LinkError>>>;
pub type FrameStream = Pin<Box<dyn Stream<Item = Result<Bytes, LinkError>>>>;

/// One end of an open connection. Closing the sink closes the connection; the stream ends
/// when the peer has.
pub struct Link {
    pub sink: FrameSink,
    pub stream: FrameStream,
}

/// A connection within this process, holding at most `capacity` frames in each direction;
/// when they are not read, writing waits.
#[must_use]
pub fn pair(capacity: usize) -> (Link, Link) {
    let (to_left, from_right) = mpsc::channel(capacity);
    let (to_right, from_left) = mpsc::channel(capacity);
    (end(to_right, from_right), end(to_left, from_left))
}

fn end(sender: mpsc::Sender<Bytes>, receiver: mpsc::Receiver<Bytes>) -> Link {
    let sink = sink::unfold(sender, |sender, bytes: Bytes| async move {
        let sent = sender.send(bytes).await;
        sent.map_err(|_| LinkError("the other end is closed".into()))?;
        Ok(sender)
    });
    let stream = stream::unfold(receiver, |mut receiver| async move {
        let bytes = receiver.recv().await?;
        Some((Ok(bytes), receiver))
    });
    Link {
        sink: Box::pin(sink),
        stream: Box::pin(stream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt, StreamExt};

    #[actix::test]
    async fn frames_pass_both_ways_until_an_end_is_closed() {
        let (mut left, mut right) = pair(4);
        for text in ["a", "b"] {
            left.sink.send(Bytes::from(text)).await.expect("sends");
            right.sink.send(Bytes::from(text)).await.expect("sends");
        }
        assert_eq!(right.stream.next().await, Some(Ok(Bytes::from("a"))));
        assert_eq!(left.stream.next().await, Some(Ok(Bytes::from("a"))));
        drop(left);
        assert_eq!(right.stream.next().await, Some(Ok(Bytes::from("b"))));
        assert_eq!(right.stream.next().await, None);
        assert!(right.sink.send(Bytes::from("c")).await.is_err());
    }
}
