//! Paths of services and routes.

use super::super::expression::is_engine_limit;
use regex::Regex;

/// Characters of RFC 3986 with every `%` starting a triplet.
pub(super) fn path(text: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_~/%:@!$&'()*+,;=".contains(&b);
    if !text.starts_with('/') || !text.bytes().all(allowed) {
        return Err(format!(
            "invalid path: '{text}' (characters outside of the reserved list of RFC 3986 found)"
        ));
    }
    percent_encoded(text)
}

/// A plain path in normal form, or `~` and a regular expression.
pub(super) fn router_path(text: &str) -> Result<(), String> {
    if let Some(pattern) = text.strip_prefix('~') {
        return regex_path(pattern);
    }
    percent_encoded(text)?;
    let normal = normalize(text);
    match normal == text {
        true => Ok(()),
        false => Err(format!(
            "non-normalized path, consider use '{normal}' instead"
        )),
    }
}

fn regex_path(pattern: &str) -> Result<(), String> {
    let Err(err) = Regex::new(
        &pattern
            .replace("?<", "?P<")
            .replace("?P<=", "?<=")
            .replace("?P<!", "?<!"),
    ) else {
        return Ok(());
    };
    // Valid elsewhere, but not in our engine: the check of the whole route says so.
    if is_engine_limit(&err) {
        return Ok(());
    }
    Err(format!(
        "invalid regex: '{pattern}' (PCRE returned: {})",
        pcre_text(pattern, &err)
    ))
}

/// PCRE's words for the common mistakes; our engine's own for the rest.
fn pcre_text(pattern: &str, err: &regex::Error) -> String {
    let text = err.to_string();
    let reason = text.rsplit("error: ").next().unwrap_or(&text);
    let known = match reason {
        "unclosed group" => "missing closing parenthesis",
        "unopened group" => "unmatched closing parenthesis",
        "unclosed character class" => "missing terminating ] for character class",
        "repetition operator missing expression" => "quantifier does not follow a repeatable item",
        "incomplete escape sequence, reached end of pattern prematurely" => "\\ at end of pattern",
        other => return other.to_owned(),
    };
    // The offset of the mistake is the end of the pattern for everything left open.
    format!("pcre2_compile() failed: {known} in \"{pattern}\" at \"\"")
}

fn percent_encoded(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'%' {
            continue;
        }
        let is_hex = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        if !(is_hex(1) && is_hex(2)) {
            let bad: String = text[at..].chars().take(3).collect();
            return Err(format!("invalid url-encoded value: '{bad}'"));
        }
    }
    Ok(())
}

/// The form in which request paths are matched: triplets of unreserved characters decoded,
/// dot segments removed, runs of slashes merged.
fn normalize(text: &str) -> String {
    let decoded = decode(text);
    let mut segments: Vec<&str> = Vec::new();
    let body = decoded.strip_prefix('/').unwrap_or(&decoded);
    let mut ends_open = false;
    for segment in body.split('/') {
        ends_open = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut normal = String::with_capacity(decoded.len());
    for segment in &segments {
        normal.push('/');
        normal.push_str(segment);
    }
    if ends_open {
        normal.push('/');
    }
    normal
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let triplet = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match triplet.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) if b"!*'();:@&=+$,/?%#[]".contains(&decoded) => {
                out.extend(format!("%{decoded:02X}").bytes());
                at += 3;
            }
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out)
        .unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_paths() {
        let check = |text: &str, expected: Result<(), &str>| {
            assert_eq!(router_path(text), expected.map_err(str::to_owned), "{text}");
        };
        for good in [
            "/",
            "/a",
            "/a b",
            "/a(b",
            "/a?x",
            "/üñ",
            "/a/",
            "/%2F",
            "~/a$",
            "~/(?=x)a",
            "~/(?<n>a)",
        ] {
            check(good, Ok(()));
        }
        let not_normal =
            |normal: &str| format!("non-normalized path, consider use '{normal}' instead");
        check("/a%20b", Err(&not_normal("/a b")));
        check("/a/../b", Err(&not_normal("/b")));
        check("/a/.", Err(&not_normal("/a/")));
        check("/%2f", Err(&not_normal("/%2F")));
        check("/%zz", Err("invalid url-encoded value: '%zz'"));
        check(
            "~/(x",
            Err(
                "invalid regex: '/(x' (PCRE returned: pcre2_compile() failed: missing closing parenthesis in \"/(x\" at \"\")",
            ),
        );
    }

    #[test]
    fn service_paths() {
        let check = |text: &str, expected: Result<(), &str>| {
            assert_eq!(path(text), expected.map_err(str::to_owned), "{text}");
        };
        check("/a%20b:@!$&'()*+,;=", Ok(()));
        check("/a%zz", Err("invalid url-encoded value: '%zz'"));
        check("/a%2", Err("invalid url-encoded value: '%2'"));
        check(
            "/a?b",
            Err("invalid path: '/a?b' (characters outside of the reserved list of RFC 3986 found)"),
        );
    }
}
