//! `kong.service.request`: what the upstream gets.

use super::super::call::Call;
use super::super::handler;
use super::super::json;
use super::super::native::{Args, Given, Native, boolean, nothing, number, shown, told};
use super::super::ngx::encode::URI;
use super::super::phase::{ACCESS, BALANCER, Phase, REWRITE};
use super::headers::{self, ONE, kind_of};
use crate::plugins::Scheme;
use mlua::{Lua, Table, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

const EARLY: u16 = REWRITE | ACCESS;
const SENDING: u16 = REWRITE | ACCESS | BALANCER;

const METHODS: [&str; 15] = [
    "GET",
    "HEAD",
    "PUT",
    "POST",
    "DELETE",
    "OPTIONS",
    "MKCOL",
    "COPY",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
    "PATCH",
    "TRACE",
];

pub const NATIVES: &[Native] = &[
    Native::only(
        "kong.service.request.set_scheme",
        SENDING,
        |call, _, args| {
            let scheme = args.needed(0, "scheme")?;
            let scheme = match scheme.as_str() {
                "http" => Scheme::Http,
                "https" => Scheme::Https,
                _ => return Err(format!("invalid scheme: {scheme}")),
            };
            // Before a route is found nothing is known of its service, which then decides.
            if call.phase != Phase::Rewrite {
                call.context.upstream.scheme = Some(scheme);
            }
            nothing()
        },
    ),
    Native::only("kong.service.request.set_path", SENDING, |call, _, args| {
        let path = args.string(0).ok_or("path must be a string")?;
        if !path.starts_with(b"/") {
            return Err("path must start with /".to_owned());
        }
        if call.phase != Phase::Rewrite {
            call.context.upstream.path = Some(encode_path(&path));
        }
        nothing()
    }),
    Native::only(
        "kong.service.request.set_raw_query",
        EARLY,
        |call, _, args| {
            let query = args.string(0).ok_or("query must be a string")?;
            call.context.upstream.query = Some(query);
            nothing()
        },
    ),
    Native::only("kong.service.request.set_method", EARLY, |call, _, args| {
        let method = args.needed(0, "method")?;
        if !METHODS.contains(&method.as_str()) {
            return Err(format!("invalid method: {method}"));
        }
        call.context.upstream.method = Some(method.into_bytes().into());
        nothing()
    }),
    Native::only("kong.service.request.set_query", EARLY, |call, _, args| {
        let table = args.table(0).ok_or("args must be a table")?;
        call.context.upstream.query = Some(encode_arguments(table)?);
        nothing()
    }),
    Native::only(
        "kong.service.request.clear_query_arg",
        EARLY,
        |call, _, args| {
            let name = args.needed(0, "query argument name")?;
            let query = call.context.effective_query().unwrap_or_default();
            call.context.upstream.query = Some(crate::http::query::without(query, name.as_bytes()));
            super::super::native::nil()
        },
    ),
    Native::only(
        "kong.service.request.set_header",
        SENDING,
        |call, _, args| {
            let name = args.needed(0, "header")?;
            let values = headers::values_of(&name, args.get(1), ONE)?;
            headers::set(call.context.request_edits, &name, &values);
            nothing()
        },
    ),
    Native::only("kong.service.request.add_header", EARLY, |call, _, args| {
        let name = args.needed(0, "header")?;
        match args.get(1) {
            Value::String(_) | Value::Boolean(_) | Value::Table(_) => {}
            value if number(value).is_some() => {}
            value => {
                let kind = kind_of(value);
                return Err(format!(
                    "invalid header value for \"{name}\": got {kind}, expected {ONE}"
                ));
            }
        }
        // A list is written as Lua shows it, as with Kong.
        let value = headers::trimmed(args.get(1));
        match name.eq_ignore_ascii_case("host") {
            true => call.context.request_edits.set(&name, value),
            false => call.context.request_edits.add(&name, value),
        }
        nothing()
    }),
    Native::only(
        "kong.service.request.clear_header",
        EARLY,
        |call, _, args| {
            let name = args.needed(0, "header")?;
            call.context.request_edits.remove(&name);
            nothing()
        },
    ),
    Native::only(
        "kong.service.request.set_headers",
        EARLY,
        |call, _, args| {
            let table = args.table(0).ok_or("headers must be a table")?;
            for (name, values) in headers::table_of(table)? {
                headers::set(call.context.request_edits, &name, &values);
            }
            nothing()
        },
    ),
    Native::only(
        "kong.service.request.set_raw_body",
        SENDING,
        |call, _, args| {
            let body = args.string(0).ok_or("body must be a string")?;
            call.context.upstream.body = Some(body);
            nothing()
        },
    ),
    Native::only("kong.service.request.set_body", EARLY, set_body),
    Native::only(
        "kong.service.request.enable_buffering",
        SENDING,
        |call, _, _| {
            handler::shared(call.context.shared).buffering = true;
            nothing()
        },
    ),
];

/// What a path may have as it stands.
const PATH: &AsciiSet = &URI.remove(b'?').remove(b'%');

/// Bytes that no request line may have are encoded; what is encoded stays so.
fn encode_path(path: &[u8]) -> Vec<u8> {
    percent_encode(path, PATH).to_string().into_bytes()
}

/// What an argument may have as it stands.
pub const ARGUMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A table of arguments as a query, in the order of their names.
///
/// # Errors
/// A value is no string, number, boolean or list of them.
pub fn encode_arguments(table: &Table) -> Result<Vec<u8>, String> {
    let mut pairs = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (name, value) = pair.map_err(told)?;
        if !matches!(name, Value::String(_)) {
            return Err("arg keys must be strings".to_owned());
        }
        pairs.push((shown(&name), value));
    }
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = Vec::new();
    for (name, value) in pairs {
        match value {
            Value::Table(values) => {
                for value in values.sequence_values::<Value>() {
                    push(&mut out, &name, &value.map_err(told)?)?;
                }
            }
            value => push(&mut out, &name, &value)?,
        }
    }
    Ok(out)
}

fn push(out: &mut Vec<u8>, name: &[u8], value: &Value) -> Result<(), String> {
    let value = match value {
        Value::Boolean(false) => return Ok(()),
        Value::Boolean(true) => None,
        Value::String(_) => Some(shown(value)),
        value if number(value).is_some() => Some(shown(value)),
        value => {
            let name = String::from_utf8_lossy(name);
            return Err(format!(
                "invalid value for argument '{name}': got {}",
                kind_of(value)
            ));
        }
    };
    if !out.is_empty() {
        out.push(b'&');
    }
    let encode = |text: &[u8]| percent_encode(text, ARGUMENT).to_string().into_bytes();
    out.extend_from_slice(&encode(name));
    if let Some(value) = value {
        out.push(b'=');
        out.extend_from_slice(&encode(&value));
    }
    Ok(())
}

fn set_body(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let table = args.table(0).ok_or("args must be a table")?;
    let given = match args.get(1) {
        Value::Nil => None,
        Value::String(text) => Some(text.to_string_lossy()),
        _ => return Err("mime must be a string".to_owned()),
    };
    let own = call.context.request_header("content-type");
    let own = own.map(|value| String::from_utf8_lossy(value).into_owned());
    let wanted = given.clone().or(own).ok_or(
        "content type was neither explicitly given as an argument or received as a header",
    )?;
    let media = wanted
        .split(';')
        .next()
        .unwrap_or(&wanted)
        .trim()
        .to_ascii_lowercase();
    let (body, content_type) = match media.as_str() {
        "application/json" => (json::encode(args.get(0))?.into_bytes(), wanted),
        "application/x-www-form-urlencoded" => (encode_arguments(table)?, wanted),
        "multipart/form-data" => {
            let boundary = format!("{:020}", rand::random::<u64>());
            let content_type = format!("multipart/form-data; boundary={boundary}");
            (multipart(table, &boundary)?, content_type)
        }
        _ => return Err(format!("unsupported content type {wanted}")),
    };
    call.context.upstream.body = Some(body);
    call.context.request_edits.set("Content-Type", content_type);
    boolean(true)
}

fn multipart(fields: &Table, boundary: &str) -> Result<Vec<u8>, String> {
    let mut pairs = Vec::new();
    for pair in fields.pairs::<Value, Value>() {
        let (name, value) = pair.map_err(told)?;
        if !matches!(name, Value::String(_)) {
            return Err("arg keys must be strings".to_owned());
        }
        if !matches!(value, Value::String(_) | Value::Boolean(_)) && number(&value).is_none() {
            let name = String::from_utf8_lossy(&shown(&name)).into_owned();
            return Err(format!(
                "invalid value \"{name}\": got {}, expected string, number or boolean",
                kind_of(&value)
            ));
        }
        pairs.push((shown(&name), shown(&value)));
    }
    pairs.sort();
    let mut body = Vec::new();
    for (name, value) in pairs {
        body.extend_from_slice(
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"").as_bytes(),
        );
        body.extend(
            name.iter()
                .filter(|byte| !matches!(byte, b'"' | b'\r' | b'\n')),
        );
        body.extend_from_slice(b"\"\r\n\r\n");
        body.extend_from_slice(&value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(body)
}
