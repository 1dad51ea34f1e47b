//! One attempt: the request goes to an upstream, its response head comes back.
//!
//! Both directions are driven at once, so that an upstream may answer before it has all of
//! the body, and a client that goes away is noticed while the upstream thinks.

use super::buffer::{self, Buffer};
use super::downstream::{Downstream, poll_write_parts};
use super::request_body::{Fault, RequestBody, Sending};
use super::worker::Worker;
use crate::data_plane::exchange::{Attempt, AttemptError, Pipeline, Refusal};
use crate::data_plane::upstream::UpstreamConnection;
use crate::http::parse::{ResponseFacts, ResponseParser};
use crate::http::{ResponseHead, write};
use std::future::poll_fn;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// The upstream's side of an exchange.
pub struct Upstream {
    pub connection: UpstreamConnection,
    pub buffer: Option<Buffer>,
}

/// Why no response head came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The upstream's fault; another attempt may do better.
    Upstream(AttemptError),
    /// The client's fault; no attempt will do better.
    Client(Fault),
}

/// A response head that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An interim response other than `100 Continue`; another head follows.
    Interim,
    Final(ResponseFacts),
}

/// What the attempt waits for, and so which timeout runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Write,
    Body,
    /// For a part of the body that is in a file.
    Disk,
    Response,
}

/// Interim responses before the final one; more are junk.
const MAX_INTERIM: u32 = 16;

pub struct Upload<'a, P: Pipeline, S> {
    pub worker: &'a Worker<P>,
    pub client: &'a mut Downstream<S>,
    pub body: &'a mut RequestBody,
    pub upstream: &'a mut Upstream,
    pub attempt: &'a Attempt,
    /// The request head, complete.
    pub head: &'a [u8],
    pub to_head: bool,
    pub parser: &'a mut ResponseParser,
    pub response: &'a mut ResponseHead,
    pub progress: &'a mut Progress,
}

/// How far an attempt has come.
pub struct Progress {
    sending: Sending,
    /// The size line of the piece being sent, when the body goes out in chunks.
    prefix: Vec<u8>,
    suffix: &'static [u8],
    head_sent: bool,
    /// Bytes of the current piece (head, prefix, payload, suffix) that are written.
    written: usize,
    piece: bool,
    /// Everything was handed to the socket.
    all_sent: bool,
    broken: bool,
    /// Bytes written to the upstream.
    pub sent: u64,
    /// Bytes read from the upstream.
    pub received: u64,
    interim: u32,
    wait: Option<Wait>,
}

impl Progress {
    pub fn new(sending: Sending) -> Progress {
        Progress {
            sending,
            prefix: Vec::new(),
            suffix: b"",
            head_sent: false,
            written: 0,
            piece: false,
            all_sent: false,
            broken: false,
            sent: 0,
            received: 0,
            interim: 0,
            wait: None,
        }
    }

    /// The upstream was handed the whole request.
    pub fn is_sent(&self) -> bool {
        self.all_sent && !self.broken
    }
}

impl<P: Pipeline, S: AsyncRead + AsyncWrite + Unpin> Upload<'_, P, S> {
    /// Runs until a response head has come. Call again after `Answer::Interim`.
    pub async fn answer(&mut self) -> Result<Answer, Failure> {
        self.progress.wait = None;
        let answer = poll_fn(|cx| match self.step(cx) {
            Ok(Some(answer)) => Poll::Ready(Ok(answer)),
            Ok(None) => Poll::Pending,
            Err(failure) => Poll::Ready(Err(failure)),
        })
        .await;
        self.client.deadline.disarm();
        answer
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, Failure> {
        let before = (self.progress.sent, self.progress.received);
        let wait = self.send(cx)?;
        if let Some(answer) = self.read_head(cx)? {
            return Ok(Some(answer));
        }
        let held = self.body.held();
        let buffers = &self.worker.buffers;
        let only_answering = wait == Wait::Response || self.body.is_complete();
        if only_answering && self.client.poll_gone(held, buffers, cx).is_ready() {
            return Err(Failure::Client(Fault::Gone));
        }
        let moved = before != (self.progress.sent, self.progress.received);
        let deadline = &self.client.deadline;
        if moved || self.progress.wait != Some(wait) {
            self.progress.wait = Some(wait);
            deadline.arm(match wait {
                Wait::Write => self.attempt.write_timeout,
                Wait::Body | Wait::Disk => self.worker.settings.body_timeout,
                Wait::Response => self.attempt.read_timeout,
            });
        }
        if deadline.poll_elapsed(cx).is_pending() {
            return Ok(None);
        }
        Err(match wait {
            Wait::Body => Failure::Client(Fault::Refused(Refusal::Timeout)),
            Wait::Disk => Failure::Client(Fault::Refused(Refusal::Internal)),
            Wait::Write | Wait::Response => Failure::Upstream(AttemptError::Timeout {
                sent: self.progress.sent > 0,
            }),
        })
    }

    /// Sends what there is to send; says what must happen before more can be sent.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<Wait, Failure> {
        loop {
            if self.progress.all_sent || self.progress.broken {
                return Ok(Wait::Response);
            }
            if !self.progress.piece && !self.next_piece() {
                match self.body.poll_more(self.client, &self.worker.buffers, cx) {
                    Poll::Ready(more) => more.map_err(Failure::Client)?,
                    Poll::Pending if self.body.is_complete() => return Ok(Wait::Disk),
                    Poll::Pending => return Ok(Wait::Body),
                }
                continue;
            }
            if self.poll_piece(cx).is_pending() {
                return Ok(Wait::Write);
            }
        }
    }

    /// Prepares the next piece: the head with whatever payload is held, or payload alone.
    fn next_piece(&mut self) -> bool {
        let held = self.body.payload(self.client).len();
        let last = self.body.is_last();
        let progress = &mut *self.progress;
        let wanted = progress.head_sent || self.body.is_spooled();
        if wanted && held == 0 && !last {
            return false;
        }
        progress.prefix.clear();
        progress.suffix = b"";
        if progress.sending == Sending::Chunked {
            if held > 0 {
                write::hexadecimal(&mut progress.prefix, held as u64);
                progress.prefix.extend_from_slice(b"\r\n");
            }
            progress.suffix = match (held > 0, last) {
                (true, true) => b"\r\n0\r\n\r\n",
                (true, false) => b"\r\n",
                (false, true) => b"0\r\n\r\n",
                (false, false) => b"",
            };
        }
        progress.written = 0;
        progress.piece = true;
        true
    }

    /// Writes the current piece. A write that fails is not the end: the upstream may have
    /// answered before it closed.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let progress = &mut *self.progress;
        let payload = self.body.payload(self.client);
        let head = if progress.head_sent { &[] } else { self.head };
        let parts = [head, &progress.prefix, payload, progress.suffix];
        let before = progress.written;
        let stream = &mut self.upstream.connection.stream;
        let polled = poll_write_parts(stream, parts, &mut progress.written, cx);
        progress.sent += (progress.written - before) as u64;
        match polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => progress.broken = true,
            Poll::Ready(Ok(())) => {
                progress.head_sent = true;
                progress.piece = false;
                progress.all_sent = self.body.is_last();
                self.body.sent(self.client, &self.worker.buffers);
            }
        }
        Poll::Ready(())
    }

    /// Reads from the upstream; a response head, if one is whole.
    fn read_head(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, Failure> {
        loop {
            if let Some(answer) = self.parse_head()? {
                return Ok(Some(answer));
            }
            let stream = &mut self.upstream.connection.stream;
            let slot = &mut self.upstream.buffer;
            if let Some(buffer) = slot {
                buffer.grow(self.worker.settings.response_head.head);
            }
            match buffer::poll_read(stream, slot, &self.worker.buffers, cx) {
                Poll::Pending => return Ok(None),
                Poll::Ready(Ok(count)) if count > 0 => self.progress.received += count as u64,
                Poll::Ready(_) => {
                    return Err(Failure::Upstream(AttemptError::Reset {
                        sent: self.progress.sent > 0,
                    }));
                }
            }
        }
    }

    fn parse_head(&mut self) -> Result<Option<Answer>, Failure> {
        let bad = Failure::Upstream(AttemptError::BadResponse);
        loop {
            let Some(buffer) = &mut self.upstream.buffer else {
                return Ok(None);
            };
            let parsed = self
                .parser
                .parse(buffer.bytes(), self.to_head, self.response);
            let facts = match parsed {
                Ok(None) => return Ok(None),
                Ok(Some(facts)) => facts,
                Err(error) => {
                    tracing::debug!(%error, "upstream response refused");
                    return Err(bad);
                }
            };
            buffer.consume(facts.length);
            if buffer.is_empty()
                && let Some(buffer) = self.upstream.buffer.take()
            {
                self.worker.buffers.put(buffer);
            }
            self.parser.clear();
            if !matches!(self.response.status, 100 | 102..=199) {
                return Ok(Some(Answer::Final(facts)));
            }
            self.progress.interim += 1;
            if self.progress.interim > MAX_INTERIM {
                return Err(bad);
            }
            // The gateway asked for no `100 Continue`, it answered its client's itself.
            if self.response.status != 100 {
                return Ok(Some(Answer::Interim));
            }
        }
    }
}
