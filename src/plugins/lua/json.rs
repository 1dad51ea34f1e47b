//! JSON as `cjson` reads and writes it.

use super::native::{self, number};
use mlua::{Function, Lua, Table, Value};
use serde_json::{Map, Value as Json};

/// Deeper values are refused.
const DEPTH: usize = 1000;

/// A key that lists have when they must stay lists though they are empty.
const EMPTY_ARRAY: &str = "langur empty array";

/// Lua's value of a JSON document. Where `nulls`, what is null is `cjson.null`, else it is left out.
pub fn to_lua(lua: &Lua, json: &Json, nulls: bool) -> mlua::Result<Value> {
    Ok(match json {
        Json::Null if nulls => Value::NULL,
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or_default()),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (index, item) in items.iter().enumerate() {
                table.raw_set(index + 1, to_lua(lua, item, nulls)?)?;
            }
            Value::Table(table)
        }
        Json::Object(fields) => Value::Table(object(lua, fields, nulls)?),
    })
}

/// Lua's table of a JSON object.
pub fn object(lua: &Lua, fields: &Map<String, Json>, nulls: bool) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, fields.len())?;
    for (name, value) in fields {
        table.raw_set(name.as_str(), to_lua(lua, value, nulls)?)?;
    }
    Ok(table)
}

/// The JSON of a value of Lua's.
///
/// # Errors
/// It has none; the text says why, as `cjson` does.
pub fn from_lua(value: &Value) -> Result<Json, String> {
    from_lua_at(value, 0)
}

fn from_lua_at(value: &Value, depth: usize) -> Result<Json, String> {
    if depth > DEPTH {
        return Err("Cannot serialise, excessive depth (1001)".to_owned());
    }
    match value {
        Value::Nil => Ok(Json::Null),
        Value::Boolean(value) => Ok(Json::Bool(*value)),
        Value::LightUserData(null) if null.0.is_null() => Ok(Json::Null),
        Value::Integer(_) | Value::Number(_) => {
            let value = number(value).unwrap_or_default();
            if !value.is_finite() {
                return Err("Cannot serialise number: must not be NaN or Infinity".to_owned());
            }
            Ok(json_number(value))
        }
        Value::String(text) => Ok(Json::String(text.to_string_lossy())),
        Value::Table(table) => from_table(table, depth),
        other => Err(format!(
            "Cannot serialise {}: type not supported",
            other.type_name()
        )),
    }
}

/// Fourteen digits, as `cjson` writes them.
fn json_number(value: f64) -> Json {
    let text = super::number::text(value);
    text.parse::<i64>().map_or_else(
        |_| {
            let shown = text.parse::<f64>().unwrap_or(value);
            serde_json::Number::from_f64(shown).map_or(Json::Null, Json::Number)
        },
        Json::from,
    )
}

fn from_table(table: &Table, depth: usize) -> Result<Json, String> {
    if is_empty_array(table) {
        return Ok(Json::Array(Vec::new()));
    }
    let length = table.raw_len();
    let mut fields = Map::new();
    let mut items = 0;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(native::told)?;
        match number(&key) {
            Some(index) if index >= 1.0 && index.fract() == 0.0 && index <= length as f64 => {
                items += 1;
            }
            _ => {}
        }
        let name = match &key {
            Value::String(text) => text.to_string_lossy(),
            Value::Integer(_) | Value::Number(_) => {
                super::number::text(number(&key).unwrap_or_default())
            }
            _ => {
                return Err(
                    "Cannot serialise table: table key must be a number or string".to_owned(),
                );
            }
        };
        fields.insert(name, from_lua_at(&value, depth + 1)?);
    }
    if items == 0 || items != fields.len() {
        return Ok(Json::Object(fields));
    }
    let items = (1..=length).map(|index| {
        let item: Value = table.raw_get(index).map_err(native::told)?;
        from_lua_at(&item, depth + 1)
    });
    Ok(Json::Array(items.collect::<Result<_, _>>()?))
}

fn is_empty_array(table: &Table) -> bool {
    let marked = |metatable: Table| metatable.raw_get::<bool>(EMPTY_ARRAY).unwrap_or(false);
    table.raw_len() == 0 && table.metatable().is_some_and(marked)
}

/// A value as compact JSON.
///
/// # Errors
/// See [`from_lua`].
pub fn encode(value: &Value) -> Result<String, String> {
    Ok(from_lua(value)?.to_string())
}

/// The modules that functions may require, each made when it is first asked for.
pub fn modules(lua: &Lua) -> mlua::Result<Table> {
    let modules = lua.create_table()?;
    modules.raw_set("cjson", maker(lua, false)?)?;
    modules.raw_set("cjson.safe", maker(lua, true)?)?;
    Ok(modules)
}

fn maker(lua: &Lua, safe: bool) -> mlua::Result<Function> {
    lua.create_function(move |lua, ()| cjson(lua, safe))
}

fn cjson(lua: &Lua, safe: bool) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    let fail = move |message: String| match safe {
        true => Ok((Value::Nil, Some(message))),
        false => Err(message),
    };
    let encode_value = lua.create_function(move |lua, value: Value| {
        Ok(outcome(match encode(&value) {
            Ok(text) => Ok((Value::String(lua.create_string(text)?), None)),
            Err(message) => fail(message),
        }))
    })?;
    let decode_value = lua.create_function(move |lua, text: mlua::String| {
        let decoded = serde_json::from_slice::<Json>(&text.as_bytes());
        Ok(outcome(match decoded {
            Ok(json) => Ok((to_lua(lua, &json, true)?, None)),
            Err(error) => fail(format!("Expected value but found invalid token: {error}")),
        }))
    })?;
    // Errors are raised by Lua, so that they are texts and have a place.
    let raising = lua.load(
        "local inner = ... return function(...) local ok, value, message, raised = inner(...) \
         if not ok then error(raised, 2) end if message then return value, message end return value end",
    );
    let raising = raising.set_name("=cjson").into_function()?;
    module.raw_set("encode", raising.call::<Function>(encode_value)?)?;
    module.raw_set("decode", raising.call::<Function>(decode_value)?)?;
    module.raw_set("null", Value::NULL)?;
    let empty = lua.create_table()?;
    let mark = lua.create_table()?;
    mark.raw_set(EMPTY_ARRAY, true)?;
    empty.set_metatable(Some(mark.clone()))?;
    module.raw_set("empty_array", empty)?;
    module.raw_set("empty_array_mt", mark.clone())?;
    module.raw_set("array_mt", mark)?;
    module.raw_set("_VERSION", "2.1.0.11")?;
    module.raw_set("new", maker(lua, safe)?)?;
    let ignored = lua.create_function(|_, value: Value| Ok(value))?;
    for name in [
        "encode_empty_table_as_object",
        "encode_sparse_array",
        "encode_max_depth",
        "decode_max_depth",
        "encode_number_precision",
        "encode_keep_buffer",
        "decode_array_with_array_mt",
        "decode_invalid_numbers",
        "encode_invalid_numbers",
        "encode_escape_forward_slash",
    ] {
        module.raw_set(name, ignored.clone())?;
    }
    Ok(module)
}

type Outcome = Result<(Value, Option<String>), String>;

/// Whether it went well, the value or the error, and what a safe call says in place of an error.
fn outcome(result: Outcome) -> (bool, Value, Option<String>, Option<String>) {
    match result {
        Ok((value, message)) => (true, value, message, None),
        Err(message) => (false, Value::Nil, None, Some(message)),
    }
}
