//! What a node with a data plane of its own says beyond a control plane, and what one without a
//! database takes: `/config`, and nothing else.

use super::super::endpoint::Endpoint;
use super::bodies;
use super::operation::{Answer, Body, Content, Operation, reference};
use super::pages::{closed, loose, map_of, text, texts};
use crate::model::Kind;
use crate::schema::json_schema::Purpose;
use serde_json::{Map, Value, json};

/// `GET` and `POST` of `/config` where there is no database.
pub fn config(new: impl Fn(&str) -> Operation, method: &str) -> Operation {
    match method {
        "POST" => new("Replace the configuration by a document")
            .body(Body {
                json: reference("config-submission"),
                form: Some(reference("config-form")),
            })
            .json(201, "config-loaded")
            .answer(304, Content::None)
            .json(400, "refused-config")
            .writing(),
        _ => new("The configuration as a document")
            .json(200, "config-document")
            .reading(),
    }
}

/// Single writes end here where there is no database, as far as they are valid and would change
/// something.
pub fn read_only(mut operation: Operation, endpoint: &Endpoint, method: &str) -> Operation {
    let is_level = matches!(
        endpoint,
        Endpoint::SetLogLevel(_) | Endpoint::SetClusterLogLevel { .. }
    );
    let is_write = match endpoint {
        Endpoint::Collection(_)
        | Endpoint::Entity(..)
        | Endpoint::Children { .. }
        | Endpoint::Child { .. }
        | Endpoint::Parent { .. }
        | Endpoint::Rollback(_) => matches!(method, "POST" | "PUT" | "PATCH" | "DELETE"),
        _ => false,
    };
    if !is_write && !is_level {
        return operation;
    }
    operation
        .answers
        .retain(|answer| !matches!(answer.status, 200 | 201 | 405 | 409 | 410));
    operation.answers.push(Answer {
        status: 405,
        content: Content::Json("refused-method".to_owned()),
    });
    operation
}

/// The schemas of documents, by component; only where there is no database.
pub fn schemas(without_database: bool) -> Map<String, Value> {
    let mut schemas = Map::new();
    if without_database {
        let mut put = |name: &str, schema: Value| schemas.insert(name.to_owned(), schema);
        put("config-document", closed(json!({"config": text()})));
        put("config-submission", submission());
        put("config-form", submitted_text());
        put("config-loaded", loaded());
        put("refused-config", refused_config());
        put(
            "refused-method",
            json!({"oneOf": [reference("message"), unsupported()]}),
        );
    }
    schemas
}

/// A document as text, in JSON or a form.
fn submitted_text() -> Value {
    let flag = json!({"type": ["boolean", "integer", "string"]});
    json!({
        "type": "object",
        "properties": {"config": text(), "check_hash": flag, "flatten_errors": flag},
        "required": ["config"],
        "additionalProperties": false,
    })
}

fn submission() -> Value {
    json!({"anyOf": [submitted_text(), {
        "description": "a declarative document",
        "type": "object",
        "properties": {"_format_version": text()},
        "required": ["_format_version"],
        "additionalProperties": reference("json-value"),
    }]})
}

/// The entities by kind and id.
fn loaded() -> Value {
    let kinds: Map<String, Value> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let shown = reference(&bodies::component(kind, Purpose::Shown));
            (kind.to_string(), map_of(shown))
        })
        .collect();
    loose(Value::Object(kinds))
}

fn refused_config() -> Value {
    let violation = closed_but(
        json!({"type": text(), "message": text()}),
        json!({"field": text()}),
    );
    let flattened = closed_but(
        json!({
            "entity_type": text(),
            "entity": map_of(reference("json-value")),
            "errors": {"type": "array", "items": violation},
        }),
        json!({"entity_id": text(), "entity_name": text(), "entity_tags": texts()}),
    );
    let invalid = closed_but(
        json!({
            "code": {"type": "integer", "const": 14},
            "name": text(),
            "message": text(),
            "fields": map_of(reference("json-value")),
            "description": texts(),
        }),
        json!({"flattened_errors": {"type": "array", "items": flattened}}),
    );
    json!({"oneOf": [reference("message"), invalid]})
}

fn unsupported() -> Value {
    closed(json!({
        "code": {"type": "integer", "const": 12},
        "name": text(),
        "message": text(),
    }))
}

/// An object with all of `required` and perhaps some of `optional`.
fn closed_but(required: Value, optional: Value) -> Value {
    let mut schema = closed(required);
    for (name, value) in optional.as_object().into_iter().flatten() {
        schema["properties"][name] = value.clone();
    }
    schema
}
