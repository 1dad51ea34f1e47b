//! Request heads.

use super::Limits;
use super::lines::{
    ConnectionOptions, Known, Line, LineEnd, LineError, content_length, has_controls,
    is_token_byte, known, next_line, trim,
};
use super::target;
use crate::http::{Framing, RequestHead, Span, Version};
use bytes::Bytes;
use thiserror::Error;

/// Why a request head is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// Anything that is not HTTP, or that two parsers could read in two ways.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    #[error("request line longer than the limit")]
    UriTooLong,
    #[error("header line or head longer than the limit")]
    HeaderTooLarge,
    #[error("HTTP version not supported")]
    VersionNotSupported,
    /// TRACE and CONNECT.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// A transfer coding other than `chunked`.
    #[error("transfer coding not implemented")]
    NotImplemented,
    #[error("expectation other than 100-continue")]
    ExpectationFailed,
}

use RequestError::Malformed;
use line::{RequestLine, check_method, request_line};

/// What a driver must know of a request besides its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// Bytes that the head took, with the blank line.
    pub length: usize,
    pub framing: Framing,
    /// The client may send another request on this connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Empty lines before a request that are skipped (RFC 9112 2.2 asks for at least one).
const MAX_EMPTY_LINES: usize = 4;

/// Parses one request head; see the module's documentation. `clear` readies it for the next.
#[derive(Debug, Default)]
pub struct RequestParser {
    limits: Limits,
    /// Start of the first line that was not read yet.
    at: usize,
    has_request_line: bool,
    line: RequestLine,
    options: ConnectionOptions,
    /// Index of the Host line among the head's lines.
    host: Option<usize>,
    content_length: Option<u64>,
    chunked: Option<bool>,
    expects: Option<bool>,
    /// The bits of the headers with a single value ([`Known::Single`]) that have come.
    singles: u8,
}

/// What a byte means in a header name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NameByte {
    Kept,
    /// Legal, but the line is dropped, as nginx does with names that CGI cannot express.
    Dropped,
    /// Not part of any header name (RFC 9110 5.6.2).
    Refused,
    Colon,
}

static NAME_BYTES: [NameByte; 256] = {
    let mut table = [NameByte::Refused; 256];
    let mut byte = 0;
    while byte < 256 {
        let ascii = byte as u8;
        if ascii.is_ascii_alphanumeric() || ascii == b'-' || ascii == b'_' {
            table[byte] = NameByte::Kept;
        } else if ascii == b':' {
            table[byte] = NameByte::Colon;
        } else if is_token_byte(ascii) {
            table[byte] = NameByte::Dropped;
        }
        byte += 1;
    }
    table
};

impl RequestParser {
    pub fn new(limits: Limits) -> RequestParser {
        RequestParser {
            limits,
            ..RequestParser::default()
        }
    }

    pub fn clear(&mut self) {
        *self = RequestParser::new(self.limits);
    }

    /// Goes on with `bytes`, which hold the head from its first byte; `None` asks for more.
    ///
    /// `head` is filled as far as it could be read, also when the request is refused; it is
    /// empty when not even the request line was sound.
    pub fn parse(
        &mut self,
        bytes: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<RequestFacts>, RequestError> {
        if self.at == 0 {
            head.headers.clear();
        }
        let parsed = self.read_lines(bytes, head).and_then(|length| {
            let facts = length.map(|length| self.judge(bytes, length, head));
            facts.transpose()
        });
        match &parsed {
            Ok(None) => {}
            Ok(Some(facts)) => self.fill(&bytes[..facts.length], head),
            Err(_) => self.abandon(bytes, head),
        }
        parsed
    }

    /// Gives up a head that does not become whole: `head` is filled as far as it was read.
    pub fn abandon(&self, bytes: &[u8], head: &mut RequestHead) {
        if self.has_request_line {
            return self.fill(&bytes[..self.at], head);
        }
        let none = Span::default();
        head.reset(Bytes::new(), Version::Http11, none, none);
    }

    /// Reads whole lines; the length of the head when the blank line was among them.
    fn read_lines(
        &mut self,
        bytes: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<usize>, RequestError> {
        loop {
            let start = self.at;
            if !self.has_request_line {
                check_method(bytes.get(start..).unwrap_or_default())?;
            }
            let line = next_line(bytes, start, &self.limits, LineEnd::Strict);
            let (end, next) = match line {
                Ok(Line::Partial) => return Ok(None),
                Ok(Line::Whole { end, next }) => (end, next),
                Err(LineError::TooLong) if self.has_request_line => {
                    return Err(RequestError::HeaderTooLarge);
                }
                Err(LineError::TooLong) => return Err(RequestError::UriTooLong),
                Err(LineError::BareLineFeed) => return Err(Malformed("bare line feed")),
            };
            match (end - start, self.has_request_line) {
                (0, true) => {
                    self.at = next;
                    return Ok(Some(next));
                }
                (0, false) if start >= MAX_EMPTY_LINES * 2 => return Err(Malformed("empty lines")),
                (0, false) => {}
                (_, false) => {
                    self.line = request_line(bytes, start, end)?;
                    self.has_request_line = true;
                }
                (_, true) => self.header_line(bytes, start, end, head)?,
            }
            self.at = next;
        }
    }

    fn header_line(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
        head: &mut RequestHead,
    ) -> Result<(), RequestError> {
        let line = &bytes[start..end];
        let mut keep = true;
        let mut colon = None;
        for (at, byte) in line.iter().enumerate() {
            match NAME_BYTES[usize::from(*byte)] {
                NameByte::Kept => {}
                NameByte::Dropped => keep = false,
                NameByte::Refused => return Err(Malformed("invalid header name")),
                NameByte::Colon => {
                    colon = Some(at);
                    break;
                }
            }
        }
        let colon = colon.ok_or(Malformed("header line without a colon"))?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        if name.is_empty() {
            return Err(Malformed("empty header name"));
        }
        if has_controls(value) {
            return Err(Malformed("control byte in a header value"));
        }
        if !keep {
            return Ok(());
        }
        self.note(name, value, head.headers.len())?;
        let line = (Span::of(bytes, name), Span::of(bytes, value));
        head.headers.push_early(name, line);
        Ok(())
    }

    /// Remembers the headers that frame the message; each may come once.
    fn note(&mut self, name: &[u8], value: &[u8], index: usize) -> Result<(), RequestError> {
        match known(name) {
            Known::Host if self.host.replace(index).is_some() => {
                return Err(Malformed("more than one Host"));
            }
            Known::Host if !target::host_is_valid(value) => return Err(Malformed("invalid Host")),
            Known::ContentLength => {
                let length = content_length(value).ok_or(Malformed("invalid Content-Length"))?;
                if self.content_length.replace(length).is_some() {
                    return Err(Malformed("more than one Content-Length"));
                }
            }
            Known::TransferEncoding => {
                let chunked = value.eq_ignore_ascii_case(b"chunked");
                if self.chunked.replace(chunked).is_some() {
                    return Err(Malformed("more than one Transfer-Encoding"));
                }
            }
            Known::Expect => {
                let sound = value.eq_ignore_ascii_case(b"100-continue");
                if self.expects.replace(sound).is_some() {
                    return Err(Malformed("more than one Expect"));
                }
            }
            // Two parsers could go by different ones: a gateway and the server behind it would
            // then let in different people.
            Known::Single(bit) if self.singles & bit != 0 => {
                return Err(Malformed("a header with a single value came twice"));
            }
            Known::Single(bit) => self.singles |= bit,
            Known::Connection => self.options.read(value),
            Known::Host | Known::Upgrade | Known::Other => {}
        }
        Ok(())
    }

    /// The rules that need the whole head.
    fn judge(
        &self,
        bytes: &[u8],
        length: usize,
        head: &RequestHead,
    ) -> Result<RequestFacts, RequestError> {
        let version = self.line.version;
        debug_assert!(self.host.is_none_or(|index| index < head.headers.len()));
        if version != Version::Http10 && self.host.is_none() && self.line.authority.is_none() {
            return Err(Malformed("no Host"));
        }
        let framing = match (self.content_length, self.chunked) {
            (Some(_), Some(_)) => {
                return Err(Malformed("Content-Length with Transfer-Encoding"));
            }
            (None, Some(_)) if version == Version::Http10 => {
                return Err(Malformed("Transfer-Encoding in HTTP/1.0"));
            }
            (None, Some(false)) => return Err(RequestError::NotImplemented),
            (None, Some(true)) => Framing::Chunked,
            (Some(length), None) => Framing::Length(length),
            (None, None) => Framing::None,
        };
        if matches!(self.line.method.slice(bytes), b"TRACE" | b"CONNECT") {
            return Err(RequestError::MethodNotAllowed);
        }
        let expects = self.expects.filter(|_| version != Version::Http10);
        if expects == Some(false) {
            return Err(RequestError::ExpectationFailed);
        }
        Ok(RequestFacts {
            length,
            framing,
            keep_alive: self.options.persistent(version),
            expects_continue: expects == Some(true),
        })
    }

    /// Hands the bytes over to the head. Of a target in absolute form the authority takes
    /// the place of the Host header (RFC 9112 3.2.2); what origin form needs and the
    /// request lacks is appended to the bytes.
    fn fill(&self, read: &[u8], head: &mut RequestHead) {
        let line = self.line;
        let Some(authority) = line.authority else {
            head.install(
                Bytes::copy_from_slice(read),
                line.version,
                line.method,
                line.target,
            );
            return;
        };
        let mut bytes = Vec::with_capacity(read.len() + line.target.len as usize + 8);
        bytes.extend_from_slice(read);
        let mut append = |parts: [&[u8]; 2]| {
            let start = bytes.len() as u32;
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
            Span {
                start,
                len: bytes.len() as u32 - start,
            }
        };
        let rest = line.target.slice(read);
        let target = match rest.first() {
            Some(b'/') => line.target,
            _ => append([b"/", rest]),
        };
        match self.host {
            Some(index) => head.headers.set_value(index, authority),
            None => {
                let name = append([b"Host", b""]);
                head.headers.push_early(b"Host", (name, authority));
            }
        }
        head.install(Bytes::from(bytes), line.version, line.method, target);
    }
}

mod line;
#[cfg(test)]
mod tests;
