//! `kong.request`: what the client has sent.

use super::super::call::Call;
use super::super::native::{Args, Given, Native, bytes, many, maybe, nil, one, text, told};
use super::super::phase::Phase;
use super::headers::{headers_table, limit};
use crate::http::query::{self, Argument};
use crate::http::{Version, host_without_port};
use crate::plugins::HeaderName;
use mlua::{Lua, Table, Value};

pub const NATIVES: &[Native] = &[
    Native::any("kong.request.get_scheme", |call, lua, _| {
        text(lua, scheme(call))
    }),
    Native::any("kong.request.get_host", |call, lua, _| {
        text(lua, host(call))
    }),
    Native::any("kong.request.get_port", |call, _, _| {
        one(Value::Number(call.context.peer.local.port().into()))
    }),
    Native::any(
        "kong.request.get_forwarded_scheme",
        |call, lua, _| match claimed(call, "x-forwarded-proto") {
            Some(scheme) => text(lua, scheme.to_ascii_lowercase()),
            None => text(lua, scheme_of_connection(call)),
        },
    ),
    Native::any(
        "kong.request.get_forwarded_host",
        |call, lua, _| match claimed(call, "x-forwarded-host") {
            Some(host) => text(lua, host_without_port(&host).to_ascii_lowercase()),
            None => text(lua, host(call)),
        },
    ),
    Native::any("kong.request.get_forwarded_port", |call, _, _| {
        let told = claimed(call, "x-forwarded-port");
        let told = told.and_then(|port| String::from_utf8_lossy(&port).parse::<u16>().ok());
        let port = told.unwrap_or(call.context.peer.visible_port);
        one(Value::Number(port.into()))
    }),
    Native::any(
        "kong.request.get_forwarded_path",
        |call, lua, _| match claimed(call, "x-forwarded-path") {
            Some(path) => text(lua, path),
            None => text(lua, call.context.path()),
        },
    ),
    Native::any("kong.request.get_forwarded_prefix", forwarded_prefix),
    Native::any("kong.request.get_http_version", |call, _, _| {
        one(Value::Number(version(call)))
    }),
    Native::any("kong.request.get_method", |call, lua, _| {
        text(lua, method(call))
    }),
    Native::any("kong.request.get_path", |call, lua, _| {
        text(lua, call.context.path())
    }),
    Native::any("kong.request.get_raw_path", |call, lua, _| {
        text(lua, call.context.head.path())
    }),
    Native::any("kong.request.get_path_with_query", |call, lua, _| {
        let mut path = call.context.path().as_bytes().to_vec();
        if let Some(query) = call
            .context
            .effective_query()
            .filter(|query| !query.is_empty())
        {
            path.push(b'?');
            path.extend_from_slice(query);
        }
        text(lua, path)
    }),
    Native::any("kong.request.get_raw_query", |call, lua, _| {
        text(lua, call.context.effective_query().unwrap_or_default())
    }),
    Native::any("kong.request.get_query_arg", |call, lua, args| {
        let name = args.needed(0, "query argument name")?;
        let query = call.context.effective_query().unwrap_or_default();
        match query::values(query, name.as_bytes()).next() {
            None => nil(),
            Some(None) => one(Value::Boolean(true)),
            Some(Some(value)) => text(lua, value),
        }
    }),
    Native::any("kong.request.get_query", |call, lua, args| {
        let most = limit(args, 0, "max_args")?;
        let query = call.context.effective_query().unwrap_or_default();
        arguments_table(lua, query, most)
    }),
    Native::any("kong.request.get_header", |call, lua, args| {
        let name = HeaderName::from(args.needed(0, "header name")?);
        maybe(lua, call.context.configured_header(&name))
    }),
    Native::any("kong.request.get_headers", |call, lua, args| {
        let most = limit(args, 0, "max_headers")?;
        let context = &call.context;
        let lines = context.request_edits.apply(&context.head.headers);
        headers_table(lua, lines, most, false)
    }),
    Native::any("kong.request.get_uri_captures", uri_captures),
    Native::any("kong.request.get_start_time", |call, _, _| {
        one(Value::Number(call.context.started.0 as f64))
    }),
];

fn scheme_of_connection(call: &Call<'_, '_>) -> &'static str {
    match call.context.peer.https {
        true => "https",
        false => "http",
    }
}

fn scheme(call: &mut Call<'_, '_>) -> &'static str {
    scheme_of_connection(call)
}

/// The Host as it is now, in lower case, without a port.
pub fn host(call: &Call<'_, '_>) -> Vec<u8> {
    let host = call.context.request_header("host").unwrap_or_default();
    let host = host_without_port(host);
    host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase()
}

/// A header of a trusted peer.
pub fn claimed(call: &Call<'_, '_>, name: &str) -> Option<Vec<u8>> {
    let value = call
        .context
        .peer
        .trusted
        .then(|| call.context.request_header(name));
    let value = value.flatten().filter(|value| !value.is_empty())?;
    let first = value.split(|byte| *byte == b',').next().unwrap_or(value);
    Some(first.trim_ascii().to_vec())
}

/// The method as it is now.
pub fn method(call: &Call<'_, '_>) -> Vec<u8> {
    let changed = call.context.upstream.method.as_deref();
    changed
        .unwrap_or_else(|| call.context.head.method())
        .to_vec()
}

pub fn version(call: &Call<'_, '_>) -> f64 {
    match call.context.head.version {
        Version::Http10 => 1.0,
        Version::Http11 => 1.1,
        Version::Http2 => 2.0,
    }
}

fn forwarded_prefix(call: &mut Call<'_, '_>, lua: &Lua, _: &Args) -> Given {
    if let Some(prefix) = claimed(call, "x-forwarded-prefix") {
        return text(lua, prefix);
    }
    let Some(matched) = call
        .context
        .matched
        .filter(|_| call.phase != Phase::Rewrite)
    else {
        return text(lua, "");
    };
    let stripped = matched.stripped_prefix(call.context.path());
    maybe(lua, stripped.filter(|prefix| *prefix != "/"))
}

/// Arguments of a query or a form: a string or `true` for one, a list for several.
pub fn arguments_table(lua: &Lua, encoded: &[u8], most: usize) -> Given {
    let table = lua.create_table().map_err(told)?;
    let mut truncated = false;
    for (at, argument) in query::arguments(encoded).enumerate() {
        if at == most {
            truncated = true;
            break;
        }
        add(lua, &table, argument)?;
    }
    let second = match truncated {
        true => bytes(lua, "truncated")?,
        false => Value::Nil,
    };
    many([Value::Table(table), second])
}

fn add(lua: &Lua, table: &Table, argument: Argument<'_>) -> Result<(), String> {
    let name = bytes(lua, argument.name())?;
    let value = match argument.value() {
        Some(value) => bytes(lua, value)?,
        None => Value::Boolean(true),
    };
    let before: Value = table.raw_get(name.clone()).map_err(told)?;
    let after = match before {
        Value::Nil => value,
        Value::Table(list) => {
            return list.raw_push(value).map_err(told);
        }
        first => Value::Table(lua.create_sequence_from([first, value]).map_err(told)?),
    };
    table.raw_set(name, after).map_err(told)
}

fn uri_captures(call: &mut Call<'_, '_>, lua: &Lua, _: &Args) -> Given {
    let (named, unnamed) = (
        lua.create_table().map_err(told)?,
        lua.create_table().map_err(told)?,
    );
    if let Some(matched) = call
        .context
        .matched
        .filter(|_| call.phase != Phase::Rewrite)
    {
        let captures = matched.captures(call.context.path());
        let has_some = !captures.unnamed.is_empty() || !captures.named.is_empty();
        if has_some {
            let whole = matched.captured(call.context.path()).unwrap_or_default();
            unnamed.raw_set(0, bytes(lua, whole)?).map_err(told)?;
        }
        for (at, group) in captures.unnamed.iter().enumerate() {
            unnamed.raw_set(at + 1, bytes(lua, group)?).map_err(told)?;
        }
        for (name, group) in &captures.named {
            named
                .raw_set(name.as_str(), bytes(lua, group)?)
                .map_err(told)?;
        }
    }
    let captures = lua.create_table().map_err(told)?;
    captures.raw_set("named", named).map_err(told)?;
    captures.raw_set("unnamed", unnamed).map_err(told)?;
    one(Value::Table(captures))
}
