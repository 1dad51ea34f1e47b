//! The document as a whole: every path of the table with its operations.

use super::super::endpoint::Endpoint;
use super::operation::Content;
use super::served::{methods, served_paths};
use super::{components, endpoints};
use crate::schema::{Env, Role};
use serde_json::{Map, Value, json};

const ABOUT: &str = "The Admin API of Kong Gateway 3.9, as Langur serves it. A body that fits its \
    schema may still be refused for rules between fields. Answers may carry further headers. Form \
    arguments name nested fields with dots (`config.redis.host`) and elements of lists with \
    brackets (`hosts[]`, `hosts[1]`).";

/// The OpenAPI document of a node. `hybrid` is whether its role is `control_plane`.
pub fn document(env: &Env<'_>, hybrid: bool) -> Value {
    let paths: Map<String, Value> = served_paths(hybrid)
        .into_iter()
        .map(|(path, endpoint)| {
            let item = path_item(&path, &endpoint, env.role);
            (path, item)
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Langur Admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": paths,
        "components": components::components(env, hybrid),
    })
}

/// The names in braces, in order.
pub fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(parameter)
}

fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

fn path_item(path: &str, endpoint: &Endpoint, role: Role) -> Value {
    let mut item = Map::new();
    let parameters: Vec<Value> = parameters(path)
        .map(|name| {
            json!({
                "name": name,
                "in": "path",
                "required": true,
                "schema": endpoints::parameter(endpoint, name),
            })
        })
        .collect();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), Value::Array(parameters));
    }
    // Percent-encoded bytes that are no UTF-8 are no key.
    let may_be_unreadable = path.contains('{');
    for method in methods(endpoint) {
        let mut operation = endpoints::operation(endpoint, method, role);
        let message = match method {
            "HEAD" => Content::None,
            _ => Content::Json("message".to_owned()),
        };
        if may_be_unreadable {
            operation = operation.not_found(message.clone());
        }
        operation = operation.forbidding(message);
        let id = operation_id(method, path);
        item.insert(method.to_lowercase(), operation.render(id));
    }
    Value::Object(item)
}

/// `get-services-by-services-routes` for `GET /services/{services}/routes`.
fn operation_id(method: &str, path: &str) -> String {
    let mut id = method.to_lowercase();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        id.push('-');
        match parameter(segment) {
            Some(name) => {
                id.push_str("by-");
                id.push_str(name);
            }
            None => id.push_str(segment),
        }
    }
    id
}
