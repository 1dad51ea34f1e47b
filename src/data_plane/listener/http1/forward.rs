//! A request's way to an upstream: attempts, one after the other.

use super::download::{Download, write_headers};
use super::downstream::Gone;
use super::framing::Ending;
use super::request_body::{Fault, RequestBody};
use super::request_driver::{Next, RequestDriver, RequestShape, read_more};
use super::spool::{Keep, Spool};
use super::tunnel;
use super::upload::{Failure, Upload};
use super::worker::RequestScratch;
use crate::data_plane::exchange::buffer::BUFFER_SIZE;
use crate::data_plane::exchange::{
    Attempt, AttemptError, Contact, Pipeline, Refusal, RequestProgress, ResponseKind, Upgrade,
    UpstreamStream, Upstreams,
};
use crate::http::parse::ResponseFacts;
use crate::http::{HeaderEdits, Version, write};
use crate::plugins::BodyUse;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Chunks of a request that is not buffered are sent with a length if all of them came with
/// the head and their payload is at most this large, in bytes (nginx's preread buffer).
const MAX_PREREAD: usize = 8 * 1024;

impl<P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin> RequestDriver<'_, P, U, S> {
    /// Makes attempts until one brings a response or the pipeline gives up.
    pub async fn forward(
        &mut self,
        shape: &RequestShape,
        body: &mut RequestBody,
    ) -> Result<Next, Fault> {
        let worker = self.worker;
        let mut failed = None;
        let buffering = worker.pipeline.buffering(&self.scratch.exchange);
        self.prepare(body, buffering.request).await?;
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
            match self.attempt(shape, body, &attempt).await {
                Ok(next) => return Ok(next),
                Err(Failure::Client(fault)) => return Err(fault),
                Err(Failure::Upstream(error)) => {
                    let request_id = worker.pipeline.request_id(&self.scratch.exchange);
                    tracing::debug!(request_id, ?error, "upstream attempt failed");
                    failed = Some(error);
                }
            }
        }
    }

    /// Before the first attempt: asks for the body where the client waits to be asked, and
    /// reads all of it where the route wants it buffered.
    async fn prepare(&mut self, body: &mut RequestBody, buffering: bool) -> Result<(), Fault> {
        if buffering {
            return self.complete(body).await;
        }
        let unread = self.client.unread().len();
        self.invite(body).await?;
        // Chunks that came with the head are counted before they are decoded: whether they
        // get a length must not depend on how fast the rest arrives.
        if body.missing().is_some() || unread <= MAX_PREREAD {
            body.absorb(self.client)?;
        }
        Ok(())
    }

    /// Reads the body to its end: it stays in the buffer if it fits, else it waits in a spool.
    pub async fn complete(&mut self, body: &mut RequestBody) -> Result<(), Fault> {
        let worker = self.worker;
        let limits = worker.settings.request_spool;
        let spool = || Spool::new(Arc::clone(&worker.files), limits, Keep::All);
        self.collect(body, BUFFER_SIZE).await?;
        while !body.is_complete() {
            if body.held() >= BUFFER_SIZE {
                body.spool(self.client, &worker.buffers, spool);
                let stored = self
                    .client
                    .deadline
                    .within(worker.settings.body_timeout, |cx| body.poll_store(cx));
                stored
                    .await
                    .unwrap_or(Err(Fault::Refused(Refusal::Internal)))?;
            }
            read_more(worker, self.client, body).await?;
        }
        if body.is_spooled() {
            body.spool(self.client, &worker.buffers, spool);
        }
        Ok(())
    }

    /// One attempt, on a kept connection first. When that turns out to be dead before it
    /// has answered anything, a new one is made, which counts as the same attempt.
    async fn attempt(
        &mut self,
        shape: &RequestShape,
        body: &mut RequestBody,
        attempt: &Attempt,
    ) -> Result<Next, Failure> {
        let worker = self.worker;
        let mut may_reuse = true;
        loop {
            let deadline = &self.client.deadline;
            let mut contact = Contact::default();
            let connecting = worker
                .upstreams
                .connect(attempt, deadline, may_reuse, &mut contact);
            let connected = connecting.await;
            worker.pipeline.contact(&mut self.scratch.exchange, contact);
            let mut upstream = connected.map_err(Failure::Upstream)?;
            let length = body.length();
            body.absorb(self.client).map_err(Failure::Client)?;
            body.rewind();
            let out = &mut self.scratch.out;
            out.clear();
            worker
                .pipeline
                .write_request_head(&self.scratch.exchange, out);
            upstream.begin(out, length, shape.to_head);
            match self.ask(shape, body, attempt, &mut upstream).await {
                Ok(facts) => return self.relay(shape, body, attempt, upstream, facts).await,
                Err(Failure::Upstream(AttemptError::Reset { sent }))
                    if upstream.is_reused()
                        && upstream.traffic().received == 0
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
        shape: &RequestShape,
        body: &mut RequestBody,
        attempt: &Attempt,
        upstream: &mut U::Stream,
    ) -> Result<ResponseFacts, Failure> {
        let RequestScratch { out, response, .. } = &mut *self.scratch;
        loop {
            let mut upload = Upload {
                worker: self.worker,
                client: self.client,
                body,
                upstream,
                attempt,
                head: out,
                response,
            };
            if let ResponseKind::Final(facts) = upload.answer().await? {
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
            self.interim = self.client.sent;
            sent.map_err(|Gone| Failure::Client(Fault::Gone))?;
        }
    }

    /// The response is on its way: no attempt follows, whatever happens now.
    async fn relay(
        &mut self,
        shape: &RequestShape,
        body: &mut RequestBody,
        attempt: &Attempt,
        upstream: U::Stream,
        facts: ResponseFacts,
    ) -> Result<Next, Failure> {
        if self.scratch.response.status == 101 {
            if shape.upgrade == Upgrade::None || !facts.websocket {
                return Err(Failure::Upstream(AttemptError::BadResponse));
            }
            return self
                .tunnel(shape, body, attempt, upstream)
                .await
                .map_err(Failure::Client);
        }
        let mut keep_alive = self.keeps(shape);
        if upstream.progress() == RequestProgress::Sent {
            body.drop_held(self.client, &self.worker.buffers);
        } else {
            // The upstream answered before it had the body; the rest is not wanted.
            keep_alive = false;
        }
        let buffering = self.worker.pipeline.buffering(&self.scratch.exchange);
        let read_ahead = buffering.response;
        let download = Download {
            worker: self.worker,
            client: self.client,
            scratch: self.scratch,
            attempt,
            facts,
            version: shape.version,
            to_head: shape.to_head,
            keep_alive,
            read_ahead,
            body_use: BodyUse::None,
        };
        match download.run(upstream).await {
            Ending::Complete { keep_alive: true } => Ok(Next::Request),
            Ending::Complete { .. } if body.is_complete() => Ok(Next::Close),
            Ending::Complete { .. } => Ok(Next::Linger),
            Ending::Truncated => {
                let pipeline = &self.worker.pipeline;
                let request_id = pipeline.request_id(&self.scratch.exchange);
                tracing::debug!(request_id, "upstream response was cut short");
                Ok(Next::Abort)
            }
            Ending::ClientGone => Err(Failure::Client(Fault::Gone)),
            Ending::Withheld(reply) => {
                let answered = self.answer(shape, body, *reply).await;
                answered.map_err(Failure::Client)
            }
        }
    }

    /// The upgrade is accepted: tells the client, then moves bytes until the end.
    async fn tunnel(
        &mut self,
        shape: &RequestShape,
        body: &mut RequestBody,
        attempt: &Attempt,
        upstream: U::Stream,
    ) -> Result<Next, Fault> {
        let worker = self.worker;
        let RequestScratch {
            exchange,
            response,
            edits,
            out,
            ..
        } = &mut *self.scratch;
        edits.clear();
        if let Err(reply) = worker.pipeline.response(exchange, response, edits) {
            return self.answer(shape, body, reply).await;
        }
        edits.remove("upgrade");
        out.clear();
        write::status_line(out, 101, response.reason());
        write_headers(out, response, edits);
        write::header(out, "Connection", "upgrade");
        self.client.framing.connection = Some("upgrade");
        write::header(out, "Upgrade", "websocket");
        out.extend_from_slice(b"\r\n");
        self.client.head = self.client.sent + out.len() as u64;
        let sent = self
            .client
            .write([out, b"", b""], worker.settings.send_timeout)
            .await;
        sent.map_err(|Gone| Fault::Gone)?;
        tunnel::run(self.client, upstream, &worker.buffers, attempt.read_timeout).await;
        Ok(Next::Close)
    }
}
