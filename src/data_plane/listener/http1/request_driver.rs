//! One request from its head to its log phase.

use super::downstream::{Downstream, Gone};
use super::reply::{self, ReplyContext};
use super::request_body::{Fault, RequestBody};
use super::worker::{Phase, RequestScratch, Worker};
use crate::data_plane::exchange::buffer::BUFFER_SIZE;
use crate::data_plane::exchange::{
    Connection, Outcome, Pipeline, Refusal, RefusedRequest, Reply, Upgrade, Upstreams, Verdict,
};
use crate::http::parse::RequestFacts;
use crate::http::{Framing, Version};
use bytes::Bytes;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
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
pub struct RequestShape {
    pub version: Version,
    pub to_head: bool,
    /// POST, LOCK and PATCH are not sent twice on the driver's own account.
    pub idempotent: bool,
    pub keep_alive: bool,
    pub upgrade: Upgrade,
}

pub struct RequestDriver<'a, P: Pipeline, U: Upstreams, S> {
    pub worker: &'a Worker<P, U>,
    pub connection: &'a Connection,
    pub client: &'a mut Downstream<S>,
    pub scratch: &'a mut RequestScratch<P>,
    /// The pipeline has begun with the request and waits for `finish`.
    begun: bool,
    /// The pipeline has refused the request and waits for `refused`.
    refusing: bool,
    /// Bytes of interim responses: what the client was sent before its response began.
    pub interim: u64,
}

/// What came up to the first line end.
fn first_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default()
}

/// However a request ends, its pipeline is told: also when its future is dropped, because the
/// worker stops, or unwinds.
impl<P: Pipeline, U: Upstreams, S> Drop for RequestDriver<'_, P, U, S> {
    fn drop(&mut self) {
        if self.begun || self.refusing {
            self.finish(Outcome {
                aborted: true,
                ..Outcome::default()
            });
        }
    }
}

impl<P: Pipeline, U: Upstreams, S> RequestDriver<'_, P, U, S> {
    /// The end of a request that has begun, or of one that was refused before.
    fn finish(&mut self, mut outcome: Outcome) {
        let begun = std::mem::take(&mut self.begun);
        self.refusing = false;
        outcome.request_bytes = self.client.received;
        outcome.response_bytes = self.client.sent;
        outcome.head_bytes = self.client.head;
        outcome.requests = self.client.requests;
        outcome.pipelined = self.client.pipelined;
        outcome.framing = self.client.framing;
        let (pipeline, exchange) = (&self.worker.pipeline, &mut self.scratch.exchange);
        // A panic here would end the process if this is called because of another one.
        let finish = AssertUnwindSafe(|| match begun {
            true => pipeline.finish(exchange, outcome),
            false => pipeline.refused(exchange, outcome),
        });
        if std::panic::catch_unwind(finish).is_err() {
            tracing::error!("the end of a request panicked");
        }
    }
}

impl<'a, P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin> RequestDriver<'a, P, U, S> {
    pub fn new(
        worker: &'a Worker<P, U>,
        connection: &'a Connection,
        client: &'a mut Downstream<S>,
        scratch: &'a mut RequestScratch<P>,
    ) -> RequestDriver<'a, P, U, S> {
        RequestDriver {
            worker,
            connection,
            client,
            scratch,
            begun: false,
            refusing: false,
            interim: 0,
        }
    }

    /// Serves the request whose head is in the scratch. `may_keep` is the connection's view
    /// of whether another request may follow.
    pub async fn run(mut self, facts: RequestFacts, may_keep: bool) -> Next {
        let request = &self.scratch.request;
        let mut shape = RequestShape {
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
        self.begun = true;
        let decided = {
            let deciding = self.decide(&mut shape, &mut body, facts.framing);
            isolated(std::pin::pin!(deciding)).await
        };
        let mut outcome = Outcome::default();
        if !matches!(decided, Ok(Ok(_))) {
            // Nobody needs the body any more: a client that is slow to take its answer shall
            // not hold a file.
            body.drop_held(self.client, &self.worker.buffers);
        }
        let next = match decided {
            Ok(Ok(next)) => next,
            Ok(Err(Fault::Gone)) => {
                outcome.client_closed = true;
                Next::Abort
            }
            Ok(Err(Fault::Refused(refusal))) => {
                outcome.refused = Some(refusal);
                self.send_fault(refusal, shape.to_head).await
            }
            // Where the response has begun, only its missing end can tell the client.
            Err(Panicked) if self.client.sent > self.interim => {
                outcome.aborted = true;
                Next::Abort
            }
            Err(Panicked) => {
                outcome.refused = Some(Refusal::Internal);
                self.send_fault(Refusal::Internal, shape.to_head).await
            }
        };
        self.finish(outcome);
        next
    }

    /// From the beginning to the end of the response.
    async fn decide(
        &mut self,
        shape: &mut RequestShape,
        body: &mut RequestBody,
        framing: Framing,
    ) -> Result<Next, Fault> {
        let pipeline = &self.worker.pipeline;
        let RequestScratch {
            exchange, request, ..
        } = &mut *self.scratch;
        pipeline.begin(exchange, self.connection, request);
        if let Some(limit) = pipeline.body_limit(&self.scratch.exchange)
            && let Some(bytes) = self.whole_body(body, limit).await?
        {
            pipeline.body(&mut self.scratch.exchange, bytes);
        }
        let verdict = self.access(body).await?;
        if framing == Framing::None {
            shape.upgrade = pipeline.upgrade(&self.scratch.exchange);
        }
        if let Verdict::Respond(reply) = verdict {
            return self.answer(shape, body, reply).await;
        }
        if let Some(replacement) = pipeline.new_body(&mut self.scratch.exchange) {
            self.invite(body).await?;
            // What came with the head is there already.
            body.absorb(self.client)?;
            if !self.discard(body).await {
                return Err(Fault::Refused(Refusal::BodyTooLarge));
            }
            body.replace(replacement);
        }
        self.forward(shape, body).await
    }

    /// The access phase, as long as the client is there and the time is not up.
    async fn access(&mut self, body: &RequestBody) -> Result<Verdict, Fault> {
        let (worker, client, held) = (self.worker, &mut *self.client, body.held());
        let mut access = std::pin::pin!(worker.pipeline.access(&mut self.scratch.exchange));
        let mut armed = false;
        let verdict = std::future::poll_fn(|cx| {
            if let Poll::Ready(verdict) = access.as_mut().poll(cx) {
                return Poll::Ready(Ok(verdict));
            }
            if client.poll_gone(held, &worker.buffers, cx).is_ready() {
                return Poll::Ready(Err(Fault::Gone));
            }
            if !std::mem::replace(&mut armed, true) {
                client.deadline.arm(worker.settings.access_timeout);
            }
            let late = Fault::Refused(Refusal::Internal);
            client.deadline.poll_elapsed(cx).map(|()| Err(late))
        })
        .await;
        if armed {
            client.deadline.disarm();
        }
        if verdict.as_ref().is_err_and(|fault| *fault != Fault::Gone) {
            let limit = worker.settings.access_timeout;
            tracing::error!(
                ?limit,
                "the plugins of a request took longer than plugin_access_timeout"
            );
        }
        verdict
    }

    /// Tells a client that waits for it to send the body.
    pub async fn invite(&mut self, body: &mut RequestBody) -> Result<(), Fault> {
        let told = !body.awaits_continue() || !self.client.unread().is_empty();
        body.continued();
        if told {
            return Ok(());
        }
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        let limit = self.worker.settings.send_timeout;
        let sent = self.client.write([interim, b"", b""], limit).await;
        self.interim = self.client.sent;
        sent.map_err(|Gone| Fault::Gone)
    }

    /// Reads the body into the buffer, if it may fit into `limit` bytes; what was read of a
    /// larger one stays held.
    pub async fn collect(&mut self, body: &mut RequestBody, limit: usize) -> Result<(), Fault> {
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

    /// The whole body, for the access phase; `None` when it is larger than `limit`, in bytes.
    async fn whole_body(
        &mut self,
        body: &mut RequestBody,
        limit: usize,
    ) -> Result<Option<Bytes>, Fault> {
        let small = limit.min(BUFFER_SIZE);
        self.collect(body, small).await?;
        if body.is_whole() && body.held() <= limit {
            return Ok(Some(Bytes::copy_from_slice(body.payload(self.client))));
        }
        let named_too_large = body
            .missing()
            .is_some_and(|missing| missing + body.held() as u64 > limit as u64);
        if limit <= BUFFER_SIZE || named_too_large {
            return Ok(None);
        }
        self.complete(body).await?;
        if body.size() > limit as u64 {
            return Ok(None);
        }
        let mut whole = Vec::with_capacity(body.size() as usize);
        body.rewind();
        loop {
            whole.extend_from_slice(body.payload(self.client));
            if body.is_last() {
                break;
            }
            body.use_chunk();
            read_more(self.worker, self.client, body).await?;
        }
        body.rewind();
        Ok(Some(Bytes::from(whole)))
    }

    /// Refuses a request that the pipeline has not seen.
    pub async fn refuse(mut self, refusal: Refusal) -> Next {
        let RequestScratch {
            exchange, request, ..
        } = &mut *self.scratch;
        let head = (!request.method().is_empty()).then_some(&*request);
        let to_head = head.is_some_and(|head| head.method() == b"HEAD");
        let refused = RefusedRequest {
            head,
            first_line: match head {
                Some(_) => &[],
                None => first_line(self.client.unread()),
            },
        };
        let pipeline = &self.worker.pipeline;
        let reply = pipeline.refuse(exchange, self.connection, refused, refusal);
        if self.client.received == 0 {
            // A head that did not become whole.
            self.client.received = self.client.unread().len() as u64;
        }
        self.refusing = true;
        let next = self.send_refusal(&reply, to_head).await;
        self.finish(Outcome {
            client_closed: next == Next::Abort,
            refused: Some(refusal),
            ..Outcome::default()
        });
        next
    }

    /// Answers a request that the pipeline has begun with and that comes to nothing.
    async fn send_fault(&mut self, refusal: Refusal, to_head: bool) -> Next {
        let (pipeline, exchange) = (&self.worker.pipeline, &mut self.scratch.exchange);
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut reply = pipeline.refuse_body(exchange, refusal);
            pipeline.respond(exchange, &mut reply);
            reply
        }));
        match made {
            Ok(reply) => self.send_refusal(&reply, to_head).await,
            Err(_) => Next::Abort,
        }
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
        shape: &RequestShape,
        body: &mut RequestBody,
        mut reply: Reply,
    ) -> Result<Next, Fault> {
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
        sent.map_err(|Gone| Fault::Gone)?;
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
    pub fn keeps(&self, shape: &RequestShape) -> bool {
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

/// A poll has panicked; the panic hook has told where.
struct Panicked;

/// Polls a future that may panic.
async fn isolated<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panicked> {
    std::future::poll_fn(|cx| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(cx));
        match std::panic::catch_unwind(poll) {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

/// Reads once of a body, within the time that is allowed between two reads.
pub async fn read_more<P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker<P, U>,
    client: &mut Downstream<S>,
    body: &mut RequestBody,
) -> Result<(), Fault> {
    client.deadline.arm(worker.settings.body_timeout);
    let read = std::future::poll_fn(|cx| match body.poll_more(client, &worker.buffers, cx) {
        Poll::Ready(read) => Poll::Ready(read),
        Poll::Pending => {
            let elapsed = client.deadline.poll_elapsed(cx);
            elapsed.map(|()| Err(Fault::Refused(Refusal::Timeout)))
        }
    })
    .await;
    client.deadline.disarm();
    read
}
