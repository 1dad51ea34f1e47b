//! What request and response heads share: lines, names, values, and the few headers that
//! decide how a message is framed.

use super::Limits;
use crate::http::Version;
pub(super) use crate::http::write::is_token_byte;

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
    let candidates: &[(Known, &[u8])] = match name.len() {
        4 => &[(Known::Host, b"host")],
        6 => &[(Known::Expect, b"expect")],
        7 => &[(Known::Upgrade, b"upgrade")],
        8 => &[
            (Known::Single(1), b"if-match"),
            (Known::Single(2), b"if-range"),
        ],
        10 => &[(Known::Connection, b"connection")],
        13 => &[
            (Known::Single(4), b"authorization"),
            (Known::Single(8), b"if-none-match"),
            (Known::Single(16), b"content-range"),
        ],
        14 => &[(Known::ContentLength, b"content-length")],
        17 => &[
            (Known::TransferEncoding, b"transfer-encoding"),
            (Known::Single(32), b"if-modified-since"),
        ],
        19 => &[(Known::Single(64), b"if-unmodified-since")],
        _ => &[],
    };
    candidates
        .iter()
        .find(|(_, text)| name.eq_ignore_ascii_case(text))
        .map_or(Known::Other, |(header, _)| *header)
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
