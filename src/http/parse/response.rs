//! Response heads. Upstreams are chosen by the operator, so line ends and names are read
//! with the usual leniency; what frames the body is not.

use super::Limits;
use super::lines::{
    ConnectionOptions, Known, Line, LineEnd, LineError, content_length, has_break, known, name_end,
    next_line, tokens, trim,
};
use crate::http::{Framing, ResponseHead, Span, Version};
use bytes::Bytes;
use thiserror::Error;

/// Why a response head cannot be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ResponseError {
    #[error("malformed response: {0}")]
    Malformed(&'static str),
    #[error("response head longer than the limit")]
    TooLarge,
}

use ResponseError::Malformed;

/// What a driver must know of a response besides its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFacts {
    /// Bytes that the head took, with the blank line.
    pub length: usize,
    pub framing: Framing,
    /// The upstream may be sent another request on this connection, if the body ends.
    pub keep_alive: bool,
    /// The length that the upstream names, also where no body comes (HEAD, 304).
    pub content_length: Option<u64>,
    /// Status 101, with `Connection: upgrade` and `Upgrade: websocket`.
    pub websocket: bool,
}

/// Parses one response head; resumable as `RequestParser` is.
#[derive(Debug, Default)]
pub struct ResponseParser {
    limits: Limits,
    at: usize,
    status: Option<(u16, Span, Version)>,
    options: ConnectionOptions,
    content_length: Option<u64>,
    chunked: bool,
    websocket: bool,
}

impl ResponseParser {
    pub fn new(limits: Limits) -> ResponseParser {
        ResponseParser {
            limits,
            ..ResponseParser::default()
        }
    }

    pub fn clear(&mut self) {
        *self = ResponseParser::new(self.limits);
    }

    /// Goes on with `bytes`, which hold the head from its first byte; `None` asks for more.
    /// `to_head` says that the request was a HEAD, whose response has no body.
    pub fn parse(
        &mut self,
        bytes: &[u8],
        to_head: bool,
        head: &mut ResponseHead,
    ) -> Result<Option<ResponseFacts>, ResponseError> {
        if self.at == 0 {
            head.headers.clear();
        }
        loop {
            let start = self.at;
            let (end, next) = match next_line(bytes, start, &self.limits, LineEnd::Lenient) {
                Ok(Line::Partial) => return Ok(None),
                Ok(Line::Whole { end, next }) => (end, next),
                Err(LineError::TooLong | LineError::BareLineFeed) => {
                    return Err(ResponseError::TooLarge);
                }
            };
            let line = &bytes[start..end];
            match self.status {
                None => self.status = Some(status_line(bytes, line)?),
                Some((status, reason, version)) if line.is_empty() => {
                    let facts = self.judge(next, status, version, to_head);
                    head.install(
                        Bytes::copy_from_slice(&bytes[..next]),
                        version,
                        status,
                        reason,
                    );
                    return Ok(Some(facts));
                }
                Some(_) => self.header_line(bytes, line, head)?,
            }
            self.at = next;
        }
    }

    fn header_line(
        &mut self,
        bytes: &[u8],
        line: &[u8],
        head: &mut ResponseHead,
    ) -> Result<(), ResponseError> {
        let (name, rest) = line.split_at(name_end(line));
        let value = match rest {
            [b':', value @ ..] if !name.is_empty() => trim(value),
            rest if rest.contains(&b':') => return Err(Malformed("invalid header name")),
            _ => return Err(Malformed("header without a colon")),
        };
        if has_break(value) {
            return Err(Malformed("carriage return or NUL in a header value"));
        }
        match known(name) {
            Known::ContentLength => {
                let length = content_length(value).ok_or(Malformed("invalid Content-Length"))?;
                if self.content_length.replace(length).is_some() || self.chunked {
                    return Err(Malformed("more than one length"));
                }
            }
            Known::TransferEncoding => {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed("transfer coding other than chunked"));
                }
                if self.chunked || self.content_length.is_some() {
                    return Err(Malformed("more than one length"));
                }
                self.chunked = true;
            }
            Known::Connection => self.options.read(value),
            Known::Upgrade => {
                self.websocket |= tokens(value).any(|t| t.eq_ignore_ascii_case(b"websocket"));
            }
            Known::Host | Known::Expect | Known::Single(_) | Known::Other => {}
        }
        let line = (Span::of(bytes, name), Span::of(bytes, value));
        head.headers.push_early(name, line);
        Ok(())
    }

    fn judge(&self, length: usize, status: u16, version: Version, to_head: bool) -> ResponseFacts {
        // RFC 9112 6.3, in its order.
        let framing = match (self.chunked, self.content_length) {
            _ if to_head || status < 200 || status == 204 || status == 304 => Framing::None,
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
        let delimited = framing != Framing::UntilClose;
        // Chunks are not part of HTTP/1.0; who sends them there may keep no connection.
        let sound = version != Version::Http10 || !self.chunked;
        ResponseFacts {
            length,
            framing,
            keep_alive: delimited && sound && self.options.persistent(version),
            content_length: self.content_length,
            websocket: status == 101 && self.websocket && self.options.upgrade,
        }
    }
}

/// `HTTP/1.x CODE[ reason]`
fn status_line(bytes: &[u8], line: &[u8]) -> Result<(u16, Span, Version), ResponseError> {
    let malformed = Malformed("invalid status line");
    let (version, rest) = match line {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            minor,
            b' ',
            rest @ ..,
        ] if minor.is_ascii_digit() => match minor {
            b'0' => (Version::Http10, rest),
            _ => (Version::Http11, rest),
        },
        _ => return Err(malformed),
    };
    let (code, reason) = rest.split_at_checked(3).ok_or(malformed)?;
    let digits = code.iter().all(u8::is_ascii_digit);
    let status = code.iter().fold(0, |sum, digit| {
        sum * 10 + u16::from(digit.wrapping_sub(b'0'))
    });
    let reason = match reason {
        [] => reason,
        [b' ', text @ ..] => text,
        _ => return Err(malformed),
    };
    if !digits || status < 100 || has_break(reason) {
        return Err(malformed);
    }
    Ok((status, Span::of(bytes, reason), version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8], to_head: bool) -> Result<Option<ResponseFacts>, ResponseError> {
        ResponseParser::default().parse(bytes, to_head, &mut ResponseHead::default())
    }

    #[test]
    fn framing_and_reuse() {
        use Framing::{Chunked, Length, None as Empty, UntilClose};
        let rows: &[(&str, bool, Framing, bool)] = &[
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
                false,
                Length(3),
                true,
            ),
            (
                "HTTP/1.1 200 OK\nContent-Length: 3\n\n",
                false,
                Length(3),
                true,
            ),
            (
                "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
                false,
                Length(0),
                true,
            ),
            (
                "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
                false,
                Chunked,
                true,
            ),
            (
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
                false,
                Chunked,
                false,
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", false, UntilClose, false),
            (
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n",
                false,
                Length(3),
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n",
                false,
                Length(3),
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\n",
                false,
                Length(3),
                true,
            ),
            (
                "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
                false,
                Empty,
                true,
            ),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
                false,
                Empty,
                true,
            ),
            ("HTTP/1.1 100 Continue\r\n\r\n", false, Empty, true),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
                true,
                Empty,
                true,
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", true, Empty, true),
        ];
        for (bytes, to_head, framing, keep_alive) in rows {
            let facts = parse(bytes.as_bytes(), *to_head).unwrap().unwrap();
            assert_eq!(
                (facts.framing, facts.keep_alive),
                (*framing, *keep_alive),
                "{bytes:?}"
            );
            assert_eq!(facts.length, bytes.len(), "{bytes:?}");
        }
    }

    #[test]
    fn an_upgrade_needs_all_three_signs() {
        let rows = [
            (
                "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket",
                true,
            ),
            ("101 Switching Protocols\r\nUpgrade: websocket", false),
            (
                "101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c",
                false,
            ),
            ("101 Switching Protocols\r\nConnection: upgrade", false),
            ("200 OK\r\nConnection: upgrade\r\nUpgrade: websocket", false),
        ];
        for (head, expected) in rows {
            let facts = parse(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), false);
            assert_eq!(facts.unwrap().unwrap().websocket, expected, "{head}");
        }
    }

    #[test]
    fn heads_that_cannot_be_used() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(9000));
        let rows = [
            "GARBAGE\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200OK\r\n\r\n",
            "HTTP/1.1 200 O\rK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX y: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nnocolon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
            &long,
        ];
        for bytes in rows {
            assert!(parse(bytes.as_bytes(), false).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_carries_status_reason_and_lines() {
        let mut head = ResponseHead::default();
        let bytes = b"HTTP/1.1 299 So so\r\nServer: x\r\nX: 1\r\n\r\nbody";
        let facts = ResponseParser::default()
            .parse(bytes, false, &mut head)
            .unwrap()
            .unwrap();
        assert_eq!(facts.length, bytes.len() - 4);
        assert_eq!((head.status, head.reason()), (299, &b"So so"[..]));
        assert_eq!(head.headers.get("x"), Some(&b"1"[..]));
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_the_verdict(
            bytes in "(HTTP/1[.]1 [0-9]{3} [a-z]{0,4}\r?\n)?([A-Za-z-]{1,6}: ?[ -~]{0,9}\r?\n|Content-Length: 4\r\n| x\r\n){0,5}\r?\n?.{0,4}",
            cut in 0usize..120,
        ) {
            let bytes = bytes.as_bytes();
            let whole = parse(bytes, false);
            let mut parser = ResponseParser::default();
            let mut head = ResponseHead::default();
            let pieces = match parser.parse(&bytes[..cut.min(bytes.len())], false, &mut head) {
                Ok(None) => parser.parse(bytes, false, &mut head),
                done => done,
            };
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, false);
        }
    }
}
