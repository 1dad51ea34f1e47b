//! The plugins of this build: names, versions and the order in which they run.

use super::load::check_definitions;
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// The version of the plugin set whose behaviour is implemented.
pub const PLUGIN_VERSION: &str = "3.9.3";

/// A bundled plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginInfo {
    pub name: &'static str,
    pub version: &'static str,
    /// Higher runs earlier.
    pub priority: i32,
}

/// A plugin that is not bundled: that of a build of one's own.
#[derive(Clone, Debug)]
pub struct OwnPlugin {
    pub info: PluginInfo,
    /// Its definition, in the notation of `data/schemas.json`.
    pub definition: Map<String, Value>,
}

static OWN: OnceLock<Vec<OwnPlugin>> = OnceLock::new();

/// Makes plugins known that are not bundled. To be called once, before the first entity is looked at.
///
/// # Errors
/// It was called before, two plugins have one name, or a definition is wrong.
pub fn add_plugins(own: Vec<OwnPlugin>) -> Result<(), String> {
    let mut names: Vec<&str> = PLUGINS.iter().map(|plugin| plugin.name).collect();
    for plugin in &own {
        if names.contains(&plugin.info.name) {
            return Err(format!("there are two plugins '{}'", plugin.info.name));
        }
        names.push(plugin.info.name);
    }
    if !own.is_empty() {
        check_definitions(&own)?;
    }
    OWN.set(own)
        .map_err(|_| "the plugins of this build are known already".to_owned())
}

/// The plugins that are not bundled.
pub(super) fn own_plugins() -> &'static [OwnPlugin] {
    OWN.get().map_or(&[], Vec::as_slice)
}

/// Every plugin that a control plane of this build can validate: the bundled ones, then others.
pub fn plugins() -> impl Iterator<Item = &'static PluginInfo> {
    PLUGINS
        .iter()
        .chain(own_plugins().iter().map(|own| &own.info))
}

/// The plugin of that name.
pub fn plugin(name: &str) -> Option<&'static PluginInfo> {
    plugins().find(|plugin| plugin.name == name)
}

/// Every bundled plugin (`plugins = bundled`), in the order of execution.
pub static PLUGINS: [PluginInfo; 45] = [
    info("pre-function", 1_000_000),
    info("correlation-id", 100_001),
    info("zipkin", 100_000),
    info("bot-detection", 2_500),
    info("cors", 2_000),
    info("session", 1_900),
    info("acme", 1_705),
    info("jwt", 1_450),
    info("oauth2", 1_400),
    info("key-auth", 1_250),
    info("ldap-auth", 1_200),
    info("basic-auth", 1_100),
    info("hmac-auth", 1_030),
    info("grpc-gateway", 998),
    info("ip-restriction", 990),
    info("request-size-limiting", 951),
    info("acl", 950),
    info("rate-limiting", 910),
    info("response-ratelimiting", 900),
    info("request-transformer", 801),
    info("response-transformer", 800),
    info("redirect", 779),
    info("ai-request-transformer", 777),
    info("ai-prompt-template", 773),
    info("ai-prompt-decorator", 772),
    info("ai-prompt-guard", 771),
    info("ai-proxy", 770),
    info("ai-response-transformer", 768),
    info("standard-webhooks", 760),
    info("aws-lambda", 750),
    info("azure-functions", 749),
    info("proxy-cache", 100),
    info("opentelemetry", 14),
    info("prometheus", 13),
    info("http-log", 12),
    info("statsd", 11),
    info("datadog", 10),
    info("file-log", 9),
    info("udp-log", 8),
    info("tcp-log", 7),
    info("loggly", 6),
    info("syslog", 4),
    info("grpc-web", 3),
    info("request-termination", 2),
    info("post-function", -1_000),
];

const fn info(name: &'static str, priority: i32) -> PluginInfo {
    PluginInfo {
        name,
        version: PLUGIN_VERSION,
        priority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_has_its_entry_and_the_order_is_the_priority() {
        let schemas = super::super::load::raw()["plugins"]
            .as_object()
            .expect("plugins");
        assert_eq!(schemas.len(), PLUGINS.len());
        assert!(schemas.keys().all(|name| plugin(name).is_some()));
        assert!(PLUGINS.is_sorted_by(|a, b| a.priority > b.priority));
    }
}
