//! The body of an echo: what the gateway saw of the request, and what it matched.

use crate::http::query::{self, Argument};
use crate::plugins::{Captures, Context, NodeName};
use serde_json::{Map, Value, json};
use std::collections::btree_map::{BTreeMap, Entry};

/// The echo as compact JSON.
pub fn body(context: &Context<'_>, message: Option<&str>, node: &NodeName) -> Vec<u8> {
    let mut echo = Map::new();
    if let Some(message) = message {
        echo.insert("message".to_owned(), message.into());
    }
    echo.insert("request".to_owned(), request(context).into());
    if let Some(matched) = context.matched {
        echo.insert("matched_route".to_owned(), matched.route().into());
        if let Some(service) = matched.service() {
            echo.insert("matched_service".to_owned(), service.into());
        }
    }
    let process = json!({
        "node_id": node.id,
        "worker_pid": std::process::id(),
        "hostname": &*node.hostname,
    });
    echo.insert("kong".to_owned(), process);
    Value::Object(echo).to_string().into_bytes()
}

/// The request as earlier plugins have left it.
fn request(context: &Context<'_>) -> Map<String, Value> {
    let host = context.request_header("host").unwrap_or_default();
    let host = crate::http::host_without_port(host);
    let host = text(host.strip_suffix(b".").unwrap_or(host)).to_ascii_lowercase();
    let lines = context.request_edits.apply(&context.head.headers);
    let headers = lines.map(|(name, value)| {
        let name = text(name).to_ascii_lowercase();
        (name, Value::String(text(value)))
    });
    let captures = context
        .matched
        .map(|matched| matched.captures(context.path()));
    let mut request = Map::from_iter([
        (
            "scheme".to_owned(),
            json!(if context.peer.https { "https" } else { "http" }),
        ),
        ("host".to_owned(), host.into()),
        ("port".to_owned(), context.peer.local.port().into()),
        ("method".to_owned(), text(context.head.method()).into()),
        ("path".to_owned(), context.path().into()),
        (
            "query".to_owned(),
            multi_map(arguments(context.effective_query().unwrap_or_default())),
        ),
        ("headers".to_owned(), multi_map(headers)),
        (
            "uri_captures".to_owned(),
            groups(captures.unwrap_or_default()),
        ),
    ]);
    // A body that is longer than the gateway looks at is not shown.
    if let Some(raw) = context.body {
        request.insert("raw_body".to_owned(), text(raw).into());
        if let Some(fields) = parsed(context, raw) {
            request.insert("body".to_owned(), fields);
        }
    }
    request
}

fn groups(captures: Captures) -> Value {
    let named = captures.named.into_iter();
    let named: Map<String, Value> = named.map(|(name, text)| (name, text.into())).collect();
    json!({"unnamed": captures.unnamed, "named": named})
}

/// The fields of a body, for the content types that have some.
fn parsed(context: &Context<'_>, raw: &[u8]) -> Option<Value> {
    let content_type = context.request_header("content-type")?;
    let media = content_type
        .split(|byte| *byte == b';')
        .next()?
        .trim_ascii();
    if media.eq_ignore_ascii_case(b"application/json") {
        return serde_json::from_slice(raw).ok();
    }
    let is_form = media.eq_ignore_ascii_case(b"application/x-www-form-urlencoded");
    is_form.then(|| multi_map(arguments(raw)))
}

/// Arguments as Kong reports them: an argument without `=` is `true`.
fn arguments(encoded: &[u8]) -> impl Iterator<Item = (String, Value)> {
    query::arguments(encoded).map(|argument: Argument<'_>| {
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
