//! One attempt: the request goes to an upstream, its response head comes back.
//!
//! Both directions are driven at once, so that an upstream may answer before it has all of
//! the body, and a client that goes away is noticed while the upstream thinks.

use super::downstream::Downstream;
use super::request_body::{Fault, RequestBody};
use super::worker::Worker;
use crate::data_plane::exchange::{
    Attempt, AttemptError, Pipeline, Refusal, RequestProgress, ResponseKind, Traffic,
    UpstreamStream, Upstreams,
};
use crate::http::ResponseHead;
use std::future::poll_fn;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// Why no response head came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The upstream's fault; another attempt may do better.
    Upstream(AttemptError),
    /// The client's fault; no attempt will do better.
    Client(Fault),
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

pub struct Upload<'a, P: Pipeline, U: Upstreams, S> {
    pub worker: &'a Worker<P, U>,
    pub client: &'a mut Downstream<S>,
    pub body: &'a mut RequestBody,
    pub upstream: &'a mut U::Stream,
    pub attempt: &'a Attempt,
    /// The request head, complete.
    pub head: &'a [u8],
    pub response: &'a mut ResponseHead,
}

impl<P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin> Upload<'_, P, U, S> {
    /// Runs until a response head has come. Call again after an interim one.
    pub async fn answer(&mut self) -> Result<ResponseKind, Failure> {
        let mut armed = None;
        let answer = poll_fn(|cx| self.poll(&mut armed, cx)).await;
        self.client.deadline.disarm();
        answer
    }

    /// `armed` is what the deadline runs for.
    fn poll(
        &mut self,
        armed: &mut Option<Wait>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseKind, Failure>> {
        let before = self.upstream.traffic();
        let wait = self.send(cx)?;
        let buffers = &self.worker.buffers;
        if let Poll::Ready(kind) = self.upstream.poll_head(self.response, buffers, cx) {
            return Poll::Ready(kind.map_err(Failure::Upstream));
        }
        let held = self.body.held();
        let only_answering = wait == Wait::Response || self.body.is_complete();
        if only_answering && self.client.poll_gone(held, buffers, cx).is_ready() {
            return Poll::Ready(Err(Failure::Client(Fault::Gone)));
        }
        let traffic = self.upstream.traffic();
        let deadline = &self.client.deadline;
        if traffic != before || *armed != Some(wait) {
            *armed = Some(wait);
            deadline.arm(match wait {
                Wait::Write => self.attempt.write_timeout,
                Wait::Body | Wait::Disk => self.worker.settings.body_timeout,
                Wait::Response => self.attempt.read_timeout,
            });
        }
        let elapsed = deadline.poll_elapsed(cx);
        elapsed.map(|()| Err(too_late(wait, traffic)))
    }

    /// Sends what there is to send; says what must happen before more can be sent.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<Wait, Failure> {
        loop {
            let payload = self.body.payload(self.client);
            let last = self.body.is_last();
            let waits_for_payload = match self.upstream.progress() {
                RequestProgress::Sent | RequestProgress::Broken => return Ok(Wait::Response),
                RequestProgress::Sending => false,
                RequestProgress::Body => true,
                // The head does not wait for a client, but for a file it does.
                RequestProgress::Head => self.body.is_spooled(),
            };
            if waits_for_payload && payload.is_empty() && !last {
                match self.body.poll_more(self.client, &self.worker.buffers, cx) {
                    Poll::Ready(more) => more.map_err(Failure::Client)?,
                    Poll::Pending if self.body.is_complete() => return Ok(Wait::Disk),
                    Poll::Pending => return Ok(Wait::Body),
                }
                continue;
            }
            let sent = self.upstream.poll_send(self.head, payload, last, cx);
            if sent.is_pending() {
                return Ok(Wait::Write);
            }
            if self.upstream.progress() != RequestProgress::Broken {
                self.body.sent(self.client, &self.worker.buffers);
            }
        }
    }
}

fn too_late(wait: Wait, traffic: Traffic) -> Failure {
    match wait {
        Wait::Body => Failure::Client(Fault::Refused(Refusal::Timeout)),
        Wait::Disk => Failure::Client(Fault::Refused(Refusal::Internal)),
        Wait::Write | Wait::Response => Failure::Upstream(AttemptError::Timeout {
            sent: traffic.sent > 0,
        }),
    }
}
