//! From text to a tree of values, within limits: JSON, else YAML.
//!
//! Both go through one visitor that counts what it builds, so that aliases which grow and
//! nesting without end are refused whatever the syntax. No error quotes the text: it holds keys.

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;

/// The longest text that is read, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;
/// How deep lists and maps may be nested.
pub const MAX_DEPTH: usize = 64;
/// How many values the text may stand for once its aliases are replaced by what they name.
pub const MAX_VALUES: usize = 8_000_000;
/// How long all strings together may become, in bytes, once aliases are replaced.
pub const MAX_STRING_BYTES: usize = 2 * MAX_TEXT_BYTES;

/// Reads a document.
///
/// # Errors
/// Why it is neither JSON nor YAML, or which limit it exceeds, with the line where known.
pub(super) fn read(text: &str) -> Result<Value, String> {
    read_within(text, &Limits::of(text))
}

/// How much is read; the tests do with less.
struct Limits {
    text: usize,
    values: usize,
    strings: usize,
}

impl Limits {
    /// A short text may not stand for a large document: without aliases a value takes two
    /// characters, and aliases may make a few times more of it, not thousands of times.
    fn of(text: &str) -> Limits {
        Limits {
            text: MAX_TEXT_BYTES,
            values: MAX_VALUES.min(200_000 + 2 * text.len()),
            strings: MAX_STRING_BYTES.min(16 * 1024 * 1024 + 4 * text.len()),
        }
    }
}

fn read_within(text: &str, limits: &Limits) -> Result<Value, String> {
    if text.len() > limits.text {
        return Err(format!("it is longer than {} bytes", limits.text));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.trim_start().starts_with('{') {
        return yaml(text, limits).map_err(|fault| fault.text);
    }
    let Err(as_json) = json(text, limits) else {
        return json(text, limits).map_err(|fault| fault.text);
    };
    // YAML's `{a: b}` begins like JSON; the reader that got further knows better.
    yaml(text, limits).map_err(|as_yaml| match as_yaml.at > as_json.at {
        true => as_yaml.text,
        false => as_json.text,
    })
}

/// Why a reader gave up, and at which line and column.
struct Fault {
    at: (u64, u64),
    text: String,
}

impl Fault {
    /// The place and what is wrong there, in the form of Kong's reader.
    fn at(at: (u64, u64), reason: &str) -> Fault {
        let (line, column) = at;
        Fault {
            at,
            text: format!("{line}:{column}: {reason}"),
        }
    }
}

fn json(text: &str, limits: &Limits) -> Result<Value, Fault> {
    let budget = Budget::new(limits);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Node::root(&budget).deserialize(&mut reader);
    value
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|err| {
            let (line, column) = (err.line() as u64, err.column() as u64);
            let text = err.to_string();
            let place = format!(" at line {line} column {column}");
            Fault::at((line, column), text.strip_suffix(&place).unwrap_or(&text))
        })
}

fn yaml(source: &str, limits: &Limits) -> Result<Value, Fault> {
    let budget = Budget::new(limits);
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 3 * limits.values,
            // Beyond ours, so that ours gives the reason. These also hold for what a merge
            // key reads only to drop it.
            max_nodes: 2 * limits.values,
            max_total_scalar_bytes: 2 * limits.strings,
            max_depth: 2 * MAX_DEPTH,
            max_aliases: 1_000_000,
            max_merge_keys: 1_000_000,
            max_documents: 2,
            // One anchor with defaults that many entities share is common; what aliases
            // grow to is limited by what they are replaced by.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 3 * limits.values,
            max_replay_stack_depth: MAX_DEPTH,
        },
        legacy_octal_numbers: true,
        with_snippet: false,
        emit_comments: false,
    };
    serde_saphyr::with_deserializer_from_str_with_options(source, options, |reader| {
        Node::root(&budget).deserialize(reader)
    })
    .map_err(|err| {
        let text = err.to_string();
        let Some(at) = err.location() else {
            return Fault { at: (0, 0), text };
        };
        let (line, column) = (at.line(), at.column());
        let place = format!(" at line {line}, column {column}");
        let reason = text.strip_suffix(&place).unwrap_or(&text);
        match reason {
            "unclosed bracket '{'" => Fault::at(end(source), "did not find expected ',' or '}'"),
            "unclosed bracket '['" => Fault::at(end(source), "did not find expected ',' or ']'"),
            _ => Fault::at((line, column), reason),
        }
    })
}

/// Where a text ends: at the beginning of a line, as if the last one were terminated.
fn end(text: &str) -> (u64, u64) {
    (text.lines().count() as u64 + 1, 1)
}

/// What may still be built.
struct Budget<'l> {
    limits: &'l Limits,
    values: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget<'_> {
    fn new(limits: &Limits) -> Budget<'_> {
        Budget {
            limits,
            values: Cell::new(limits.values),
            bytes: Cell::new(limits.strings),
        }
    }

    fn value<E: de::Error>(&self) -> Result<(), E> {
        let Some(left) = self.values.get().checked_sub(1) else {
            return Err(E::custom(format!(
                "more than {} values",
                self.limits.values
            )));
        };
        self.values.set(left);
        Ok(())
    }

    fn text<E: de::Error>(&self, text: &str) -> Result<(), E> {
        let Some(left) = self.bytes.get().checked_sub(text.len()) else {
            let limit = self.limits.strings;
            return Err(E::custom(format!("more than {limit} bytes of text")));
        };
        self.bytes.set(left);
        Ok(())
    }
}

/// Builds one value and what is in it.
#[derive(Clone, Copy)]
struct Node<'b> {
    budget: &'b Budget<'b>,
    depth: usize,
}

impl<'b> Node<'b> {
    fn root(budget: &'b Budget<'b>) -> Node<'b> {
        Node { budget, depth: 0 }
    }

    fn inner<E: de::Error>(self) -> Result<Node<'b>, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Node {
            budget: self.budget,
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.budget.value()?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        Ok(Value::Number(
            number.ok_or_else(|| E::custom("a number that is not finite"))?,
        ))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.budget.text(value)?;
        Ok(Value::from(value))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        self.budget.text(&value)?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let node = self.inner()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(node)? {
            list.push(item);
        }
        // Most lists have one element, and there are many.
        list.shrink_to_fit();
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let node = self.inner()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.budget.text(&key)?;
            let value = entries.next_value_seed(node)?;
            // The last one would win without a word, and with it an entity would be lost.
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("the key '{key}' is given twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fmt::Write as _;

    #[test]
    fn values() {
        let check = |text: &str, expected: Value| assert_eq!(read(text), Ok(expected), "{text}");
        check(
            r#"{"a": [1, -2, 1.5, null, "x"]}"#,
            json!({"a": [1, -2, 1.5, null, "x"]}),
        );
        check("\u{feff}{\"a\": 1}", json!({"a": 1}));
        check(
            "a: [1, -2, 1.5, ~, x]",
            json!({"a": [1, -2, 1.5, null, "x"]}),
        );
        check("{a: b}", json!({"a": "b"}));
        check(
            "a: yes\nb: Off\nc: 'yes'",
            json!({"a": true, "b": false, "c": "yes"}),
        );
        check("a: 010\nb: 0x10\n1: c", json!({"a": 8, "b": 16, "1": "c"}));
        check(
            "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}",
            json!({"a": {"b": 1}, "c": {"b": 1}, "d": {"e": 2, "b": 1}}),
        );
        check("a: |\n  x\n  y\n", json!({"a": "x\ny\n"}));
        check(
            "a: 123456789012345678901234567890",
            json!({"a": 1.2345678901234568e29}),
        );
        check("---\na: 1\n...\n", json!({"a": 1}));
        check("", Value::Null);
        check("- 1", json!([1]));
    }

    #[test]
    fn texts_that_are_neither() {
        let check = |text: &str, expected: &str| {
            let err = read(text).expect_err(text);
            assert!(err.contains(expected), "{text:?}: {err}");
        };
        check(r#"{"a": 1,}}"#, "1:10: ");
        check(r#"{"a": "#, "2:1: did not find expected ',' or '}'");
        check("{bad\n", "2:1: did not find expected ',' or '}'");
        check("a: [1", "2:1: did not find expected ',' or ']'");
        check("a: b: c", "1:5: mapping values are not allowed");
        check("a: 1\na: 2", "a");
        check(r#"{"a": 1, "b": 2, "a": 3}"#, "the key 'a' is given twice");
        check("a: *nowhere", "unknown anchor");
        check("a: .nan", "finite");
        check("a: 1e999", "finite");
        check(r#"{"a": 1e999}"#, "out of range");
        check("a: 1\n---\nb: 2", "multiple");
        check("a: !!binary '%%%'", "base64");
        check("a: &a [*a]", "recurs");
    }

    #[test]
    fn no_error_quotes_the_text() {
        for text in [
            "key: [hunter2",
            "{\"key\": \"hunter2\" x}",
            "key: hunter2\n\tx: *y",
        ] {
            let err = read(text).expect_err(text);
            assert!(!err.contains("hunter2"), "{err}");
        }
    }

    #[test]
    fn documents_that_grow_are_refused() {
        const SMALL: Limits = Limits {
            text: 2_000,
            values: 500,
            strings: 4_000,
        };
        let check = |text: &str, expected: &str| {
            let err = read_within(text, &SMALL).expect_err(expected);
            assert!(err.contains(expected), "{err}");
        };
        let (open, close) = ("[".repeat(100), "]".repeat(100));
        check(
            &format!("{{\"a\": {open}{close}}}"),
            "nested deeper than 64 levels",
        );
        check(&format!("a: {open}{close}"), "nested deeper than 64 levels");
        let maps: String = (0..100).map(|_| "- ").collect();
        check(&format!("{maps}a"), "nested deeper than 64 levels");
        check(&"x".repeat(2_001), "it is longer than 2000 bytes");
        check(
            &format!("{{\"a\": [{}1]}}", "1,".repeat(600)),
            "more than 500 values",
        );
        check(
            &format!("a: [{}1]", "1,".repeat(600)),
            "more than 500 values",
        );

        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let inner = format!("*a{}, ", level - 1).repeat(10);
            let _ = writeln!(laughs, "a{level}: &a{level} [{inner}]");
        }
        check(&laughs, "more than 500 values");

        let long = "x".repeat(1_000);
        let aliases = "*a, ".repeat(5);
        check(
            &format!("a: &a {long}\nb: [{aliases}]"),
            "more than 4000 bytes of text",
        );
        // What a merge key brings and the map replaces costs as well.
        let dropped = "- {<<: *a, k: 1}\n".repeat(30);
        check(
            &format!("a: &a {{k: {long}}}\nb:\n{dropped}"),
            "ScalarBytes",
        );
    }

    #[test]
    fn trial_27_a_short_text_stands_for_few_values() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..7 {
            let inner = format!("*a{}, ", level - 1).repeat(10);
            let _ = writeln!(laughs, "a{level}: &a{level} [{inner}]");
        }
        let err = read(&laughs).expect_err("a million values");
        assert!(err.contains("more than 2008"), "{err}");
    }

    #[test]
    fn one_anchor_may_serve_many() {
        let text = format!("a: &a {{x: 1}}\nb:\n{}", "- {<<: *a, y: 2}\n".repeat(5_000));
        let value = read(&text).expect("valid");
        let list = value["b"].as_array().expect("a list");
        assert_eq!(list.len(), 5_000);
        assert!(list.iter().all(|item| *item == json!({"y": 2, "x": 1})));
    }
}
