//! `ngx.req`.

use super::super::call::Call;
use super::super::native::{
    Args, Given, Native, boolean, maybe, nil, nothing, one, shown, text, told,
};
use super::super::pdk::{arguments_table, encode_arguments, headers_table, method, version};
use super::super::phase::{ACCESS, Phase, REWRITE};
use crate::plugins::Timestamp;
use mlua::{Lua, Value};

const EARLY: u16 = REWRITE | ACCESS;

const METHODS: [(&str, u32); 15] = [
    ("GET", 2),
    ("HEAD", 4),
    ("POST", 8),
    ("PUT", 16),
    ("DELETE", 32),
    ("MKCOL", 64),
    ("COPY", 128),
    ("MOVE", 256),
    ("OPTIONS", 512),
    ("PROPFIND", 1024),
    ("PROPPATCH", 2048),
    ("LOCK", 4096),
    ("UNLOCK", 8192),
    ("PATCH", 16384),
    ("TRACE", 32768),
];

pub const NATIVES: &[Native] = &[
    Native::any("ngx.req.get_method", |call, lua, _| text(lua, method(call))),
    Native::any("ngx.req.get_headers", |call, lua, args| {
        let most = most(args, 0);
        let raw = args.boolean(1).unwrap_or(false);
        let context = &call.context;
        let lines = context.request_edits.apply(&context.head.headers);
        headers_table(lua, lines, most, raw)
    }),
    Native::any("ngx.req.get_uri_args", |call, lua, args| {
        let query = call.context.effective_query().unwrap_or_default();
        arguments_table(lua, query, most(args, 0))
    }),
    Native::any("ngx.req.http_version", |call, _, _| {
        one(Value::Number(version(call)))
    }),
    Native::any("ngx.req.raw_header", raw_header),
    Native::any("ngx.req.is_internal", |_, _, _| boolean(false)),
    Native::any("ngx.req.start_time", |call, _, _| {
        one(Value::Number(seconds(call.context.started)))
    }),
    Native::any("ngx.req.set_header", |call, _, args| {
        let name = args.needed(0, "header name")?;
        if !call.phase.is_coroutine() {
            return kept(call, |call| set_header(call, &name, args.get(1)));
        }
        set_header(call, &name, args.get(1))?;
        nothing()
    }),
    Native::any("ngx.req.clear_header", |call, _, args| {
        let name = args.needed(0, "header name")?;
        call.context.request_edits.remove(&name);
        nothing()
    }),
    Native::any("ngx.req.set_method", |call, _, args| {
        let number = args
            .number(0)
            .ok_or("bad argument #1 to 'set_method' (number expected)")?;
        let known = METHODS.iter().find(|(_, bit)| f64::from(*bit) == number);
        let (name, _) = known.ok_or("unsupported HTTP method")?;
        call.context.upstream.method = Some(bytes::Bytes::from_static(name.as_bytes()));
        nothing()
    }),
    Native::any("ngx.req.set_uri_args", |call, _, args| {
        call.context.upstream.query = Some(match args.get(0) {
            Value::Table(table) => encode_arguments(table)?,
            value => shown(value),
        });
        nothing()
    }),
    // The path for the upstream follows from route and service; Kong ignores this too.
    Native::any("ngx.req.set_uri", |_, _, args| {
        args.string(0)
            .ok_or("bad argument #1 to 'set_uri' (string expected)")?;
        nothing()
    }),
    Native::only("ngx.req.read_body", EARLY, |_, _, _| nothing()),
    Native::only("ngx.req.discard_body", EARLY, |_, _, _| nothing()),
    Native::only("ngx.req.get_body_data", EARLY, |call, lua, _| {
        let changed = call.context.upstream.body.as_deref();
        let body = changed
            .or(call.context.body)
            .filter(|body| !body.is_empty());
        maybe(lua, body)
    }),
    Native::only("ngx.req.get_body_file", EARLY, |_, _, _| nil()),
    Native::only("ngx.req.get_post_args", EARLY, |call, lua, args| {
        let changed = call.context.upstream.body.as_deref();
        let body = changed.or(call.context.body).unwrap_or_default();
        arguments_table(lua, body, most(args, 0))
    }),
    Native::only("ngx.req.set_body_data", EARLY, |call, _, args| {
        call.context.upstream.body = Some(args.shown(0));
        nothing()
    }),
    Native::any("ngx.req.set_body_file", |_, _, _| {
        Err("ngx.req.set_body_file is not available in this gateway".to_owned())
    }),
    Native::any("ngx.req.append_body", |_, _, _| {
        Err("request_body not initialized".to_owned())
    }),
];

fn most(args: &Args, index: usize) -> usize {
    match args.number(index) {
        None => 100,
        Some(0.0) => usize::MAX,
        Some(most) => most.max(0.0) as usize,
    }
}

/// Seconds with the milliseconds behind the point.
pub fn seconds(time: Timestamp) -> f64 {
    time.0 as f64 / 1000.0
}

/// After access the upstream has had the request: what is changed then is seen by functions alone.
fn kept(
    call: &mut Call<'_, '_>,
    change: impl FnOnce(&mut Call<'_, '_>) -> Result<(), String>,
) -> Given {
    debug_assert!(call.phase != Phase::Access);
    change(call)?;
    nothing()
}

fn set_header(call: &mut Call<'_, '_>, name: &str, value: &Value) -> Result<(), String> {
    let edits = &mut *call.context.request_edits;
    match value {
        Value::Nil => edits.remove(name),
        Value::Table(values) => {
            edits.remove(name);
            for (at, value) in values.sequence_values::<Value>().enumerate() {
                let value = shown(&value.map_err(told)?);
                match at {
                    0 => edits.set(name, value),
                    _ => edits.add(name, value),
                }
            }
        }
        value => edits.set(name, shown(value)),
    }
    Ok(())
}

/// The head as it came, with the line ends that it should have.
fn raw_header(call: &mut Call<'_, '_>, lua: &Lua, args: &Args) -> Given {
    let head = call.context.head;
    let mut raw = Vec::new();
    if !args.boolean(0).unwrap_or(false) {
        raw.extend_from_slice(&request_line(call));
        raw.extend_from_slice(b"\r\n");
    }
    for (name, value) in head.headers.iter() {
        raw.extend_from_slice(name);
        raw.extend_from_slice(b": ");
        raw.extend_from_slice(value);
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"\r\n");
    text(lua, raw)
}

/// The request line as it came.
pub fn request_line(call: &Call<'_, '_>) -> Vec<u8> {
    let head = call.context.head;
    let version = match head.version {
        crate::http::Version::Http10 => "HTTP/1.0",
        crate::http::Version::Http11 => "HTTP/1.1",
        crate::http::Version::Http2 => "HTTP/2.0",
    };
    [head.method(), head.target(), version.as_bytes()].join(&b' ')
}
