//! Request targets and hosts: what may stand in a request line and a Host header.

use std::ops::Range;

/// A request target, as ranges of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/path?query`
    Origin,
    /// `scheme://authority/path?query`; `rest` begins with `/`, `?`, `#` or is empty.
    Absolute {
        authority: Range<usize>,
        rest: Range<usize>,
    },
}

/// Tells the forms apart; asterisk and authority form are refused, as nginx does.
pub(super) fn form(target: &[u8]) -> Option<Target> {
    if target.first() == Some(&b'/') {
        return Some(Target::Origin);
    }
    let colon = target.iter().position(|byte| *byte == b':')?;
    let scheme = &target[..colon];
    let scheme_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let valid = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(scheme_byte)
        && target[colon..].starts_with(b"://");
    if !valid {
        return None;
    }
    let start = colon + 3;
    let end = target[start..]
        .iter()
        .position(|byte| b"/?#".contains(byte))
        .map_or(target.len(), |length| start + length);
    Some(Target::Absolute {
        authority: start..end,
        rest: end..target.len(),
    })
}

/// A target without the fragment that follows its query: it is for the client alone
/// (RFC 9110 4.2.5). A query of nothing else goes with its `?`. As in Kong, a `#` before any
/// `?` is a byte of the path, and no query follows it.
pub(super) fn without_fragment(target: &[u8]) -> &[u8] {
    let Some(fragment) = memchr::memchr(b'#', target) else {
        return target;
    };
    match memchr::memchr(b'?', target) {
        Some(query) if query + 1 < fragment => &target[..fragment],
        Some(query) => &target[..query],
        None => target,
    }
}

/// Checks the path of a target in origin form: whole percent-triplets, no encoded NUL, and
/// no dot segments that climb above the root. Query and fragment are not looked at.
pub(super) fn path_is_valid(target: &[u8]) -> bool {
    let mut before = 0;
    for byte in target {
        match byte {
            b'?' | b'#' => return true,
            b'%' => break,
            b'.' if before == b'.' => break,
            _ => before = *byte,
        }
    }
    let end = target.iter().position(|byte| b"?#".contains(byte));
    walk(&target[..end.unwrap_or(target.len())])
}

/// Follows the segments of a path with its triplets decoded. An encoded slash separates
/// segments here: an upstream may decode it before it resolves dots.
fn walk(path: &[u8]) -> bool {
    let mut depth = 0usize;
    let mut segment = Segment::Empty;
    let mut bytes = path.iter().copied().skip(1);
    loop {
        let byte = match bytes.next() {
            Some(b'%') => {
                let hex = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (Some(high), Some(low)) = (hex(bytes.next()), hex(bytes.next())) else {
                    return false;
                };
                match high * 16 + low {
                    0 => return false,
                    value => Some(value as u8),
                }
            }
            byte => byte,
        };
        if !matches!(byte, None | Some(b'/')) {
            segment = match (segment, byte) {
                (Segment::Empty, Some(b'.')) => Segment::Dot,
                (Segment::Dot, Some(b'.')) => Segment::DotDot,
                _ => Segment::Name,
            };
            continue;
        }
        depth = match segment {
            Segment::Empty | Segment::Dot => depth,
            Segment::Name => depth + 1,
            Segment::DotDot if depth == 0 => return false,
            Segment::DotDot => depth - 1,
        };
        segment = Segment::Empty;
        if byte.is_none() {
            return true;
        }
    }
}

#[derive(Clone, Copy)]
enum Segment {
    Empty,
    Dot,
    DotDot,
    Name,
}

/// Checks a Host value or a target's authority: a name, an IPv4 address or an IPv6 address
/// in brackets, and at most one port. User information is refused: parsers disagree on it.
pub(super) fn host_is_valid(host: &[u8]) -> bool {
    let (name_is_valid, rest) = match host.strip_prefix(b"[") {
        Some(inner) => {
            let Some(close) = memchr::memchr(b']', inner) else {
                return false;
            };
            let address = std::str::from_utf8(&inner[..close]).unwrap_or_default();
            let valid = address.parse::<std::net::Ipv6Addr>().is_ok();
            (valid, &inner[close + 1..])
        }
        None => {
            let end = host.iter().position(|byte| *byte == b':');
            let (name, rest) = host.split_at(end.unwrap_or(host.len()));
            (!name.is_empty() && is_name(name), rest)
        }
    };
    let port_is_valid = match rest.strip_prefix(b":") {
        // An empty port is the default one (RFC 3986 3.2.3).
        Some(port) => {
            port.iter().all(u8::is_ascii_digit)
                && super::lines::content_length(port).unwrap_or(0) <= 65535
        }
        None => rest.is_empty(),
    };
    name_is_valid && port_is_valid
}

/// Nothing but bytes of names, and no two dots in a row.
fn is_name(name: &[u8]) -> bool {
    let mut before = 0;
    name.iter().all(|byte| {
        let two_dots = before == b'.' && *byte == b'.';
        before = *byte;
        HOST_BYTES[usize::from(*byte)] && !two_dots
    })
}

/// RFC 3986 reg-name, and bytes from 0x80 on, which nginx lets pass.
static HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let ascii = byte as u8;
        table[byte] = byte >= 0x80 || ascii.is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~!$&'()*+,;=%";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let absolute = |authority, rest| Some(Target::Absolute { authority, rest });
        let rows = [
            ("/", Some(Target::Origin)),
            ("//x", Some(Target::Origin)),
            ("/a:b//c", Some(Target::Origin)),
            ("http://a.b/c?d", absolute(7..10, 10..14)),
            ("HTTPS://a", absolute(8..9, 9..9)),
            ("http://a?x", absolute(7..8, 8..10)),
            ("http:///x", absolute(7..7, 7..9)),
            ("*", None),
            ("a.com:443", None),
            ("a.com", None),
            ("1http://a/", None),
            ("http:/a", None),
            ("://a/", None),
            ("", None),
        ];
        for (target, expected) in rows {
            assert_eq!(form(target.as_bytes()), expected, "{target}");
        }
    }

    #[test]
    fn beside_09_a_fragment_is_not_part_of_the_query() {
        let rows = [
            ("/a", "/a"),
            ("/a?b", "/a?b"),
            ("/a?#f", "/a"),
            ("/a?b#f", "/a?b"),
            ("/a?b#f#g?h", "/a?b"),
            ("/a??#f", "/a??"),
            ("/a#f", "/a#f"),
            ("/a#f?b", "/a#f"),
            ("?#f", ""),
            ("#f", "#f"),
            ("", ""),
        ];
        for (target, expected) in rows {
            let found = without_fragment(target.as_bytes());
            assert_eq!(String::from_utf8_lossy(found), expected, "{target}");
        }
    }

    #[test]
    fn paths() {
        let rows = [
            ("/", true),
            ("/a%20b", true),
            ("/%C3%a9", true),
            ("/a?%zz", true),
            ("/a#%zz", true),
            ("/a%", false),
            ("/a%2", false),
            ("/a%2?x", false),
            ("/%zz", false),
            ("/%00", false),
            ("/a?%00", true),
            ("/a/../b", true),
            ("/a/..", true),
            ("/..", false),
            ("/../a", false),
            ("/a/../../b", false),
            ("/%2e%2e/a", false),
            ("/a%2F..%2f../b", false),
            ("/a/%2e./b", true),
            ("/./..", false),
            ("//..", false),
            ("/.../a", true),
            ("/..a", true),
            ("/a?/../..", true),
        ];
        for (target, expected) in rows {
            assert_eq!(path_is_valid(target.as_bytes()), expected, "{target}");
        }
    }

    #[test]
    fn hosts() {
        let rows = [
            ("a.com", true),
            ("A.com:8000", true),
            ("a.com:", true),
            ("a_b.com", true),
            ("127.0.0.1:80", true),
            ("[::1]", true),
            ("[::1]:8443", true),
            ("caf\u{e9}.fr", true),
            ("", false),
            (":80", false),
            ("a b", false),
            ("a.com, b.com", false),
            ("a.com:80:80", false),
            ("a.com:x", false),
            ("a.com:65536", false),
            ("a.com:+1", false),
            ("user@a.com", false),
            ("a/b", false),
            ("a?b", false),
            ("a\\b", false),
            ("a..b", false),
            ("[::1", false),
            ("[x]", false),
            ("[]", false),
            ("[::1]x", false),
        ];
        for (host, expected) in rows {
            assert_eq!(host_is_valid(host.as_bytes()), expected, "{host}");
        }
    }
}
