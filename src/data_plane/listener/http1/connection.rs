//! One client connection: requests one after the other.

use super::downstream::Downstream;
use super::request_driver::{Next, RequestDriver};
use super::worker::{Phase, RequestScratch, Worker};
use crate::data_plane::exchange::{Connection, Pipeline, Refusal, Upstreams};
use crate::http::parse::RequestFacts;
use crate::plugins::SentFraming;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// What came instead of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoRequest {
    /// The client closed, or idled for too long, or the worker drains: nothing to say.
    Over,
    Refused(Refusal),
}

/// Serves the connection to its end.
pub async fn serve<P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin>(
    worker: Rc<Worker<P, U>>,
    io: S,
    connection: Connection,
) {
    let counters = worker.counters.clone();
    let _open = counters.open();
    let mut client = Downstream::new(io, worker.deadlines.deadline());
    let mut requests = 0;
    let next = loop {
        client.pipelined = !client.unread().is_empty();
        if !wait_for_request(&worker, &mut client, requests == 0).await {
            break Next::Close;
        }
        requests += 1;
        let mut scratch = worker.scratch();
        client.requests = requests;
        let next = serve_request(&worker, &connection, &mut client, &mut scratch, requests).await;
        worker.recycle(scratch);
        if next != Next::Request {
            break next;
        }
    };
    match next {
        Next::Request | Next::Close => client.close().await,
        Next::Linger => client.linger(&worker.buffers).await,
        Next::Abort => {}
    }
}

async fn serve_request<P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker<P, U>,
    connection: &Connection,
    client: &mut Downstream<S>,
    scratch: &mut RequestScratch<P>,
    requests: u32,
) -> Next {
    (client.received, client.sent, client.head) = (0, 0, 0);
    client.framing = SentFraming::default();
    let head = read_head(worker, client, scratch).await;
    if head == Err(NoRequest::Over) {
        return Next::Abort;
    }
    let _serving = worker.counters.serving_request();
    let exchange = RequestDriver::new(worker, connection, client, scratch);
    let may_keep = requests < worker.settings.keep_alive_requests;
    match head {
        Ok(facts) => exchange.run(facts, may_keep).await,
        Err(NoRequest::Refused(refusal)) => exchange.refuse(refusal).await,
        Err(NoRequest::Over) => Next::Abort,
    }
}

/// Waits for the first byte of a request. No buffer is held meanwhile.
async fn wait_for_request<P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker<P, U>,
    client: &mut Downstream<S>,
    is_first: bool,
) -> bool {
    if !client.unread().is_empty() {
        return true;
    }
    let limit = match is_first {
        true => worker.settings.header_timeout,
        false => worker.settings.keep_alive_timeout,
    };
    let read = until(worker, client, limit, |client, cx| {
        client.poll_read(&worker.buffers, cx)
    });
    matches!(read.await, Some(Ok(1..)))
}

/// Reads a request head; its bytes are used up when it is whole.
async fn read_head<P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker<P, U>,
    client: &mut Downstream<S>,
    scratch: &mut RequestScratch<P>,
) -> Result<RequestFacts, NoRequest> {
    let mut reading = None;
    loop {
        let parsed = scratch
            .request_parser
            .parse(client.unread(), &mut scratch.request);
        match parsed {
            Ok(Some(facts)) => {
                client.deadline.disarm();
                client.received = facts.length as u64;
                client.consume(facts.length, &worker.buffers);
                return Ok(facts);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "request refused");
                return Err(NoRequest::Refused(error.into()));
            }
        }
        if reading.is_none() {
            // The limit is for the whole head: it is not prolonged by single bytes.
            client.deadline.arm(worker.settings.header_timeout);
            reading = Some(worker.counters.reading_head());
        }
        if let Some(buffer) = client.buffer_mut() {
            buffer.grow(worker.settings.head.head);
        }
        let read = poll_fn(|cx| match client.poll_read(&worker.buffers, cx) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending => client.deadline.poll_elapsed(cx).map(|()| None),
        });
        match read.await {
            Some(Ok(1..)) => {}
            Some(_) => return Err(NoRequest::Over),
            None => {
                let parser = &scratch.request_parser;
                parser.abandon(client.unread(), &mut scratch.request);
                return Err(NoRequest::Refused(Refusal::Timeout));
            }
        }
    }
}

/// Polls for `limit` at most, and not beyond the start of draining.
async fn until<P: Pipeline, U: Upstreams, S, T>(
    worker: &Worker<P, U>,
    client: &mut Downstream<S>,
    limit: Duration,
    mut poll: impl FnMut(&mut Downstream<S>, &mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    let mut armed = false;
    let result = poll_fn(|cx| {
        if let Poll::Ready(value) = poll(client, cx) {
            return Poll::Ready(Some(value));
        }
        if worker.phase() != Phase::Running {
            return Poll::Ready(None);
        }
        if !armed {
            client.deadline.arm(limit);
            armed = true;
        }
        client.deadline.poll_elapsed(cx).map(|()| None)
    })
    .await;
    if armed {
        client.deadline.disarm();
    }
    result
}
