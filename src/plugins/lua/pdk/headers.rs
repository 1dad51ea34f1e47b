//! Headers as tables of Lua's, and values of Lua's as headers.

use super::super::call::Call;
use super::super::native::{Args, Given, bytes, many, number, shown, told};
use crate::http::{HeaderEdits, HeaderIndex};
use mlua::{Lua, Table, Value};
use std::collections::HashMap;

/// So many are given where nobody says how many.
const DEFAULT: usize = 100;

/// How many a caller wants.
///
/// # Errors
/// As Kong refuses it; `what` is the argument's name.
pub fn limit(args: &Args, index: usize, what: &str) -> Result<usize, String> {
    if args.is_nil(index) {
        return Ok(DEFAULT);
    }
    let Some(number) = args.number(index) else {
        return Err(format!("{what} must be a number"));
    };
    match number {
        number if number < 1.0 => Err(format!("{what} must be >= 1")),
        number if number > 1000.0 => Err(format!("{what} must be <= 1000")),
        number => Ok(number as usize),
    }
}

/// A table of header lines: a string for one value, a list for several. `raw` keeps the case of names.
/// The second value says when there were more than `most`.
pub fn headers_table<'a>(
    lua: &Lua,
    lines: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    most: usize,
    raw: bool,
) -> Given {
    let mut order: Vec<Vec<u8>> = Vec::new();
    let mut found: HashMap<Vec<u8>, Vec<&'a [u8]>> = HashMap::new();
    let mut truncated = false;
    for (at, (name, value)) in lines.enumerate() {
        if at == most {
            truncated = true;
            break;
        }
        let name = match raw {
            true => name.to_vec(),
            false => name.to_ascii_lowercase(),
        };
        found
            .entry(name)
            .or_insert_with_key(|name| {
                order.push(name.clone());
                Vec::new()
            })
            .push(value);
    }
    let table = lua.create_table().map_err(told)?;
    for name in order {
        let values = found.get(&name).map(Vec::as_slice).unwrap_or_default();
        let value = match values {
            [one] => bytes(lua, one)?,
            several => Value::Table(list(lua, several)?),
        };
        table.raw_set(bytes(lua, &name)?, value).map_err(told)?;
    }
    let second = match truncated {
        true => bytes(lua, "truncated")?,
        false => Value::Nil,
    };
    many([Value::Table(table), second])
}

fn list(lua: &Lua, values: &[&[u8]]) -> Result<Table, String> {
    let list = lua.create_table().map_err(told)?;
    for value in values {
        list.raw_push(bytes(lua, value)?).map_err(told)?;
    }
    Ok(list)
}

/// The response's header lines as they stand.
pub fn response_headers(call: &Call<'_, '_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    let none = HeaderIndex::default();
    let Some(response) = &call.context.response else {
        return call
            .context
            .response_edits
            .apply(&none)
            .map(owned)
            .collect();
    };
    if let Some(sent) = response.sent {
        return sent.iter().map(owned).collect();
    }
    let head = response.head.map_or(&none, |head| &head.headers);
    call.context.response_edits.apply(head).map(owned).collect()
}

/// The values of a header that a caller sets.
///
/// # Errors
/// As Kong refuses them.
pub fn values_of(name: &str, value: &Value, expected: &str) -> Result<Vec<Vec<u8>>, String> {
    let refuse = |value: &Value| {
        let kind = kind_of(value);
        Err(format!(
            "invalid header value for \"{name}\": got {kind}, expected {expected}"
        ))
    };
    match value {
        Value::Table(values) => {
            let mut lines = Vec::new();
            for value in values.sequence_values::<Value>() {
                let value = value.map_err(told)?;
                if !matches!(value, Value::String(_)) {
                    return refuse(&value);
                }
                lines.push(trimmed(&value));
            }
            Ok(lines)
        }
        Value::String(_) | Value::Boolean(_) => Ok(vec![trimmed(value)]),
        value if number(value).is_some() => Ok(vec![trimmed(value)]),
        value => refuse(value),
    }
}

/// One value as a header has it: without blanks around it.
pub fn trimmed(value: &Value) -> Vec<u8> {
    shown(value).trim_ascii().to_vec()
}

/// The name of a value's type as Lua knows it.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) | Value::Number(_) => "number",
        Value::LightUserData(_) => "userdata",
        other => other.type_name(),
    }
}

pub const ONE: &str = "array of string, string, number or boolean";
pub const SEVERAL: &str = "string, number, boolean or array of strings";

/// Sets a header to these values.
pub fn set(edits: &mut HeaderEdits, name: &str, values: &[Vec<u8>]) {
    edits.remove(name);
    for (at, value) in values.iter().enumerate() {
        match at {
            0 => edits.set(name, value),
            _ => edits.add(name, value),
        }
    }
}

/// A name, and the values of its lines.
type Header = (String, Vec<Vec<u8>>);

/// The names and values of a table of headers that a caller sets, checked before any is set.
///
/// # Errors
/// As Kong refuses them.
pub fn table_of(headers: &Table) -> Result<Vec<Header>, String> {
    let mut lines = Vec::new();
    for pair in headers.pairs::<Value, Value>() {
        let (name, value) = pair.map_err(told)?;
        let Value::String(name) = name else {
            let kind = kind_of(&name);
            return Err(format!("invalid header name: got {kind}, expected string"));
        };
        let name = name.to_string_lossy();
        let values = values_of(&name, &value, SEVERAL)?;
        lines.push((name, values));
    }
    Ok(lines)
}
