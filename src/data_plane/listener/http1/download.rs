//! The response's way from the upstream to the client.

use super::buffer::{self, Buffer};
use super::downstream::Downstream;
use super::read_ahead::{ReadAhead, Rest};
use super::reply;
use super::upload::Upstream;
use super::worker::{RequestScratch, Worker};
use crate::data_plane::exchange::{Attempt, Piece, Pipeline, Reply};
use crate::http::parse::ResponseFacts;
use crate::http::{BodyDecoder, Framing, HeaderEdits, ResponseHead, Version, reason_phrase, write};
use crate::plugins::{BodyUse, SentFraming};
use bytes::Bytes;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};

/// Payload up to this size is copied behind the head and sent in one plain write.
const MAX_COPIED: usize = 4096;

/// How a response ended.
#[derive(Debug)]
pub enum Ending {
    /// Complete; the client may send the next request if it was told so.
    Complete {
        keep_alive: bool,
    },
    /// The upstream closed, stalled or sent junk in the middle of the body. The client
    /// learns it from the missing end.
    Truncated,
    ClientGone,
    /// Nothing was sent: the client gets this instead of the response.
    Withheld(Box<Reply>),
}

/// The framing of the body towards the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    /// As long as Content-Length says, or empty.
    Plain,
    Chunked,
    /// Until the connection is closed.
    UntilClose,
}

/// What a read of the upstream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    More,
    Closed,
    Broken,
}

impl From<io::Result<usize>> for Read {
    fn from(result: io::Result<usize>) -> Read {
        match result {
            Ok(1..) => Read::More,
            Ok(0) => Read::Closed,
            // TLS ended by closing the socket: what many servers do, and nginx accepts.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Read::Closed,
            Err(_) => Read::Broken,
        }
    }
}

pub struct Download<'a, P: Pipeline, S> {
    pub worker: &'a Worker<P>,
    pub client: &'a mut Downstream<S>,
    pub scratch: &'a mut RequestScratch<P>,
    pub attempt: &'a Attempt,
    pub facts: ResponseFacts,
    /// The client's version: who speaks 1.0 cannot read chunks.
    pub version: Version,
    pub to_head: bool,
    /// The connection may be kept, as far as the request is concerned.
    pub keep_alive: bool,
    /// The upstream has got the whole request.
    pub request_sent: bool,
    /// A client that reads slowly does not hold the upstream's connection.
    pub read_ahead: bool,
    /// What plugins do with the body, once they have been asked.
    pub body_use: BodyUse,
}

impl<P: Pipeline, S: AsyncRead + AsyncWrite + Unpin> Download<'_, P, S> {
    /// Sends the response head and everything that follows it.
    pub async fn run(mut self, upstream: Upstream) -> Ending {
        let status = self.scratch.response.status;
        match self.worker.pipeline.whole_response(&self.scratch.exchange) {
            Some(limit) => self.run_whole(upstream, limit, status).await,
            None => self.run_piecewise(upstream, status).await,
        }
    }

    async fn run_piecewise(&mut self, upstream: Upstream, status: u16) -> Ending {
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
    async fn run_whole(&mut self, upstream: Upstream, limit: usize, status: u16) -> Ending {
        let mut body = match self.collect(upstream, limit).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                let exchange = &mut self.scratch.exchange;
                let reply = self.worker.pipeline.too_large(exchange, limit);
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
                Piece::Abort => return Ending::Truncated,
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
        mut upstream: Upstream,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Ending> {
        let mut decoder = BodyDecoder::new(self.facts.framing);
        let mut buffer = upstream.buffer.take();
        let mut body = Vec::new();
        let mut read = Read::More;
        loop {
            let (piece, surplus) = decode(&mut decoder, &mut buffer)?;
            if let Some(buffer) = buffer.take() {
                body.extend_from_slice(buffer.bytes().get(piece).unwrap_or_default());
                self.worker.buffers.put(buffer);
            }
            if body.len() > limit {
                return Ok(None);
            }
            if decoder.is_done() || (read == Read::Closed && decoder.may_end_here()) {
                if self.facts.keep_alive && self.request_sent && !surplus {
                    self.worker.upstreams.release(upstream.connection);
                }
                return Ok(Some(body));
            }
            if read != Read::More {
                return Err(Ending::Truncated);
            }
            read = self.read(&mut upstream, &mut buffer).await?;
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

    /// Moves the body; the first piece leaves with the head.
    async fn relay(&mut self, upstream: Upstream, framed: Framed) -> Result<(), Ending> {
        let worker = self.worker;
        let limit = worker.settings.send_timeout;
        let mut decoder = BodyDecoder::new(self.facts.framing);
        let mut upstream = Some(upstream);
        let mut buffer = upstream
            .as_mut()
            .and_then(|upstream| upstream.buffer.take());
        let mut read = Read::More;
        if buffer.is_none()
            && !decoder.is_done()
            && let Some(upstream) = &mut upstream
        {
            // Often the body is there already; if not, the head does not wait for it.
            read = poll_fn(|cx| {
                let stream = &mut upstream.connection.stream;
                match buffer::poll_read(stream, &mut buffer, &worker.buffers, cx) {
                    Poll::Ready(result) => Poll::Ready(Read::from(result)),
                    Poll::Pending => Poll::Ready(Read::More),
                }
            })
            .await;
        }
        loop {
            let (piece, surplus) = match decode(&mut decoder, &mut buffer) {
                Ok(decoded) => decoded,
                Err(ending) => {
                    // The head, if it has not left yet, is still worth having.
                    let _ = self
                        .client
                        .write([&self.scratch.out, b"", b""], limit)
                        .await;
                    return Err(ending);
                }
            };
            let done = decoder.is_done() || (read == Read::Closed && decoder.may_end_here());
            if done && let Some(upstream) = upstream.take() {
                // The next request need not wait until this client has read its response.
                // Bytes after the end would be taken for the start of the next response.
                if self.facts.keep_alive && self.request_sent && !surplus {
                    worker.upstreams.release(upstream.connection);
                }
            }
            let payload = match &buffer {
                Some(buffer) => buffer.bytes().get(piece.clone()).unwrap_or_default(),
                None => &[],
            };
            let RequestScratch { exchange, out, .. } = &mut *self.scratch;
            let filtered;
            let payload = match self.body_use {
                BodyUse::None => payload,
                body_use => {
                    let piece = Bytes::copy_from_slice(payload);
                    match (worker.pipeline.piece(exchange, piece, done), body_use) {
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
            let suffix = frame(out, framed, payload.len(), done);
            let parts = if payload.len() <= MAX_COPIED {
                out.extend_from_slice(payload);
                out.extend_from_slice(suffix);
                [&out[..], b"", b""]
            } else {
                [out, payload, suffix]
            };
            let more_to_come = upstream.is_some() && read == Read::More;
            let wrote = match self.read_ahead && more_to_come {
                false => self.client.write(parts, limit).await,
                true => match self.client.write_at_once(parts).await {
                    Ok(None) => Ok(()),
                    Ok(Some(written)) => {
                        let first = parts.concat().split_off(written);
                        out.clear();
                        if let Some(buffer) = buffer.take() {
                            worker.buffers.put(buffer);
                        }
                        return self.go_ahead(upstream, decoder, framed, first).await;
                    }
                    Err(gone) => Err(gone),
                },
            };
            out.clear();
            if let Some(buffer) = buffer.take() {
                worker.buffers.put(buffer);
            }
            wrote.map_err(|_| Ending::ClientGone)?;
            let Some(upstream) = &mut upstream else {
                return Ok(());
            };
            if read != Read::More {
                return Err(Ending::Truncated);
            }
            read = self.read(upstream, &mut buffer).await?;
        }
    }

    /// The client reads slowly: the rest of the body, `first` before all of it.
    async fn go_ahead(
        &mut self,
        upstream: Option<Upstream>,
        decoder: BodyDecoder,
        framed: Framed,
        first: Vec<u8>,
    ) -> Result<(), Ending> {
        let Some(upstream) = upstream else {
            return Err(Ending::Truncated);
        };
        let rest = Rest {
            attempt: self.attempt,
            framed,
            decoder,
            upstream,
            body_use: self.body_use,
            reusable: self.facts.keep_alive && self.request_sent,
            first,
        };
        let exchange = &mut self.scratch.exchange;
        ReadAhead::new(self.worker, self.client, exchange, rest)
            .run()
            .await
    }

    /// Waits for more of the body, or for the client to go away.
    async fn read(
        &mut self,
        upstream: &mut Upstream,
        slot: &mut Option<Buffer>,
    ) -> Result<Read, Ending> {
        let (client, buffers) = (&mut *self.client, &self.worker.buffers);
        let stream = &mut upstream.connection.stream;
        client.deadline.arm(self.attempt.read_timeout);
        let read = poll_fn(|cx| {
            if let Poll::Ready(result) = buffer::poll_read(stream, slot, buffers, cx) {
                return Poll::Ready(Ok(Read::from(result)));
            }
            if client.poll_gone(0, buffers, cx).is_ready() {
                return Poll::Ready(Err(Ending::ClientGone));
            }
            client
                .deadline
                .poll_elapsed(cx)
                .map(|()| Err(Ending::Truncated))
        })
        .await;
        client.deadline.disarm();
        read
    }
}

/// The payload among what was read, and whether bytes follow the end of the body.
pub fn decode(
    decoder: &mut BodyDecoder,
    buffer: &mut Option<Buffer>,
) -> Result<(Range<usize>, bool), Ending> {
    let Some(buffer) = buffer else {
        return Ok((0..0, false));
    };
    let decoded = decoder.decode(buffer.bytes_mut()).map_err(|error| {
        tracing::debug!(%error, "upstream response body refused");
        Ending::Truncated
    })?;
    let surplus = decoded.consumed < buffer.bytes().len();
    Ok((decoded.data, surplus))
}

/// Every header but those that belong to one connection or frame the body.
pub fn write_headers(out: &mut Vec<u8>, head: &ResponseHead, edits: &HeaderEdits) {
    for (name, value) in edits.apply(&head.headers) {
        if !belongs_to_driver(name) {
            write::header(out, name, value);
        }
    }
}

fn belongs_to_driver(name: &[u8]) -> bool {
    let is = |text: &[u8]| name.eq_ignore_ascii_case(text);
    match name.len() {
        10 => is(b"connection") || is(b"keep-alive"),
        14 => is(b"content-length"),
        17 => is(b"transfer-encoding"),
        _ => false,
    }
}

/// Frames a piece of payload: appends what goes before it, returns what goes after it.
pub fn frame(out: &mut Vec<u8>, framed: Framed, length: usize, done: bool) -> &'static [u8] {
    if framed != Framed::Chunked {
        return b"";
    }
    if length > 0 {
        write::hexadecimal(out, length as u64);
        out.extend_from_slice(b"\r\n");
    }
    match (length > 0, done) {
        (true, true) => b"\r\n0\r\n\r\n",
        (true, false) => b"\r\n",
        (false, true) => b"0\r\n\r\n",
        (false, false) => b"",
    }
}
