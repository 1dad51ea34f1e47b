//! Which plugins a node has, and builds instances of them.

use super::{Build, BuildError, Built, Descriptor, Resources};
use crate::model::Plugin;
use crate::plugins::BUNDLED;
use crate::schema::PLUGINS;

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

/// The plugins that the node's `plugins` setting allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnabledPlugins {
    /// Every plugin of Kong's that this build has.
    bundled: bool,
    /// These as well.
    names: Vec<String>,
}

impl Default for EnabledPlugins {
    fn default() -> EnabledPlugins {
        EnabledPlugins {
            bundled: true,
            names: Vec::new(),
        }
    }
}

impl EnabledPlugins {
    pub fn new(bundled: bool, names: Vec<String>) -> EnabledPlugins {
        EnabledPlugins { bundled, names }
    }

    pub fn contains(&self, name: &str) -> bool {
        let is_bundled = || PLUGINS.iter().any(|plugin| plugin.name == name);
        self.names.iter().any(|enabled| enabled == name) || self.bundled && is_bundled()
    }
}

/// Builds plugin instances. There is one per node: it has the resources that outlive a configuration.
#[derive(Debug)]
pub struct Factory {
    build: &'static [Descriptor],
    enabled: EnabledPlugins,
    resources: Resources,
}

impl Default for Factory {
    fn default() -> Factory {
        Factory::new(BUNDLED, EnabledPlugins::default())
    }
}

impl Factory {
    /// `build`: what is there at all; `enabled`: what of it the node may run.
    pub fn new(build: &'static [Descriptor], enabled: EnabledPlugins) -> Factory {
        Factory {
            build,
            enabled,
            resources: Resources::default(),
        }
    }

    /// The same with what a node lends.
    #[must_use]
    pub fn with(self, resources: Resources) -> Factory {
        Factory { resources, ..self }
    }

    /// What the plugins of this node share.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// What this node can run and is allowed to.
    pub fn plugins(&self) -> impl Iterator<Item = &'static Descriptor> {
        let enabled = |plugin: &&Descriptor| self.enabled.contains(plugin.name);
        self.build.iter().filter(enabled)
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

    /// An instance of a configured plugin.
    ///
    /// # Errors
    /// See [`BuildError`]; the entity then does not take effect on this node.
    pub fn build(&self, plugin: &Plugin) -> Result<Built, BuildError> {
        let name = || plugin.name.clone();
        let mut build = self.build.iter();
        let Some(known) = build.find(|known| known.name == plugin.name) else {
            return Err(BuildError::Unknown { name: name() });
        };
        if !self.enabled.contains(&plugin.name) {
            return Err(BuildError::Disabled { name: name() });
        }
        let handler = (known.build)(&Build {
            plugin,
            resources: &self.resources,
        })?;
        Ok(Built {
            phases: handler.phases(known.phases),
            priority: known.priority,
            handler,
        })
    }
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
            let names = enabled.iter().filter(|word| **word != "bundled");
            let names = names.map(|name| (*name).to_owned()).collect();
            let enabled_plugins = EnabledPlugins::new(enabled.contains(&"bundled"), names);
            let factory = Factory::new(BUNDLED, enabled_plugins);
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
            &[],
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
