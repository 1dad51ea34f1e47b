//! The state of a worker, and what it has compiled.

use super::call::{Call, lend};
use super::function::Functions;
use super::native::Native;
use super::{counted, json, ngx, pdk};
use crate::plugins::{NodeName, NodeSettings, UntrustedLua};
use mlua::{ChunkMode, Function, Lua, LuaOptions, MultiValue, StdLib, Table, Thread, Value};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A state that holds more than this after a collection, in bytes, is dropped.
const MEMORY_CAP: usize = 256 * 1024 * 1024;

/// A function that keeps its worker for longer is named in the log.
const TOO_LONG: Duration = Duration::from_millis(500);

/// When more compiled functions than this are kept, those of removed plugins are dropped.
const FIRST_SWEEP: usize = 64;

/// One state. Workers are threads, and each has one.
pub struct Engine {
    lua: Lua,
    settings: Arc<NodeSettings>,
    run: Function,
    value: Function,
    environment: Function,
    sleep: Table,
    compiled: RefCell<HashMap<u64, Compiled>>,
    sweep_at: Cell<usize>,
}

struct Compiled {
    slots: Table,
    functions: Weak<Functions>,
}

thread_local! {
    static ENGINE: RefCell<Option<Rc<Engine>>> = const { RefCell::new(None) };
}

/// How a run ended, or why it paused.
#[derive(Debug, PartialEq)]
pub enum Step {
    Done,
    /// It sleeps for this time, then goes on.
    Sleep(Duration),
    /// It has answered.
    Exit,
}

impl Engine {
    /// The state of this worker.
    ///
    /// # Errors
    /// There is no memory for one.
    pub fn of_worker(node: &NodeName, settings: &Arc<NodeSettings>) -> mlua::Result<Rc<Engine>> {
        let kept = ENGINE.with_borrow(|kept| kept.clone());
        if let Some(kept) = kept
            && Arc::ptr_eq(&kept.settings, settings)
        {
            return Ok(kept);
        }
        let new = Rc::new(Engine::new(node, settings)?);
        ENGINE.replace(Some(Rc::clone(&new)));
        Ok(new)
    }

    fn new(node: &NodeName, settings: &Arc<NodeSettings>) -> mlua::Result<Engine> {
        // Lua's own `pcall` stays in its place: a function that it calls must be able to wait.
        let options = LuaOptions::new().catch_rust_panics(true);
        let lua = match settings.untrusted_lua {
            // SAFETY: who allows functions everything has the whole standard library, also the
            // parts that can break the process; so it is with Kong.
            UntrustedLua::On => unsafe { Lua::unsafe_new_with(StdLib::ALL, options) },
            _ => Lua::new_with(StdLib::ALL_SAFE, options)?,
        };
        let raise = lua.create_table()?;
        let natives = lua.create_table()?;
        for native in all() {
            natives.raw_set(native.name, native.make(&lua, &raise)?)?;
        }
        let prelude = lua.load(include_str!("prelude.lua")).set_name("=prelude");
        let made: Table = prelude.call((
            natives,
            json::modules(&lua)?,
            ngx::constants(&lua)?,
            options_of(&lua, node, settings)?,
            raise,
            Value::NULL,
        ))?;
        Ok(Engine {
            run: made.raw_get("run")?,
            value: made.raw_get("value")?,
            environment: made.raw_get("environment")?,
            sleep: made.raw_get("SLEEP")?,
            lua,
            settings: Arc::clone(settings),
            compiled: RefCell::default(),
            sweep_at: Cell::new(FIRST_SWEEP),
        })
    }

    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// The functions as this state has compiled them.
    ///
    /// # Errors
    /// They are not Lua, which is checked before, or there is no memory for them.
    fn slots(&self, functions: &Arc<Functions>) -> mlua::Result<Table> {
        if let Some(compiled) = self.compiled.borrow().get(&functions.number) {
            return Ok(compiled.slots.clone());
        }
        let slots = self.lua.create_table()?;
        for text in &functions.texts {
            let slot = self.lua.create_table()?;
            let environment: Table = self.environment.call(())?;
            let chunk = self.lua.load(text.as_str()).set_name(text.as_str());
            let chunk = chunk.set_mode(ChunkMode::Text).set_environment(environment);
            slot.raw_set("chunk", chunk.into_function()?)?;
            slots.raw_push(slot)?;
        }
        let mut compiled = self.compiled.borrow_mut();
        if compiled.len() >= self.sweep_at.get() {
            compiled.retain(|_, compiled| compiled.functions.strong_count() > 0);
            self.sweep_at.set(FIRST_SWEEP.max(compiled.len() * 2));
        }
        compiled.insert(
            functions.number,
            Compiled {
                slots: slots.clone(),
                functions: Arc::downgrade(functions),
            },
        );
        Ok(slots)
    }

    /// Begins a run that may wait.
    ///
    /// # Errors
    /// See [`Engine::slots`].
    pub fn begin(&self, functions: &Arc<Functions>) -> mlua::Result<Run> {
        Ok(Run {
            thread: self.lua.create_thread(self.run.clone())?,
            slots: Some(self.slots(functions)?),
        })
    }

    /// Goes on with a run until it waits or ends.
    ///
    /// # Errors
    /// What the function has raised.
    pub fn step(&self, run: &mut Run, call: &mut Call<'_, '_>) -> mlua::Result<Step> {
        let started = Instant::now();
        let yielded: MultiValue = lend(call, || match run.slots.take() {
            Some(slots) => run.thread.resume(slots),
            None => run.thread.resume(()),
        })?;
        watch(call, started);
        if run.thread.status() != mlua::ThreadStatus::Resumable {
            return Ok(Step::Done);
        }
        let mut yielded = yielded.into_iter();
        match yielded.next() {
            Some(Value::Table(token)) if token == self.sleep => {
                let seconds = yielded.next().as_ref().and_then(super::native::number);
                let seconds = seconds.unwrap_or_default().clamp(0.0, 1e9);
                Ok(Step::Sleep(Duration::from_secs_f64(seconds)))
            }
            _ => Ok(Step::Exit),
        }
    }

    /// Runs functions that cannot wait.
    ///
    /// # Errors
    /// What a function has raised.
    pub fn call(&self, functions: &Arc<Functions>, call: &mut Call<'_, '_>) -> mlua::Result<()> {
        let slots = self.slots(functions)?;
        let started = Instant::now();
        let outcome = lend(call, || self.run.call::<()>(slots));
        watch(call, started);
        outcome
    }

    /// The value that the first of these functions gives.
    ///
    /// # Errors
    /// What the function has raised.
    pub fn value(
        &self,
        functions: &Arc<Functions>,
        call: &mut Call<'_, '_>,
    ) -> mlua::Result<Value> {
        let slot: Table = self.slots(functions)?.raw_get(1)?;
        let started = Instant::now();
        let outcome = lend(call, || self.value.call::<Value>(slot));
        watch(call, started);
        outcome
    }
}

/// Drops the state of this worker when it has grown too large. Requests that hold tables of it keep
/// it until they end.
pub fn bound_memory() {
    let large = ENGINE.with_borrow(|kept| match kept {
        Some(kept) if kept.lua.used_memory() > MEMORY_CAP => {
            // Garbage is collected first, so that only memory in use counts.
            kept.lua.gc_collect().is_err() || kept.lua.used_memory() > MEMORY_CAP
        }
        _ => false,
    });
    if large {
        ENGINE.replace(None);
        tracing::error!(
            cap = MEMORY_CAP,
            "the Lua state of a worker was dropped: it held more memory than it may"
        );
    }
}

fn watch(call: &Call<'_, '_>, started: Instant) {
    let took = started.elapsed();
    if took > TOO_LONG {
        counted::slow(
            call.instance.settings.metrics.as_ref(),
            call.instance.plugin,
        );
        tracing::warn!(
            plugin = call.instance.plugin,
            id = %call.instance.id,
            phase = call.phase.name(),
            took_ms = took.as_millis() as u64,
            request_id = call.context.request_id,
            "a Lua function has kept its worker for too long"
        );
    }
}

/// A run that may wait.
pub struct Run {
    thread: Thread,
    /// Until it has begun.
    slots: Option<Table>,
}

/// Every function of Rust that Lua can call.
pub fn all() -> impl Iterator<Item = Native> {
    pdk::natives().chain(ngx::natives())
}

fn options_of(lua: &Lua, node: &NodeName, settings: &NodeSettings) -> mlua::Result<Table> {
    let options = lua.create_table()?;
    options.raw_set(
        "mode",
        match settings.untrusted_lua {
            UntrustedLua::On => "on",
            UntrustedLua::Sandbox => "sandbox",
            UntrustedLua::Off => "off",
        },
    )?;
    let requires = lua.create_table()?;
    for name in &settings.lua_requires {
        requires.raw_set(name.as_str(), true)?;
    }
    options.raw_set("requires", requires)?;
    options.raw_set(
        "environment",
        lua.create_sequence_from(settings.lua_environment.iter().map(String::as_str))?,
    )?;
    options.raw_set("hostname", &*node.hostname)?;
    options.raw_set("version", crate::plugins::VERSION)?;
    options.raw_set("version_num", 3_009_003)?;
    let configuration = serde_json::Value::Object(settings.configuration.clone());
    options.raw_set("configuration", json::to_lua(lua, &configuration, false)?)?;
    options.raw_set("dictionaries", lua.create_sequence_from(DICTIONARIES)?)?;
    Ok(options)
}

/// The names of Kong's shared dictionaries, which functions may ask for.
const DICTIONARIES: [&str; 11] = [
    "kong",
    "kong_cluster_events",
    "kong_core_db_cache",
    "kong_core_db_cache_miss",
    "kong_db_cache",
    "kong_db_cache_miss",
    "kong_healthchecks",
    "kong_locks",
    "kong_rate_limiting_counters",
    "kong_secrets",
    "prometheus_metrics",
];

/// Functions of Kong that this gateway lacks. A plugin whose text names one is warned of when it is built.
pub const MISSING: [&str; 14] = [
    "kong.cache",
    "kong.db",
    "kong.dns",
    "kong.worker_events",
    "kong.cluster_events",
    "ngx.location.capture",
    "ngx.run_worker_thread",
    "ngx.shared",
    "ngx.socket",
    "ngx.req.socket",
    "ngx.timer.at",
    "ngx.timer.every",
    "resty.",
    "set_target_retry_callback",
];
