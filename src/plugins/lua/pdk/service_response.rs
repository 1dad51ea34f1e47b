//! `kong.service.response`: what the upstream has answered.

use super::super::call::Call;
use super::super::handler;
use super::super::json;
use super::super::native::{Args, Given, Native, maybe, nil, one, text, told};
use super::super::phase::{BODY_FILTER, HEADER_FILTER, LOG, RESPONSE};
use super::headers::{headers_table, limit, response_headers};
use super::response;
use bytes::Bytes;
use mlua::{Lua, Value};

const READ: u16 = RESPONSE | HEADER_FILTER | BODY_FILTER | LOG;

const UNBUFFERED: &str = "service body is only available with buffered proxying (see: \
                          kong.service.request.enable_buffering function)";

pub const NATIVES: &[Native] = &[
    Native::only("kong.service.response.get_status", READ, |call, _, _| {
        let status = call
            .context
            .response
            .as_ref()
            .map(|response| response.upstream_status);
        match status {
            Some(status) if status != 0 => one(Value::Number(status.into())),
            _ => nil(),
        }
    }),
    Native::only(
        "kong.service.response.get_headers",
        READ,
        |call, lua, args| {
            let most = limit(args, 0, "max_headers")?;
            let lines = response_headers(call);
            let lines = lines.iter().map(|(name, value)| (&**name, &**value));
            headers_table(lua, lines, most, false)
        },
    ),
    Native::only(
        "kong.service.response.get_header",
        READ,
        |call, lua, args| {
            let name = args.needed(0, "header name")?;
            maybe(lua, response::find(call, &name))
        },
    ),
    Native::only(
        "kong.service.response.get_raw_body",
        READ,
        |call, lua, _| text(lua, buffered(call)?),
    ),
    Native::only("kong.service.response.get_body", READ, parsed),
];

fn buffered(call: &mut Call<'_, '_>) -> Result<Bytes, String> {
    let body = handler::shared(call.context.shared).buffered.clone();
    body.ok_or_else(|| UNBUFFERED.to_owned())
}

fn parsed(call: &mut Call<'_, '_>, lua: &Lua, args: &Args) -> Given {
    let body = buffered(call)?;
    let given = args
        .string(0)
        .or_else(|| response::find(call, "content-type"));
    let content_type = String::from_utf8_lossy(&given.unwrap_or_default()).to_ascii_lowercase();
    if content_type.contains("application/x-www-form-urlencoded") {
        return super::request::arguments_table(lua, &body, 100);
    }
    if !content_type.contains("application/json") {
        return super::super::native::refused(
            lua,
            format!("unsupported content type '{content_type}'"),
        );
    }
    match serde_json::from_slice(&body) {
        Ok(value) => one(json::to_lua(lua, &value, true).map_err(told)?),
        Err(_) => super::super::native::refused(lua, "invalid json body"),
    }
}
