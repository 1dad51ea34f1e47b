//! `kong.log`: lines of the node's log.

use super::super::call::Call;
use super::super::json;
use super::super::native::{Args, Given, Native, nothing, number, one, shown, told};
use super::super::phase;
use crate::plugins::{LogFieldMode, LogFields, LogLines, Severity, log_record};
use mlua::{Lua, Table, Value};
use std::fmt::Write;
use tracing::Level;

pub const NATIVES: &[Native] = &[
    Native::any("hidden.log", |call, _, args| {
        let level = args.string(0).unwrap_or_default();
        let by = args.string(1);
        let mut message = Vec::new();
        for value in args.all().iter().skip(2) {
            message.extend_from_slice(&shown(value));
        }
        write(call, &level, by.as_deref(), &message);
        nothing()
    }),
    Native::any("hidden.deprecation", |call, _, args| {
        let by = args.string(0);
        let mut message = Vec::new();
        let mut options = None;
        for value in args.all().iter().skip(1) {
            match value {
                Value::Table(table) => options = Some(table.clone()),
                value => message.extend_from_slice(&shown(value)),
            }
        }
        let mut message = String::from_utf8_lossy(&message).into_owned();
        let field = |name: &str| -> Option<String> {
            options
                .as_ref()
                .and_then(|table: &Table| table.raw_get(name).ok())
        };
        let _ = match (field("after"), field("removal")) {
            (Some(after), Some(removal)) => write!(
                message,
                " (deprecated after {after}, scheduled for removal in {removal})"
            ),
            (Some(after), None) => write!(message, " (deprecated after {after})"),
            (None, Some(removal)) => write!(message, " (scheduled for removal in {removal})"),
            (None, None) => Ok(()),
        };
        write(call, b"warn", by.as_deref(), message.as_bytes());
        nothing()
    }),
    Native::any("hidden.inspect", inspect),
    Native::only("kong.log.serialize", phase::LOG, |call, lua, _| {
        let none = || "kong.log.serialize: the request has not ended".to_owned();
        let log = call.log.ok_or_else(none)?;
        let record = log_record(call.context, log);
        let table = json::object(lua, &record, true).map_err(told)?;
        one(Value::Table(table))
    }),
    Native::any("kong.log.set_serialize_value", |call, _, args| {
        let key = args.needed(0, "key")?;
        let mode = match args.table(2) {
            None => Value::Nil,
            Some(options) => options.raw_get("mode").map_err(told)?,
        };
        let mode = match shown(&mode).as_slice() {
            b"nil" | b"set" => LogFieldMode::Set,
            b"add" => LogFieldMode::Add,
            b"replace" => LogFieldMode::Replace,
            _ => return Err("mode must be 'set', 'add' or 'replace'".to_owned()),
        };
        let value = match args.get(1) {
            Value::Nil => None,
            // What is no JSON has no place in a log.
            Value::Function(_) | Value::Thread(_) | Value::UserData(_) => return nothing(),
            value => Some(json::from_lua(value)?),
        };
        LogFields::add(call.context.shared, key, value, mode);
        nothing()
    }),
];

/// Writes a line at a level of nginx's.
pub fn write(call: &mut Call<'_, '_>, level: &[u8], by: Option<&[u8]>, message: &[u8]) {
    let plugin = match by {
        Some(by) => String::from_utf8_lossy(by).into_owned(),
        None => call.instance.plugin.to_owned(),
    };
    let message = String::from_utf8_lossy(message);
    let request_id = call.context.request_id;
    let level = String::from_utf8_lossy(level);
    let enabled = match &*level {
        "emerg" | "alert" | "crit" | "err" => {
            tracing::error!(plugin, severity = &*level, request_id, "{message}");
            tracing::enabled!(Level::ERROR)
        }
        "warn" => {
            tracing::warn!(plugin, request_id, "{message}");
            tracing::enabled!(Level::WARN)
        }
        "notice" | "info" => {
            tracing::info!(plugin, severity = &*level, request_id, "{message}");
            tracing::enabled!(Level::INFO)
        }
        _ => {
            tracing::debug!(plugin, request_id, "{message}");
            tracing::enabled!(Level::DEBUG)
        }
    };
    if enabled {
        let severity = Severity::of_nginx(&level);
        LogLines::keep(call.context, severity, &plugin, &message);
    }
}

const WIDTH: usize = 120;
/// Deeper tables are not shown.
const DEPTH: usize = 8;

fn inspect(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let by = args.string(0);
    let mut lines = format!("{}+", "-".repeat(45));
    for value in args.all().iter().skip(1) {
        let mut shown = String::new();
        show(value, 0, &mut shown)?;
        for line in shown.lines() {
            let _ = write!(lines, "\n|{line:<WIDTH$}|");
        }
    }
    let _ = write!(lines, "\n+{}+", "-".repeat(WIDTH));
    write(call, b"notice", by.as_deref(), lines.as_bytes());
    nothing()
}

fn show(value: &Value, depth: usize, out: &mut String) -> Result<(), String> {
    match value {
        Value::String(text) => {
            let _ = write!(out, "{:?}", text.to_string_lossy());
        }
        Value::Table(_) if depth >= DEPTH => out.push_str("{...}"),
        Value::Table(table) => {
            let inner = "  ".repeat(depth + 1);
            out.push('{');
            let mut empty = true;
            let length = table.raw_len();
            for pair in table.pairs::<Value, Value>() {
                let (key, value) = pair.map_err(told)?;
                out.push_str(if empty { "\n" } else { ",\n" });
                out.push_str(&inner);
                empty = false;
                let listed = number(&key).is_some_and(|at| at >= 1.0 && at <= length as f64);
                if !listed {
                    let _ = write!(out, "{} = ", String::from_utf8_lossy(&shown(&key)));
                }
                show(&value, depth + 1, out)?;
            }
            if !empty {
                let _ = write!(out, "\n{}", "  ".repeat(depth));
            }
            out.push('}');
        }
        value => out.push_str(&String::from_utf8_lossy(&shown(value))),
    }
    Ok(())
}
