//! Which endpoint a path is, and which methods it has. Paths follow from the schema: every
//! entity with an admin path, its children below it, its parents beside it.

use crate::model::Kind;
use crate::schema;

/// A resolved path. Keys are as the client wrote them, percent-decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Root,
    Status,
    Endpoints,
    /// `/openapi.json`.
    OpenApi,
    Timers,
    Metrics,
    DebugActors,
    /// `/quarantine`: what is not in effect as configured, and where.
    Quarantine,
    /// `/config`, of nodes without a database.
    Config,
    /// `/status/dns`.
    DnsStatus,
    /// What there is only with wasm: filter chains, and the filters of a route.
    Wasm,
    /// `/schemas/filters/{name}`.
    FilterSchema(String),
    /// `/acme`: orders certificates.
    Acme,
    /// `/acme/certificates` and one of them.
    AcmeCertificates,
    /// An entry of a cache that only data planes have.
    ProxyCacheEntry,
    EnabledPlugins,
    /// `/plugins/schema/{name}`, deprecated: a plugin's config schema.
    PluginConfigSchema(String),
    EntitySchema(String),
    PluginSchema(String),
    VaultSchema(String),
    /// `/schemas/{entity}/validate`; the entity may be `plugins` or `vaults`.
    Validate(String),
    Tags,
    Tag(String),
    DataPlanes,
    ClusterStatus,
    /// `/telemetry/requests`: how many requests the fleet has served.
    RequestSums,
    LogLevel,
    SetLogLevel(String),
    /// The level of every node on the database; the path says in which roles it is there.
    SetClusterLogLevel {
        level: String,
        hybrid: bool,
    },
    Cache,
    CacheEntry,
    Collection(Kind),
    Entity(Kind, String),
    /// The children of a parent, by the child's foreign field.
    Children {
        parent: Kind,
        key: String,
        child: Kind,
        field: &'static str,
    },
    Child {
        parent: Kind,
        key: String,
        child: Kind,
        field: &'static str,
        child_key: String,
    },
    /// The parent that a child's foreign field points to.
    Parent {
        child: Kind,
        key: String,
        field: &'static str,
        parent: Kind,
    },
    /// `/upstreams/{u}/targets/all`.
    AllTargets(String),
    UpstreamHealth(String),
    /// `/upstreams/{u}/targets/{t}/healthy` or `unhealthy`, or of one of the target's
    /// addresses: what a data plane of the same process is told.
    SetTargetHealth {
        upstream: String,
        target: String,
        address: Option<String>,
        healthy: bool,
    },
    Revisions,
    /// `/revisions/{n}` and `/revisions/{a}..{b}`.
    Revision(String),
    /// `/revisions/{n}/rollback`.
    Rollback(String),
    Transactions,
}

impl Endpoint {
    /// The methods there are, as `Allow` lists them.
    pub fn methods(&self) -> &'static str {
        match self {
            Endpoint::Collection(_) | Endpoint::Children { .. } | Endpoint::Tags => {
                "GET, HEAD, OPTIONS, POST"
            }
            Endpoint::Entity(..)
            | Endpoint::Child { .. }
            | Endpoint::Parent { .. }
            | Endpoint::Tag(_) => "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
            Endpoint::Validate(_) => "OPTIONS, POST",
            Endpoint::SetLogLevel(_)
            | Endpoint::SetClusterLogLevel { .. }
            | Endpoint::SetTargetHealth { .. } => "OPTIONS, PUT",
            Endpoint::Cache => "DELETE, OPTIONS",
            Endpoint::CacheEntry | Endpoint::ProxyCacheEntry => "DELETE, GET, HEAD, OPTIONS",
            Endpoint::Config => "GET, HEAD, OPTIONS, POST",
            Endpoint::Acme => "OPTIONS, PATCH, POST",
            Endpoint::Rollback(_) | Endpoint::Transactions => "OPTIONS, POST",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether a node has it; `hybrid` is whether its role is `control_plane`.
    pub fn is_there(&self, hybrid: bool) -> bool {
        match self {
            Endpoint::SetClusterLogLevel { hybrid: only, .. } => *only == hybrid,
            Endpoint::SetTargetHealth { .. } => !hybrid,
            _ => true,
        }
    }

    /// Whether its writes are writes of entities.
    pub fn holds_entities(&self) -> bool {
        matches!(
            self,
            Endpoint::Collection(_)
                | Endpoint::Entity(..)
                | Endpoint::Children { .. }
                | Endpoint::Child { .. }
                | Endpoint::Parent { .. }
        )
    }

    /// Whether its writes become revisions.
    pub fn writes_revisions(&self) -> bool {
        self.holds_entities() || matches!(self, Endpoint::Rollback(_) | Endpoint::Transactions)
    }

    /// Whether the method is one of [`Endpoint::methods`].
    pub fn has(&self, method: &str) -> bool {
        // Refused before anybody looks at the method.
        if *self == Endpoint::Wasm {
            return true;
        }
        self.methods().split(", ").any(|known| known == method)
    }
}

/// The endpoint of a path, literal segments before parameters; `None` is 404.
pub fn resolve(segments: &[String]) -> Option<Endpoint> {
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    literal(&parts).or_else(|| generated(&parts))
}

fn literal(parts: &[&str]) -> Option<Endpoint> {
    Some(match parts {
        [] => Endpoint::Root,
        ["status"] => Endpoint::Status,
        ["endpoints"] => Endpoint::Endpoints,
        ["openapi.json"] => Endpoint::OpenApi,
        ["timers"] => Endpoint::Timers,
        ["config"] => Endpoint::Config,
        ["status", "dns"] => Endpoint::DnsStatus,
        ["acme"] => Endpoint::Acme,
        ["acme", "certificates"] | ["acme", "certificates", _] => Endpoint::AcmeCertificates,
        ["cache"] | ["proxy-cache"] => Endpoint::Cache,
        ["proxy-cache", _] | ["proxy-cache", _, "caches", _] => Endpoint::ProxyCacheEntry,
        ["filter-chains"]
        | ["filter-chains", _]
        | ["filter-chains", _, "route" | "service"]
        | ["routes" | "services", _, "filter-chains"]
        | ["routes" | "services", _, "filter-chains", _]
        | ["routes", _, "filters", "all" | "disabled" | "enabled"] => Endpoint::Wasm,
        ["cache", _] => Endpoint::CacheEntry,
        ["metrics"] => Endpoint::Metrics,
        ["quarantine"] => Endpoint::Quarantine,
        ["debug", "actors"] => Endpoint::DebugActors,
        ["debug", "node", "log-level"] => Endpoint::LogLevel,
        ["debug", "node", "log-level", level] => Endpoint::SetLogLevel((*level).into()),
        ["debug", "cluster", "log-level", level] => Endpoint::SetClusterLogLevel {
            level: (*level).into(),
            hybrid: false,
        },
        [
            "debug",
            "cluster",
            "control-planes-nodes",
            "log-level",
            level,
        ] => Endpoint::SetClusterLogLevel {
            level: (*level).into(),
            hybrid: true,
        },
        ["plugins", "enabled"] => Endpoint::EnabledPlugins,
        ["plugins", "schema", name] => Endpoint::PluginConfigSchema((*name).into()),
        ["schemas", "plugins", "validate"] => Endpoint::Validate("plugins".into()),
        ["schemas", "vaults", "validate"] => Endpoint::Validate("vaults".into()),
        ["schemas", "plugins", name] => Endpoint::PluginSchema((*name).into()),
        ["schemas", "filters", name] => Endpoint::FilterSchema((*name).into()),
        ["schemas", "vaults", name] => Endpoint::VaultSchema((*name).into()),
        ["schemas", name, "validate"] => Endpoint::Validate((*name).into()),
        ["schemas", name] => Endpoint::EntitySchema((*name).into()),
        ["tags"] => Endpoint::Tags,
        ["tags", tag] => Endpoint::Tag((*tag).into()),
        ["clustering", "data-planes"] => Endpoint::DataPlanes,
        ["clustering", "status"] => Endpoint::ClusterStatus,
        ["telemetry", "requests"] => Endpoint::RequestSums,
        ["upstreams", key, "health"] => Endpoint::UpstreamHealth((*key).into()),
        ["upstreams", key, "targets", "all"] => Endpoint::AllTargets((*key).into()),
        [
            "upstreams",
            upstream,
            "targets",
            target,
            address @ ..,
            health @ ("healthy" | "unhealthy"),
        ] if address.len() <= 1 => Endpoint::SetTargetHealth {
            upstream: (*upstream).into(),
            target: (*target).into(),
            address: address.first().map(|address| (*address).into()),
            healthy: *health == "healthy",
        },
        ["transactions"] => Endpoint::Transactions,
        ["revisions"] => Endpoint::Revisions,
        ["revisions", name] => Endpoint::Revision((*name).into()),
        ["revisions", name, "rollback"] => Endpoint::Rollback((*name).into()),
        _ => return None,
    })
}

fn generated(parts: &[&str]) -> Option<Endpoint> {
    let (first, rest) = parts.split_first()?;
    let kind = top_level().find(|kind| path_name(*kind) == *first)?;
    let key = |at: usize| rest.get(at).map(|part| (*part).to_owned());
    match rest {
        [] => Some(Endpoint::Collection(kind)),
        [_] => Some(Endpoint::Entity(kind, key(0)?)),
        [_, below] => match child(kind, below) {
            Some((child, field)) => Some(Endpoint::Children {
                parent: kind,
                key: key(0)?,
                child,
                field,
            }),
            None => {
                let (field, parent) = parent(kind, below)?;
                Some(Endpoint::Parent {
                    child: kind,
                    key: key(0)?,
                    field,
                    parent,
                })
            }
        },
        [_, below, _] => {
            let (child, field) = child(kind, below)?;
            Some(Endpoint::Child {
                parent: kind,
                key: key(0)?,
                child,
                field,
                child_key: key(2)?,
            })
        }
        _ => None,
    }
}

/// Kinds with a collection of their own; targets live only under their upstream.
fn top_level() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| *kind != Kind::Targets)
}

/// The first path segment of a kind, without the slash.
pub fn path_name(kind: Kind) -> &'static str {
    schema::entity(kind.as_str()).map_or(kind.as_str(), |entity| {
        entity.admin_path.trim_start_matches('/')
    })
}

/// The child kind with this nested name and its field that points to `parent`.
fn child(parent: Kind, nested_name: &str) -> Option<(Kind, &'static str)> {
    Kind::ALL.into_iter().find_map(|kind| {
        let entity = schema::entity(kind.as_str())?;
        if &*entity.nested_name != nested_name {
            return None;
        }
        let mut foreign = entity.foreign_fields();
        let (field, _) = foreign.find(|(_, foreign)| &*foreign.reference == parent.as_str())?;
        Some((kind, &*field.name))
    })
}

/// The field of this name that points to a parent.
fn parent(child: Kind, field: &str) -> Option<(&'static str, Kind)> {
    // Kong has no such path for SNIs.
    if child == Kind::Snis {
        return None;
    }
    let mut foreign = schema::entity(child.as_str())?.foreign_fields();
    let (field, foreign) = foreign.find(|(found, _)| &*found.name == field)?;
    Some((&*field.name, Kind::parse(&foreign.reference)?))
}

/// Every path there is, in `{parameter}` style, sorted segment by segment: `GET /endpoints`.
/// `hybrid` is whether the node's role is `control_plane`.
pub fn all_paths(hybrid: bool) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/",
        "/acme",
        "/acme/certificates",
        "/acme/certificates/{certificates}",
        "/cache",
        "/cache/{key}",
        "/clustering/data-planes",
        "/clustering/status",
        "/config",
        "/debug/actors",
        "/debug/node/log-level",
        "/debug/node/log-level/{log_level}",
        "/endpoints",
        "/filter-chains",
        "/filter-chains/{filter_chains}",
        "/filter-chains/{filter_chains}/route",
        "/filter-chains/{filter_chains}/service",
        "/metrics",
        "/openapi.json",
        "/plugins/enabled",
        "/plugins/schema/{name}",
        "/proxy-cache",
        "/proxy-cache/{cache_key}",
        "/proxy-cache/{plugin_id}/caches/{cache_key}",
        "/quarantine",
        "/revisions",
        "/revisions/{revision}",
        "/revisions/{revision}/rollback",
        "/routes/{routes}/filter-chains",
        "/routes/{routes}/filter-chains/{filter_chains}",
        "/routes/{routes}/filters/all",
        "/routes/{routes}/filters/disabled",
        "/routes/{routes}/filters/enabled",
        "/schemas/filters/{name}",
        "/schemas/plugins/validate",
        "/schemas/plugins/{name}",
        "/schemas/vaults/validate",
        "/schemas/vaults/{name}",
        "/schemas/{db_entity_name}/validate",
        "/schemas/{name}",
        "/services/{services}/filter-chains",
        "/services/{services}/filter-chains/{filter_chains}",
        // Kong lists these four, too, and answers 404 to them.
        "/snis/{snis}/certificate",
        "/targets",
        "/targets/{targets}",
        "/targets/{targets}/upstream",
        "/status",
        "/status/dns",
        "/tags",
        "/tags/{tags}",
        "/telemetry/requests",
        "/timers",
        "/transactions",
        "/upstreams/{upstreams}/health",
        "/upstreams/{upstreams}/targets/all",
    ]
    .map(str::to_owned)
    .to_vec();
    let by_role: &[&str] = match hybrid {
        true => &["/debug/cluster/control-planes-nodes/log-level/{log_level}"],
        false => &[
            "/debug/cluster/log-level/{log_level}",
            "/upstreams/{upstreams}/targets/{targets}/healthy",
            "/upstreams/{upstreams}/targets/{targets}/unhealthy",
            "/upstreams/{upstreams}/targets/{targets}/{address}/healthy",
            "/upstreams/{upstreams}/targets/{targets}/{address}/unhealthy",
        ],
    };
    paths.extend(by_role.iter().map(|path| (*path).to_owned()));
    for kind in top_level() {
        let base = format!("/{}", path_name(kind));
        let entity = format!("{base}/{{{kind}}}");
        for below in Kind::ALL {
            let Some(child_schema) = schema::entity(below.as_str()) else {
                continue;
            };
            if child_schema
                .foreign_fields()
                .any(|(_, f)| &*f.reference == kind.as_str())
            {
                let nested = &child_schema.nested_name;
                paths.push(format!("{entity}/{nested}"));
                paths.push(format!("{entity}/{nested}/{{{below}}}"));
            }
        }
        if let Some(own) = schema::entity(kind.as_str()) {
            let fields = own
                .foreign_fields()
                .filter(|(f, _)| parent(kind, &f.name).is_some());
            paths.extend(fields.map(|(f, _)| format!("{entity}/{}", f.name)));
        }
        paths.push(entity);
        paths.push(base);
    }
    paths.sort_by(|a, b| a.split('/').cmp(b.split('/')));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Option<Endpoint>) {
        let segments = super::super::request::segments(path).expect("a path");
        assert_eq!(resolve(&segments), expected, "{path}");
    }

    #[test]
    fn paths_follow_from_the_schema() {
        let key = || "k".to_owned();
        check("/", Some(Endpoint::Root));
        check("/services/", Some(Endpoint::Collection(Kind::Services)));
        check(
            "/key-auths/k",
            Some(Endpoint::Entity(Kind::KeyauthCredentials, key())),
        );
        check("/plugins/enabled", Some(Endpoint::EnabledPlugins));
        check("/plugins/k", Some(Endpoint::Entity(Kind::Plugins, key())));
        check(
            "/services/k/routes",
            Some(Endpoint::Children {
                parent: Kind::Services,
                key: key(),
                child: Kind::Routes,
                field: "service",
            }),
        );
        check(
            "/consumers/k/key-auth/c",
            Some(Endpoint::Child {
                parent: Kind::Consumers,
                key: key(),
                child: Kind::KeyauthCredentials,
                field: "consumer",
                child_key: "c".into(),
            }),
        );
        check(
            "/routes/k/service",
            Some(Endpoint::Parent {
                child: Kind::Routes,
                key: key(),
                field: "service",
                parent: Kind::Services,
            }),
        );
        check(
            "/upstreams/k/targets/all",
            Some(Endpoint::AllTargets(key())),
        );
        check(
            "/keys/k/set",
            Some(Endpoint::Parent {
                child: Kind::Keys,
                key: key(),
                field: "set",
                parent: Kind::KeySets,
            }),
        );
        let set = |address: Option<&str>, healthy| {
            Some(Endpoint::SetTargetHealth {
                upstream: key(),
                target: "t:1".into(),
                address: address.map(str::to_owned),
                healthy,
            })
        };
        check("/upstreams/k/targets/t:1/healthy", set(None, true));
        check(
            "/upstreams/k/targets/t:1/a:2/unhealthy",
            set(Some("a:2"), false),
        );
        check("/upstreams/k/targets/t:1/a:2/b/healthy", None);
        check("/routes/k/filter-chains/f", Some(Endpoint::Wasm));
        check("/targets", None);
        check("/snis/k/certificate", None);
        check("/default/services", None);
        check("/services/k/routes/r/plugins", None);
    }

    #[test]
    fn every_listed_path_is_one() {
        let disabled =
            |path: &str| path.starts_with("/targets") || path == "/snis/{snis}/certificate";
        let both = [false, true].into_iter().flat_map(|hybrid| {
            let paths = all_paths(hybrid).into_iter();
            paths.map(move |path| (hybrid, path))
        });
        for (hybrid, path) in both.filter(|(_, path)| !disabled(path)) {
            let concrete = path.replace(['{', '}'], "");
            let segments = super::super::request::segments(&concrete).expect("a path");
            let endpoint = resolve(&segments);
            assert!(
                endpoint.is_some_and(|found| found.is_there(hybrid)),
                "{path}"
            );
        }
    }
}
