//! The grammar of a settings file: kong.conf's, line by line.
//!
//! `key = value`; blank lines and lines that begin with `#` or `;` are comments; a `#` later in
//! a line begins a comment unless it is written `\#`; a line that ends in `\` continues on the
//! next one. Quotes have no meaning and stay part of the value, as in Kong. Any character of a
//! key that is no letter or digit reads as `_`, so `pg-host` is `pg_host`. Pure: the text is a
//! parameter.

use thiserror::Error;

/// The longest settings text that is read, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

/// One `key = value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The line on which it begins, counted from 1.
    pub line: usize,
    pub key: String,
    pub value: String,
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    pub assignments: Vec<Assignment>,
    /// Lines without a `=`, which Kong passes over.
    pub stray: Vec<usize>,
}

/// A line that is not part of the grammar.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrammarError {
    #[error("line {line}: sections are not part of the format")]
    Section { line: usize },
    #[error("line {line}: the key is missing before '='")]
    NoKey { line: usize },
    #[error("the text is longer than {MAX_TEXT} bytes")]
    TooLong,
}

/// Reads a whole file; every line that is wrong is reported, not only the first.
pub fn parse(text: &str) -> Result<Parsed, Vec<GrammarError>> {
    if text.len() > MAX_TEXT {
        return Err(vec![GrammarError::TooLong]);
    }
    let mut parsed = Parsed::default();
    let mut errors = Vec::new();
    for (line, content) in logical_lines(text) {
        match assignment(line, &content) {
            Ok(Some(found)) => parsed.assignments.push(found),
            Ok(None) => parsed.stray.push(line),
            Err(error) => errors.push(error),
        }
    }
    match errors.is_empty() {
        true => Ok(parsed),
        false => Err(errors),
    }
}

/// Lines with continuations joined; comment lines inside a continuation are skipped, as in Kong.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut pending: Option<(usize, String)> = None;
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let (start, mut content) = pending.take().unwrap_or((index + 1, String::new()));
        if let Some(head) = raw.trim_end().strip_suffix('\\') {
            content.push_str(head);
            pending = Some((start, content));
            continue;
        }
        content.push_str(raw);
        lines.push((start, content));
    }
    lines.extend(pending);
    lines
}

/// The assignment of a line, if it is one.
fn assignment(line: usize, content: &str) -> Result<Option<Assignment>, GrammarError> {
    let content = content.trim();
    if content.starts_with('[') {
        return Err(GrammarError::Section { line });
    }
    let Some((key, value)) = content.split_once('=') else {
        return Ok(None);
    };
    let key: String = key.trim().chars().map(key_char).collect();
    if key.is_empty() {
        return Err(GrammarError::NoKey { line });
    }
    Ok(Some(Assignment {
        line,
        key,
        value: without_comment(value).trim().to_owned(),
    }))
}

fn key_char(c: char) -> char {
    if c.is_ascii_alphanumeric() { c } else { '_' }
}

/// Cuts at the first `#` that is not escaped, and unescapes `\#`.
fn without_comment(value: &str) -> String {
    let mut kept = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'#') => {
                chars.next();
                kept.push('#');
            }
            '#' => break,
            other => kept.push(other),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = parse(text).unwrap();
        let found: Vec<_> = found
            .assignments
            .iter()
            .map(|a| (a.key.as_str(), a.value.as_str()))
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn assignments() {
        check("", &[]);
        check("a = b", &[("a", "b")]);
        check("a=b\r\nc =d  \n", &[("a", "b"), ("c", "d")]);
        check("# a = b\n  ; c = d\n\n\t\n", &[]);
        check("a = b # why", &[("a", "b")]);
        check("pg_password = p\\#ss # why", &[("pg_password", "p#ss")]);
        check("a = 'b'", &[("a", "'b'")]);
        check("a = \"b c\"", &[("a", "\"b c\"")]);
        check("a =", &[("a", "")]);
        check("a = b = c", &[("a", "b = c")]);
        check("pg-host = db", &[("pg_host", "db")]);
        check(
            "a = 1, \\\n  2, \\\n# between\n  3",
            &[("a", "1,   2,   3")],
        );
        check("a = end \\", &[("a", "end")]);
        check("\u{feff}a = b", &[("a", "b")]);
    }

    #[test]
    fn errors_name_every_line() {
        let errors = parse("a = b\nword\n[section]\n= c\n").unwrap_err();
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "line 3: sections are not part of the format",
                "line 4: the key is missing before '='",
            ]
        );
    }

    #[test]
    fn trial_07_lines_that_say_nothing_are_passed_over() {
        let parsed = parse("a = b\nword\nkey: value\nc = d").unwrap();
        assert_eq!(parsed.stray, [2, 3]);
        assert_eq!(parsed.assignments.len(), 2);
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        let text = "#".repeat(MAX_TEXT + 1);
        assert_eq!(parse(&text), Err(vec![GrammarError::TooLong]));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,300}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_value_survives_escaping(value in "[ -~]{0,40}") {
            prop_assume!(!value.ends_with('\\') && !value.contains("\\#"));
            let line = format!("key = {}", value.replace('#', "\\#"));
            let found = parse(&line).unwrap();
            prop_assert_eq!(&found.assignments[0].value, value.trim());
        }
    }
}
