//! Dot segments that only some servers see.
//!
//! A path is routed with its dot segments resolved. But there are servers behind a gateway that
//! decode `%2F` before they resolve dots, that take a backslash for a slash, or that cut `;…` off
//! a segment (`/a/..;/b`). What such a server would make of a path must not be another request
//! than the one that was routed.

/// Whether it is worth looking closer: nearly no path has two dots in a row.
pub fn are_possible(path: &str) -> bool {
    path.as_bytes().windows(2).any(|pair| pair == b"..")
}

/// The path as such a server resolves it; `None` when that climbs above its beginning.
pub fn resolve(path: &str) -> Option<String> {
    let mut resolved = String::with_capacity(path.len());
    let mut rest = Some(path.strip_prefix('/').unwrap_or(path));
    let mut is_open = false;
    while let Some(text) = rest {
        let (segment, after) = match next_separator(text) {
            Some((at, len)) => (&text[..at], Some(&text[at + len..])),
            None => (text, None),
        };
        rest = after;
        is_open = false;
        match without_parameters(segment) {
            "" | "." => is_open = true,
            ".." => {
                resolved.truncate(resolved.rfind('/')?);
                is_open = true;
            }
            _ => {
                resolved.push('/');
                resolved.push_str(segment);
            }
        }
    }
    if is_open {
        resolved.push('/');
    }
    Some(resolved)
}

/// Where the next separator is, and how long. A normalised path has encoded slashes in upper
/// case, and its backslashes are decoded.
fn next_separator(text: &str) -> Option<(usize, usize)> {
    let plain = text.find(['/', '\\']).map(|at| (at, 1));
    let encoded = text.find("%2F").map(|at| (at, 3));
    plain.into_iter().chain(encoded).min()
}

fn without_parameters(segment: &str) -> &str {
    let plain = segment.find(';');
    let encoded = segment.find("%3B");
    let end = plain.into_iter().chain(encoded).min();
    &segment[..end.unwrap_or(segment.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::router::path::normalise;
    use proptest::prelude::*;

    #[test]
    fn trial_22_paths_are_resolved_as_lenient_servers_do() {
        let check = |raw: &str, expected: Option<&str>| {
            let mut buffer = Vec::new();
            let path = normalise(raw.as_bytes(), &mut buffer).expect("a path");
            assert_eq!(resolve(path).as_deref(), expected, "{raw}");
        };
        check("/", Some("/"));
        check("/a/b", Some("/a/b"));
        check("/a/b/", Some("/a/b/"));
        check("/a..b/c..", Some("/a..b/c.."));
        check("/a%2fb", Some("/a/b"));
        check("/a;p=1/b", Some("/a;p=1/b"));
        check("/pub/..%2fsecret", Some("/secret"));
        check("/pub/%2e%2e%2Fsecret", Some("/secret"));
        check("/pub/a%2f..%2fb", Some("/pub/b"));
        check("/pub%2f..%2fb", Some("/b"));
        check("/pub/..\\secret", Some("/secret"));
        check("/pub/..%5csecret", Some("/secret"));
        check("/pub/..;/secret", Some("/secret"));
        check("/pub/..;a=b/secret", Some("/secret"));
        check("/pub/..%3bx/secret", Some("/secret"));
        check("/pub/..%2f", Some("/"));
        check("/pub/..%2f..%2fb", None);
        check("/..;/b", None);
        // Encoded twice: one decoding leaves it harmless.
        check("/pub/..%252fsecret", Some("/pub/..%252fsecret"));
    }

    proptest! {
        #[test]
        fn a_path_without_hidden_dots_stays(raw in "/[a-c./]{0,16}") {
            let mut buffer = Vec::new();
            if let Ok(path) = normalise(raw.as_bytes(), &mut buffer) {
                prop_assert_eq!(resolve(path), Some(path.to_owned()));
            }
        }

        #[test]
        fn nothing_is_left_to_resolve(raw in "/[a-c./%25CF;\\\\]{0,24}") {
            let mut buffer = Vec::new();
            if let Ok(path) = normalise(raw.as_bytes(), &mut buffer)
                && let Some(resolved) = resolve(path)
            {
                prop_assert_eq!(resolve(&resolved), Some(resolved.clone()));
            }
        }
    }
}
