//! What request and response heads share: lines, names, values, and the few headers that
//! decide how a message is framed.

use super::Limits;
use crate::http::write::LEGAL_IN_NAMES;
pub(super) use crate::http::write::is_token_byte;
use crate::http::{Version, is_named};

/// What comes next in a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line end has not come yet.
    Partial,
    /// A line from `start` to `end`, without its line end; the next one begins at `next`.
    Whole { end: usize, next: usize },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineError {
    TooLong,
    /// A line feed without a carriage return before it.
    BareLineFeed,
}

/// Line ends that are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// CRLF only.
    Strict,
    /// A bare LF too, as every client of old servers does.
    Lenient,
}

/// Finds the end of the line that starts at `start`.
pub(super) fn next_line(
    bytes: &[u8],
    start: usize,
    limits: &Limits,
    ends: LineEnd,
) -> Result<Line, LineError> {
    let room = limits.line.min(limits.head.saturating_sub(start));
    let rest = bytes.get(start..).unwrap_or_default();
    let window = &rest[..rest.len().min(room)];
    let Some(feed) = memchr::memchr(b'\n', window) else {
        return match window.len() < room {
            true => Ok(Line::Partial),
            false => Err(LineError::TooLong),
        };
    };
    let next = start + feed + 1;
    match feed.checked_sub(1).map(|last| window[last]) {
        Some(b'\r') => Ok(Line::Whole {
            end: start + feed - 1,
            next,
        }),
        _ if ends == LineEnd::Lenient => Ok(Line::Whole {
            end: start + feed,
            next,
        }),
        _ => Err(LineError::BareLineFeed),
    }
}

/// Whether a header value (or a target) holds control bytes other than a tab.
pub(super) fn has_controls(value: &[u8]) -> bool {
    // No early exit: without it the compiler turns the loop into vector instructions.
    value.iter().fold(false, |bad, byte| {
        bad | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7f)
    })
}

/// Where the name of a header line ends: at its first byte that no name may have.
pub(super) fn name_end(line: &[u8]) -> usize {
    let end = line
        .iter()
        .position(|byte| !LEGAL_IN_NAMES[usize::from(*byte)]);
    end.unwrap_or(line.len())
}

/// Whether there is a carriage return or a NUL.
pub(super) fn has_break(text: &[u8]) -> bool {
    // No early exit, as in `has_controls`.
    let is_break = |byte: &u8| (*byte == b'\r') | (*byte == 0);
    text.iter()
        .fold(false, |found, byte| found | is_break(byte))
}

/// Strips spaces and tabs at both ends.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A length in decimal digits and nothing else; `None` also when it exceeds 64 bits.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// The items of a comma-separated list.
pub(super) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// What a message's Connection headers ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
}

impl ConnectionOptions {
    pub fn read(&mut self, value: &[u8]) {
        for token in tokens(value) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// Whether the connection may carry another message after this one.
    pub fn persistent(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 | Version::Http2 => !self.close,
        }
    }
}

/// The headers that the drivers themselves must understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Expect,
    Upgrade,
    /// A header with a single value, so that it may come once; each has a bit of its own.
    Single(u8),
    Other,
}

pub(super) fn known(name: &[u8]) -> Known {
    let is = |known| is_named(name, known);
    match name.len() {
        4 if is("host") => Known::Host,
        6 if is("expect") => Known::Expect,
        7 if is("upgrade") => Known::Upgrade,
        8 if is("if-match") => Known::Single(1),
        8 if is("if-range") => Known::Single(2),
        10 if is("connection") => Known::Connection,
        13 if is("authorization") => Known::Single(4),
        13 if is("if-none-match") => Known::Single(8),
        13 if is("content-range") => Known::Single(16),
        14 if is("content-length") => Known::ContentLength,
        17 if is("transfer-encoding") => Known::TransferEncoding,
        17 if is("if-modified-since") => Known::Single(32),
        19 if is("if-unmodified-since") => Known::Single(64),
        _ => Known::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let rows: &[(&str, Option<u64>)] = &[
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1 1", None),
            ("1,1", None),
            ("0x1", None),
            ("1.0", None),
        ];
        for (text, expected) in rows {
            assert_eq!(content_length(text.as_bytes()), *expected, "{text}");
        }
    }

    #[test]
    fn lines_and_their_limits() {
        let limits = Limits { line: 6, head: 10 };
        let strict = |bytes: &[u8], start| next_line(bytes, start, &limits, LineEnd::Strict);
        assert_eq!(strict(b"ab", 0), Ok(Line::Partial));
        assert_eq!(strict(b"ab\r\n", 0), Ok(Line::Whole { end: 2, next: 4 }));
        assert_eq!(strict(b"abcd\r\n", 0), Ok(Line::Whole { end: 4, next: 6 }));
        assert_eq!(strict(b"abcde\r", 0), Err(LineError::TooLong));
        assert_eq!(strict(b"abcde\r\n", 0), Err(LineError::TooLong));
        assert_eq!(
            strict(b"ab\r\nabcd\r\n", 4),
            Ok(Line::Whole { end: 8, next: 10 })
        );
        assert_eq!(strict(b"abcd\r\nab\r\r\n", 6), Err(LineError::TooLong));
        assert_eq!(strict(b"ab\n", 0), Err(LineError::BareLineFeed));
        assert_eq!(strict(b"\n", 0), Err(LineError::BareLineFeed));
        assert_eq!(strict(b"\r\n", 0), Ok(Line::Whole { end: 0, next: 2 }));
        assert_eq!(
            next_line(b"ab\n", 0, &limits, LineEnd::Lenient),
            Ok(Line::Whole { end: 2, next: 3 })
        );
    }
}
