//! `kong.ctx` and `ngx.ctx`: what functions keep of a request.

use super::super::call::Call;
use super::super::engine::Engine;
use super::super::handler;
use super::super::json;
use super::super::native::{Args, Given, Native, nothing, one, told};
use super::super::phase::Phase;
use mlua::{Lua, Table, Value};
use std::rc::Rc;

pub const NATIVES: &[Native] = &[
    Native::any("hidden.ctx_shared", |call, _, _| {
        let engine = engine(call)?;
        let table = handler::shared(call.context.shared).shared.get(&engine);
        one(Value::Table(table.map_err(told)?))
    }),
    Native::any("hidden.ctx_plugin", |call, _, _| {
        let engine = engine(call)?;
        one(Value::Table(
            call.request.plugin.get(&engine).map_err(told)?,
        ))
    }),
    Native::any("hidden.ngx_ctx", ngx_ctx),
    Native::any("hidden.ngx_ctx_set", |call, _, args| {
        let table = args.table(0).ok_or("ngx.ctx must be a table")?.clone();
        let engine = engine(call)?;
        handler::shared(call.context.shared).ngx.set(&engine, table);
        nothing()
    }),
];

fn engine(call: &Call<'_, '_>) -> Result<Rc<Engine>, String> {
    Engine::of_worker(&call.instance.node, &call.instance.settings).map_err(told)
}

/// What Kong keeps there and people read: brought up to date when it is asked for.
fn ngx_ctx(call: &mut Call<'_, '_>, lua: &Lua, _: &Args) -> Given {
    let engine = engine(call)?;
    let table = handler::shared(call.context.shared)
        .ngx
        .get(&engine)
        .map_err(told)?;
    set(
        &table,
        "KONG_PROCESSING_START",
        Value::Number(call.context.started.0 as f64),
    )?;
    if call.phase != Phase::Rewrite
        && let Some(matched) = call.context.matched
        && table.raw_get::<Value>("route").map_err(told)?.is_nil()
    {
        set(
            &table,
            "route",
            Value::Table(json::object(lua, &matched.route(), false).map_err(told)?),
        )?;
        if let Some(service) = matched.service() {
            set(
                &table,
                "service",
                Value::Table(json::object(lua, &service, false).map_err(told)?),
            )?;
            let balancer = lua.create_table().map_err(told)?;
            for field in ["host", "port", "retries"] {
                let value = service.get(field).unwrap_or(&serde_json::Value::Null);
                let value = json::to_lua(lua, value, false).map_err(told)?;
                set(&balancer, field, value)?;
            }
            set(&table, "balancer_data", Value::Table(balancer))?;
        }
    }
    if let Some(consumer) = &call.context.identity.consumer {
        let known = lua.create_table().map_err(told)?;
        known.raw_set("id", consumer.id.to_string()).map_err(told)?;
        known
            .raw_set("username", consumer.username.as_deref())
            .map_err(told)?;
        known
            .raw_set("custom_id", consumer.custom_id.as_deref())
            .map_err(told)?;
        set(&table, "authenticated_consumer", Value::Table(known))?;
    }
    one(Value::Table(table))
}

fn set(table: &Table, name: &str, value: Value) -> Result<(), String> {
    table.raw_set(name, value).map_err(told)
}
