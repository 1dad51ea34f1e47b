//! The response's way from the upstream to the client.

use super::downstream::Downstream;
use super::framing::{Ending, Framed, frame};
use super::read_ahead::{ReadAhead, Rest};
use super::reply;
use super::worker::{RequestScratch, Worker};
use crate::data_plane::exchange::{
    Attempt, BodyPiece, Piece, Pipeline, Refusal, Reply, UpstreamStream, Upstreams,
};
use crate::http::parse::ResponseFacts;
use crate::http::{Framing, HeaderEdits, ResponseHead, Version, is_named, reason_phrase, write};
use crate::plugins::{BodyUse, SentFraming};
use bytes::Bytes;
use std::future::poll_fn;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};

/// Payload up to this size is copied behind the head and sent in one plain write.
const MAX_COPIED: usize = 4096;

pub struct Download<'a, P: Pipeline, U: Upstreams, S> {
    pub worker: &'a Worker<P, U>,
    pub client: &'a mut Downstream<S>,
    pub scratch: &'a mut RequestScratch<P>,
    pub attempt: &'a Attempt,
    pub facts: ResponseFacts,
    /// The client's version: who speaks 1.0 cannot read chunks.
    pub version: Version,
    pub to_head: bool,
    /// The connection may be kept, as far as the request is concerned.
    pub keep_alive: bool,
    /// A client that reads slowly does not hold the upstream's connection.
    pub read_ahead: bool,
    /// What plugins do with the body, once they have been asked.
    pub body_use: BodyUse,
}

impl<P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin> Download<'_, P, U, S> {
    /// Sends the response head and everything that follows it.
    pub async fn run(mut self, upstream: U::Stream) -> Ending {
        let status = self.scratch.response.status;
        match self.worker.pipeline.whole_response(&self.scratch.exchange) {
            Some(limit) => self.run_whole(upstream, limit, status).await,
            None => self.run_piecewise(upstream, status).await,
        }
    }

    async fn run_piecewise(&mut self, upstream: U::Stream, status: u16) -> Ending {
        let body_use = match self.filter_head() {
            Ok(body_use) => body_use,
            Err(reply) => return Ending::Withheld(Box::new(reply)),
        };
        self.body_use = body_use;
        let changes = body_use == BodyUse::Transform && self.facts.framing != Framing::None;
        let framed = match (self.facts.framing, self.version) {
            (Framing::None, _) => Framed::Plain,
            (Framing::Length(_), _) if !changes => Framed::Plain,
            (_, Version::Http10) => Framed::UntilClose,
            _ => Framed::Chunked,
        };
        let keep_alive = self.keep_alive && framed != Framed::UntilClose;
        let length = match (self.facts.framing, status) {
            (Framing::Length(length), _) if !changes => Some(length),
            // What a GET would have brought, unless a plugin would have changed it.
            (Framing::None, _) if body_use == BodyUse::Transform => None,
            (Framing::None, 304) => self.facts.content_length,
            (Framing::None, 200..) if self.to_head => self.facts.content_length,
            _ => None,
        };
        self.write_head(status, framed, length, keep_alive);
        match self.relay(upstream, framed).await {
            Err(ending) => ending,
            Ok(()) => Ending::Complete { keep_alive },
        }
    }

    /// The response is read to its end before anything of it is sent.
    async fn run_whole(&mut self, upstream: U::Stream, limit: usize, status: u16) -> Ending {
        let mut body = match self.collect(upstream, limit).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                let RequestScratch {
                    exchange, response, ..
                } = &mut *self.scratch;
                let reply = self.worker.pipeline.too_large(exchange, response, limit);
                return Ending::Withheld(Box::new(reply));
            }
            Err(ending) => return ending,
        };
        let RequestScratch {
            exchange, response, ..
        } = &mut *self.scratch;
        let pipeline = &self.worker.pipeline;
        let phase = pipeline.response_phase(exchange, response, &mut body).await;
        let filtered = match phase {
            Ok(()) => self.filter_head(),
            Err(reply) => Err(reply),
        };
        let mut body = Bytes::from(body);
        match filtered {
            Err(reply) => return Ending::Withheld(Box::new(reply)),
            Ok(BodyUse::None) => {}
            Ok(_) => match pipeline.piece(&mut self.scratch.exchange, body, true) {
                Piece::Send(piece) => body = piece,
                Piece::Abort => return self.failed(),
            },
        }
        let bodiless = self.to_head || matches!(self.scratch.response.status, 204 | 304);
        let length = (!bodiless).then_some(body.len() as u64);
        let keep_alive = self.keep_alive;
        self.write_head(status, Framed::Plain, length, keep_alive);
        let payload: &[u8] = if bodiless { b"" } else { &body };
        let limit = self.worker.settings.send_timeout;
        let parts = [&self.scratch.out[..], payload, b""];
        let written = self.client.write(parts, limit).await;
        self.scratch.out.clear();
        match written {
            Ok(()) => Ending::Complete { keep_alive },
            Err(_) => Ending::ClientGone,
        }
    }

    /// The body, decoded; `None` when it is larger than `limit`, in bytes.
    async fn collect(
        &mut self,
        mut upstream: U::Stream,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Ending> {
        let mut body = Vec::new();
        loop {
            let piece = self.read(&mut upstream).await?;
            let last = piece.last;
            body.extend_from_slice(piece.payload());
            piece.recycle(&self.worker.buffers);
            if body.len() > limit {
                return Ok(None);
            }
            if last {
                self.worker.upstreams.release(upstream);
                return Ok(Some(body));
            }
        }
    }

    /// The pipeline's part in the response head.
    fn filter_head(&mut self) -> Result<BodyUse, Reply> {
        let RequestScratch {
            exchange,
            response,
            edits,
            ..
        } = &mut *self.scratch;
        edits.clear();
        self.worker.pipeline.response(exchange, response, edits)
    }

    /// `status` is the upstream's; `length` the value of Content-Length.
    fn write_head(&mut self, status: u16, framed: Framed, length: Option<u64>, keep_alive: bool) {
        let RequestScratch {
            response,
            edits,
            out,
            ..
        } = &mut *self.scratch;
        out.clear();
        // A reason phrase goes with the status it came with.
        match response.status == status {
            true => write::status_line(out, status, response.reason()),
            false => {
                let reason = reason_phrase(response.status);
                write::status_line(out, response.status, reason.as_bytes());
            }
        }
        write_headers(out, response, edits);
        if let Some(length) = length {
            out.extend_from_slice(b"Content-Length: ");
            write::decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        if framed == Framed::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        write::header(out, "Connection", reply::connection(keep_alive));
        out.extend_from_slice(b"\r\n");
        self.client.head = self.client.sent + out.len() as u64;
        self.client.framing = SentFraming {
            content_length: length,
            chunked: framed == Framed::Chunked,
            connection: Some(reply::connection(keep_alive)),
        };
    }

    /// A plugin has failed at the body, and nothing of the response has been sent: the client is told.
    fn failed(&mut self) -> Ending {
        let exchange = &mut self.scratch.exchange;
        let reply = self
            .worker
            .pipeline
            .refuse_body(exchange, Refusal::Internal);
        Ending::Withheld(Box::new(Reply {
            close: false,
            ..reply
        }))
    }

    /// Moves the body; the first piece leaves with the head.
    async fn relay(&mut self, mut upstream: U::Stream, framed: Framed) -> Result<(), Ending> {
        let worker = self.worker;
        let limit = worker.settings.send_timeout;
        // Often the body is there already; if not, the head does not wait for it.
        let mut read = poll_fn(|cx| match upstream.poll_body(&worker.buffers, cx) {
            Poll::Ready(read) => Poll::Ready(read.map_err(Ending::from)),
            Poll::Pending => Poll::Ready(Ok(BodyPiece::default())),
        })
        .await;
        let mut upstream = Some(upstream);
        loop {
            let piece = match read {
                Ok(piece) => piece,
                Err(ending) => {
                    // The head, if it has not left yet, is still worth having.
                    if !self.scratch.out.is_empty() {
                        let head = [&self.scratch.out[..], b"", b""];
                        let _ = self.client.write(head, limit).await;
                    }
                    return Err(ending);
                }
            };
            if piece.last
                && let Some(upstream) = upstream.take()
            {
                // The next request need not wait until this client has read its response.
                worker.upstreams.release(upstream);
            }
            let RequestScratch { exchange, out, .. } = &mut *self.scratch;
            let payload = piece.payload();
            let nothing_sent =
                !out.is_empty() && self.client.sent + out.len() as u64 == self.client.head;
            let filtered;
            let payload = match self.body_use {
                BodyUse::None => payload,
                body_use => {
                    let copy = Bytes::copy_from_slice(payload);
                    match (worker.pipeline.piece(exchange, copy, piece.last), body_use) {
                        (Piece::Abort, _) if nothing_sent => {
                            out.clear();
                            return Err(self.failed());
                        }
                        (Piece::Abort, _) => return Err(Ending::Truncated),
                        (Piece::Send(_), _) if self.facts.framing == Framing::None => &[],
                        (Piece::Send(_), BodyUse::Watch) => payload,
                        (Piece::Send(piece), _) => {
                            filtered = piece;
                            &filtered
                        }
                    }
                }
            };
            let suffix = frame(out, framed, payload.len(), piece.last);
            let parts = if payload.len() <= MAX_COPIED {
                out.extend_from_slice(payload);
                out.extend_from_slice(suffix);
                [&out[..], b"", b""]
            } else {
                [out, payload, suffix]
            };
            let wrote = match upstream.is_some() && self.read_ahead {
                false => self.client.write(parts, limit).await,
                true => match self.client.write_at_once(parts).await {
                    Ok(None) => Ok(()),
                    Ok(Some(written)) => {
                        let first = parts.concat().split_off(written);
                        out.clear();
                        piece.recycle(&worker.buffers);
                        return self.go_ahead(upstream, framed, first).await;
                    }
                    Err(gone) => Err(gone),
                },
            };
            out.clear();
            piece.recycle(&worker.buffers);
            wrote.map_err(|_| Ending::ClientGone)?;
            let Some(upstream) = &mut upstream else {
                return Ok(());
            };
            read = self.read(upstream).await;
        }
    }

    /// The client reads slowly: the rest of the body, `first` before all of it.
    async fn go_ahead(
        &mut self,
        upstream: Option<U::Stream>,
        framed: Framed,
        first: Vec<u8>,
    ) -> Result<(), Ending> {
        let Some(upstream) = upstream else {
            return Err(Ending::Truncated);
        };
        let rest = Rest {
            attempt: self.attempt,
            framed,
            upstream,
            body_use: self.body_use,
            first,
        };
        let exchange = &mut self.scratch.exchange;
        ReadAhead::new(self.worker, self.client, exchange, rest)
            .run()
            .await
    }

    /// Waits for more of the body, or for the client to go away.
    async fn read(&mut self, upstream: &mut U::Stream) -> Result<BodyPiece, Ending> {
        let (client, buffers) = (&mut *self.client, &self.worker.buffers);
        let limit = self.attempt.read_timeout;
        let mut armed = false;
        let read = poll_fn(|cx| {
            if let Poll::Ready(read) = upstream.poll_body(buffers, cx) {
                return Poll::Ready(read.map_err(Ending::from));
            }
            if client.poll_gone(0, buffers, cx).is_ready() {
                return Poll::Ready(Err(Ending::ClientGone));
            }
            if !std::mem::replace(&mut armed, true) {
                client.deadline.arm(limit);
            }
            let elapsed = client.deadline.poll_elapsed(cx);
            elapsed.map(|()| Err(Ending::Truncated))
        })
        .await;
        if armed {
            client.deadline.disarm();
        }
        read
    }
}

/// Every header but those that belong to one connection or frame the body.
pub fn write_headers(out: &mut Vec<u8>, head: &ResponseHead, edits: &HeaderEdits) {
    edits.write(&head.headers, out, belongs_to_driver);
}

fn belongs_to_driver(name: &[u8]) -> bool {
    let is = |known| is_named(name, known);
    match name.len() {
        10 => is("connection") || is("keep-alive"),
        14 => is("content-length"),
        17 => is("transfer-encoding"),
        _ => false,
    }
}
