//! The components of the document: schemas, the responses made of them, headers.

use super::operation::{Answer, Content};
use super::served::{methods, served_paths};
use super::{bodies, endpoints, errors, local, pages, revisions, upstream_health};
use crate::model::Kind;
use crate::schema::json_schema::Purpose;
use crate::schema::{Env, Role};
use serde_json::{Map, Value, json};

pub fn components(env: &Env<'_>, hybrid: bool) -> Value {
    let mut schemas = bodies::schemas(env);
    schemas.extend(errors::schemas());
    let without_database = env.role == Role::DbLess;
    schemas.extend(pages::schemas(without_database));
    schemas.extend(local::schemas(without_database));
    schemas.extend(revisions::schemas());
    let target = bodies::component(Kind::Targets, Purpose::Shown);
    let target = schemas.get(&target).cloned().unwrap_or_default();
    let page = upstream_health::schema(target, hybrid);
    schemas.insert("upstream-health".to_owned(), page);
    json!({
        "schemas": schemas,
        "responses": responses(env.role, hybrid),
        "headers": {
            "request-id": {
                "description": "By which the logs of both planes name this request.",
                "required": true,
                "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            },
            "revision": {
                "description": "The newest revision of the configuration that the node knows \
                    of; the answer to a write has at least that write's.",
                "required": true,
                "schema": {"type": "integer", "minimum": 0},
            },
            "x-langur-effective": {
                "description": "Of a write with `wait=effective`: whether it is in effect, as it was \
                    written, on every connected data plane. Of any other write only `false`, when it \
                    is known that it is not.",
                "schema": {"type": "boolean"},
            },
            "x-langur-pending": {
                "description": "Where its revision is not: the ids of data planes, at most 50.",
                "schema": {"type": "string"},
            },
            "x-langur-pending-count": {
                "description": "Where its revision is not: how many data planes.",
                "schema": {"type": "integer", "minimum": 1},
            },
            "x-langur-quarantined": {
                "description": "What of a write is quarantined on a data plane, and what has come \
                    into quarantine since the request: entities as `plugins/<id>`, at most 50. \
                    `GET /quarantine` says where, and why.",
                "schema": {"type": "string"},
            },
            "x-langur-quarantined-count": {
                "description": "How many entities that are.",
                "schema": {"type": "integer", "minimum": 1},
            },
            "etag": {
                "description": "Changes with the description.",
                "schema": {"type": "string"},
            },
            "retry-after": {
                "description": "Seconds to wait before the request is sent again.",
                "required": true,
                "schema": {"type": "integer"},
            },
        },
    })
}

/// Every answer of any operation, once.
fn responses(role: Role, hybrid: bool) -> Map<String, Value> {
    let mut answers: Vec<Answer> = served_paths(hybrid)
        .iter()
        .flat_map(|(_, endpoint)| {
            methods(endpoint)
                .flat_map(|method| endpoints::operation(endpoint, method, role).answers)
        })
        .collect();
    // What a path adds to each of its operations.
    for status in [403, 404] {
        for content in [Content::None, Content::Json("message".to_owned())] {
            answers.push(Answer { status, content });
        }
    }
    answers
        .iter()
        .map(|answer| (answer.component(), answer.render()))
        .collect()
}
