//! The Lua patterns of the schema file, translated to regular expressions: over bytes to be
//! matched here, over characters to be shown to clients.
//!
//! Only what the file uses is understood: classes, sets, anchors and the four
//! quantifiers. Balanced matches, captures and frontiers are not.

use regex::bytes::Regex;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    lua: Box<str>,
    compiled: Regex,
}

/// Who reads the translation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// This program.
    Bytes,
    /// JSON Schema, which has ECMA-262's expressions; only what Python and Rust read alike.
    Ecma,
}

impl Pattern {
    /// Compiles a Lua pattern.
    ///
    /// # Errors
    /// The translation, when it is no valid regular expression.
    pub fn new(lua: &str) -> Result<Pattern, String> {
        let translated = format!("(?s-u){}", translate(lua, Dialect::Bytes));
        let compiled = Regex::new(&translated).map_err(|err| format!("pattern {lua:?}: {err}"))?;
        Ok(Pattern {
            lua: lua.into(),
            compiled,
        })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text.as_bytes())
    }

    /// The pattern for the `pattern` of a JSON Schema.
    pub fn ecma(&self) -> String {
        translate(&self.lua, Dialect::Ecma)
    }
}

fn translate(lua: &str, dialect: Dialect) -> String {
    let mut out = String::new();
    let mut chars = lua.chars().peekable();
    let mut in_set = false;
    let mut at_start = true;
    let mut has_item = false;
    while let Some(c) = chars.next() {
        match c {
            '%' => {
                push_class(&mut out, chars.next().unwrap_or('%'), in_set, dialect);
                has_item = true;
            }
            '[' if !in_set => {
                in_set = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ']' if in_set => {
                in_set = false;
                has_item = true;
                out.push(']');
            }
            '-' if in_set => {
                // A range when it stands between two characters, else itself.
                let last = matches!(chars.peek(), Some(']') | Some('%') | None);
                let first = out.ends_with('[') || out.ends_with('^') || out.ends_with(']');
                out.push_str(if last || first { "\\-" } else { "-" });
            }
            _ if in_set => push_literal(&mut out, c, true),
            '^' if at_start => out.push('^'),
            '$' if chars.peek().is_none() => out.push('$'),
            // An item takes one quantifier; what follows is an item of its own.
            '-' if has_item => {
                out.push_str("*?");
                has_item = false;
            }
            '*' | '+' | '?' if has_item => {
                out.push(c);
                has_item = false;
            }
            '.' => {
                out.push_str(match dialect {
                    Dialect::Bytes => ".",
                    // A dot of theirs is no end of a line.
                    Dialect::Ecma => "[\\s\\S]",
                });
                has_item = true;
            }
            _ => {
                push_literal(&mut out, c, false);
                has_item = true;
            }
        }
        at_start = false;
    }
    out
}

fn push_class(out: &mut String, class: char, in_set: bool, dialect: Dialect) {
    let (name, members) = match class.to_ascii_lowercase() {
        'a' => ("alpha", "A-Za-z"),
        'c' => ("cntrl", r"\x00-\x1f\x7f"),
        'd' => ("digit", "0-9"),
        'l' => ("lower", "a-z"),
        'p' => ("punct", r"!-/:-@\[-`{-~"),
        's' => ("space", r"\t-\r "),
        'u' => ("upper", "A-Z"),
        'w' => ("alnum", "A-Za-z0-9"),
        'x' => ("xdigit", "A-Fa-f0-9"),
        _ => return push_literal(out, class, in_set),
    };
    let negated = if class.is_ascii_uppercase() { "^" } else { "" };
    let item = match (dialect, in_set) {
        (Dialect::Bytes, true) => format!("[:{negated}{name}:]"),
        (Dialect::Bytes, false) => format!("[[:{negated}{name}:]]"),
        // The file has no complement inside a set, which ECMA-262 could not say.
        (Dialect::Ecma, true) => members.to_owned(),
        (Dialect::Ecma, false) => format!("[{negated}{members}]"),
    };
    out.push_str(&item);
}

fn push_literal(out: &mut String, c: char, in_set: bool) {
    // What a set of the `regex` crate gives a meaning when it is doubled stands there alone, so
    // that escapes which ECMA-262 does not know are not needed.
    let special = if in_set {
        matches!(c, '\\' | ']' | '[' | '^' | '-')
    } else {
        regex_syntax_special(c)
    };
    if special {
        out.push('\\');
    }
    out.push(c);
}

fn regex_syntax_special(c: char) -> bool {
    matches!(
        c,
        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_of_the_schema_file() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let compiled = Pattern::new(pattern).expect("compiles");
            assert_eq!(compiled.is_match(text), expected, "{pattern} on {text:?}");
            let shown = compiled.ecma();
            let shown = regex::Regex::new(&shown).expect("a regular expression");
            assert_eq!(shown.is_match(text), expected, "{shown} on {text:?}");
        };
        let vault = "^[a-z][a-z%d-]-[a-z%d]+$";
        for good in ["ab", "a-b", "my-vault-1"] {
            check(vault, good, true);
        }
        for bad in ["a", "a-", "Ab", "v_1"] {
            check(vault, bad, false);
        }
        check("^%u+$", "GET", true);
        check("^%u+$", "get", false);
        check("^[^*&%%\\`]+$", "/tmp/x", true);
        check("^[^*&%%\\`]+$", "/tmp/%x", false);
        check("^[^*&%%\\`]+$", "a\\b", false);
        check("^[^*]*%*?[^*]*$", "*.b", true);
        check("^[^*]*%*?[^*]*$", "*.*", false);
        check("%.%*$", "a.*", true);
        check("%w*%p*@+%w*%.?%w*", "a@b.test", true);
        check("%w*%p*@+%w*%.?%w*", "nobody", false);
        check("^[%a_-][%a%d_-]*$", "_a-1", true);
        check("^[%a_-][%a%d_-]*$", "1a", false);
        check("^[0-9]+-[0-9]+$", "200-299", true);
        check("^[0-9]+-[0-9]+$", "200", false);
        check("^.*[^:]$", "a\nb", true);
        check("^[^:]+:.*$", "h:ü", true);
    }
}
