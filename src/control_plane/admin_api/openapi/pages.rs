//! The bodies that are no entities: what a node says of itself and of its fleet.

use super::bodies::page;
use super::operation::reference;
use serde_json::{Map, Value, json};

/// The schemas, by component.
pub fn schemas(without_database: bool) -> Map<String, Value> {
    let mut schemas = Map::new();
    let mut put = |name: &str, schema: Value| schemas.insert(name.to_owned(), schema);
    put("json-value", json_value());
    put("setting", setting());
    put("root", root());
    put("status", status(without_database));
    put("timers", timers());
    put("actors", actors());
    put("endpoints", closed(json!({"data": texts()})));
    put(
        "enabled-plugins",
        closed(json!({"enabled_plugins": texts()})),
    );
    put("fields", fields());
    put("field", field());
    put("field-list", field_list());
    put("check", check());
    put("tags-page", page(tagged()));
    put("quarantined", quarantined());
    put("quarantined-on", quarantined_on());
    put("quarantine", quarantine());
    put("data-planes-page", page(data_plane()));
    put(
        "cluster-status",
        json!({"type": "object", "additionalProperties": peer()}),
    );
    put("request-sums", request_sums());
    put("openapi", openapi());
    schemas
}

/// An object with all of these and nothing else.
pub fn closed(properties: Value) -> Value {
    let required: Vec<&String> = properties
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .collect();
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// The same, where none has to be there.
pub fn loose(properties: Value) -> Value {
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

pub fn text() -> Value {
    json!({"type": "string"})
}

pub fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

pub fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

pub(super) fn or_null(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

pub(super) fn id() -> Value {
    json!({"type": "string", "format": "uuid"})
}

pub fn map_of(value: Value) -> Value {
    json!({"type": "object", "additionalProperties": value})
}

fn json_value() -> Value {
    json!({"anyOf": [
        {"type": ["null", "boolean", "number", "string"]},
        {"type": "array", "items": reference("json-value")},
        map_of(reference("json-value")),
    ]})
}

/// A setting as `GET /` shows it; listeners are objects of flags.
fn setting() -> Value {
    let scalar = json!({"type": ["null", "boolean", "number", "string"]});
    let item = json!({"anyOf": [scalar, map_of(scalar.clone())]});
    json!({"anyOf": [scalar, {"type": "array", "items": item}]})
}

fn root() -> Value {
    let plugin = closed(json!({"version": text(), "priority": {"type": "integer"}}));
    closed(json!({
        "tagline": text(),
        "version": {"type": "string", "description": "the Kong version whose behaviour this is"},
        "edition": text(),
        "langur": closed(json!({"version": text()})),
        "hostname": text(),
        "node_id": id(),
        "timers": closed(json!({"running": count(), "pending": count()})),
        "plugins": closed(json!({
            "available_on_server": map_of(plugin),
            "enabled_in_cluster": texts(),
        })),
        "lua_version": text(),
        "configuration": map_of(reference("setting")),
        "pids": closed(json!({"master": count(), "workers": {"type": "array", "items": count()}})),
    }))
}

fn status(without_database: bool) -> Value {
    let worker = closed(json!({
        "pid": count(),
        "http_allocated_gc": {
            "type": ["string", "integer"],
            "description": "resident memory of the process; whole bytes are a number",
        },
    }));
    let (name, configuration) = status_of_configuration(without_database);
    closed(json!({
        "memory": closed(json!({
            "workers_lua_vms": {"type": "array", "items": worker},
            "lua_shared_dicts": loose(json!({})),
        })),
        "server": closed(json!({
            "connections_accepted": count(),
            "connections_active": count(),
            "connections_handled": count(),
            "connections_reading": count(),
            "connections_waiting": count(),
            "connections_writing": count(),
            "total_requests": count(),
        })),
        name: configuration,
    }))
}

fn timers() -> Value {
    closed(json!({
        "worker": closed(json!({"id": count(), "count": count()})),
        "stats": closed(json!({
            "flamegraph": closed(json!({
                "running": text(),
                "pending": text(),
                "elapsed_time": text(),
            })),
            "sys": closed(json!({
                "total": count(),
                "runs": count(),
                "running": count(),
                "pending": count(),
                "waiting": count(),
            })),
            "timers": loose(json!({})),
        })),
    }))
}

fn actors() -> Value {
    let actor = closed(json!({
        "name": text(),
        "status": {"type": "string", "enum": ["running", "restarting", "unresponsive"]},
        "restarts": count(),
        "panics": count(),
        "mailbox": closed(json!({"capacity": count(), "overflows": count()})),
        "state": reference("json-value"),
    }));
    closed(json!({"actors": {"type": "array", "items": actor}}))
}

/// Kong's description of an entity, a plugin or a record.
fn fields() -> Value {
    closed(json!({
        "fields": reference("field-list"),
        "entity_checks": {"type": "array", "items": reference("check")},
    }))
}

fn field_list() -> Value {
    json!({"type": "array", "items": {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": reference("field"),
    }})
}

/// The attributes of a field in Kong's description.
pub const FLAGS: [&str; 14] = [
    "required",
    "auto",
    "unique",
    "unique_across_ws",
    "timestamp",
    "uuid",
    "referenceable",
    "encrypted",
    "transient",
    "abstract",
    "is_regex",
    "legacy",
    "indexed",
    "immutable",
];

fn field() -> Value {
    let value = || reference("json-value");
    let values = || json!({"type": "array", "items": value()});
    let pattern = loose(json!({"pattern": text(), "err": text()}));
    let deprecation = loose(json!({
        "message": text(),
        "old_default": value(),
        "removal_in_version": text(),
        "replaced_with": {"type": "array", "items": closed(json!({"path": texts()}))},
    }));
    let mut properties = json!({
        "type": text(),
        "default": value(),
        "description": text(),
        "err": text(),
        "reference": text(),
        "on_delete": text(),
        "eq": value(),
        "ne": value(),
        "one_of": values(),
        "not_one_of": values(),
        "gt": {"type": "number"},
        "between": {"type": "array", "items": {"type": "number"}},
        "len_eq": count(),
        "len_min": count(),
        "len_max": count(),
        "starts_with": text(),
        "contains": value(),
        "match": text(),
        "not_match": text(),
        "match_all": {"type": "array", "items": pattern},
        "match_none": {"type": "array", "items": pattern},
        "match_any": loose(json!({"patterns": texts(), "err": text()})),
        "mutually_exclusive_subsets": {"type": "array", "items": texts()},
        "fields": reference("field-list"),
        "shorthand_fields": reference("field-list"),
        "entity_checks": {"type": "array", "items": reference("check")},
        "elements": reference("field"),
        "keys": reference("field"),
        "values": reference("field"),
        "deprecation": deprecation,
        "json_schema": loose(json!({
            "namespace": text(),
            "optional": {"type": "boolean"},
            "parent_subschema_key": text(),
            "default": map_of(value()),
        })),
    });
    for flag in FLAGS {
        properties[flag] = json!({"type": "boolean"});
    }
    loose(properties)
}

/// A rule between fields: its name and what it is about.
fn check() -> Value {
    json!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": {"anyOf": [texts(), loose(json!({
            "field_sources": texts(),
            "run_with_missing_fields": {"type": "boolean"},
            "run_with_invalid_fields": {"type": "boolean"},
            "if_field": text(),
            "if_match": reference("field"),
            "then_field": text(),
            "then_match": reference("field"),
            "then_err": text(),
            "then_at_least_one_of": texts(),
            "else_match": reference("field"),
            "else_then_at_least_one_of": texts(),
            "else_then_err": text(),
        }))]},
    })
}

fn tagged() -> Value {
    closed(json!({"tag": text(), "entity_name": text(), "entity_id": id()}))
}

/// What all descriptions of a data plane say.
fn peer_properties() -> Value {
    json!({
        "config_hash": text(),
        "hostname": text(),
        "ip": text(),
        "last_seen": {"type": "integer"},
        "revision": or_null("integer"),
        "in_effect_at": or_null("number"),
        "connected": {"type": "boolean"},
        "quarantined": {"type": "array", "items": reference("quarantined")},
    })
}

fn peer() -> Value {
    closed(peer_properties())
}

fn data_plane() -> Value {
    let mut properties = peer_properties();
    for (name, schema) in [
        ("id", id()),
        ("version", or_null("string")),
        ("langur_version", or_null("string")),
        ("telemetry_error", or_null("string")),
        ("sync_status", text()),
        ("updated_at", json!({"type": "integer"})),
        ("ttl", json!({"type": "integer"})),
        (
            "labels",
            json!({"type": ["object", "null"], "additionalProperties": text()}),
        ),
        (
            "cert_details",
            closed(json!({"expiry_timestamp": or_null("integer")})),
        ),
        (
            "rpc_capabilities",
            json!({"type": ["array", "null"], "items": text()}),
        ),
    ] {
        properties[name] = schema;
    }
    closed(properties)
}

/// An entity that a data plane could not apply, or was not sent.
fn quarantined() -> Value {
    let mut schema = closed(quarantined_properties());
    // An older data plane does not say what is in effect instead.
    let required = ["entity", "id", "name", "reason", "since"];
    schema["required"] = json!(required);
    schema
}

fn quarantined_properties() -> Value {
    json!({
        "entity": text(),
        "id": id(),
        "name": or_null("string"),
        "reason": text(),
        "since": {"type": "number"},
        "in_effect": {
            "enum": ["previous", "closed", "nothing", null],
            "description": "its last good version; nothing, and its requests get 503; nothing",
        },
    })
}

/// The same, with the node where it is so.
fn quarantined_on() -> Value {
    let mut properties = quarantined_properties();
    properties["node"] = closed(json!({"id": id(), "hostname": text()}));
    let mut schema = closed(properties);
    let required = ["entity", "id", "name", "node", "reason", "since"];
    schema["required"] = json!(required);
    schema
}

fn quarantine() -> Value {
    closed(json!({
        "total": count(),
        "data": {"type": "array", "items": reference("quarantined-on")},
    }))
}

/// Each sum names what its requests have in common by one of the fields that are not required.
fn request_sums() -> Value {
    let id = || json!({"oneOf": [closed(json!({"id": text()})), {"type": "null"}]});
    let sum = json!({
        "type": "object",
        "required": ["requests", "request_bytes", "response_bytes"],
        "properties": {
            "requests": count(),
            "request_bytes": count(),
            "response_bytes": count(),
            "service": id(),
            "route": id(),
            "consumer": id(),
            "status": count(),
            "data_plane": id(),
        },
        "additionalProperties": false,
    });
    closed(json!({"by": text(), "data": {"type": "array", "items": sum}}))
}

fn openapi() -> Value {
    closed(json!({
        "openapi": text(),
        "info": map_of(reference("json-value")),
        "jsonSchemaDialect": text(),
        "paths": map_of(map_of(reference("json-value"))),
        "components": map_of(map_of(reference("json-value"))),
    }))
}

/// `/status` says of a node's database whether it is reachable, and without one which
/// configuration there is.
fn status_of_configuration(without_database: bool) -> (&'static str, Value) {
    match without_database {
        true => ("configuration_hash", text()),
        false => (
            "database",
            closed(json!({"reachable": {"type": "boolean"}})),
        ),
    }
}
