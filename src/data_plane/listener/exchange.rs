//! One request from its head to its log phase.

use super::buffer::BUFFER_SIZE;
use super::downstream::{Downstream, Gone};
use super::pipeline::{Connection, Outcome, Pipeline, Refusal, Reply, Upgrade, Verdict};
use super::reply::{self, ReplyContext};
use super::request_body::{BodyFault, RequestBody};
use super::worker::{Phase, Scratch, Worker};
use crate::http::parse::RequestFacts;
use crate::http::{Framing, Version};
use bytes::Bytes;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};

/// A body of a request that was answered without it is read away up to this size, in bytes,
/// to keep the connection; above it the connection is closed instead.
const MAX_DISCARDED: u64 = 1024 * 1024;

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
pub struct Shape {
    pub version: Version,
    pub to_head: bool,
    /// POST, LOCK and PATCH are not sent twice on the driver's own account.
    pub idempotent: bool,
    pub keep_alive: bool,
    pub upgrade: Upgrade,
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
            upgrade: Upgrade::None,
        };
        let limit = self.worker.settings.max_body;
        let mut body = RequestBody::new(facts.framing, limit, facts.expects_continue);
        if body.is_too_large() {
            return self.refuse(Refusal::BodyTooLarge).await;
        }
        let pipeline = &self.worker.pipeline;
        let Scratch {
            exchange, request, ..
        } = &mut *self.scratch;
        pipeline.begin(exchange, self.connection, request);
        let next = self.decide(&mut shape, &mut body, facts.framing).await;
        let mut outcome = Outcome::default();
        let next = match next {
            Ok(next) => next,
            Err(BodyFault::Gone) => {
                outcome.client_closed = true;
                Next::Abort
            }
            Err(BodyFault::Refused(refusal)) => {
                outcome.refused = Some(refusal);
                let exchange = &mut self.scratch.exchange;
                let mut reply = pipeline.refuse_body(exchange, refusal);
                pipeline.respond(exchange, &mut reply);
                self.send_refusal(&reply, shape.to_head).await
            }
        };
        outcome.request_bytes = self.client.received;
        outcome.response_bytes = self.client.sent;
        pipeline.finish(&mut self.scratch.exchange, outcome);
        next
    }

    /// From the access phase to the end of the response.
    async fn decide(
        &mut self,
        shape: &mut Shape,
        body: &mut RequestBody,
        framing: Framing,
    ) -> Result<Next, BodyFault> {
        let pipeline = &self.worker.pipeline;
        if let Some(limit) = pipeline.body_limit(&self.scratch.exchange) {
            let limit = limit.min(BUFFER_SIZE);
            self.collect(body, limit).await?;
            if body.is_whole() && body.held() <= limit {
                let bytes = Bytes::copy_from_slice(body.payload(self.client));
                pipeline.body(&mut self.scratch.exchange, bytes);
            }
        }
        let verdict = pipeline.access(&mut self.scratch.exchange).await;
        if framing == Framing::None {
            shape.upgrade = pipeline.upgrade(&self.scratch.exchange);
        }
        if let Verdict::Respond(reply) = verdict {
            return self.answer(shape, body, reply).await;
        }
        if let Some(replacement) = pipeline.new_body(&mut self.scratch.exchange) {
            self.invite(body).await?;
            if !self.discard(body).await {
                return Err(BodyFault::Refused(Refusal::BodyTooLarge));
            }
            body.replace(replacement);
        }
        self.forward(shape, body).await
    }

    /// Tells a client that waits for it to send the body.
    pub async fn invite(&mut self, body: &mut RequestBody) -> Result<(), BodyFault> {
        let told = !body.awaits_continue() || !self.client.unread().is_empty();
        body.continued();
        if told {
            return Ok(());
        }
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        let limit = self.worker.settings.send_timeout;
        let sent = self.client.write([interim, b"", b""], limit).await;
        sent.map_err(|Gone| BodyFault::Gone)
    }

    /// Reads the body into the buffer, if it may fit into `limit` bytes; what was read of a
    /// larger one stays held.
    pub async fn collect(&mut self, body: &mut RequestBody, limit: usize) -> Result<(), BodyFault> {
        self.invite(body).await?;
        body.absorb(self.client)?;
        let room = limit.saturating_sub(body.held()) as u64;
        let fits = body.missing().is_none_or(|missing| missing <= room);
        let more = |body: &RequestBody| body.held() <= limit && body.held() < BUFFER_SIZE;
        while fits && !body.is_complete() && more(body) {
            read_more(self.worker, self.client, body).await?;
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
    pub async fn answer(
        &mut self,
        shape: &Shape,
        body: &mut RequestBody,
        mut reply: Reply,
    ) -> Result<Next, BodyFault> {
        let worker = self.worker;
        worker
            .pipeline
            .respond(&mut self.scratch.exchange, &mut reply);
        // A body that is no good does not change the answer, but nothing can follow it.
        let sound = body.absorb(self.client).is_ok();
        // Who waits for `100 Continue` may or may not send the body after this reply.
        let unsure = body.awaits_continue();
        let too_much = body
            .missing()
            .is_some_and(|missing| missing > MAX_DISCARDED);
        let keep_alive = self.keeps(shape) && sound && !reply.close && !unsure && !too_much;
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
    pub fn keeps(&self, shape: &Shape) -> bool {
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
}

/// Reads once of a body, within the time that is allowed between two reads.
pub async fn read_more<P: Pipeline, S: AsyncRead + AsyncWrite + Unpin>(
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
