//! Transactions and revisions: what is asked and answered there.

use super::super::endpoint::Endpoint;
use super::super::transaction_request::{METHODS, MOST_OPERATIONS};
use super::bodies::page;
use super::operation::{Argument, Body, Operation, reference};
use super::pages::{closed, count, id, map_of, or_null};
use crate::model::Kind;
use serde_json::{Map, Value, json};

/// The operation of an endpoint that is about revisions; `new` begins one.
pub fn operation(endpoint: &Endpoint, new: impl Fn(&str) -> Operation) -> Operation {
    match endpoint {
        Endpoint::Transactions => new("Many writes as one revision, or none of them")
            .arguments([Argument::query(
                "dry_run",
                "everything but the commit",
                json!({"type": "string", "enum": ["true", "false"]}),
            )])
            .body(Body {
                json: reference("transaction"),
                form: None,
            })
            .json(200, "transacted")
            .json(400, "refused-transaction")
            .writing(),
        Endpoint::Rollback(_) => new("Write the configuration of a revision as a new one")
            .refusing_bodies()
            .json(200, "rolled-back")
            .json(400, "refused-write")
            .json(404, "message")
            .json(409, "message")
            .json(410, "message")
            .writing(),
        Endpoint::Revision(_) => new("What a revision changed, or the difference of two: 5..7")
            .arguments(Argument::page())
            .json(200, "revision")
            .json(400, "refused-list")
            .json(404, "message")
            .json(410, "message")
            .reading(),
        _ => new("List the revisions, newest first")
            .arguments(Argument::page())
            .arguments([Argument::query(
                "request_id",
                "only what this request wrote, in place of a page; waits for writes under way",
                json!({"type": "string", "pattern": "^[0-9a-f]{32}$"}),
            )])
            .json(200, "revisions-page")
            .json(400, "refused-list")
            .reading(),
    }
}

/// The schema of a revision in a path.
pub fn parameter(endpoint: &Endpoint) -> Value {
    match endpoint {
        Endpoint::Rollback(_) => count(),
        _ => json!({"type": "string", "pattern": "^[0-9]+(\\.\\.[0-9]+)?$"}),
    }
}

/// The schemas, by component.
pub fn schemas() -> Map<String, Value> {
    let schemas = [
        ("change", change()),
        ("revisions-page", page(closed(summary()))),
        (
            "revision",
            json!({"anyOf": [
                page_with(summary()),
                page_with(json!({"from": count(), "to": count()})),
            ]}),
        ),
        (
            "rolled-back",
            closed(json!({"revision": count(), "restored": count(), "changed": count()})),
        ),
        ("transaction", transaction()),
        ("transacted", transacted()),
        ("refused-transaction", refused()),
    ];
    let schemas = schemas.into_iter();
    schemas
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

fn summary() -> Value {
    json!({
        "revision": count(),
        "committed_at": {"type": "integer"},
        "request_id": or_null("string"),
        "changed": count(),
        "data_planes": {"type": "array", "items": id()},
    })
}

/// A page of changes that says what it is a page of.
fn page_with(properties: Value) -> Value {
    let mut page = page(reference("change"));
    for (name, schema) in properties.as_object().into_iter().flatten() {
        page["properties"][name] = schema.clone();
        if let Some(required) = page["required"].as_array_mut() {
            required.push(json!(name));
        }
    }
    page
}

fn change() -> Value {
    closed(json!({
        "entity": {"type": "string", "enum": Kind::ALL.map(Kind::as_str).to_vec()},
        "id": id(),
        "op": {"type": "string", "enum": ["create", "update", "delete"]},
        "before": reference("json-value"),
        "after": reference("json-value"),
    }))
}

fn transaction() -> Value {
    let mut body = map_of(reference("json-value"));
    body["type"] = json!(["object", "null"]);
    json!({
        "type": "object",
        "properties": {
            "operations": {
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_OPERATIONS,
                "items": {
                    "type": "object",
                    "properties": {
                        "op": {"type": "string", "enum": METHODS.map(|(op, _)| op).to_vec()},
                        "path": {"type": "string", "pattern": "^/[^?#]*$"},
                        "body": body,
                    },
                    "required": ["op", "path"],
                    "additionalProperties": false,
                },
            },
            "dry_run": or_null("boolean"),
        },
        "required": ["operations"],
        "additionalProperties": false,
    })
}

fn transacted() -> Value {
    let result = json!({"status": count(), "body": reference("json-value")});
    let mut schema = closed(json!({
        "revision": count(),
        "dry_run": {"type": "boolean"},
        "results": {"type": "array", "items": closed(result)},
    }));
    // Of a dry run alone.
    schema["properties"]["changes"] = json!({"type": "array", "items": reference("change")});
    schema
}

fn refused() -> Value {
    let violation = json!({
        "operation": count(),
        "status": count(),
        "body": reference("json-value"),
    });
    json!({"anyOf": [
        reference("message"),
        reference("schema-violation"),
        closed(json!({
            "message": {"type": "string"},
            "violations": {"type": "array", "items": closed(violation)},
        })),
    ]})
}
