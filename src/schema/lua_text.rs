//! Values as Lua tables, the way they appear inside Kong's error messages.

use serde_json::{Map, Value};

const KEYWORDS: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// One line, keys sorted: `{consumer=null,name="basic-auth",service={id="..."}}`.
pub fn one_line(map: &Map<String, Value>) -> String {
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_unstable();
    let entries: Vec<String> = keys
        .into_iter()
        .map(|key| format!("{}={}", key_text(key), one_line_value(&map[key])))
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn one_line_value(value: &Value) -> String {
    match value {
        Value::Object(map) => one_line(map),
        Value::Array(items) => {
            // Lua lists end at the first hole; what follows has its index.
            let dense = items.iter().take_while(|item| !item.is_null()).count();
            let items: Vec<String> = (items.iter().enumerate())
                .filter(|(_, item)| !item.is_null())
                .map(|(at, item)| match at < dense {
                    true => one_line_value(item),
                    false => format!("[{}]={}", at + 1, one_line_value(item)),
                })
                .collect();
            format!("{{{}}}", items.join(","))
        }
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

/// Several lines, two spaces per level; nulls in lists are holes.
pub fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write_pretty(&mut out, value, 0);
    out
}

fn write_pretty(out: &mut String, value: &Value, depth: usize) {
    let entries: Vec<(String, &Value)> = match value {
        Value::String(text) => return out.push_str(&quote(text)),
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            keys.into_iter()
                .map(|key| (format!("{} = ", key_text(key)), &map[key]))
                .collect()
        }
        Value::Array(items) => {
            // Lua lists end at the first hole; what follows has its index.
            let dense = items.iter().take_while(|item| !item.is_null()).count();
            let indexed = |(at, item): (usize, _)| match at < dense {
                true => (String::new(), item),
                false => (format!("[{}] = ", at + 1), item),
            };
            let present = |(_, item): &(usize, &Value)| !item.is_null();
            items
                .iter()
                .enumerate()
                .filter(present)
                .map(indexed)
                .collect()
        }
        other => return out.push_str(&other.to_string()),
    };
    if entries.is_empty() {
        return out.push_str("{}");
    }
    out.push('{');
    for (at, (label, item)) in entries.iter().enumerate() {
        out.push_str(if at == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        out.push_str(label);
        write_pretty(out, item, depth + 1);
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
    out.push('}');
}

fn key_text(key: &str) -> String {
    let is_name = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !key.is_empty()
        && !key.as_bytes()[0].is_ascii_digit();
    if is_name && !KEYWORDS.contains(&key) {
        key.to_owned()
    } else {
        format!("[\"{key}\"]")
    }
}

/// A Lua string literal: a long bracket for several lines, else double quotes.
fn quote(text: &str) -> String {
    let nested = long_bracket_level(text);
    if (text.contains('\n') || nested.is_some()) && !text.contains('\r') {
        let equals = "=".repeat(nested.map_or(0, |level| level + 1));
        let first = if text.starts_with('\n') { "\n" } else { "" };
        return format!("[{equals}[{first}{text}]{equals}]");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The most equal signs in a `[==[` or `]==]` of the text, a closing bracket appended.
fn long_bracket_level(text: &str) -> Option<usize> {
    let mut level = None;
    let mut open: Option<(u8, usize)> = None;
    for byte in text.bytes().chain([b']']) {
        open = match (byte, open) {
            (b'[' | b']', Some((bracket, equals))) if bracket == byte => {
                level = level.max(Some(equals));
                Some((byte, 0))
            }
            (b'[' | b']', _) => Some((byte, 0)),
            (b'=', Some((bracket, equals))) => Some((bracket, equals + 1)),
            _ => None,
        };
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_on_one_line() {
        let check = |value: Value, expected: &str| {
            assert_eq!(one_line(value.as_object().expect("a map")), expected);
        };
        check(
            json!({"service": {"id": "x"}, "name": "basic-auth", "consumer": null, "route": null}),
            r#"{consumer=null,name="basic-auth",route=null,service={id="x"}}"#,
        );
        check(json!({"a-b": 1, "end": "x"}), r#"{["a-b"]=1,["end"]="x"}"#);
    }

    #[test]
    fn tables_on_several_lines() {
        let check = |value: Value, expected: &str| assert_eq!(pretty(&value), expected);
        check(
            json!({"headers": ["invalid value: bad"], "@entity": ["x", "y"]}),
            "{\n  [\"@entity\"] = {\n    \"x\",\n    \"y\"\n  },\n  headers = {\n    \"invalid value: bad\"\n  }\n}",
        );
        check(json!([null, "bad"]), "{\n  [2] = \"bad\"\n}");
        check(json!({"a": "two\nlines"}), "{\n  a = [[two\nlines]]\n}");
        check(json!({"a": "ends with ]"}), "{\n  a = [=[ends with ]]=]\n}");
    }
}
