//! From a configuration to an instance.

use super::engine;
use super::function::Functions;
use super::handler::LuaHandler;
use super::instance::Instance;
use super::phase::Phase;
use crate::plugins::{Build, BuildError, Handler, UntrustedLua, config_of};
use serde::Deserialize;
use std::sync::Arc;

/// The configuration of pre-function and post-function.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    certificate: Vec<String>,
    rewrite: Vec<String>,
    access: Vec<String>,
    header_filter: Vec<String>,
    body_filter: Vec<String>,
    log: Vec<String>,
}

impl Config {
    fn take(&mut self, phase: Phase) -> Vec<String> {
        std::mem::take(match phase {
            Phase::Rewrite => &mut self.rewrite,
            Phase::Access => &mut self.access,
            Phase::HeaderFilter => &mut self.header_filter,
            Phase::BodyFilter => &mut self.body_filter,
            Phase::Log => &mut self.log,
        })
    }
}

/// An instance of a plugin that is made of functions.
///
/// # Errors
/// A function is not Lua, or the node allows none.
pub fn build(build: &Build<'_>, name: &'static str) -> Result<Arc<dyn Handler>, BuildError> {
    let settings = Arc::clone(&build.resources.settings);
    if settings.untrusted_lua == UntrustedLua::Off {
        return Err(BuildError::Config {
            name: name.to_owned(),
            reason: "this node runs no Lua of configurations (setting 'untrusted_lua')".to_owned(),
        });
    }
    let mut config: Config = config_of(build.plugin)?;
    if !config.certificate.is_empty() {
        tracing::warn!(
            plugin = name,
            id = %build.plugin.id,
            "config.certificate: functions do not run during TLS handshakes of this gateway"
        );
    }
    let mut functions = [const { None }; 5];
    for phase in Phase::ALL {
        let texts = config.take(phase);
        if texts.is_empty() {
            continue;
        }
        let checked = Functions::new(texts).map_err(|reason| BuildError::Config {
            name: name.to_owned(),
            reason: format!("{}: error parsing {name}: {reason}", phase.name()),
        })?;
        functions[phase.index()] = Some(Arc::new(checked));
    }
    let instance = Instance {
        plugin: name,
        id: build.plugin.id,
        node: build.resources.node.clone(),
        settings,
        functions,
    };
    for missing in engine::MISSING {
        if instance.mentions(missing) {
            tracing::warn!(
                plugin = name,
                id = %build.plugin.id,
                function = missing,
                "a function uses what this gateway does not have: calling it fails"
            );
        }
    }
    Ok(Arc::new(LuaHandler(Arc::new(instance))))
}
