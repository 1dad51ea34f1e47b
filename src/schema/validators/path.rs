//! Paths of services and routes.

use super::super::pcre;
use regex::Regex;
use std::borrow::Cow;

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
    // What is valid for PCRE but not for our engine is left to the check of the whole route.
    if pcre::is_valid(pattern) {
        return Ok(());
    }
    let Err(err) = Regex::new(pattern) else {
        return Err(format!("invalid regex: '{pattern}' (it is too long)"));
    };
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
    let decoded = decode(text, &|_| false);
    let mut segments: Vec<(usize, &str)> = Vec::new();
    let mut ends_open = false;
    for (at, segment) in decoded.split('/').enumerate() {
        ends_open = at > 0 && matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push((at, other)),
        }
    }
    let mut normal = String::with_capacity(decoded.len());
    for (at, segment) in segments {
        // What begins without a slash, such as the `~/a` of an old file, goes on without one.
        if at > 0 {
            normal.push('/');
        }
        normal.push_str(segment);
    }
    if ends_open {
        normal.push('/');
    }
    normal
}

/// Decodes the triplets of characters that mean nothing in a path. Those of the others get capital
/// letters; those of `escaped` characters a backslash.
fn decode(text: &str, escaped: &dyn Fn(u8) -> bool) -> String {
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
                if escaped(decoded) {
                    out.push(b'\\');
                }
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

/// A path of a route as it was written before Kong 3.0, in the notation since: a plain path in
/// normal form, anything else with `~` in front, as a regular expression.
///
/// Whether a path is plain is decided by its characters alone, so `~/a` is plain.
pub fn migrate_old_path(path: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b);
    let line = path.strip_suffix('\n').unwrap_or(path);
    let migrated = match path {
        "" | "/" => return Cow::Borrowed(path),
        path if line.bytes().all(plain) => normalize(path),
        path => {
            let meaningful = |b: u8| b".^-{}\\|".contains(&b);
            format!("~{}", decode(path, &meaningful))
        }
    };
    let undecodable = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
    match undecodable(&migrated) && !undecodable(path) {
        // The bytes of its triplets are no text: the rules for paths say so.
        true => Cow::Borrowed(path),
        false => Cow::Owned(migrated),
    }
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
    fn beside_10_paths_of_old_files() {
        let check = |path: &str, expected: &str| assert_eq!(migrate_old_path(path), expected);
        check("/plain/a-b_c.d~e", "/plain/a-b_c.d~e");
        check("/", "/");
        check("", "");
        check("/a%20b", "/a b");
        check("~/a%20b", "~/a b");
        check("~/a/../b", "~/b");
        check("~/../b", "/b");
        check("/a//b", "/a/b");
        check("/a/./b/../c", "/a/c");
        check("/a/.", "/a/");
        check("/a/..", "/");
        check("/a//", "/a/");
        check("/%2f%3a", "/%2F%3A");
        check("/%7euser", "/~user");
        check("/%e4%bd%a0", "/你");
        check("/a%", "/a%");
        check("/a%ff", "/a%ff");
        check(r"/id/\d+", r"~/id/\d+");
        check("/a$", "~/a$");
        check("/(a|b)%20c", "~/(a|b) c");
        check("/(a)%2e%2Db%2f", r"~/(a)\.\-b%2F");
        check("/üñ", "~/üñ");
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
