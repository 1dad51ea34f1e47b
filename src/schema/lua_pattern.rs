//! The Lua patterns of the schema file, translated to regular expressions over bytes.
//!
//! Only what the file uses is understood: classes, sets, anchors and the four
//! quantifiers. Balanced matches, captures and frontiers are not.

use regex::bytes::Regex;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Compiles a Lua pattern.
    ///
    /// # Errors
    /// The translation, when it is no valid regular expression.
    pub fn new(lua: &str) -> Result<Pattern, String> {
        let translated = translate(lua);
        Regex::new(&translated)
            .map(Pattern)
            .map_err(|err| format!("pattern {lua:?}: {err}"))
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

fn translate(lua: &str) -> String {
    let mut out = String::from("(?s-u)");
    let mut chars = lua.chars().peekable();
    let mut in_set = false;
    let mut at_start = true;
    let mut has_item = false;
    while let Some(c) = chars.next() {
        match c {
            '%' => {
                push_class(&mut out, chars.next().unwrap_or('%'), in_set);
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
                out.push('.');
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

fn push_class(out: &mut String, class: char, in_set: bool) {
    let name = match class.to_ascii_lowercase() {
        'a' => "alpha",
        'c' => "cntrl",
        'd' => "digit",
        'l' => "lower",
        'p' => "punct",
        's' => "space",
        'u' => "upper",
        'w' => "alnum",
        'x' => "xdigit",
        _ => return push_literal(out, class, in_set),
    };
    let negated = if class.is_ascii_uppercase() { "^" } else { "" };
    let named = format!("[:{negated}{name}:]");
    if in_set {
        out.push_str(&named);
    } else {
        out.push_str(&format!("[{named}]"));
    }
}

fn push_literal(out: &mut String, c: char, in_set: bool) {
    let special = if in_set {
        matches!(c, '\\' | ']' | '[' | '^' | '-' | '&' | '~')
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
        '\\' | '.'
            | '+'
            | '*'
            | '?'
            | '('
            | ')'
            | '|'
            | '['
            | ']'
            | '{'
            | '}'
            | '^'
            | '$'
            | '#'
            | '&'
            | '-'
            | '~'
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
