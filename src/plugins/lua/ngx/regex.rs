//! Regular expressions, as far as the syntax of Rust's engine goes: no look-around and no
//! back references. The prelude builds `ngx.re` on these two functions.

use super::super::call::Call;
use super::super::native::{Args, Given, Native, bytes, many, nil, text, told};
use mlua::{Lua, Value};
use regex::bytes::{Captures, Regex, RegexBuilder};
use std::cell::RefCell;
use std::collections::HashMap;

pub const NATIVES: &[Native] = &[
    Native::any("hidden.re_captures", captures),
    Native::any("hidden.re_expand", expand),
];

/// Compiled expressions of a worker are forgotten when there are more.
const KEPT: usize = 512;

thread_local! {
    static COMPILED: RefCell<HashMap<(String, String), Regex>> = RefCell::default();
}

fn compiled(pattern: &str, flags: &str) -> Result<Regex, String> {
    let key = (pattern.to_owned(), flags.to_owned());
    if let Some(found) = COMPILED.with_borrow(|kept| kept.get(&key).cloned()) {
        return Ok(found);
    }
    let has = |flag: char| flags.contains(flag);
    // Kong's expressions are of bytes unless they say `u`.
    let regex = RegexBuilder::new(pattern)
        .unicode(has('u') || has('U'))
        .case_insensitive(has('i'))
        .multi_line(has('m'))
        .dot_matches_new_line(has('s'))
        .ignore_whitespace(has('x'))
        .size_limit(4 * 1024 * 1024)
        .build()
        .map_err(|error| refusal(pattern, &error.to_string()))?;
    COMPILED.with_borrow_mut(|kept| {
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, regex.clone());
    });
    Ok(regex)
}

fn refusal(pattern: &str, reason: &str) -> String {
    let reason = match reason {
        reason if reason.contains("unclosed group") => "missing closing parenthesis",
        reason if reason.contains("unclosed character class") => {
            "missing terminating ] for character class"
        }
        reason if reason.contains("repetition operator missing") => {
            "quantifier does not follow a repeatable item"
        }
        reason if reason.contains("unopened group") => "unmatched closing parenthesis",
        reason => reason.lines().last().unwrap_or(reason),
    };
    format!("pcre2_compile() failed: {reason} in \"{pattern}\"")
}

/// Subject, expression, flags, start: the captures, first and last place, the places of groups.
fn captures(_: &mut Call<'_, '_>, lua: &Lua, args: &Args) -> Given {
    let subject = args.shown(0);
    let pattern = args.needed(1, "regex")?;
    let flags = args.needed(2, "options")?;
    let start = args.number(3).unwrap_or(1.0).max(1.0) as usize - 1;
    let regex = compiled(&pattern, &flags)?;
    if start > subject.len() {
        return nil();
    }
    let Some(found) = regex.captures_at(&subject, start) else {
        return nil();
    };
    let Some(whole) = found.get(0) else {
        return nil();
    };
    if flags.contains('a') && whole.start() != start {
        return nil();
    }
    let places = lua.create_table().map_err(told)?;
    for (at, group) in found.iter().enumerate().skip(1) {
        if let Some(group) = group {
            let place = lua.create_sequence_from([group.start() + 1, group.end()]);
            places.raw_set(at, place.map_err(told)?).map_err(told)?;
        }
    }
    let (first, last) = (whole.start() as f64 + 1.0, whole.end() as f64);
    many([
        table_of(lua, &regex, &found)?,
        Value::Number(first),
        Value::Number(last),
        Value::Table(places),
    ])
}

fn table_of(lua: &Lua, regex: &Regex, found: &Captures<'_>) -> Result<Value, String> {
    let table = lua.create_table().map_err(told)?;
    for (at, group) in found.iter().enumerate() {
        let value = match group {
            Some(group) => bytes(lua, group.as_bytes())?,
            None => Value::Boolean(false),
        };
        table.raw_set(at, value).map_err(told)?;
    }
    for name in regex.capture_names().flatten() {
        let value = match found.name(name) {
            Some(group) => bytes(lua, group.as_bytes())?,
            None => Value::Boolean(false),
        };
        table.raw_set(name, value).map_err(told)?;
    }
    Ok(Value::Table(table))
}

/// A replacement with `$0`, `$1`, `${name}` and `$$` filled in.
fn expand(_: &mut Call<'_, '_>, lua: &Lua, args: &Args) -> Given {
    let template = args.shown(0);
    let captures = args.table(1).ok_or("captures must be a table")?;
    let value = |key: Value| -> Result<Vec<u8>, String> {
        let value: Value = captures.raw_get(key).map_err(told)?;
        Ok(match value {
            Value::String(text) => text.as_bytes().to_vec(),
            _ => Vec::new(),
        })
    };
    let mut out = Vec::with_capacity(template.len());
    let mut rest = template.as_slice();
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.first() {
            Some(b'$') => {
                out.push(b'$');
                rest = &rest[1..];
            }
            Some(b'{') => {
                let end = rest.iter().position(|byte| *byte == b'}');
                let end = end.ok_or("the closing bracket in \"${\" is missing")?;
                let name = String::from_utf8_lossy(&rest[1..end]).into_owned();
                let key = match name.parse::<i64>() {
                    Ok(number) => Value::Integer(number),
                    Err(_) => bytes(lua, name)?,
                };
                out.extend_from_slice(&value(key)?);
                rest = &rest[end + 1..];
            }
            Some(byte) if byte.is_ascii_digit() => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let number = String::from_utf8_lossy(&rest[..digits])
                    .parse()
                    .unwrap_or(0);
                out.extend_from_slice(&value(Value::Integer(number))?);
                rest = &rest[digits..];
            }
            _ => return Err("invalid capturing variable name found".to_owned()),
        }
    }
    out.extend_from_slice(rest);
    text(lua, out)
}
