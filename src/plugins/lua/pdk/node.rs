//! `kong.router`, `kong.node`, `kong.plugin`, `kong.vault` and the like.

use super::super::call::Call;
use super::super::json;
use super::super::native::{Args, Given, Native, boolean, nil, one, refused, text, told};
use super::super::phase::{ACCESS, BODY_FILTER, HEADER_FILTER, LOG, RESPONSE};
use mlua::{Lua, Value};

const AUTH_AND_LATER: u16 = ACCESS | RESPONSE | HEADER_FILTER | BODY_FILTER | LOG;

pub const NATIVES: &[Native] = &[
    Native::only(
        "kong.router.get_route",
        AUTH_AND_LATER,
        |call, lua, _| match call.context.matched {
            Some(matched) => one(Value::Table(
                json::object(lua, &matched.route(), false).map_err(told)?,
            )),
            None => nil(),
        },
    ),
    Native::only(
        "kong.router.get_service",
        AUTH_AND_LATER,
        |call, lua, _| match call.context.matched.and_then(|matched| matched.service()) {
            Some(service) => one(Value::Table(
                json::object(lua, &service, false).map_err(told)?,
            )),
            None => nil(),
        },
    ),
    Native::any("kong.node.get_id", |call, lua, _| {
        text(lua, call.instance.node.id.to_string())
    }),
    Native::any("kong.node.get_hostname", |call, lua, _| {
        text(lua, &*call.instance.node.hostname)
    }),
    Native::any("kong.node.get_memory_stats", memory_stats),
    Native::any("kong.plugin.get_id", |call, lua, _| {
        text(lua, call.instance.id.to_string())
    }),
    Native::any("kong.cluster.get_id", |_, _, _| nil()),
    Native::any("kong.nginx.get_subsystem", |_, lua, _| text(lua, "http")),
    Native::any("kong.vault.is_reference", |_, _, args| {
        boolean(args.string(0).is_some_and(|given| is_reference(&given)))
    }),
    Native::any("kong.vault.get", |call, lua, args| {
        let reference = args.needed(0, "reference")?;
        if !is_reference(reference.as_bytes()) {
            return refused(lua, format!("not a reference [{reference}]"));
        }
        let environment: Vec<(String, String)> = std::env::vars().collect();
        let prefix = &call.instance.settings.vault_prefix;
        match crate::settings::resolve_reference(&reference, &environment, prefix) {
            Ok(value) => text(lua, value),
            Err(reason) => refused(lua, format!("unable to load value: {reason}")),
        }
    }),
    Native::any("kong.vault.parse_reference", parse_reference),
];

fn is_reference(text: &[u8]) -> bool {
    text.starts_with(b"{vault://") && text.ends_with(b"}") && text.len() > b"{vault://}".len()
}

/// The parts of a reference: the vault, the name in it, and a field of it.
fn parse_reference(_: &mut Call<'_, '_>, lua: &Lua, args: &Args) -> Given {
    let reference = args.needed(0, "reference")?;
    if !is_reference(reference.as_bytes()) {
        return refused(lua, format!("not a reference [{reference}]"));
    }
    let inner = reference
        .trim_start_matches("{vault://")
        .trim_end_matches('}');
    let mut parts = inner.splitn(3, '/');
    let (Some(vault), Some(resource)) = (parts.next(), parts.next()) else {
        return refused(lua, format!("reference is missing resource [{reference}]"));
    };
    let table = lua.create_table().map_err(told)?;
    table.raw_set("name", vault).map_err(told)?;
    table.raw_set("resource", resource).map_err(told)?;
    if let Some(key) = parts.next() {
        table.raw_set("key", key).map_err(told)?;
    }
    one(Value::Table(table))
}

/// The memory of this worker's state. There are no shared dictionaries.
fn memory_stats(_: &mut Call<'_, '_>, lua: &Lua, args: &Args) -> Given {
    let unit = args.string(0).unwrap_or_else(|| b"b".to_vec());
    let scale = args.number(1).unwrap_or(2.0).clamp(0.0, 10.0) as usize;
    let used = lua.used_memory() as f64;
    let shown = match unit.to_ascii_lowercase().as_slice() {
        b"b" => Value::Number(used),
        unit => {
            let (divisor, name) = match unit {
                b"k" => (1024.0, "KiB"),
                b"m" => (1024.0 * 1024.0, "MiB"),
                b"g" => (1024.0 * 1024.0 * 1024.0, "GiB"),
                _ => return Err("invalid unit: expected one of 'b', 'k', 'm', 'g'".to_owned()),
            };
            super::super::native::bytes(lua, format!("{:.scale$} {name}", used / divisor))?
        }
    };
    let vm = lua.create_table().map_err(told)?;
    vm.raw_set("http_allocated_gc", shown).map_err(told)?;
    vm.raw_set("pid", std::process::id()).map_err(told)?;
    let stats = lua.create_table().map_err(told)?;
    let vms = lua.create_sequence_from([vm]).map_err(told)?;
    stats.raw_set("workers_lua_vms", vms).map_err(told)?;
    let none = lua.create_table().map_err(told)?;
    stats.raw_set("lua_shared_dicts", none).map_err(told)?;
    one(Value::Table(stats))
}
