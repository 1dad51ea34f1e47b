//! One request from its head to its log phase.

use super::buffer::BUFFER_SIZE;
use super::download::{Download, Ending, write_headers};
use super::downstream::{Downstream, Gone};
use super::pipeline::{
    Attempt, AttemptError, Connection, Outcome, Pipeline, Refusal, Reply, Upgrade, Verdict,
};
use super::reply::{self, ReplyContext};
use super::request_body::{BodyFault, RequestBody, Sending};
use super::tunnel;
use super::upload::{Answer, Failure, Progress, Upload, Upstream};
use super::worker::{Phase, Scratch, Worker};
use crate::http::parse::{RequestFacts, ResponseFacts};
use crate::http::{Framing, HeaderEdits, Version, write};
use bytes::Bytes;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};

/// A body of a request that was answered without it is read away up to this size, in bytes,
/// to keep the connection; above it the connection is closed instead.
const MAX_DISCARDED: u64 = 1024 * 1024;
/// Chunks of a request that is not buffered are sent with a length if all of them came with
/// the head and their payload is at most this large, in bytes (nginx's preread buffer).
const MAX_PREREAD: usize = 8 * 1024;

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for the next request.
    Request,
    Close,
    /// Close, but first read away what the client may still be sending.
    Linger,
    /// Drop the connection: its end is the only way to tell that something is missing.
    Abort,
}

/// What the driver keeps of a request once the pipeline has its head.
struct Shape {
    version: Version,
    to_head: bool,
    /// POST, LOCK and PATCH are not sent twice on the driver's own account.
    idempotent: bool,
    keep_alive: bool,
    expects_continue: bool,
    upgrade: Upgrade,
}

pub struct Exchange<'a, P: Pipeline, S> {
    pub worker: &'a Worker<P>,
    pub connection: &'a Connection,
    pub client: &'a mut Downstream<S>,
    pub scratch: &'a mut Scratch<P>,
}

impl<P: Pipeline, S: AsyncRead + AsyncWrite + Unpin> Exchange<'_, P, S> {
    /// Serves the request whose head is in the scratch. `may_keep` is the connection's view
    /// of whether another request may follow.
    pub async fn run(mut self, facts: RequestFacts, may_keep: bool) -> Next {
        let request = &self.scratch.request;
        let mut shape = Shape {
            version: request.version,
            to_head: request.method() == b"HEAD",
            idempotent: !matches!(request.method(), b"POST" | b"LOCK" | b"PATCH"),
            keep_alive: facts.keep_alive && may_keep,
            expects_continue: facts.expects_continue,
            upgrade: Upgrade::None,
        };
        let mut body = RequestBody::new(facts.framing, self.worker.settings.max_body);
        if body.is_too_large() {
            return self.refuse(Refusal::BodyTooLarge).await;
        }
        let pipeline = &self.worker.pipeline;
        let Scratch {
            exchange, request, ..
        } = &mut *self.scratch;
        pipeline.begin(exchange, self.connection, request);
        let mut outcome = Outcome::default();
        let next = self.decide(&mut shape, &mut body, facts.framing).await;
        let next = match next {
            Ok(next) => next,
            Err(BodyFault::Gone) => {
                outcome.client_closed = true;
                Next::Abort
            }
            Err(BodyFault::Refused(refusal)) => {
                outcome.refused = Some(refusal);
                let reply = pipeline.refuse(self.connection, None, refusal);
                self.send_refusal(&reply, shape.to_head).await
            }
        };
        outcome.request_bytes = self.client.received;
        outcome.response_bytes = self.client.sent;
        pipeline.finish(&mut self.scratch.exchange, outcome);
        next
    }

    /// Lets the pipeline decide, and does what it says.
    async fn decide(
        &mut self,
        shape: &mut Shape,
        body: &mut RequestBody,
        framing: Framing,
    ) -> Result<Next, BodyFault> {
        let pipeline = &self.worker.pipeline;
        if let Some(limit) = pipeline.body_limit(&self.scratch.exchange) {
            self.show_body(shape, body, limit).await?;
        }
        let exchange = &mut self.scratch.exchange;
        let verdict = pipeline.access(exchange).await;
        if let Some(new) = pipeline.new_body(exchange) {
            body.replace(self.client, &new)?;
        }
        shape.upgrade = match framing {
            Framing::None => pipeline.upgrade(exchange),
            _ => Upgrade::None,
        };
        match verdict {
            Verdict::Respond(reply) => self.answer(shape, body, reply).await,
            Verdict::Forward => self.forward(shape, body).await,
        }
    }

    /// Collects the body for the plugins that ask for it, unless it is longer than they
    /// want.
    async fn show_body(
        &mut self,
        shape: &Shape,
        body: &mut RequestBody,
        limit: usize,
    ) -> Result<(), BodyFault> {
        body.absorb(self.client)?;
        let named = body.missing().unwrap_or(0) + body.held() as u64;
        if named > limit as u64 {
            return Ok(());
        }
        self.prepare(shape, body, true).await?;
        if let Some(whole) = body.held_within(self.client, limit) {
            let whole = Bytes::copy_from_slice(whole);
            let exchange = &mut self.scratch.exchange;
            self.worker.pipeline.body(exchange, whole);
        }
        Ok(())
    }

    /// Refuses a request that the pipeline has not seen.
    pub async fn refuse(mut self, refusal: Refusal) -> Next {
        let head = &self.scratch.request;
        let head = (!head.method().is_empty()).then_some(head);
        let to_head = head.is_some_and(|head| head.method() == b"HEAD");
        let reply = self.worker.pipeline.refuse(self.connection, head, refusal);
        self.send_refusal(&reply, to_head).await
    }

    async fn send_refusal(&mut self, reply: &Reply, to_head: bool) -> Next {
        let context = ReplyContext {
            to_head,
            keep_alive: false,
        };
        let out = &mut self.scratch.out;
        match reply::send(self.worker, self.client, reply, context, out).await {
            Ok(()) => Next::Linger,
            Err(Gone) => Next::Abort,
        }
    }

    /// Sends a reply of the pipeline.
    async fn answer(
        &mut self,
        shape: &Shape,
        body: &mut RequestBody,
        mut reply: Reply,
    ) -> Result<Next, BodyFault> {
        let worker = self.worker;
        worker
            .pipeline
            .respond(&mut self.scratch.exchange, &mut reply);
        body.absorb(self.client)?;
        // Who waits for `100 Continue` may or may not send the body after this reply.
        let unsure = shape.expects_continue && !body.is_complete();
        let too_much = body
            .missing()
            .is_some_and(|missing| missing > MAX_DISCARDED);
        let keep_alive = self.keeps(shape) && !reply.close && !unsure && !too_much;
        let context = ReplyContext {
            to_head: shape.to_head,
            keep_alive,
        };
        let out = &mut self.scratch.out;
        let sent = reply::send(worker, self.client, &reply, context, out).await;
        sent.map_err(|Gone| BodyFault::Gone)?;
        if !keep_alive {
            return Ok(if body.is_complete() {
                Next::Close
            } else {
                Next::Linger
            });
        }
        match self.discard(body).await {
            true => Ok(Next::Request),
            false => Ok(Next::Linger),
        }
    }

    /// Whether the connection may serve another request.
    fn keeps(&self, shape: &Shape) -> bool {
        // What follows an upgrade that did not happen may be no HTTP: it is not looked at.
        let undecided = shape.upgrade != Upgrade::None && !self.client.unread().is_empty();
        shape.keep_alive && !undecided && self.worker.phase() == Phase::Running
    }

    /// Reads away what is left of a body that nobody wants; says whether its end was found.
    async fn discard(&mut self, body: &mut RequestBody) -> bool {
        let (worker, client) = (self.worker, &mut *self.client);
        let start = client.received;
        loop {
            body.drop_held(client, &worker.buffers);
            if body.is_complete() {
                return true;
            }
            if client.received - start > MAX_DISCARDED {
                return false;
            }
            if read_more(worker, client, body).await.is_err() {
                return false;
            }
        }
    }

    async fn forward(&mut self, shape: &Shape, body: &mut RequestBody) -> Result<Next, BodyFault> {
        let worker = self.worker;
        let mut failed = None;
        let mut is_first = true;
        loop {
            let exchange = &mut self.scratch.exchange;
            let attempt = match failed {
                Some(error) if !body.can_be_sent_again() => {
                    Err(worker.pipeline.give_up(exchange, error))
                }
                failed => worker.pipeline.attempt(exchange, failed),
            };
            let attempt = match attempt {
                Ok(attempt) => attempt,
                Err(reply) => return self.answer(shape, body, reply).await,
            };
            if std::mem::take(&mut is_first) {
                self.prepare(shape, body, attempt.request_buffering).await?;
            }
            match self.attempt(shape, body, &attempt).await {
                Ok(next) => return Ok(next),
                Err(Failure::Client(fault)) => return Err(fault),
                Err(Failure::Upstream(error)) => {
                    tracing::debug!(?error, "upstream attempt failed");
                    failed = Some(error);
                }
            }
        }
    }

    /// Before the first attempt: asks for the body where the client waits to be asked, and
    /// collects it where the route wants it buffered and it fits one buffer. A larger body
    /// is streamed in any case: nothing unbounded is ever buffered, and a request of which
    /// a part is gone is not tried again.
    async fn prepare(
        &mut self,
        shape: &Shape,
        body: &mut RequestBody,
        buffering: bool,
    ) -> Result<(), BodyFault> {
        let (worker, client) = (self.worker, &mut *self.client);
        let unread = client.unread().len();
        if !body.is_complete() && shape.expects_continue && unread == 0 {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            let sent = client
                .write([interim, b"", b""], worker.settings.send_timeout)
                .await;
            sent.map_err(|Gone| BodyFault::Gone)?;
        }
        // Chunks that came with the head are counted before they are decoded: whether they
        // get a length must not depend on how fast the rest arrives.
        if buffering || body.missing().is_some() || unread <= MAX_PREREAD {
            body.absorb(client)?;
        }
        let room = (BUFFER_SIZE - body.held()) as u64;
        let fits = body.missing().is_none_or(|missing| missing <= room);
        while buffering && fits && !body.is_complete() && body.held() < BUFFER_SIZE {
            read_more(worker, client, body).await?;
        }
        Ok(())
    }

    /// One attempt, on a kept connection first. When that turns out to be dead before it
    /// has answered anything, a new one is made, which counts as the same attempt.
    async fn attempt(
        &mut self,
        shape: &Shape,
        body: &mut RequestBody,
        attempt: &Attempt,
    ) -> Result<Next, Failure> {
        let worker = self.worker;
        let mut may_reuse = true;
        loop {
            let deadline = &self.client.deadline;
            let connected = worker.upstreams.connect(attempt, deadline, may_reuse).await;
            let mut upstream = Upstream {
                connection: connected.map_err(Failure::Upstream)?,
                buffer: None,
            };
            let sending = body.sending();
            body.absorb(self.client).map_err(Failure::Client)?;
            let out = &mut self.scratch.out;
            out.clear();
            worker
                .pipeline
                .write_request_head(&self.scratch.exchange, out);
            end_request_head(out, sending);
            let mut progress = Progress::new(sending);
            match self
                .ask(shape, body, attempt, &mut upstream, &mut progress)
                .await
            {
                Ok(facts) => {
                    let request_sent = progress.is_sent();
                    return self
                        .relay(shape, body, attempt, upstream, facts, request_sent)
                        .await;
                }
                Err(Failure::Upstream(AttemptError::Reset { sent }))
                    if upstream.connection.reused
                        && progress.received == 0
                        && body.can_be_sent_again()
                        && (shape.idempotent || !sent) =>
                {
                    may_reuse = false;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Sends the request and waits for the final response head; interim ones are passed on.
    async fn ask(
        &mut self,
        shape: &Shape,
        body: &mut RequestBody,
        attempt: &Attempt,
        upstream: &mut Upstream,
        progress: &mut Progress,
    ) -> Result<ResponseFacts, Failure> {
        let Scratch {
            out,
            response,
            response_parser,
            ..
        } = &mut *self.scratch;
        response_parser.clear();
        loop {
            let mut upload = Upload {
                worker: self.worker,
                client: self.client,
                body,
                upstream,
                attempt,
                head: out,
                to_head: shape.to_head,
                parser: response_parser,
                response,
                progress,
            };
            if let Answer::Final(facts) = upload.answer().await? {
                return Ok(facts);
            }
            if shape.version == Version::Http10 {
                continue;
            }
            let mut interim = Vec::new();
            write::status_line(&mut interim, response.status, response.reason());
            write_headers(&mut interim, response, &HeaderEdits::default());
            interim.extend_from_slice(b"\r\n");
            let limit = self.worker.settings.send_timeout;
            let sent = self.client.write([&interim, b"", b""], limit).await;
            sent.map_err(|Gone| Failure::Client(BodyFault::Gone))?;
        }
    }

    /// The response is on its way: no attempt follows, whatever happens now.
    async fn relay(
        &mut self,
        shape: &Shape,
        body: &mut RequestBody,
        attempt: &Attempt,
        upstream: Upstream,
        facts: ResponseFacts,
        request_sent: bool,
    ) -> Result<Next, Failure> {
        if self.scratch.response.status == 101 {
            if shape.upgrade == Upgrade::None || !facts.websocket {
                return Err(Failure::Upstream(AttemptError::BadResponse));
            }
            return self
                .tunnel(attempt, upstream)
                .await
                .map_err(Failure::Client);
        }
        let mut keep_alive = self.keeps(shape);
        if request_sent {
            body.drop_held(self.client, &self.worker.buffers);
        } else {
            // The upstream answered before it had the body; the rest is not wanted.
            keep_alive = false;
        }
        let download = Download {
            worker: self.worker,
            client: self.client,
            scratch: self.scratch,
            attempt,
            facts,
            version: shape.version,
            to_head: shape.to_head,
            keep_alive,
            request_sent,
        };
        match download.run(upstream).await {
            Ending::Complete { keep_alive: true } => Ok(Next::Request),
            Ending::Complete { .. } if body.is_complete() => Ok(Next::Close),
            Ending::Complete { .. } => Ok(Next::Linger),
            Ending::Truncated => Ok(Next::Abort),
            Ending::ClientGone => Err(Failure::Client(BodyFault::Gone)),
        }
    }

    /// The upgrade is accepted: tells the client, then moves bytes until the end.
    async fn tunnel(&mut self, attempt: &Attempt, upstream: Upstream) -> Result<Next, BodyFault> {
        let worker = self.worker;
        let Scratch {
            exchange,
            response,
            edits,
            out,
            ..
        } = &mut *self.scratch;
        edits.clear();
        worker.pipeline.response(exchange, response, edits);
        edits.remove("upgrade");
        out.clear();
        write::status_line(out, 101, response.reason());
        write_headers(out, response, edits);
        write::header(out, "Connection", "upgrade");
        write::header(out, "Upgrade", "websocket");
        out.extend_from_slice(b"\r\n");
        let sent = self
            .client
            .write([out, b"", b""], worker.settings.send_timeout)
            .await;
        sent.map_err(|Gone| BodyFault::Gone)?;
        tunnel::run(self.client, upstream, &worker.buffers, attempt.read_timeout).await;
        Ok(Next::Close)
    }
}

/// Reads once of a body, within the time that is allowed between two reads.
async fn read_more<P: Pipeline, S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker<P>,
    client: &mut Downstream<S>,
    body: &mut RequestBody,
) -> Result<(), BodyFault> {
    client.deadline.arm(worker.settings.body_timeout);
    let read = std::future::poll_fn(|cx| match body.poll_more(client, &worker.buffers, cx) {
        Poll::Ready(read) => Poll::Ready(read),
        Poll::Pending => {
            let elapsed = client.deadline.poll_elapsed(cx);
            elapsed.map(|()| Err(BodyFault::Refused(Refusal::Timeout)))
        }
    })
    .await;
    client.deadline.disarm();
    read
}

/// The body's framing and the blank line.
fn end_request_head(out: &mut Vec<u8>, sending: Sending) {
    match sending {
        Sending::Nothing => {}
        Sending::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write::decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Sending::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}
