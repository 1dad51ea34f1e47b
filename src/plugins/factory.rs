//! Which plugins exist, and how a configured one is built.

use super::rate_limiting::counters::Counters;
use super::{Handler, correlation_id, key_auth, rate_limiting, request_termination};
use crate::model::Plugin;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The version that every plugin reports: Kong's plugins carry the version of the Kong
/// release whose behaviour they have, and peers compare it.
pub const VERSION: &str = "3.9.3";

type Build = fn(&Factory, &Plugin) -> Result<Arc<dyn Handler>, BuildError>;

/// A plugin that this build can run.
pub struct Implemented {
    pub name: &'static str,
    pub version: &'static str,
    /// See [`Handler::priority`].
    pub priority: i32,
    build: Build,
}

impl std::fmt::Debug for Implemented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.priority)
    }
}

/// Every plugin of this build, by descending priority (priorities as Kong's).
pub const IMPLEMENTED: &[Implemented] = &[
    Implemented {
        name: "correlation-id",
        version: VERSION,
        priority: correlation_id::PRIORITY,
        build: |_, plugin| correlation_id::build(plugin),
    },
    Implemented {
        name: "key-auth",
        version: VERSION,
        priority: key_auth::PRIORITY,
        build: |_, plugin| key_auth::build(plugin),
    },
    Implemented {
        name: "rate-limiting",
        version: VERSION,
        priority: rate_limiting::PRIORITY,
        build: |factory, plugin| rate_limiting::build(plugin, Arc::clone(&factory.counters)),
    },
    Implemented {
        name: "request-termination",
        version: VERSION,
        priority: request_termination::PRIORITY,
        build: |_, plugin| request_termination::build(plugin),
    },
];

/// The plugin of this name, if this build can run it.
pub fn implemented(name: &str) -> Option<&'static Implemented> {
    IMPLEMENTED.iter().find(|plugin| plugin.name == name)
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

/// The plugins that the node's `plugins` setting allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EnabledPlugins {
    /// `bundled`: every plugin of this build.
    #[default]
    Bundled,
    /// These alone.
    Only(Vec<String>),
}

impl EnabledPlugins {
    /// From the words of the `plugins` setting: `bundled`, `off`, names, or a mixture.
    pub fn from_words<S: AsRef<str>>(words: &[S]) -> EnabledPlugins {
        let mut names = Vec::new();
        for word in words.iter().map(AsRef::as_ref) {
            match word {
                "bundled" => return EnabledPlugins::Bundled,
                "off" => {}
                name => names.push(name.to_owned()),
            }
        }
        EnabledPlugins::Only(names)
    }

    pub fn contains(&self, name: &str) -> bool {
        match self {
            EnabledPlugins::Bundled => true,
            EnabledPlugins::Only(names) => names.iter().any(|enabled| enabled == name),
        }
    }

    /// What this node can run and is allowed to.
    pub fn iter(&self) -> impl Iterator<Item = &'static Implemented> {
        IMPLEMENTED
            .iter()
            .filter(|plugin| self.contains(plugin.name))
    }
}

/// Builds handlers. There is one per node: it owns the state that outlives a configuration,
/// such as the counters of rate-limiting.
#[derive(Debug, Default)]
pub struct Factory {
    enabled: EnabledPlugins,
    counters: Arc<Counters>,
}

impl Factory {
    pub fn new(enabled: EnabledPlugins) -> Factory {
        Factory {
            enabled,
            counters: Arc::default(),
        }
    }

    pub fn enabled(&self) -> &EnabledPlugins {
        &self.enabled
    }

    /// The handler of a configured plugin.
    ///
    /// # Errors
    /// See [`BuildError`]; the entity then does not take effect on this node.
    pub fn build(&self, plugin: &Plugin) -> Result<Arc<dyn Handler>, BuildError> {
        let name = || plugin.name.clone();
        let Some(implemented) = implemented(&plugin.name) else {
            return Err(BuildError::Unknown { name: name() });
        };
        if !self.enabled.contains(&plugin.name) {
            return Err(BuildError::Disabled { name: name() });
        }
        (implemented.build)(self, plugin)
    }
}

/// The typed configuration of a plugin; absent fields take the defaults of its type, which
/// must have one for every field.
pub(super) fn config_of<T: DeserializeOwned>(plugin: &Plugin) -> Result<T, BuildError> {
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

#[cfg(test)]
mod tests {
    use super::super::testing::plugin;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_is_in_the_order_of_execution() {
        assert!(IMPLEMENTED.is_sorted_by(|a, b| a.priority > b.priority));
    }

    #[test]
    fn a_plugin_is_built_or_the_reason_is_told() {
        let check = |enabled: &[&str], name: &str, config, expected: Result<(), &str>| {
            let factory = Factory::new(EnabledPlugins::from_words(enabled));
            let result = factory.build(&plugin(name, config)).map(|_| ());
            assert_eq!(
                result.map_err(|error| error.to_string()),
                expected.map_err(str::to_owned),
                "{enabled:?} {name}"
            );
        };
        check(&["bundled"], "key-auth", json!({}), Ok(()));
        check(&["bundled", "mine"], "correlation-id", json!({}), Ok(()));
        check(&["key-auth"], "key-auth", json!({}), Ok(()));
        check(
            &["bundled"],
            "jwt",
            json!({}),
            Err("plugin 'jwt' is not part of this build"),
        );
        check(
            &["off"],
            "key-auth",
            json!({}),
            Err("plugin 'key-auth' is not enabled on this node (setting 'plugins')"),
        );
        check(
            &["rate-limiting"],
            "key-auth",
            json!({}),
            Err("plugin 'key-auth' is not enabled on this node (setting 'plugins')"),
        );
        check(
            &["bundled"],
            "rate-limiting",
            json!({"minute": 5, "policy": "redis"}),
            Err("plugin 'rate-limiting': config.policy: 'redis' is not implemented, use 'local'"),
        );
    }

    #[test]
    fn a_wrong_type_names_the_field() {
        let error = Factory::default()
            .build(&plugin("key-auth", json!({"key_names": 7})))
            .map(|_| ())
            .expect_err("a number is no list");
        assert!(error.to_string().contains("key_names"), "{error}");
    }
}
