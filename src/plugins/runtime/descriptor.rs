//! What a plugin is, and how a configured instance of it is built.

use super::{Handler, Phases, Resources};
use crate::model::Plugin;
use crate::schema::{OwnPlugin, PluginInfo};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The version that every plugin reports: Kong's plugins carry the version of the Kong
/// release whose behaviour they have, and peers compare it.
pub const VERSION: &str = "3.9.3";

/// A plugin that a build can run.
#[derive(Clone, Copy)]
pub struct Descriptor {
    pub name: &'static str,
    pub version: &'static str,
    /// Plugins run by descending priority; equal ones in reverse order of their names.
    pub priority: i32,
    /// The phases that its instances may take part in.
    pub phases: Phases,
    /// Whether a request must not pass without it. Only plugins that observe (metrics, logs,
    /// tracing, correlation ids) guard nothing.
    pub guards: bool,
    /// The definition of its configuration, JSON in the notation of `src/schema/data/schemas.json`, with which
    /// control planes validate it and fill in defaults. `None`: the plugin is one of Kong's, whose
    /// definitions every build has.
    pub definition: Option<&'static str>,
    /// Builds one configured instance. A panic in it is an error of that entity alone.
    pub build: fn(&Build<'_>) -> Result<Arc<dyn Handler>, BuildError>,
}

impl std::fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.priority)
    }
}

impl Descriptor {
    /// What a control plane needs to know of a plugin that is not one of Kong's.
    ///
    /// # Errors
    /// Its definition is no JSON object.
    pub fn own(&self) -> Option<Result<OwnPlugin, String>> {
        let definition = match serde_json::from_str(self.definition?) {
            Ok(definition) => definition,
            Err(error) => return Some(Err(format!("plugin '{}': definition: {error}", self.name))),
        };
        Some(Ok(OwnPlugin {
            info: PluginInfo {
                name: self.name,
                version: self.version,
                priority: self.priority,
            },
            definition,
        }))
    }
}

/// What an instance is built from.
#[derive(Clone, Copy)]
pub struct Build<'a> {
    pub plugin: &'a Plugin,
    pub resources: &'a Resources,
}

/// An instance that was built, with what runs it needs to know of it.
#[derive(Clone)]
pub struct Built {
    pub handler: Arc<dyn Handler>,
    pub priority: i32,
    pub phases: Phases,
}

/// Why a plugin cannot be put in effect on this node. The texts are shown to operators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("plugin '{name}' is not part of this build")]
    Unknown { name: String },
    #[error("plugin '{name}' is not enabled on this node (setting 'plugins')")]
    Disabled { name: String },
    #[error("plugin '{name}': config: {reason}")]
    Config { name: String, reason: String },
    #[error("plugin '{name}': {field}: {reason}")]
    Unsupported {
        name: String,
        field: &'static str,
        reason: &'static str,
    },
}

/// The typed configuration of a plugin; absent fields take the defaults of its type, which
/// must have one for every field.
pub fn config_of<T: DeserializeOwned>(plugin: &Plugin) -> Result<T, BuildError> {
    let decode = |config: &Map<String, Value>| T::deserialize(Value::Object(config.clone()));
    decode(&plugin.config).map_err(|whole| {
        // Each field alone, so that every bad one is named.
        let bad: Vec<String> = plugin
            .config
            .iter()
            .filter_map(|(field, value)| {
                let alone = Map::from_iter([(field.clone(), value.clone())]);
                let error = decode(&alone).err()?;
                Some(format!("{field}: {error}"))
            })
            .collect();
        BuildError::Config {
            name: plugin.name.clone(),
            reason: match bad.is_empty() {
                true => whole.to_string(),
                false => bad.join("; "),
            },
        }
    })
}
