//! Kong's record of a request, as log plugins send it and `kong.log.serialize` gives it.
//!
//! It is a view of the [`Context`] and the [`RequestLog`]: nothing is kept for it while a request runs.

use super::{Context, LogFields, RequestLog, ResponseSource, Try, WORKSPACE, WORKSPACE_NAME};
use crate::http::{host_without_port, query};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// What is shown in place of credentials.
const REDACTED: &str = "REDACTED";

/// The name in URLs of requests that have no Host; Kong's server is called so.
const NO_HOST: &str = "kong";

/// The record of a request that has ended, with what its plugins have added to it.
pub fn log_record(context: &Context<'_>, log: &RequestLog<'_>) -> Map<String, Value> {
    let mut record = Map::new();
    let mut put = |name: &str, value: Value| {
        record.insert(name.to_owned(), value);
    };
    put("request", request(context, log));
    put("response", response(log));
    put("latencies", latencies(log));
    put("upstream_uri", text(log.upstream_uri).into());
    put("upstream_status", upstream_status(log).into());
    if let Some(matched) = context.matched {
        put("tries", reached(log).map(attempt).collect());
        put("route", matched.route().into());
        if let Some(service) = matched.service() {
            put("service", service.into());
        }
    }
    if let Some(consumer) = &context.identity.consumer
        && let Some(entity) = context.directory.consumer_entity(consumer.id)
    {
        put("consumer", entity.into());
    }
    if let Some(credential) = context.identity.credential {
        put("authenticated_entity", json!({ "id": credential }));
    }
    put("client_ip", context.peer.client.to_string().into());
    put("started_at", log.started_at.into());
    put("source", source(log).into());
    put("workspace", WORKSPACE.into());
    put("workspace_name", WORKSPACE_NAME.into());
    if let Some(fields) = context.shared.get::<LogFields>() {
        fields.apply(&mut record);
    }
    record
}

fn request(context: &Context<'_>, log: &RequestLog<'_>) -> Value {
    let head = context.head;
    let mut target = text(head.path()).into_owned();
    if let Some(query) = head.query() {
        target.push('?');
        target.push_str(&text(query));
    }
    let scheme = if context.peer.https { "https" } else { "http" };
    let host = host_without_port(head.headers.get("host").unwrap_or_default());
    let host = text(host.strip_suffix(b".").unwrap_or(host)).to_ascii_lowercase();
    let host = if host.is_empty() { NO_HOST } else { &*host };
    let url = format!("{scheme}://{host}:{}{target}", context.peer.visible_port);
    let method = context.upstream.method.as_deref();
    let mut request = json!({
        "id": context.request_id,
        "method": text(method.unwrap_or_else(|| head.method())),
        "uri": target,
        "url": url,
        "querystring": arguments(context.effective_query().unwrap_or_default()),
        "headers": headers(context.request_edits.apply(&head.headers)),
        "size": log.request_bytes,
    });
    if let Some(tls) = context.peer.tls {
        request["tls"] = json!({
            "version": tls.version,
            "cipher": tls.cipher,
            // Certificates of clients are not asked for.
            "client_verify": "NONE",
        });
    }
    request
}

fn response(log: &RequestLog<'_>) -> Value {
    let mut shown = headers(log.headers.iter());
    let framing = log.framing;
    if let Some(length) = framing.content_length {
        shown.insert("content-length".to_owned(), length.to_string().into());
    }
    if framing.chunked {
        shown.insert("transfer-encoding".to_owned(), "chunked".into());
    }
    if let Some(connection) = framing.connection {
        shown.insert("connection".to_owned(), connection.into());
    }
    json!({ "status": log.status, "headers": shown, "size": log.response_bytes })
}

/// Milliseconds; `proxy` is -1 where no upstream was waited for.
fn latencies(log: &RequestLog<'_>) -> Value {
    json!({
        "kong": log.gateway_ms(),
        "proxy": log.waited_ms(),
        "request": log.total_us / 1000,
        "receive": log.receive_us.unwrap_or(0) / 1000,
    })
}

/// The attempts that had an address.
fn reached<'a>(log: &RequestLog<'a>) -> impl Iterator<Item = &'a Try> {
    log.tries.iter().filter(|tried| tried.address.is_some())
}

fn attempt(tried: &Try) -> Value {
    let mut shown = json!({
        "balancer_start": tried.started_at,
        "balancer_start_ns": tried.started_at * 1_000_000,
        "balancer_latency": tried.balancer_us / 1000,
        "balancer_latency_ns": tried.balancer_us * 1000,
    });
    if let Some(address) = tried.address {
        shown["ip"] = address.ip().to_string().into();
        shown["port"] = address.port().into();
    }
    if tried.failure.is_some() {
        shown["state"] = "failed".into();
        shown["code"] = tried.failure_status.into();
    }
    shown
}

/// The status of each attempt, that of a failed one being what it stands for.
fn upstream_status(log: &RequestLog<'_>) -> String {
    let shown = reached(log).map(|tried| match (tried.status, tried.failure_status) {
        (0, 0) => "-".to_owned(),
        (0, failed) => failed.to_string(),
        (status, _) => status.to_string(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn source(log: &RequestLog<'_>) -> &'static str {
    // A client that goes away while the upstream is waited for gets no answer of the gateway's.
    let waited_for = log.client_closed && log.waited_us.is_none() && reached(log).next().is_some();
    match log.source {
        ResponseSource::Upstream => "upstream",
        ResponseSource::Gateway if waited_for => "upstream",
        ResponseSource::Gateway => "kong",
    }
}

/// Names in lower case; several lines of one name are a list.
fn headers<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Map<String, Value> {
    let mut shown = Map::new();
    for (name, value) in lines {
        let name = text(name).to_ascii_lowercase();
        let value = match &*name {
            "authorization" | "proxy-authorization" => REDACTED.into(),
            _ => text(value),
        };
        add(&mut shown, name, value.into());
    }
    shown
}

/// Decoded; an argument without a value is `true`.
fn arguments(query: &[u8]) -> Map<String, Value> {
    let mut shown = Map::new();
    for argument in query::arguments(query) {
        let name = text(&argument.name()).into_owned();
        if !name.is_empty() {
            let value = argument.value();
            let value = value.map_or(Value::Bool(true), |value| text(&value).into());
            add(&mut shown, name, value);
        }
    }
    shown
}

/// A second value of a name makes a list of it.
fn add(shown: &mut Map<String, Value>, name: String, value: Value) {
    match shown.get_mut(&name) {
        None => {
            shown.insert(name, value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
#[path = "log_record_tests.rs"]
mod tests;
