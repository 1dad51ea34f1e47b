//! The client's side of a connection: its socket, what was read of it, and its deadline.

use crate::data_plane::exchange::buffer::{self, Buffer, Buffers};
use crate::data_plane::exchange::socket::poll_write_parts;
use crate::data_plane::exchange::{Deadline, Elapsed};
use crate::plugins::SentFraming;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long a closed connection is still read, so that the client sees the last response
/// instead of a reset (nginx's `lingering_timeout`).
const LINGER: Duration = Duration::from_secs(5);

/// The client has closed, reset or stalled the connection: nothing more can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl From<Elapsed> for Gone {
    fn from(_: Elapsed) -> Gone {
        Gone
    }
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Gone {
        Gone
    }
}

pub struct Downstream<S> {
    pub io: S,
    pub deadline: Deadline,
    buffer: Option<Buffer>,
    /// Bytes of the current request, head and body, framing included.
    pub received: u64,
    /// Bytes of the current response, head and body, framing included.
    pub sent: u64,
    /// Those of them before the body, once the head is made.
    pub head: u64,
    /// Requests so far, the current one included.
    pub requests: u32,
    /// The current request was there before the answer to the one before it.
    pub pipelined: bool,
    /// How the current response is framed.
    pub framing: SentFraming,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Downstream<S> {
    pub fn new(io: S, deadline: Deadline) -> Downstream<S> {
        Downstream {
            io,
            deadline,
            buffer: None,
            received: 0,
            sent: 0,
            head: 0,
            requests: 0,
            pipelined: false,
            framing: SentFraming::default(),
        }
    }

    /// What was read and not used yet.
    pub fn unread(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], Buffer::bytes)
    }

    pub fn buffer_mut(&mut self) -> Option<&mut Buffer> {
        self.buffer.as_mut()
    }

    pub fn take_buffer(&mut self) -> Option<Buffer> {
        self.buffer.take()
    }

    /// Drops bytes that were used; an emptied buffer goes back.
    pub fn consume(&mut self, count: usize, buffers: &Buffers) {
        let Some(buffer) = &mut self.buffer else {
            return;
        };
        buffer.consume(count);
        if buffer.is_empty()
            && let Some(buffer) = self.buffer.take()
        {
            buffers.put(buffer);
        }
    }

    /// Reads once; 0 means that the client has closed.
    pub fn poll_read(
        &mut self,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        buffer::poll_read(&mut self.io, &mut self.buffer, buffers, cx)
    }

    /// Ready when the client has closed while an answer is on its way to it; `held` bytes
    /// of what was read belong to the request being answered. What else the client sends is
    /// the next request: it is kept, and proof enough that the client is there.
    pub fn poll_gone(
        &mut self,
        held: usize,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Gone> {
        if self.unread().len() > held || self.buffer.as_ref().is_some_and(Buffer::is_full) {
            return Poll::Pending;
        }
        match ready!(self.poll_read(buffers, cx)) {
            Ok(0) | Err(_) => Poll::Ready(Gone),
            Ok(_) => Poll::Pending,
        }
    }

    /// Writes all parts in one go if the socket takes them, else as it takes them; `limit`
    /// is the longest wait between two writes.
    pub async fn write(&mut self, parts: [&[u8]; 3], limit: Duration) -> Result<(), Gone> {
        let mut written = 0;
        let outcome = self.write_counted(parts, limit, &mut written).await;
        self.sent += written as u64;
        outcome
    }

    /// Writes as much of all parts as the socket takes without waiting; says how many bytes
    /// where that is not all, or not yet on its way.
    pub async fn write_at_once(&mut self, parts: [&[u8]; 3]) -> Result<Option<usize>, Gone> {
        let (io, mut written) = (&mut self.io, 0);
        let polled =
            std::future::poll_fn(|cx| Poll::Ready(poll_write_parts(io, parts, &mut written, cx)))
                .await;
        self.sent += written as u64;
        match polled {
            Poll::Ready(Err(_)) => Err(Gone),
            Poll::Ready(Ok(())) => Ok(None),
            Poll::Pending => Ok(Some(written)),
        }
    }

    async fn write_counted(
        &mut self,
        parts: [&[u8]; 3],
        limit: Duration,
        written: &mut usize,
    ) -> Result<(), Gone> {
        let io = &mut self.io;
        loop {
            let before = *written;
            // Progress ends one wait and begins the next: a slow client that reads is served.
            let step = |cx: &mut Context<'_>| match poll_write_parts(io, parts, written, cx) {
                Poll::Pending if *written > before => Poll::Ready(Ok(false)),
                polled => polled.map_ok(|()| true),
            };
            if self.deadline.within(limit, step).await?? {
                return Ok(());
            }
        }
    }

    /// Closes in order: everything sent arrives, then the end.
    pub async fn close(mut self) {
        let io = &mut self.io;
        let _ = self
            .deadline
            .within(LINGER, |cx| Pin::new(&mut *io).poll_shutdown(cx))
            .await;
    }

    /// Closes while the client may still be sending: what it sends is read away for a
    /// while, since unread bytes would make the system reset the connection and take the
    /// response with it.
    pub async fn linger(mut self, buffers: &Buffers) {
        let unread = self.unread().len();
        self.consume(unread, buffers);
        self.deadline.arm(LINGER);
        let _ = std::future::poll_fn(|cx| {
            let _ = Pin::new(&mut self.io).poll_shutdown(cx);
            loop {
                match self.poll_read(buffers, cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(count)) => self.consume(count, buffers),
                    Poll::Pending => return self.deadline.poll_elapsed(cx),
                }
            }
        })
        .await;
    }
}
