//! Which plugins exist, and how a configured one is built.

use super::Handler;
use crate::model::Plugin;
use crate::plugins::BUNDLED;
use crate::plugins::rate_limiting::counters::Counters;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// The version that every plugin reports: Kong's plugins carry the version of the Kong
/// release whose behaviour they have, and peers compare it.
pub const VERSION: &str = "3.9.3";

/// The plugins bundled with Kong that guard nothing, for builds that do not have them.
const OBSERVERS: &[&str] = &[
    "correlation-id",
    "datadog",
    "file-log",
    "http-log",
    "loggly",
    "opentelemetry",
    "prometheus",
    "statsd",
    "syslog",
    "tcp-log",
    "udp-log",
    "zipkin",
];

type Build = fn(&Factory, &Plugin) -> Result<Arc<dyn Handler>, BuildError>;

/// A plugin that a build can run.
#[derive(Clone, Copy)]
pub struct Implemented {
    pub name: &'static str,
    pub version: &'static str,
    /// See [`Handler::priority`].
    pub priority: i32,
    /// Whether a request must not pass without it. Only plugins that observe (metrics, logs,
    /// tracing, correlation ids) guard nothing.
    pub guards: bool,
    pub(in crate::plugins) build: Build,
}

impl std::fmt::Debug for Implemented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.priority)
    }
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
}

/// What a node is called, for plugins that tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeName {
    pub id: Uuid,
    pub hostname: Arc<str>,
}

/// Builds handlers. There is one per node: it owns the state that outlives a configuration,
/// such as the counters of rate-limiting.
#[derive(Debug)]
pub struct Factory {
    build: &'static [Implemented],
    enabled: EnabledPlugins,
    node: NodeName,
    counters: Arc<Counters>,
}

impl Default for Factory {
    fn default() -> Factory {
        Factory::new(BUNDLED, EnabledPlugins::Bundled)
    }
}

impl Factory {
    /// `build`: what is there at all; `enabled`: what of it the node may run.
    pub fn new(build: &'static [Implemented], enabled: EnabledPlugins) -> Factory {
        Factory {
            build,
            enabled,
            node: NodeName::default(),
            counters: Arc::default(),
        }
    }

    /// The same for the node of this name.
    #[must_use]
    pub fn on_node(self, node: NodeName) -> Factory {
        Factory { node, ..self }
    }

    pub(in crate::plugins) fn node(&self) -> &NodeName {
        &self.node
    }

    /// What this node can run and is allowed to.
    pub fn plugins(&self) -> impl Iterator<Item = &'static Implemented> {
        let enabled = |plugin: &&Implemented| self.enabled.contains(plugin.name);
        self.build.iter().filter(enabled)
    }

    pub(in crate::plugins) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Whether requests must not pass without the plugin of this name. A name that nobody
    /// knows might be the one that authenticates.
    pub fn guards(&self, name: &str) -> bool {
        let mut build = self.build.iter();
        match build.find(|known| known.name == name) {
            Some(known) => known.guards,
            None => !OBSERVERS.contains(&name),
        }
    }

    /// The handler of a configured plugin.
    ///
    /// # Errors
    /// See [`BuildError`]; the entity then does not take effect on this node.
    pub fn build(&self, plugin: &Plugin) -> Result<Arc<dyn Handler>, BuildError> {
        let name = || plugin.name.clone();
        let mut build = self.build.iter();
        let Some(implemented) = build.find(|known| known.name == plugin.name) else {
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

#[cfg(test)]
mod tests {
    use super::super::testing::plugin;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_is_in_the_order_of_execution() {
        assert!(BUNDLED.is_sorted_by(|a, b| a.priority > b.priority));
    }

    #[test]
    fn a_plugin_is_built_or_the_reason_is_told() {
        let check = |enabled: &[&str], name: &str, config, expected: Result<(), &str>| {
            let factory = Factory::new(BUNDLED, EnabledPlugins::from_words(enabled));
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
    fn only_plugins_that_observe_guard_nothing() {
        let factory = Factory::default();
        for plugin in BUNDLED {
            assert_eq!(
                plugin.guards,
                !OBSERVERS.contains(&plugin.name),
                "{plugin:?}"
            );
        }
        for name in OBSERVERS {
            assert!(!factory.guards(name), "{name}");
        }
        for name in [
            "key-auth",
            "cors",
            "request-transformer",
            "pre-function",
            "proxy-cache",
            "session",
            "grpc-web",
            "nobody-knows",
            "",
        ] {
            assert!(factory.guards(name), "{name}");
        }
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
