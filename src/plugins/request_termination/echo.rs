//! The body of an echo: what the gateway saw of the request.
//!
//! Route and service are given by id and name; the request's body is not read and
//! therefore not part of it.

use crate::plugins::{Context, EntityRef};
use serde_json::{Map, Value, json};
use std::collections::btree_map::{BTreeMap, Entry};

/// The echo as compact JSON.
pub fn body(context: &Context<'_>) -> Vec<u8> {
    let head = context.head;
    let host = head.headers.get("host").unwrap_or_default();
    let request = json!({
        "scheme": if context.peer.https { "https" } else { "http" },
        "host": text(crate::http::host_without_port(host)),
        "port": context.peer.local.port(),
        "method": text(head.method()),
        "path": text(head.path()),
        "query": multi_map(form_urlencoded(head.query().unwrap_or_default())),
        "headers": multi_map(head.headers.iter().map(|(name, value)| {
            (text(name).to_ascii_lowercase(), Value::String(text(value)))
        })),
    });
    let mut echo = Map::from_iter([("request".to_owned(), request)]);
    let entities = [
        ("matched_route", context.route),
        ("matched_service", context.service),
    ];
    for (name, entity) in entities {
        if let Some(EntityRef { id, name: entity }) = entity {
            echo.insert(name.to_owned(), json!({"id": id, "name": entity}));
        }
    }
    let process = json!({"worker_pid": std::process::id()});
    echo.insert("kong".to_owned(), process);
    Value::Object(echo).to_string().into_bytes()
}

/// Arguments as Kong reports them: an argument without `=` is `true`.
fn form_urlencoded(query: &[u8]) -> impl Iterator<Item = (String, Value)> {
    crate::http::query::arguments(query).map(|argument| {
        let value = match argument.value() {
            Some(value) => Value::String(text(&value)),
            None => Value::Bool(true),
        };
        (text(&argument.name()), value)
    })
}

/// Names with one value are strings, with several lists.
fn multi_map(pairs: impl Iterator<Item = (String, Value)>) -> Value {
    let mut map: BTreeMap<String, Value> = BTreeMap::new();
    for (name, value) in pairs {
        match map.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Value::Array(values) => values.push(value),
                first => *first = Value::Array(vec![first.take(), value]),
            },
        }
    }
    json!(map)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
