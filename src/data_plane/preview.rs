//! What a new node would make of a configuration, found out without starting one: the same code
//! decides that decides in a running node.

use super::router::{Instead, MatchOrder, Options, Quarantined, RouterState, Vaults};
use super::{declarative, proxy_settings};
use crate::model::{Config, Kind, Revision, Row};
use crate::node::NodeError;
use crate::plugins::{Descriptor, EnabledPlugins, Factory, Resources};
use crate::settings::{RouteMatchCalculation, Settings};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Most names that one line lists.
const MOST_NAMES: usize = 20;

/// How routes and guards are treated on a node with these settings.
pub(super) fn options(settings: &Settings) -> Options {
    Options {
        order: match settings.proxy.route_match_calculation {
            RouteMatchCalculation::Original => MatchOrder::Original,
            RouteMatchCalculation::Strict => MatchOrder::Strict,
        },
        close_unguarded: settings.proxy.close_unguarded,
        vaults: Vaults::of_process(&settings.node.vault_env_prefix),
    }
}

/// What of the configuration would not be in effect, one sentence each; the names of the routes
/// that would answer 503, and whether any would be served.
#[must_use]
pub fn preview(
    settings: &Settings,
    build: &'static [Descriptor],
    rows: impl IntoIterator<Item = (Kind, Uuid, Row)>,
) -> Vec<String> {
    of_config(
        settings,
        build,
        Config::from_rows(Revision::default(), rows),
    )
}

/// The same for `declarative_config` of the settings, if there is one.
///
/// # Errors
/// It cannot be read or is not valid.
pub fn preview_declared(
    settings: &Settings,
    build: &'static [Descriptor],
) -> Result<Vec<String>, NodeError> {
    let declared = declarative::read(settings)?;
    Ok(declared.map_or_else(Vec::new, |cached| of_config(settings, build, cached.config)))
}

fn of_config(settings: &Settings, build: &'static [Descriptor], config: Config) -> Vec<String> {
    let plugins = &settings.node.plugins;
    let enabled = EnabledPlugins::new(plugins.bundled, plugins.names.clone());
    let factory = Arc::new(
        Factory::new(build, enabled)
            .with(Resources::default().with_settings(proxy_settings::for_plugins(settings))),
    );
    let outcome = RouterState::new(factory, options(settings)).replace(config, 0.0);
    let named = |entry: &Quarantined| entry.name.clone().unwrap_or_else(|| entry.id.to_string());
    let mut closed: Vec<String> = Vec::new();
    // One sentence for all that have the same reason, such as plugins of one name.
    let mut others: BTreeMap<(Kind, String), Vec<String>> = BTreeMap::new();
    for entry in &outcome.quarantined {
        match (entry.kind, entry.instead) {
            (Kind::Routes, Instead::Closed) => closed.push(named(entry)),
            _ => {
                let same = others.entry((entry.kind, entry.reason.clone()));
                same.or_default().push(named(entry));
            }
        }
    }
    let mut lines: Vec<String> = others
        .into_iter()
        .map(|((kind, reason), names)| {
            format!(
                "{kind} {}: not put into effect by this build: {reason}",
                list(&names)
            )
        })
        .collect();
    if !closed.is_empty() {
        lines.push(format!(
            "routes {}: closed on a node that has not served them before, they answer 503",
            list(&closed)
        ));
    }
    let routes = outcome.routes;
    if routes.configured > 0 && routes.served == 0 {
        lines.push(format!(
            "none of the {} routes would be served, and a new node would not be ready",
            routes.configured
        ));
    }
    lines
}

fn list(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMES).map(String::as_str);
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if names.len() > MOST_NAMES {
        text.push_str(&format!(" and {} more", names.len() - MOST_NAMES));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::BUNDLED;
    use crate::settings::Sources;
    use serde_json::{Value, json};

    fn row(kind: Kind, n: u128, fields: Value) -> (Kind, Uuid, Row) {
        let id = Uuid::from_u128(n);
        let mut entity = match kind {
            Kind::Services => json!({
                "protocol": "http", "host": "h", "port": 80, "retries": 5, "enabled": true,
                "connect_timeout": 1, "read_timeout": 1, "write_timeout": 1,
            }),
            Kind::Routes => json!({
                "protocols": ["http"], "https_redirect_status_code": 426, "regex_priority": 0,
                "strip_path": true, "preserve_host": false, "request_buffering": true,
                "response_buffering": true,
            }),
            _ => json!({"config": {}, "protocols": ["http"], "enabled": true}),
        };
        let object = entity.as_object_mut().expect("an object");
        object.insert("id".into(), json!(id));
        object.extend(fields.as_object().expect("an object").clone());
        (kind, id, Row::from_json(object))
    }

    #[test]
    fn trial_03_it_names_the_plugin_and_the_routes_it_closes() {
        let (settings, _) = Settings::load(&Sources::default()).expect("the defaults");
        let check = |plugin: Value, expected: &[&str]| {
            let rows = [
                row(Kind::Routes, 1, json!({"name": "a", "paths": ["/a"]})),
                row(Kind::Routes, 2, json!({"name": "b", "paths": ["/b"]})),
                row(Kind::Plugins, 3, plugin),
            ];
            // A build that lacks something which only observes.
            let known = BUNDLED.iter().filter(|known| known.name != "zipkin");
            let known: Vec<Descriptor> = known.copied().collect();
            assert_eq!(preview(&settings, known.leak(), rows), expected);
        };
        let unknown = "plugins jwt: not put into effect by this build: plugin 'jwt' is not part of this build";
        check(json!({"name": "key-auth"}), &[]);
        let first = Uuid::from_u128(1);
        check(
            json!({"name": "jwt", "route": {"id": first}}),
            &[
                unknown,
                "routes a: closed on a node that has not served them before, they answer 503",
            ],
        );
        check(
            json!({"name": "jwt"}),
            &[
                unknown,
                "routes a, b: closed on a node that has not served them before, they answer 503",
                "none of the 2 routes would be served, and a new node would not be ready",
            ],
        );
        check(
            json!({"name": "zipkin"}),
            &[
                "plugins zipkin: not put into effect by this build: plugin 'zipkin' is not part of this build",
            ],
        );
    }
}
