//! Values that log plugins take from Lua (`custom_fields_by_lua`).

use super::call::{Call, Said};
use super::counted;
use super::engine::{self, Engine};
use super::function::Functions;
use super::handler::text_of;
use super::instance::Instance;
use super::json;
use super::phase::Phase;
use super::request::LuaRequest;
use crate::plugins::{Context, RequestLog, Resources, UntrustedLua};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// A function that gives a value, checked.
pub struct Expression {
    instance: Arc<Instance>,
    functions: Arc<Functions>,
}

/// Checks the text of a function that gives a value for `plugin`'s logs.
///
/// # Errors
/// It is not Lua, or the node allows none.
pub fn expression(
    text: &str,
    plugin: &'static str,
    id: Uuid,
    resources: &Resources,
) -> Result<Expression, String> {
    if resources.settings.untrusted_lua == UntrustedLua::Off {
        return Err("this node runs no Lua of configurations (setting 'untrusted_lua')".to_owned());
    }
    Ok(Expression {
        functions: Arc::new(Functions::new(vec![text.to_owned()])?),
        instance: Arc::new(Instance {
            plugin,
            id,
            node: resources.node.clone(),
            settings: Arc::clone(&resources.settings),
            functions: [const { None }; 5],
        }),
    })
}

impl Expression {
    /// The value, in the log phase; `None` where there is none.
    ///
    /// # Errors
    /// The function has failed: what it has raised.
    pub fn value(
        &self,
        context: &mut Context<'_>,
        log: &RequestLog<'_>,
    ) -> Result<Option<Value>, String> {
        let own = &self.instance;
        let engine =
            Engine::of_worker(&own.node, &own.settings).map_err(|error| error.to_string())?;
        let mut request = LuaRequest::default();
        let mut call = Call {
            context,
            phase: Phase::Log,
            instance: own,
            request: &mut request,
            said: &mut Said::default(),
            chunk: None,
            log: Some(log),
        };
        let value = engine.value(&self.functions, &mut call);
        engine::bound_memory();
        if value.is_err() {
            counted::failed(own.settings.metrics.as_ref(), own.plugin);
        }
        match value.map_err(|error| text_of(&error))? {
            mlua::Value::Nil => Ok(None),
            value => json::from_lua(&value).map(Some),
        }
    }
}
