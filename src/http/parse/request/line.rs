//! The request line: method, target, version.

use super::RequestError::{self, Malformed};
use crate::http::parse::target::{self, Target};
use crate::http::{Span, Version};

/// No method in use is longer; the bound lets junk be refused early.
const MAX_METHOD: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
pub struct RequestLine {
    pub method: Span,
    pub target: Span,
    /// Of a target in absolute form; `target` is then what follows it.
    pub authority: Option<Span>,
    pub version: Version,
}

/// Refuses what cannot become a method, before the line is whole: TLS on a plain port must
/// not wait for a line feed.
pub fn check_method(line: &[u8]) -> Result<(), RequestError> {
    let window = &line[..line.len().min(MAX_METHOD + 1)];
    if matches!(window, [b'\r'] | [b'\r', b'\n', ..] | [b'\n', ..]) {
        return Ok(());
    }
    let method_byte = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_' || *byte == b'-';
    let length = window.iter().take_while(|byte| method_byte(byte)).count();
    match window.get(length) {
        None if length <= MAX_METHOD => Ok(()),
        Some(b' ') if length > 0 => Ok(()),
        _ => Err(Malformed("invalid method")),
    }
}

pub fn request_line(bytes: &[u8], start: usize, end: usize) -> Result<RequestLine, RequestError> {
    let (method, target, version) = three_parts(&bytes[start..end])
        .ok_or(Malformed("request line is not method, target, version"))?;
    if target.iter().any(u8::is_ascii_control) {
        return Err(Malformed("control byte in the target"));
    }
    let version = http_version(version)?;
    let (authority, rest) = match target::form(target) {
        None => return Err(Malformed("target is neither a path nor an absolute URI")),
        Some(Target::Origin) => (None, target),
        Some(Target::Absolute { authority, rest }) => (Some(&target[authority]), &target[rest]),
    };
    if authority.is_some_and(|authority| !target::host_is_valid(authority)) {
        return Err(Malformed("invalid host in the target"));
    }
    let rest = target::without_fragment(rest);
    if !target::path_is_valid(rest) {
        return Err(Malformed("invalid path"));
    }
    Ok(RequestLine {
        method: Span::of(bytes, method),
        target: Span::of(bytes, rest),
        authority: authority.map(|authority| Span::of(bytes, authority)),
        version,
    })
}

/// The three parts of a request line, between single spaces.
fn three_parts(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let is_space = |byte: &u8| *byte == b' ';
    let first = line.iter().position(is_space)?;
    let (method, rest) = (&line[..first], &line[first + 1..]);
    let second = rest.iter().position(is_space)?;
    let (target, version) = (&rest[..second], &rest[second + 1..]);
    let only = version == HTTP11 || !version.iter().any(is_space);
    only.then_some((method, target, version))
}

const HTTP11: &[u8] = b"HTTP/1.1";

/// `HTTP/1.0` and up; a later minor version of 1 is spoken to as 1.1.
fn http_version(text: &[u8]) -> Result<Version, RequestError> {
    if text == HTTP11 {
        return Ok(Version::Http11);
    }
    let malformed = Err(Malformed("invalid HTTP version"));
    let Some(digits) = text.strip_prefix(b"HTTP/") else {
        return malformed;
    };
    let number = |part: &[u8]| {
        let sound = matches!(part.len(), 1 | 2) && part.iter().all(u8::is_ascii_digit);
        sound.then(|| part.iter().fold(0, |sum, digit| sum * 10 + (digit - b'0')))
    };
    let mut parts = digits.split(|byte| *byte == b'.');
    match (
        parts.next().and_then(number),
        parts.next().and_then(number),
        parts.next(),
    ) {
        (Some(1), Some(0), None) => Ok(Version::Http10),
        (Some(1), Some(_), None) => Ok(Version::Http11),
        (Some(2..), Some(_), None) => Err(RequestError::VersionNotSupported),
        _ => malformed,
    }
}
