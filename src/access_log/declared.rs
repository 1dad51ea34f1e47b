//! Formats that the settings declare, in nginx's words: `nginx_http_log_format`.

use super::escape::Escape;
use super::format::{Format, FormatError};
use std::collections::BTreeMap;
use thiserror::Error;

/// Why declared formats cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeclarationError {
    #[error("a quote is not closed")]
    Quote,
    #[error("needs a name and a text: name [escape=default|json|none] 'text' ...")]
    Arguments,
    #[error("the escape \"{0}\" is not known: default, json or none")]
    Escape(String),
    #[error("only log_format may follow a semicolon, not \"{0}\"")]
    Directive(String),
    #[error("the format \"{0}\" is there already")]
    Twice(String),
    #[error("in the format \"{name}\": {error}")]
    Format { name: String, error: FormatError },
}

/// Names that nginx or Kong have declared before.
const TAKEN: [&str; 2] = ["combined", "kong_log_format"];

/// The formats of a value of `nginx_http_log_format`: what stands behind `log_format` in a file of
/// nginx, and perhaps more `log_format` directives after a semicolon.
///
/// # Errors
/// See [`DeclarationError`].
pub fn declared_formats(text: &str) -> Result<BTreeMap<String, Format>, DeclarationError> {
    let mut formats = BTreeMap::new();
    for (at, words) in directives(text)?.into_iter().enumerate() {
        let words = match (at, words.split_first()) {
            (_, None) => continue,
            (0, Some(_)) => words,
            (_, Some((first, rest))) if first == "log_format" => rest.to_vec(),
            (_, Some((first, _))) => return Err(DeclarationError::Directive(first.clone())),
        };
        let (name, format) = declared(&words)?;
        if TAKEN.contains(&name.as_str()) || formats.contains_key(&name) {
            return Err(DeclarationError::Twice(name));
        }
        formats.insert(name, format);
    }
    match formats.is_empty() {
        true => Err(DeclarationError::Arguments),
        false => Ok(formats),
    }
}

fn declared(words: &[String]) -> Result<(String, Format), DeclarationError> {
    let (name, rest) = words.split_first().ok_or(DeclarationError::Arguments)?;
    let first = rest.first().ok_or(DeclarationError::Arguments)?;
    let (escape, texts) = match first.strip_prefix("escape=") {
        Some(word) => {
            let escape = Escape::parse(word);
            let escape = escape.ok_or_else(|| DeclarationError::Escape(word.to_owned()))?;
            (escape, rest.get(1..).unwrap_or_default())
        }
        None => (Escape::Default, rest),
    };
    if texts.is_empty() {
        return Err(DeclarationError::Arguments);
    }
    let format = Format::compile(escape, &texts.concat());
    let format = format.map_err(|error| DeclarationError::Format {
        name: name.clone(),
        error,
    })?;
    Ok((name.clone(), format))
}

/// The words of each directive, with nginx's rules for quotes and backslashes.
fn directives(text: &str) -> Result<Vec<Vec<String>>, DeclarationError> {
    let mut all = Vec::new();
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            c if c.is_ascii_whitespace() => {}
            ';' => all.push(std::mem::take(&mut words)),
            '\'' | '"' => {
                let mut word = String::new();
                loop {
                    match rest.next().ok_or(DeclarationError::Quote)? {
                        end if end == c => break,
                        '\\' => word.push_str(&escaped(rest.next())),
                        other => word.push(other),
                    }
                }
                words.push(word);
            }
            c => {
                let mut word = match c {
                    '\\' => escaped(rest.next()),
                    c => c.to_string(),
                };
                while let Some(c) = rest.next_if(|c| !c.is_ascii_whitespace() && *c != ';') {
                    match c {
                        '\\' => word.push_str(&escaped(rest.next())),
                        c => word.push(c),
                    }
                }
                words.push(word);
            }
        }
    }
    all.push(words);
    Ok(all)
}

/// What a backslash and this character stand for.
fn escaped(c: Option<char>) -> String {
    match c {
        Some('t') => "\t".to_owned(),
        Some('r') => "\r".to_owned(),
        Some('n') => "\n".to_owned(),
        Some(quoted @ ('"' | '\'' | '\\')) => quoted.to_string(),
        Some(other) => format!("\\{other}"),
        None => "\\".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_declared_as_in_nginx() {
        let compiled = |escape, text| Format::compile(escape, text).expect(text);
        for (text, name, expected) in [
            (
                "short '$status $uri'",
                "short",
                compiled(Escape::Default, "$status $uri"),
            ),
            (
                "j escape=json '{\"s\":$status,' '\"u\":\"$uri\"}'",
                "j",
                compiled(Escape::Json, "{\"s\":$status,\"u\":\"$uri\"}"),
            ),
            (
                "q \"a \\\"$status\\\" it's\\t\";",
                "q",
                compiled(Escape::Default, "a \"$status\" it's\t"),
            ),
            (
                "n escape=none $status",
                "n",
                compiled(Escape::None, "$status"),
            ),
            (
                "w $status$uri;",
                "w",
                compiled(Escape::Default, "$status$uri"),
            ),
        ] {
            let formats = declared_formats(text).expect(text);
            assert_eq!(formats.len(), 1, "{text}");
            assert_eq!(formats[name], expected, "{text}");
        }
        let two = declared_formats("a '$uri'; log_format b '$host';").expect("two");
        assert_eq!(two.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            (
                "",
                "needs a name and a text: name [escape=default|json|none] 'text' ...",
            ),
            (
                "a",
                "needs a name and a text: name [escape=default|json|none] 'text' ...",
            ),
            (
                "a escape=json",
                "needs a name and a text: name [escape=default|json|none] 'text' ...",
            ),
            (
                "a escape=yaml '$uri'",
                "the escape \"yaml\" is not known: default, json or none",
            ),
            ("a '$uri", "a quote is not closed"),
            (
                "a '$nope'",
                "in the format \"a\": the variable \"$nope\" is not known",
            ),
            (
                "a '$uri'; gzip on",
                "only log_format may follow a semicolon, not \"gzip\"",
            ),
            (
                "a '$uri'; log_format a 'x'",
                "the format \"a\" is there already",
            ),
            (
                "combined '$uri'",
                "the format \"combined\" is there already",
            ),
        ] {
            let error = declared_formats(text).expect_err(text);
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }
}
