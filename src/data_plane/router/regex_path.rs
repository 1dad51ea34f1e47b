//! Regex paths of routes and where in the index they belong.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind, Look};

/// The memory one compiled pattern may take, in bytes.
const SIZE_LIMIT: usize = 1 << 20;
/// The memory each thread's lazily built automaton of one pattern may take, in bytes.
const DFA_SIZE_LIMIT: usize = 1 << 18;

/// A path of a route that is a pattern.
#[derive(Debug)]
pub struct RegexPath {
    regex: Regex,
    /// Every match begins with these bytes at the start of the path.
    literal: Box<[u8]>,
}

impl RegexPath {
    /// Compiles what follows the `~` of a route's path. Like Kong, the pattern is anchored by
    /// putting `^` in front of it (so only the first of several top-level alternatives is),
    /// and every `?<` is read as `?P<`.
    ///
    /// # Errors
    /// The text for the user.
    pub fn compile(pattern: &str) -> Result<RegexPath, String> {
        let pattern = format!("^{}", pattern.replace("?<", "?P<"));
        let literal = match regex_syntax::parse(&pattern) {
            Ok(hir) => literal_prefix(&hir),
            Err(_) => Vec::new(),
        };
        Ok(RegexPath {
            regex: build(&pattern)?,
            literal: literal.into(),
        })
    }

    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    pub fn literal(&self) -> &[u8] {
        &self.literal
    }
}

/// Compiles a pattern within limits.
///
/// # Errors
/// The text for the user, on one line.
pub fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(DFA_SIZE_LIMIT)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("the regular expression compiles to more than {limit} bytes")
            }
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!(
                    "invalid regular expression: {}",
                    last.trim_start_matches("error: ")
                )
            }
        })
}

/// The bytes that every match starts with at the start of the text; empty when there are none
/// or the pattern may match elsewhere.
fn literal_prefix(hir: &Hir) -> Vec<u8> {
    let HirKind::Concat(parts) = hir.kind() else {
        return Vec::new();
    };
    let [first, rest @ ..] = &**parts else {
        return Vec::new();
    };
    if !matches!(first.kind(), HirKind::Look(Look::Start)) {
        return Vec::new();
    }
    let mut literal = Vec::new();
    for part in rest {
        match part.kind() {
            HirKind::Literal(text) => literal.extend_from_slice(&text.0),
            HirKind::Look(Look::Start) => {}
            _ => break,
        }
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_prefixes() {
        for (pattern, expected) in [
            ("/users/(\\d+)/profile", "/users/"),
            ("/users", "/users"),
            ("/users/?", "/users"),
            ("/a|/b", ""),
            ("/(a|b)$", "/"),
            ("(?i)/a", "/"),
            ("(?i)a", ""),
            ("/a*", "/"),
            ("/a.b", "/a"),
            ("^/a", "/a"),
            ("/o/(?<org>[^/]+)", "/o/"),
        ] {
            let path = RegexPath::compile(pattern).expect("a valid pattern");
            assert_eq!(
                String::from_utf8_lossy(path.literal()),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn bad_patterns_say_why_on_one_line() {
        for pattern in ["/(", "/a(?=b)", "/(?<!x)", "/(a)\\1", "/\\w{1000}{1000}"] {
            let reason = RegexPath::compile(pattern).expect_err("an invalid pattern");
            assert!(
                !reason.contains('\n') && reason.contains("regular expression"),
                "{reason}"
            );
        }
    }
}
