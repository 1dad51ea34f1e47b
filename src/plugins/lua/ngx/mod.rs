//! The functions under `ngx` that people use, and its constants.

pub mod encode;
mod header;
mod output;
mod regex;
mod req;
mod time;
mod var;

use super::native::Native;
use mlua::{Lua, Table};

pub fn natives() -> impl Iterator<Item = Native> {
    [
        encode::NATIVES,
        header::NATIVES,
        output::NATIVES,
        regex::NATIVES,
        req::NATIVES,
        time::NATIVES,
        var::NATIVES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Numbers by name.
const CONSTANTS: &[(&str, f64)] = &[
    ("OK", 0.0),
    ("ERROR", -1.0),
    ("AGAIN", -2.0),
    ("DONE", -4.0),
    ("DECLINED", -5.0),
    ("STDERR", 0.0),
    ("EMERG", 1.0),
    ("ALERT", 2.0),
    ("CRIT", 3.0),
    ("ERR", 4.0),
    ("WARN", 5.0),
    ("NOTICE", 6.0),
    ("INFO", 7.0),
    ("DEBUG", 8.0),
    ("HTTP_GET", 2.0),
    ("HTTP_HEAD", 4.0),
    ("HTTP_POST", 8.0),
    ("HTTP_PUT", 16.0),
    ("HTTP_DELETE", 32.0),
    ("HTTP_MKCOL", 64.0),
    ("HTTP_COPY", 128.0),
    ("HTTP_MOVE", 256.0),
    ("HTTP_OPTIONS", 512.0),
    ("HTTP_PROPFIND", 1024.0),
    ("HTTP_PROPPATCH", 2048.0),
    ("HTTP_LOCK", 4096.0),
    ("HTTP_UNLOCK", 8192.0),
    ("HTTP_PATCH", 16384.0),
    ("HTTP_TRACE", 32768.0),
    ("HTTP_CONTINUE", 100.0),
    ("HTTP_SWITCHING_PROTOCOLS", 101.0),
    ("HTTP_OK", 200.0),
    ("HTTP_CREATED", 201.0),
    ("HTTP_ACCEPTED", 202.0),
    ("HTTP_NO_CONTENT", 204.0),
    ("HTTP_PARTIAL_CONTENT", 206.0),
    ("HTTP_SPECIAL_RESPONSE", 300.0),
    ("HTTP_MOVED_PERMANENTLY", 301.0),
    ("HTTP_MOVED_TEMPORARILY", 302.0),
    ("HTTP_SEE_OTHER", 303.0),
    ("HTTP_NOT_MODIFIED", 304.0),
    ("HTTP_TEMPORARY_REDIRECT", 307.0),
    ("HTTP_PERMANENT_REDIRECT", 308.0),
    ("HTTP_BAD_REQUEST", 400.0),
    ("HTTP_UNAUTHORIZED", 401.0),
    ("HTTP_PAYMENT_REQUIRED", 402.0),
    ("HTTP_FORBIDDEN", 403.0),
    ("HTTP_NOT_FOUND", 404.0),
    ("HTTP_NOT_ALLOWED", 405.0),
    ("HTTP_NOT_ACCEPTABLE", 406.0),
    ("HTTP_REQUEST_TIMEOUT", 408.0),
    ("HTTP_CONFLICT", 409.0),
    ("HTTP_GONE", 410.0),
    ("HTTP_UPGRADE_REQUIRED", 426.0),
    ("HTTP_TOO_MANY_REQUESTS", 429.0),
    ("HTTP_CLOSE", 444.0),
    ("HTTP_ILLEGAL", 451.0),
    ("HTTP_INTERNAL_SERVER_ERROR", 500.0),
    ("HTTP_METHOD_NOT_IMPLEMENTED", 501.0),
    ("HTTP_NOT_IMPLEMENTED", 501.0),
    ("HTTP_BAD_GATEWAY", 502.0),
    ("HTTP_SERVICE_UNAVAILABLE", 503.0),
    ("HTTP_GATEWAY_TIMEOUT", 504.0),
    ("HTTP_VERSION_NOT_SUPPORTED", 505.0),
    ("HTTP_INSUFFICIENT_STORAGE", 507.0),
    ("config.nginx_version", 1_025_003.0),
    ("config.ngx_lua_version", 10_026.0),
];

/// The constants, by where they stand in `ngx`.
pub fn constants(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, value) in CONSTANTS {
        table.raw_set(*name, *value)?;
    }
    table.raw_set("config.subsystem", "http")?;
    table.raw_set("config.debug", false)?;
    Ok(table)
}
