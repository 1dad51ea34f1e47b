//! A response whose client reads more slowly than the upstream sends: it is read ahead, so that
//! the upstream's connection is free for others. What is read waits in memory, then in a file;
//! when both are full, the upstream waits for the client.

use super::downstream::Downstream;
use super::framing::{Ending, Framed, frame};
use super::spool::{Keep, Spool};
use super::worker::Worker;
use crate::data_plane::exchange::socket::poll_write_parts;
use crate::data_plane::exchange::{Attempt, Deadline, Piece, Pipeline, UpstreamStream, Upstreams};
use crate::plugins::BodyUse;
use bytes::Bytes;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// What is known of the response at the moment when its client turned out to be slow.
pub struct Rest<'a, T> {
    pub attempt: &'a Attempt,
    pub framed: Framed,
    pub upstream: T,
    /// What plugins do with the body.
    pub body_use: BodyUse,
    /// Bytes that come before all others.
    pub first: Vec<u8>,
}

pub struct ReadAhead<'a, P: Pipeline, U: Upstreams, S> {
    worker: &'a Worker<P, U>,
    client: &'a mut Downstream<S>,
    exchange: &'a mut P::Exchange,
    body_use: BodyUse,
    attempt: &'a Attempt,
    framed: Framed,
    /// `None` when everything was read of it, or nothing more is to be expected.
    upstream: Option<U::Stream>,
    /// Runs while the upstream is waited for; the client's own is for the client.
    reading: Deadline,
    reading_armed: bool,
    writing_armed: bool,
    /// The upstream's part ended before the body was complete.
    cut: bool,
    spool: Spool,
    /// The piece that is being sent: these bytes, so many of the spool, and the suffix.
    prefix: Vec<u8>,
    length: usize,
    suffix: &'static [u8],
    written: usize,
    /// The piece is the last one.
    last: bool,
}

/// What one step came to.
#[derive(PartialEq, Eq)]
enum Step {
    /// There is nothing to be sent.
    Idle,
    /// The client does not take more now.
    Blocked,
    Done,
}

impl<'a, P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin> ReadAhead<'a, P, U, S> {
    pub fn new(
        worker: &'a Worker<P, U>,
        client: &'a mut Downstream<S>,
        exchange: &'a mut P::Exchange,
        rest: Rest<'a, U::Stream>,
    ) -> ReadAhead<'a, P, U, S> {
        let files = Arc::clone(&worker.files);
        ReadAhead {
            reading: worker.deadlines.deadline(),
            reading_armed: false,
            writing_armed: false,
            spool: Spool::new(files, worker.settings.response_spool, Keep::Unread),
            worker,
            client,
            exchange,
            body_use: rest.body_use,
            attempt: rest.attempt,
            framed: rest.framed,
            upstream: Some(rest.upstream),
            cut: false,
            prefix: rest.first,
            length: 0,
            suffix: b"",
            written: 0,
            last: false,
        }
    }

    /// Moves the rest of the body.
    pub async fn run(mut self) -> Result<(), Ending> {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        self.client.deadline.disarm();
        ended
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        loop {
            let before = self.client.sent;
            let read = self.read(cx);
            let step = match self.write(cx) {
                Err(ending) => return Poll::Ready(Err(ending)),
                Ok(Step::Done) => return Poll::Ready(Ok(())),
                Ok(step) => step,
            };
            let wrote = self.client.sent > before;
            if self.upstream_is_late(read, cx) {
                (self.cut, self.upstream) = (true, None);
                continue;
            }
            if let Poll::Ready(ending) = self.client_is_gone(step == Step::Idle, wrote, cx) {
                return Poll::Ready(Err(ending));
            }
            // Each side may have made room for the other.
            if !read && !wrote {
                return Poll::Pending;
            }
        }
    }

    /// Reads what the upstream has sent, as long as there is room; says whether anything came.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Some(upstream) = &mut self.upstream {
            if let Poll::Ready(Err(_)) = self.spool.poll_store(cx) {
                // Logged and counted. What is in memory is sent, and the upstream waits.
                self.spool.close_file();
            }
            if !self.spool.has_room() {
                break;
            }
            let buffers = &self.worker.buffers;
            let Poll::Ready(read) = upstream.poll_body(buffers, cx) else {
                break;
            };
            moved = true;
            let Ok(piece) = read else {
                (self.cut, self.upstream) = (true, None);
                break;
            };
            let payload = piece.payload();
            match self.body_use {
                BodyUse::None => self.spool.push(payload),
                body_use => {
                    let copy = Bytes::copy_from_slice(payload);
                    match self.worker.pipeline.piece(self.exchange, copy, piece.last) {
                        Piece::Send(filtered) if body_use == BodyUse::Transform => {
                            self.spool.push(&filtered);
                        }
                        Piece::Send(_) => self.spool.push(payload),
                        Piece::Abort => {
                            (self.cut, self.upstream) = (true, None);
                            break;
                        }
                    }
                }
            }
            let last = piece.last;
            piece.recycle(buffers);
            if last && let Some(upstream) = self.upstream.take() {
                self.worker.upstreams.release(upstream);
            }
        }
        moved
    }

    /// Writes what there is, until the client makes it wait.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<Step, Ending> {
        loop {
            let payload = &self.spool.chunk()[..self.length];
            let parts = [&self.prefix[..], payload, self.suffix];
            let before = self.written;
            let polled = poll_write_parts(&mut self.client.io, parts, &mut self.written, cx);
            self.client.sent += (self.written - before) as u64;
            match polled {
                Poll::Pending => return Ok(Step::Blocked),
                Poll::Ready(Err(_)) => return Err(Ending::ClientGone),
                Poll::Ready(Ok(())) => {}
            }
            self.spool.consume(self.length);
            self.prefix.clear();
            (self.length, self.suffix, self.written) = (0, b"", 0);
            if self.last {
                return Ok(Step::Done);
            }
            match self.spool.poll_chunk(cx) {
                Poll::Pending => return Ok(Step::Idle),
                Poll::Ready(Err(_)) => return Err(Ending::Truncated),
                Poll::Ready(Ok(())) => {}
            }
            self.length = self.spool.chunk().len();
            if self.length == 0 && self.cut {
                return Err(Ending::Truncated);
            }
            let all_read = self.upstream.is_none() && !self.cut;
            self.last = all_read && self.spool.unread() == self.length as u64;
            if self.length == 0 && !self.last {
                return Ok(Step::Idle);
            }
            self.suffix = frame(&mut self.prefix, self.framed, self.length, self.last);
        }
    }

    /// Whether the upstream has sent nothing for too long while there was room.
    fn upstream_is_late(&mut self, moved: bool, cx: &mut Context<'_>) -> bool {
        if self.upstream.is_none() || !self.spool.has_room() {
            self.reading.disarm();
            self.reading_armed = false;
            return false;
        }
        if moved || !self.reading_armed {
            self.reading.arm(self.attempt.read_timeout);
            self.reading_armed = true;
        }
        self.reading.poll_elapsed(cx).is_ready()
    }

    /// Whether the client has gone away, or has read nothing for too long.
    fn client_is_gone(&mut self, idle: bool, moved: bool, cx: &mut Context<'_>) -> Poll<Ending> {
        if idle {
            self.client.deadline.disarm();
            self.writing_armed = false;
            let gone = self.client.poll_gone(0, &self.worker.buffers, cx);
            return gone.map(|_| Ending::ClientGone);
        }
        if moved || !self.writing_armed {
            let limit = self.worker.settings.send_timeout;
            self.client.deadline.arm(limit);
            self.writing_armed = true;
        }
        let elapsed = self.client.deadline.poll_elapsed(cx);
        elapsed.map(|()| Ending::ClientGone)
    }
}
