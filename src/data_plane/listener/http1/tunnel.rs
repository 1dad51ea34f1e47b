//! After an accepted upgrade: bytes both ways, not looked at.

use super::downstream::Downstream;
use crate::data_plane::exchange::UpstreamStream;
use crate::data_plane::exchange::buffer::{self, Buffer, Buffers};
use crate::data_plane::exchange::socket::poll_write_parts;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// One direction of a tunnel.
#[derive(Default)]
struct Flow {
    /// Bytes of the buffer that are written.
    written: usize,
    /// All bytes that were moved.
    moved: u64,
    ended: bool,
    finished: bool,
}

impl Flow {
    /// Moves bytes until one side makes it wait; ready when the source has ended and the
    /// sink knows it.
    fn poll(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        slot: &mut Option<Buffer>,
        sink: &mut (impl AsyncWrite + Unpin),
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.finished {
            if let Some(buffer) = slot {
                let bytes = buffer.bytes();
                ready!(poll_write_parts(sink, [bytes], &mut self.written, cx))?;
                self.moved += bytes.len() as u64;
                self.written = 0;
                if let Some(buffer) = slot.take() {
                    buffers.put(buffer);
                }
            } else if self.ended {
                ready!(Pin::new(&mut *sink).poll_shutdown(cx))?;
                self.finished = true;
            } else {
                self.ended = ready!(buffer::poll_read(source, slot, buffers, cx))? == 0;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn progress(&self) -> (u64, usize, bool) {
        (self.moved, self.written, self.ended)
    }
}

/// Moves bytes until both sides have closed, one breaks, or nothing moves for `idle`.
/// What was read of either side before goes first.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Downstream<S>,
    upstream: impl UpstreamStream,
    buffers: &Buffers,
    idle: Duration,
) {
    let mut from_client = client.take_buffer();
    let (mut stream, mut from_upstream) = upstream.into_tunnel();
    let (mut up, mut down) = (Flow::default(), Flow::default());
    client.deadline.arm(idle);
    poll_fn(|cx| {
        let before = (up.progress(), down.progress());
        let (io, stream) = (&mut client.io, &mut stream);
        let there = up.poll(io, &mut from_client, stream, buffers, cx);
        let back = down.poll(stream, &mut from_upstream, io, buffers, cx);
        match (there, back) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(()),
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(()),
            _ => {}
        }
        if before != (up.progress(), down.progress()) {
            client.deadline.arm(idle);
        }
        client.deadline.poll_elapsed(cx)
    })
    .await;
    client.deadline.disarm();
    client.received += up.moved;
    client.sent += down.moved;
}
