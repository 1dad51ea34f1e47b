//! What each endpoint takes and answers. The match has no catch-all arm: an endpoint without a
//! description does not compile.

use super::super::endpoint::{Endpoint, path_name};
use super::operation::{Argument, Body, Content, Operation, reference};
use super::{bodies, local, revisions};
use crate::control_plane::config_store::CountedBy;
use crate::model::Kind;
use crate::schema::json_schema::Purpose;
use crate::schema::{self, Role};
use crate::settings::LogLevel;
use serde_json::{Value, json};

/// The operation of a method that the endpoint has on a node of that role.
pub fn operation(endpoint: &Endpoint, method: &str, role: Role) -> Operation {
    let answering = |method| {
        let operation = match (endpoint, role) {
            (Endpoint::Config, Role::DbLess) => {
                local::config(|summary| Operation::new(tag(endpoint), summary), method)
            }
            (_, Role::DbLess) => local::read_only(answering(endpoint, method), endpoint, method),
            _ => answering(endpoint, method),
        };
        let waits = !matches!(method, "GET" | "HEAD") && endpoint.writes_revisions();
        with_query_errors(match waits && role != Role::DbLess {
            true => operation.arguments(waiting_arguments()),
            false => operation,
        })
    };
    match method {
        "OPTIONS" if *endpoint != Endpoint::Wasm => {
            Operation::new(tag(endpoint), "List the methods").answer(204, Content::None)
        }
        // The query is taken apart before anybody looks at what it is for.
        "HEAD" => answering("GET").without_contents(),
        _ => answering(method),
    }
}

/// The schema of a parameter in the path.
pub fn parameter(endpoint: &Endpoint, name: &str) -> Value {
    let levels = || LogLevel::ALL.map(LogLevel::as_str).to_vec();
    let text = json!({"type": "string", "minLength": 1});
    match endpoint {
        Endpoint::EntitySchema(_) | Endpoint::Validate(_) => {
            let names: Vec<&str> = schema::entities().map(|entity| &*entity.name).collect();
            json!({"type": "string", "enum": names})
        }
        Endpoint::PluginSchema(_) | Endpoint::PluginConfigSchema(_) => {
            let names: Vec<&str> = schema::plugins().map(|plugin| plugin.name).collect();
            json!({"type": "string", "enum": names})
        }
        Endpoint::VaultSchema(_) => json!({"type": "string", "enum": ["env"]}),
        Endpoint::SetLogLevel(_) | Endpoint::SetClusterLogLevel { .. } => {
            json!({"type": "string", "enum": levels()})
        }
        // The kinds that have no other key than their id.
        Endpoint::Entity(kind, _) | Endpoint::Parent { child: kind, .. }
            if name == kind.as_str() && has_only_ids(*kind) =>
        {
            json!({"type": "string", "format": "uuid"})
        }
        Endpoint::Revision(_) | Endpoint::Rollback(_) => revisions::parameter(endpoint),
        _ => text,
    }
}

fn has_only_ids(kind: Kind) -> bool {
    // A certificate's path may have the name of an SNI.
    kind != Kind::Certificates
        && schema::entity(kind.as_str()).is_some_and(|entity| entity.endpoint_key.is_none())
}

/// What every method but OPTIONS may answer to: more arguments than are read.
fn with_query_errors(operation: Operation) -> Operation {
    match operation.answers.iter().any(|answer| answer.status == 400) {
        true => operation,
        false => operation.json(400, "message"),
    }
}

/// What the paths of an endpoint are listed under.
fn tag(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Collection(kind)
        | Endpoint::Entity(kind, _)
        | Endpoint::Children { child: kind, .. }
        | Endpoint::Child { child: kind, .. }
        | Endpoint::Parent { parent: kind, .. } => path_name(*kind),
        Endpoint::AllTargets(_) => "targets",
        Endpoint::UpstreamHealth(_) | Endpoint::SetTargetHealth { .. } => "upstreams",
        Endpoint::Tags | Endpoint::Tag(_) => "tags",
        Endpoint::EntitySchema(_)
        | Endpoint::PluginSchema(_)
        | Endpoint::PluginConfigSchema(_)
        | Endpoint::VaultSchema(_)
        | Endpoint::FilterSchema(_)
        | Endpoint::Validate(_) => "schemas",
        Endpoint::DataPlanes | Endpoint::ClusterStatus => "clustering",
        Endpoint::RequestSums => "telemetry",
        Endpoint::Revisions | Endpoint::Revision(_) | Endpoint::Rollback(_) => "revisions",
        Endpoint::Transactions => "transactions",
        Endpoint::DebugActors
        | Endpoint::LogLevel
        | Endpoint::SetLogLevel(_)
        | Endpoint::SetClusterLogLevel { .. } => "debug",
        Endpoint::Root
        | Endpoint::Status
        | Endpoint::Endpoints
        | Endpoint::OpenApi
        | Endpoint::Timers
        | Endpoint::Metrics
        | Endpoint::Quarantine
        | Endpoint::EnabledPlugins => "information",
        Endpoint::Config
        | Endpoint::DnsStatus
        | Endpoint::Wasm
        | Endpoint::Acme
        | Endpoint::AcmeCertificates
        | Endpoint::ProxyCacheEntry
        | Endpoint::Cache
        | Endpoint::CacheEntry => "not on this node",
    }
}

/// The operation of a method, `GET` standing for `HEAD`.
fn answering(endpoint: &Endpoint, method: &str) -> Operation {
    let new = |summary: &str| Operation::new(tag(endpoint), summary);
    match endpoint {
        Endpoint::Root => new("What this node is").reading().json(200, "root"),
        Endpoint::Status => new("Memory, connections, the database")
            .arguments(status_arguments())
            .json(200, "status"),
        Endpoint::Endpoints => new("List the paths").json(200, "endpoints"),
        Endpoint::OpenApi => new("This description")
            .arguments([if_none_match()])
            .json(200, "openapi")
            .answer(304, Content::None),
        Endpoint::Timers => new("Requests, waiting writes, idle connections").json(200, "timers"),
        Endpoint::Metrics => new("Metrics for Prometheus")
            .reading()
            .answer(200, Content::Text),
        Endpoint::Quarantine => new("What is not in effect as configured, on which node, and why")
            .json(200, "quarantine"),
        Endpoint::DebugActors => new("The state of each actor").json(200, "actors"),
        Endpoint::EnabledPlugins => {
            new("The names of enabled plugins").json(200, "enabled-plugins")
        }
        Endpoint::Config if method == "POST" => {
            new("Refused: this node has a database").refusing_bodies()
        }
        Endpoint::Config => new("Refused: this node has a database"),
        Endpoint::DnsStatus => new("Not implemented").json(501, "message"),
        Endpoint::Wasm => new("Refused: wasm is off"),
        Endpoint::FilterSchema(_) => new("There is no filter").json(404, "message"),
        Endpoint::Acme => new("Refused: certificates are not ordered by this version")
            .refusing_bodies()
            .reading()
            .json(404, "message"),
        Endpoint::AcmeCertificates => new("Refused: certificates are not ordered by this version")
            .reading()
            .json(404, "message"),
        Endpoint::ProxyCacheEntry => new("A control plane keeps no responses").json(404, "message"),
        Endpoint::Cache | Endpoint::CacheEntry if method == "DELETE" => {
            new("Purge: nothing is cached").answer(204, Content::None)
        }
        Endpoint::Cache | Endpoint::CacheEntry => {
            new("A control plane caches nothing").json(404, "message")
        }
        Endpoint::EntitySchema(_) => new("The fields of an entity")
            .json(200, "fields")
            .json(404, "message"),
        Endpoint::PluginSchema(_) => new("The fields of a plugin")
            .json(200, "fields")
            .json(404, "message"),
        Endpoint::PluginConfigSchema(_) => new("The fields of a plugin's configuration")
            .json(200, "fields")
            .json(404, "message"),
        Endpoint::VaultSchema(_) => new("The fields of a vault")
            .json(200, "fields")
            .json(404, "message"),
        Endpoint::Validate(name) => new("Check an entity without writing it")
            .body(match Kind::parse(name) {
                Some(kind) => bodies::whole(kind, &[]),
                None => bodies::any_whole(),
            })
            .json(200, "message")
            .json(400, "refused-write")
            .json(404, "message"),
        Endpoint::Tags if method == "POST" => new("Refused: entities have their tags")
            .refusing_bodies()
            .json(400, "refused-write"),
        Endpoint::Tag(_) if method != "GET" => {
            let refused = new("Refused: entities have their tags").json(400, "refused-write");
            match method {
                "DELETE" => refused,
                _ => refused.refusing_bodies(),
            }
        }
        Endpoint::Tags | Endpoint::Tag(_) => new("List tags, and what has them")
            .arguments(Argument::page())
            .json(200, "tags-page")
            .json(400, "refused-list")
            .reading(),
        Endpoint::DataPlanes => new("List the data planes")
            .arguments(Argument::page())
            .json(200, "data-planes-page")
            .json(400, "refused-list")
            .reading(),
        Endpoint::ClusterStatus => new("The data planes by id")
            .json(200, "cluster-status")
            .reading(),
        Endpoint::RequestSums => new("How many requests the fleet has served, each counted once")
            .arguments(request_sum_arguments())
            .json(200, "request-sums")
            .json(400, "refused-list")
            .reading(),
        Endpoint::LogLevel => new("The log level").json(200, "message"),
        Endpoint::SetLogLevel(_) => set_log_level(new("Change the log level of this node")),
        Endpoint::SetClusterLogLevel { .. } => {
            set_log_level(new("Change the log level of every control plane")).writing()
        }
        Endpoint::Collection(kind) => collection(endpoint, *kind, method),
        Endpoint::Entity(kind, _) => {
            let key = schema::entity(kind.as_str()).and_then(|e| e.endpoint_key.as_deref());
            let operation = one(endpoint, *kind, method, key.as_slice());
            match method {
                "GET" => operation.arguments([how_it_fares()]),
                _ => operation,
            }
        }
        Endpoint::Children {
            parent,
            child,
            field,
            ..
        } => children(endpoint, *parent, (*child, field), method),
        Endpoint::Child { child, field, .. } => {
            let key = schema::entity(child.as_str()).and_then(|e| e.endpoint_key.as_deref());
            // Groups have names only below their consumer.
            let group = (*child == Kind::Acls).then_some("group");
            let forced: Vec<&str> = [Some(*field), key, group].into_iter().flatten().collect();
            one(endpoint, *child, method, &forced)
        }
        Endpoint::Parent { parent, .. } => beside(endpoint, *parent, method),
        Endpoint::AllTargets(_) => new("List the targets, each address as often as it is there")
            .arguments(Argument::page())
            .json(200, bodies::page_component(Kind::Targets))
            .json(400, "refused-list")
            .json(404, "message")
            .reading(),
        Endpoint::UpstreamHealth(_) => {
            new("List the targets with what this node's balancer knows of them")
                .arguments([Argument::query(
                    "balancer_health",
                    "1 asks for the upstream instead of its targets",
                    json!({"type": "string", "enum": ["0", "1"]}),
                )])
                .json(200, "upstream-health")
                .json(400, "refused-key")
                .json(404, "message")
                .reading()
        }
        Endpoint::Revisions
        | Endpoint::Revision(_)
        | Endpoint::Rollback(_)
        | Endpoint::Transactions => revisions::operation(endpoint, new),
        Endpoint::SetTargetHealth { .. } => {
            new("Set the health of a target in this node's balancer")
                .answer(204, Content::None)
                .json(400, "refused-key")
                .json(404, "message")
                .reading()
        }
    }
}

fn collection(endpoint: &Endpoint, kind: Kind, method: &str) -> Operation {
    let name = path_name(kind);
    if method == "POST" {
        let new = Operation::new(tag(endpoint), format!("Create one of {name}"));
        return creating(new, kind, &[]);
    }
    let by_custom_id = (kind == Kind::Consumers).then(|| {
        Argument::query(
            "custom_id",
            "the consumer with this one, instead of a page",
            json!({"type": "string", "minLength": 1}),
        )
    });
    let tags = Argument::query(
        "tags",
        "`a,b`: with both tags; `a/b`: with one of them; up to 5",
        json!({"type": "string", "minLength": 1}),
    );
    Operation::new(tag(endpoint), format!("List {name}"))
        .arguments(Argument::page())
        .arguments([tags])
        .arguments(by_custom_id)
        .json(200, bodies::page_component(kind))
        .json(400, "refused-list")
        .reading()
}

fn children(
    endpoint: &Endpoint,
    parent: Kind,
    (child, field): (Kind, &str),
    method: &str,
) -> Operation {
    let (above, name) = (path_name(parent), path_name(child));
    let operation = match method {
        "POST" => {
            let summary = format!("Create one of {name} below one of {above}");
            creating(Operation::new(tag(endpoint), summary), child, &[field])
        }
        _ => Operation::new(tag(endpoint), format!("List {name} of one of {above}"))
            .arguments(Argument::page())
            .json(200, bodies::page_component(child))
            .json(400, "refused-list")
            .reading(),
    };
    operation.json(404, "message")
}

fn creating(operation: Operation, kind: Kind, forced: &[&str]) -> Operation {
    operation
        .body(bodies::whole(kind, forced))
        .json(201, bodies::component(kind, Purpose::Shown))
        .json(400, "refused-write")
        .json(409, "unique-violation")
        .writing()
}

/// An entity by its key. The path gives `forced` fields to one that `PUT` makes.
fn one(endpoint: &Endpoint, kind: Kind, method: &str, forced: &[&str]) -> Operation {
    let shown = bodies::component(kind, Purpose::Shown);
    let name = path_name(kind);
    let new = |what: &str| Operation::new(tag(endpoint), format!("{what} one of {name}"));
    let writing = |operation: Operation, body: Body| {
        operation
            .body(body)
            .json(200, shown.clone())
            .json(400, "refused-write")
            .json(409, "unique-violation")
            .writing()
    };
    let reading = |operation: Operation| {
        let operation = operation.json(200, shown.clone());
        operation.json(400, "refused-key").reading()
    };
    match method {
        "PUT" if kind == Kind::Targets => writing(new("Change"), bodies::part(kind)),
        "PUT" => writing(new("Replace or create"), bodies::whole(kind, forced)),
        "PATCH" => writing(new("Change"), bodies::part(kind)).json(404, "missing"),
        "DELETE" => new("Delete")
            .answer(204, Content::None)
            .json(400, "refused-delete")
            .writing(),
        // A certificate says by what it was looked for.
        _ if kind == Kind::Certificates => reading(new("Read")).json(404, "missing"),
        _ => reading(new("Read")),
    }
    .not_found(Content::Json("message".to_owned()))
}

/// The parent that an entity points to.
fn beside(endpoint: &Endpoint, parent: Kind, method: &str) -> Operation {
    match method {
        "DELETE" => Operation::new(tag(endpoint), "Refused: a child needs its parent")
            .json(400, "refused-delete")
            .json(404, "message")
            .json(405, "message")
            .reading(),
        _ => one(endpoint, parent, method, &[]),
    }
}

fn set_log_level(operation: Operation) -> Operation {
    let seconds = json!({"type": "number", "minimum": 0, "maximum": u32::MAX});
    let about = "seconds after which the old level comes back, 60 by default; 0 is never";
    operation
        .arguments([Argument::query("timeout", about, seconds.clone())])
        .body(Body {
            json: json!({
                "type": "object",
                "properties": {"timeout": seconds},
                "additionalProperties": false,
            }),
            form: Some(reference(bodies::ANY_FORM)),
        })
        .json(200, "message")
}

fn request_sum_arguments() -> [Argument; 2] {
    let by = json!({"type": "string", "enum": CountedBy::ALL.map(CountedBy::as_str)});
    let [size, _] = Argument::page();
    [
        Argument::query(
            "by",
            "what requests are added up by; `service` if it is not given",
            by,
        ),
        size,
    ]
}

fn waiting_arguments() -> [Argument; 2] {
    let seconds = json!({"type": "number", "minimum": 0, "maximum": 300, "default": 30});
    [
        Argument::query(
            "wait",
            "answer when the write is in effect on every connected data plane",
            json!({"type": "string", "enum": ["effective"]}),
        ),
        Argument::query("timeout", "the most seconds to wait", seconds),
    ]
}

fn how_it_fares() -> Argument {
    let about = "true adds `status`: whether the entity is in effect as configured, and where not";
    Argument::query(
        "status",
        about,
        json!({"type": "string", "enum": ["true", "false"]}),
    )
}

fn status_arguments() -> [Argument; 2] {
    let units = json!({"type": "string", "enum": ["b", "B", "k", "K", "m", "M", "g", "G"]});
    let decimals = json!({"type": "number", "minimum": 0, "default": 2});
    [
        Argument::query("unit", "of amounts of memory", units),
        Argument::query("scale", "decimals of amounts of memory", decimals),
    ]
}

fn if_none_match() -> Argument {
    Argument {
        name: "If-None-Match",
        place: "header",
        about: "the ETag of what the client has",
        schema: json!({"type": "string"}),
    }
}
