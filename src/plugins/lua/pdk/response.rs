//! `kong.response`: what the client gets.

use super::super::call::{Answer, Call};
use super::super::handler;
use super::super::json;
use super::super::native::{Args, Given, Native, boolean, maybe, nil, nothing, one, text};
use super::super::phase::{
    ACCESS, ADMIN_API, BALANCER, BODY_FILTER, ERROR, HEADER_FILTER, LOG, Phase, RESPONSE, REWRITE,
};
use super::headers::{self, ONE, headers_table, limit, response_headers, trimmed};
use crate::http::default_message;
use bytes::Bytes;
use mlua::{Lua, Table, Value};

const READ: u16 = RESPONSE | HEADER_FILTER | BODY_FILTER | LOG | ERROR | ADMIN_API;
const WRITE: u16 = REWRITE | ACCESS | BALANCER | RESPONSE | HEADER_FILTER | ERROR | ADMIN_API;
const ANSWER: u16 = REWRITE | ACCESS | HEADER_FILTER | RESPONSE | ERROR | ADMIN_API | BALANCER;

pub const NATIVES: &[Native] = &[
    Native::only("kong.response.get_status", READ, |call, _, _| {
        one(Value::Number(status(call).into()))
    }),
    Native::only("kong.response.get_header", READ, |call, lua, args| {
        let name = args.needed(0, "header name")?;
        maybe(lua, find(call, &name))
    }),
    Native::only("kong.response.get_headers", READ, |call, lua, args| {
        let most = limit(args, 0, "max_headers")?;
        let lines = response_headers(call);
        let lines = lines.iter().map(|(name, value)| (&**name, &**value));
        headers_table(lua, lines, most, false)
    }),
    Native::only("kong.response.get_source", READ, |call, lua, _| {
        text(lua, source(call))
    }),
    Native::only("kong.response.set_status", WRITE, |call, _, args| {
        let status = checked_status(args.get(0), 100)?;
        match &mut call.context.response {
            Some(response) => *response.status = status,
            None => call.said.status = Some(status),
        }
        nothing()
    }),
    Native::only("kong.response.set_header", WRITE, |call, _, args| {
        let name = args.needed(0, "header name")?;
        let values = headers::values_of(&name, args.get(1), ONE)?;
        headers::set(call.context.response_edits, &name, &values);
        nothing()
    }),
    Native::only("kong.response.add_header", WRITE, |call, _, args| {
        let name = args.needed(0, "header name")?;
        for value in headers::values_of(&name, args.get(1), ONE)? {
            call.context.response_edits.add(&name, value);
        }
        nothing()
    }),
    Native::only("kong.response.clear_header", WRITE, |call, _, args| {
        let name = args.needed(0, "header name")?;
        call.context.response_edits.remove(&name);
        nothing()
    }),
    Native::only("kong.response.set_headers", WRITE, |call, _, args| {
        let table = args.table(0).ok_or("headers must be a table")?;
        for (name, values) in headers::table_of(table)? {
            headers::set(call.context.response_edits, &name, &values);
        }
        nothing()
    }),
    Native::only("kong.response.get_raw_body", BODY_FILTER, get_raw_body),
    Native::only("kong.response.set_raw_body", BODY_FILTER, set_raw_body),
    Native::only("kong.response.exit", ANSWER, exit),
    Native::only("kong.response.error", ANSWER, error),
];

/// The status as it is now; zero before there is one.
pub fn status(call: &Call<'_, '_>) -> u16 {
    match &call.context.response {
        Some(response) => *response.status,
        None => call.said.status.unwrap_or_default(),
    }
}

/// The first value of a response header; underscores find hyphens too.
pub fn find(call: &Call<'_, '_>, name: &str) -> Option<Vec<u8>> {
    let value = call.context.response_header(name).map(<[u8]>::to_vec);
    value.or_else(|| {
        let hyphenated = name.contains('_').then(|| name.replace('_', "-"))?;
        call.context
            .response_header(&hyphenated)
            .map(<[u8]>::to_vec)
    })
}

fn source(call: &mut Call<'_, '_>) -> &'static str {
    let answered = call
        .context
        .response
        .as_ref()
        .map(|response| response.upstream_status);
    let tries = call.log.map_or(call.context.tries, |log| log.tries);
    match answered {
        Some(status) if status != 0 => "service",
        _ if tries.is_empty() || handler::shared(call.context.shared).exited => "exit",
        // An upstream was asked, and none has answered.
        _ => "error",
    }
}

fn checked_status(value: &Value, least: u16) -> Result<u16, String> {
    let number = super::super::native::number(value);
    let number = number.ok_or("code must be a number")?;
    if number < f64::from(least) || number > 599.0 {
        return Err(format!("code must be a number between {least} and 599"));
    }
    Ok(number as u16)
}

fn get_raw_body(call: &mut Call<'_, '_>, lua: &Lua, _: &Args) -> Given {
    let Some(chunk) = call.chunk.as_deref_mut() else {
        return nil();
    };
    call.request.collected.extend_from_slice(&chunk.data);
    chunk.data = Bytes::new();
    if !chunk.last {
        return nil();
    }
    let whole = std::mem::take(&mut call.request.collected);
    chunk.data = Bytes::from(whole);
    text(lua, &chunk.data)
}

fn set_raw_body(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let body = args.string(0).ok_or("body must be a string")?;
    if let Some(chunk) = call.chunk.as_deref_mut() {
        // It stands for the whole body, which ends with the last piece.
        chunk.data = match chunk.last {
            true => body.into(),
            false => Bytes::new(),
        };
    }
    nothing()
}

fn set_headers(call: &mut Call<'_, '_>, given: Option<&Table>) -> Result<bool, String> {
    let mut content_type = false;
    for (name, values) in given
        .map(headers::table_of)
        .transpose()?
        .into_iter()
        .flatten()
    {
        content_type |= name.eq_ignore_ascii_case("content-type");
        // The body's length is the gateway's business.
        if !name.eq_ignore_ascii_case("content-length") {
            headers::set(call.context.response_edits, &name, &values);
        }
    }
    Ok(content_type)
}

fn table_or_nil(value: &Value, what: &str) -> Result<Option<Table>, String> {
    match value {
        Value::Nil => Ok(None),
        Value::Table(table) => Ok(Some(table.clone())),
        _ => Err(format!("{what} must be a nil or table")),
    }
}

/// Whether the function ends here.
fn ended(call: &Call<'_, '_>) -> Given {
    boolean(call.phase.is_coroutine())
}

fn exit(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let status = checked_status(args.get(0), 100)?;
    let given = args.get(1);
    let headers = table_or_nil(args.get(2), "headers")?;
    let (body, is_json) = match given {
        Value::Nil => (None, false),
        Value::String(text) => (Some(text.as_bytes().to_vec()), false),
        Value::Table(_) => (Some(json::encode(given)?.into_bytes()), true),
        _ => return Err("body must be a nil, string or table".to_owned()),
    };
    let typed = set_headers(call, headers.as_ref())?;
    if is_json && !typed {
        call.context
            .response_edits
            .set("Content-Type", "application/json; charset=utf-8");
    }
    call.said.answer = Some(match body {
        None if status >= 300 && call.phase != Phase::HeaderFilter => Answer::Status(status),
        body => Answer::Body {
            status,
            body: body.unwrap_or_default().into(),
        },
    });
    ended(call)
}

fn error(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let number = args.number(0).ok_or("code must be a number")?;
    if !(400.0..=599.0).contains(&number) {
        return Err("code must be a number between 400 and 599".to_owned());
    }
    let status = number as u16;
    let message = match args.get(1) {
        Value::Nil => match default_message(status) {
            Some(known) => known.to_owned(),
            None => format!("The upstream server responded with {status}"),
        },
        Value::Table(_) => json::encode(args.get(1))?,
        Value::String(_) => String::from_utf8_lossy(&trimmed(args.get(1))).into_owned(),
        _ => return Err("message must be a nil, a string or a table".to_owned()),
    };
    let headers = table_or_nil(args.get(2), "headers")?;
    set_headers(call, headers.as_ref())?;
    call.said.answer = Some(Answer::Error { status, message });
    ended(call)
}
