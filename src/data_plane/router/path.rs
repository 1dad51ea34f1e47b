//! Request paths: splitting the target, normalising for matching, joining for the upstream.

/// Why a request path is not routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path does not start with a slash")]
    NotAbsolute,
    #[error("the path has a malformed percent-encoding")]
    Escape,
    #[error("the path contains a NUL byte")]
    Nul,
    #[error("the path climbs above the root")]
    AboveRoot,
    /// No route can match such a path; Kong answers as if none did.
    #[error("the decoded path is not UTF-8")]
    NotUtf8,
}

impl PathError {
    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        match self {
            PathError::NotUtf8 => 404,
            _ => 400,
        }
    }
}

/// The path and the query (without its `?`) of an origin-form target. A `?` in first place
/// does not split.
pub fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let start = 1.min(target.len());
    match memchr::memchr(b'?', &target[start..]) {
        Some(at) => (&target[..start + at], Some(&target[start + at + 1..])),
        None => (target, None),
    }
}

/// The form of a raw path (without query) that routes are matched against: percent-encoding
/// decoded except for reserved characters, dot segments resolved, slashes merged.
/// `buf` is only used when something had to change.
///
/// # Errors
/// See [`PathError`].
pub fn normalise<'a>(raw: &'a [u8], buf: &'a mut Vec<u8>) -> Result<&'a str, PathError> {
    if raw.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    let bytes = if needs_work(raw) {
        decode(raw, buf)?;
        resolve_segments(buf)?;
        &*buf
    } else {
        raw
    };
    std::str::from_utf8(bytes).map_err(|_| PathError::NotUtf8)
}

fn needs_work(raw: &[u8]) -> bool {
    let mut previous = 0;
    raw.iter().any(|byte| {
        let found = *byte == b'%' || *byte == 0 || previous == b'/' && matches!(byte, b'/' | b'.');
        previous = *byte;
        found
    })
}

fn decode(raw: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    out.clear();
    out.reserve(raw.len());
    let mut rest = raw;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == 0 {
            return Err(PathError::Nul);
        }
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let [high, low, after @ ..] = rest else {
            return Err(PathError::Escape);
        };
        let (Some(high), Some(low)) = (hex(*high), hex(*low)) else {
            return Err(PathError::Escape);
        };
        rest = after;
        match high << 4 | low {
            0 => return Err(PathError::Nul),
            reserved if is_reserved(reserved) => push_escaped(reserved, out),
            other => out.push(other),
        }
    }
    Ok(())
}

/// Resolves `.` and `..` and merges slashes, in place: what is kept never moves up.
fn resolve_segments(path: &mut Vec<u8>) -> Result<(), PathError> {
    let (mut kept, mut at) = (0, 1);
    loop {
        let len = memchr::memchr(b'/', &path[at..]);
        let end = len.map_or(path.len(), |len| at + len);
        let open = match &path[at..end] {
            b"" | b"." => true,
            b".." => {
                kept = memchr::memrchr(b'/', &path[..kept]).ok_or(PathError::AboveRoot)?;
                true
            }
            _ => {
                path[kept] = b'/';
                path.copy_within(at..end, kept + 1);
                kept += 1 + (end - at);
                false
            }
        };
        if len.is_none() {
            if open {
                path[kept] = b'/';
                kept += 1;
            }
            path.truncate(kept);
            return Ok(());
        }
        at = end + 1;
    }
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

fn is_reserved(byte: u8) -> bool {
    b"!*'();:@&=+$,/?%#[]".contains(&byte)
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let [high, low] = [byte >> 4, byte & 15].map(|nibble| DIGITS[usize::from(nibble)]);
    out.extend_from_slice(&[b'%', high, low]);
}

/// The bytes an upstream URI may hold as they are.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let allowed =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!#$&'()*+,/:;=?@[]%";
    let mut i = 0;
    while i < allowed.len() {
        plain[allowed[i] as usize] = true;
        i += 1;
    }
    plain
};

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.iter().all(|byte| PLAIN[usize::from(*byte)]) {
        out.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        match PLAIN[usize::from(*byte)] {
            true => out.push(*byte),
            false => push_escaped(*byte, out),
        }
    }
}

/// Appends the URI for the upstream: service path and request path joined as Kong's
/// `path_handling` v0 does, escaped, with the query as received.
///
/// `matched_len` is the length of the text a path rule of the route matched, if any did.
pub fn join(
    service_path: Option<&str>,
    strip_path: bool,
    matched_len: Option<usize>,
    path: &str,
    query: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    let base = service_path.unwrap_or("/").as_bytes();
    let path = path.as_bytes();
    let after_slash = path.get(1..).unwrap_or_default();
    let open_base = base.strip_suffix(b"/");
    if strip_path {
        let postfix = stripped(path, matched_len.unwrap_or(1));
        match (open_base, postfix) {
            (Some(b""), []) => out.push(b'/'),
            (Some(_), []) if path.ends_with(b"/") => escape(base, out),
            (Some(open), []) => escape(open, out),
            (Some(open), [b'/', ..]) => join_escaped(open, b"", postfix, out),
            (Some(_), _) => join_escaped(base, b"", postfix, out),
            (None, []) if path.len() > 1 && path.ends_with(b"/") => {
                join_escaped(base, b"/", b"", out);
            }
            (None, []) => escape(base, out),
            (None, [b'/', ..]) => join_escaped(base, b"", postfix, out),
            (None, _) => join_escaped(base, b"/", postfix, out),
        }
    } else {
        match open_base {
            Some(_) => join_escaped(base, b"", after_slash, out),
            None if path == b"/" => escape(base, out),
            None => join_escaped(base, b"", path, out),
        }
    }
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

/// The path without the matched text and without a dot segment this would begin with.
pub(super) fn stripped(path: &[u8], matched_len: usize) -> &[u8] {
    match path.get(matched_len..).unwrap_or_default() {
        b"." | b".." => b"",
        [b'.', b'/', rest @ ..] | [b'.', b'.', b'/', rest @ ..] => rest,
        postfix => postfix,
    }
}

fn join_escaped(base: &[u8], between: &[u8], rest: &[u8], out: &mut Vec<u8>) {
    escape(base, out);
    out.extend_from_slice(between);
    escape(rest, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(raw: &str, expected: Result<&str, PathError>) {
        let mut buf = Vec::new();
        assert_eq!(normalise(raw.as_bytes(), &mut buf), expected, "{raw}");
    }

    #[test]
    fn paths_are_normalised() {
        for (raw, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/a/b/../../c", "/c"),
            ("//", "/"),
            ("/a///b//", "/a/b/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.../b", "/a/.../b"),
            ("/.x", "/.x"),
            ("/%61%2f%3a", "/a%2F%3A"),
            ("/%2525", "/%2525"),
            ("/caf%C3%A9", "/café"),
        ] {
            check(raw, Ok(expected));
        }
        for (raw, expected) in [
            ("", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("/%", PathError::Escape),
            ("/%2", PathError::Escape),
            ("/%zz", PathError::Escape),
            ("/%+1", PathError::Escape),
            ("/%00", PathError::Nul),
            ("/\0", PathError::Nul),
            ("/..", PathError::AboveRoot),
            ("/a/../../b", PathError::AboveRoot),
            ("/%FF", PathError::NotUtf8),
        ] {
            check(raw, Err(expected));
        }
    }

    #[test]
    fn targets_are_split_at_the_first_question_mark_after_the_first_byte() {
        for (target, path, query) in [
            ("/a", "/a", None),
            ("/a?", "/a", Some("")),
            ("/a?b?c", "/a", Some("b?c")),
            ("?a", "?a", None),
            ("", "", None),
        ] {
            let expected = (path.as_bytes(), query.map(str::as_bytes));
            assert_eq!(split_target(target.as_bytes()), expected, "{target}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing_more(raw in "/[a-c./%25]{0,16}") {
            let mut buf = Vec::new();
            if let Ok(once) = normalise(raw.as_bytes(), &mut buf) {
                let mut again = Vec::new();
                prop_assert_eq!(normalise(once.as_bytes(), &mut again), Ok(once));
                prop_assert!(!once.contains("//"));
                prop_assert!(once.split('/').all(|segment| segment != "." && segment != ".."));
            }
        }
    }
}
