//! A response's way from the socket: heads, interim ones before the final one, and the body without its
//! framing.

use crate::data_plane::exchange::buffer;
use crate::data_plane::exchange::{
    AttemptError, BodyPiece, Buffer, Buffers, ResponseKind, Truncated,
};
use crate::http::parse::{Limits, ResponseParser};
use crate::http::{BodyDecoder, Framing, ResponseHead};
use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncRead;

/// Interim responses before the final one; more are junk.
const MAX_INTERIM: u32 = 16;

/// What of one response was read.
#[derive(Debug)]
pub struct ResponseReader {
    buffer: Option<Buffer>,
    parser: ResponseParser,
    /// A response head in bytes.
    most_head: usize,
    to_head: bool,
    interim: u32,
    /// Bytes read from the upstream.
    received: u64,
    decoder: BodyDecoder,
    /// The upstream takes another request on the connection.
    keep_alive: bool,
    /// Bytes followed the end of the body: they would be taken for the start of the next response.
    surplus: bool,
}

impl ResponseReader {
    /// `limits` are for heads.
    pub fn new(limits: Limits) -> ResponseReader {
        ResponseReader {
            buffer: None,
            parser: ResponseParser::new(limits),
            most_head: limits.head,
            to_head: false,
            interim: 0,
            received: 0,
            decoder: BodyDecoder::new(Framing::UntilClose),
            keep_alive: false,
            surplus: false,
        }
    }

    pub fn begin(&mut self, to_head: bool) {
        self.to_head = to_head;
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    /// The response ended in a way after which the next one can come.
    pub fn is_reusable(&self) -> bool {
        self.keep_alive && self.decoder.is_done() && !self.surplus
    }

    /// What was read and not used.
    pub fn into_buffer(self) -> Option<Buffer> {
        self.buffer
    }

    /// Reads until a head is whole. `sent` says whether bytes of the request have left.
    pub fn poll_head(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        response: &mut ResponseHead,
        sent: bool,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseKind, AttemptError>> {
        loop {
            if let Some(kind) = self.parse_head(response, buffers)? {
                return Poll::Ready(Ok(kind));
            }
            if let Some(buffer) = &mut self.buffer {
                buffer.grow(self.most_head);
            }
            match ready!(buffer::poll_read(stream, &mut self.buffer, buffers, cx)) {
                Ok(count) if count > 0 => self.received += count as u64,
                _ => return Poll::Ready(Err(AttemptError::Reset { sent })),
            }
        }
    }

    fn parse_head(
        &mut self,
        response: &mut ResponseHead,
        buffers: &Buffers,
    ) -> Result<Option<ResponseKind>, AttemptError> {
        loop {
            let Some(buffer) = &mut self.buffer else {
                return Ok(None);
            };
            let parsed = self.parser.parse(buffer.bytes(), self.to_head, response);
            let facts = match parsed {
                Ok(None) => return Ok(None),
                Ok(Some(facts)) => facts,
                Err(error) => {
                    tracing::debug!(%error, "upstream response refused");
                    return Err(AttemptError::BadResponse);
                }
            };
            buffer.consume(facts.length);
            if buffer.is_empty()
                && let Some(buffer) = self.buffer.take()
            {
                buffers.put(buffer);
            }
            self.parser.clear();
            if !matches!(response.status, 100 | 102..=199) {
                self.decoder = BodyDecoder::new(facts.framing);
                self.keep_alive = facts.keep_alive;
                return Ok(Some(ResponseKind::Final(facts)));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err(AttemptError::BadResponse);
            }
            // The gateway asked for no `100 Continue`, it answered its client's itself.
            if response.status != 100 {
                return Ok(Some(ResponseKind::Interim));
            }
        }
    }

    /// The next piece of the body: of what was read with the head, or after one more read.
    pub fn poll_body(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BodyPiece, Truncated>> {
        if self.buffer.is_none() && !self.decoder.is_done() {
            match ready!(buffer::poll_read(stream, &mut self.buffer, buffers, cx)) {
                Ok(1..) => {}
                read if is_end(&read) && self.decoder.may_end_here() => {
                    return Poll::Ready(Ok(BodyPiece::new(None, 0..0, true)));
                }
                _ => return Poll::Ready(Err(Truncated)),
            }
        }
        let Some(mut buffer) = self.buffer.take() else {
            return Poll::Ready(Ok(BodyPiece::new(None, 0..0, true)));
        };
        match self.decoder.decode(buffer.bytes_mut()) {
            Ok(decoded) => {
                self.surplus = decoded.consumed < buffer.bytes().len();
                let last = self.decoder.is_done();
                Poll::Ready(Ok(BodyPiece::new(Some(buffer), decoded.data, last)))
            }
            Err(error) => {
                tracing::debug!(%error, "upstream response body refused");
                buffers.put(buffer);
                Poll::Ready(Err(Truncated))
            }
        }
    }
}

/// Whether the upstream has closed in order. TLS that ends by closing the socket is what many servers do,
/// and nginx accepts it.
fn is_end(read: &io::Result<usize>) -> bool {
    match read {
        Ok(count) => *count == 0,
        Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, duplex};

    /// What a response comes to: the interim and the final status, its body or that it was cut, and
    /// whether the connection can be used again. The upstream closes after it where it `closes`.
    async fn read(text: &str, to_head: bool, closes: bool) -> (Vec<u16>, Option<String>, bool) {
        let (mut near, mut far) = duplex(1 << 16);
        far.write_all(text.as_bytes()).await.expect("room");
        let kept = (!closes).then_some(far);
        let buffers = Buffers::default();
        let mut reader = ResponseReader::new(Limits::default());
        reader.begin(to_head);
        let (mut head, mut statuses) = (ResponseHead::default(), Vec::new());
        loop {
            let kind = std::future::poll_fn(|cx| {
                reader.poll_head(&mut near, &mut head, true, &buffers, cx)
            });
            match kind.await.expect("a response") {
                ResponseKind::Interim => statuses.push(head.status),
                ResponseKind::Final(_) => break,
            }
        }
        statuses.push(head.status);
        let mut body = Some(Vec::new());
        loop {
            let piece = std::future::poll_fn(|cx| reader.poll_body(&mut near, &buffers, cx)).await;
            match (piece, &mut body) {
                (Ok(piece), Some(body)) => {
                    body.extend_from_slice(piece.payload());
                    if piece.last {
                        break;
                    }
                }
                _ => {
                    body = None;
                    break;
                }
            }
        }
        drop(kept);
        let body = body.map(|body| String::from_utf8(body).expect("text"));
        (statuses, body, reader.is_reusable())
    }

    #[tokio::test]
    async fn bodies_end_where_their_framing_says() {
        let ok = "HTTP/1.1 200 OK\r\n";
        for (text, to_head, closes, body, reusable) in [
            (
                "Content-Length: 2\r\n\r\nab",
                false,
                false,
                Some("ab"),
                true,
            ),
            (
                "Content-Length: 2\r\n\r\nabc",
                false,
                false,
                Some("ab"),
                false,
            ),
            (
                "Content-Length: 0\r\n\r\nabc",
                false,
                false,
                Some(""),
                false,
            ),
            ("Content-Length: 2\r\n\r\n", true, false, Some(""), true),
            ("Content-Length: 3\r\n\r\nab", false, true, None, false),
            ("\r\nabc", false, true, Some("abc"), false),
            (
                "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                false,
                false,
                Some("ab"),
                true,
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz",
                false,
                true,
                None,
                false,
            ),
            (
                "Connection: close\r\nContent-Length: 1\r\n\r\na",
                false,
                false,
                Some("a"),
                false,
            ),
        ] {
            let found = read(&format!("{ok}{text}"), to_head, closes).await;
            let expected = (vec![200], body.map(str::to_owned), reusable);
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn interim_responses_come_before_the_final_one() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
                    HTTP/1.1 204 No Content\r\n\r\n";
        let (statuses, body, reusable) = read(text, false, false).await;
        assert_eq!(
            (statuses, body.as_deref(), reusable),
            (vec![103, 204], Some(""), true)
        );
    }
}
