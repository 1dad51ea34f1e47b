//! `ngx.header`, `ngx.status`, `ngx.arg` and the response's headers.

use super::super::call::Call;
use super::super::native::{
    Args, Given, Native, boolean, bytes, nil, nothing, number, one, shown, told,
};
use super::super::pdk::{headers_table, response_headers};
use super::super::phase::{BODY_FILTER, Phase};
use bytes::Bytes;
use mlua::{Lua, Value};

pub const NATIVES: &[Native] = &[
    Native::any("hidden.header_get", header_get),
    Native::any("hidden.header_set", header_set),
    Native::any("ngx.resp.get_headers", |call, lua, args| {
        let most = match args.number(0) {
            None => 100,
            Some(0.0) => usize::MAX,
            Some(most) => most.max(0.0) as usize,
        };
        let raw = args.boolean(1).unwrap_or(false);
        let lines = response_headers(call);
        let lines = lines.iter().map(|(name, value)| (&**name, &**value));
        headers_table(lua, lines, most, raw)
    }),
    Native::any("hidden.status_get", |call, _, _| {
        let status = match &call.context.response {
            Some(response) => *response.status,
            None => call.said.status.unwrap_or_default(),
        };
        one(Value::Number(status.into()))
    }),
    Native::any("hidden.status_set", |call, _, args| {
        let status = number(args.get(0)).or_else(|| {
            let text = args.string(0)?;
            std::str::from_utf8(&text).ok()?.parse().ok()
        });
        let status = status.ok_or("number expected for ngx.status")? as u16;
        match &mut call.context.response {
            Some(response) if call.phase == Phase::HeaderFilter => *response.status = status,
            // The head has left.
            Some(_) => {}
            None => call.said.status = Some(status),
        }
        nothing()
    }),
    Native::any("hidden.headers_sent", |call, _, _| {
        let sent = matches!(call.phase, Phase::BodyFilter | Phase::Log);
        boolean(sent || call.said.printed.is_some())
    }),
    Native::only("hidden.arg_get", BODY_FILTER, |call, lua, args| {
        let Some(chunk) = call.chunk.as_deref() else {
            return nil();
        };
        match number(args.get(0)) {
            Some(1.0) => one(bytes(lua, &chunk.data)?),
            Some(2.0) => boolean(chunk.last),
            _ => nil(),
        }
    }),
    Native::only("hidden.arg_set", BODY_FILTER, arg_set),
];

/// Underscores in the name of a field stand for hyphens.
fn name_of(args: &Args) -> Result<String, String> {
    Ok(args.needed(0, "header name")?.replace('_', "-"))
}

fn header_get(call: &mut Call<'_, '_>, lua: &Lua, args: &Args) -> Given {
    let name = name_of(args)?;
    let wanted = name.as_bytes();
    let lines = response_headers(call);
    let values = lines
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let values: Vec<&Vec<u8>> = values.map(|(_, value)| value).collect();
    match values.as_slice() {
        [] => nil(),
        [value] => one(bytes(lua, value)?),
        several => {
            let list = lua.create_table().map_err(told)?;
            for value in several {
                list.raw_push(bytes(lua, value)?).map_err(told)?;
            }
            one(Value::Table(list))
        }
    }
}

fn header_set(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let name = name_of(args)?;
    if matches!(call.phase, Phase::BodyFilter | Phase::Log) {
        // The head has left.
        return nothing();
    }
    let edits = &mut *call.context.response_edits;
    match args.get(1) {
        Value::Nil => edits.remove(&name),
        Value::Table(values) => {
            edits.remove(&name);
            for (at, value) in values.sequence_values::<Value>().enumerate() {
                let value = shown(&value.map_err(told)?);
                match at {
                    0 => edits.set(&name, value),
                    _ => edits.add(&name, value),
                }
            }
        }
        value => edits.set(&name, shown(value)),
    }
    nothing()
}

fn arg_set(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let Some(chunk) = call.chunk.as_deref_mut() else {
        return nothing();
    };
    match number(args.get(0)) {
        Some(1.0) => {
            chunk.data = match args.get(1) {
                Value::Nil => Bytes::new(),
                Value::Table(parts) => {
                    let mut data = Vec::new();
                    for part in parts.sequence_values::<Value>() {
                        data.extend_from_slice(&shown(&part.map_err(told)?));
                    }
                    data.into()
                }
                Value::String(_) | Value::Number(_) | Value::Integer(_) => args.shown(1).into(),
                other => {
                    return Err(format!("bad chunk data type: {}", other.type_name()));
                }
            };
        }
        Some(2.0) => {
            let ends = !matches!(args.get(1), Value::Nil | Value::Boolean(false));
            chunk.last = ends;
        }
        _ => return Err("bad argument key to ngx.arg".to_owned()),
    }
    nothing()
}
