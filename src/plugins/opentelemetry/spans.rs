//! The spans of one request.
//!
//! They are made from the times that a request has when it has ended; those of plugins' phases and of the router
//! are kept where the setting `tracing_instrumentations` asks for them.

use super::otlp::{ERROR, KeyValue, Kind, Span, Status, Value};
use crate::http::host_without_port;
use crate::plugins::tracing::{SpanId, TraceId};
use crate::plugins::{Context, Part, PartTime, RequestLog, Try};
use crate::settings::Instrumentations;
use std::net::IpAddr;

/// The ids of a request.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    pub trace: TraceId,
    /// The span of the request.
    pub span: SpanId,
    /// The client's.
    pub parent: Option<SpanId>,
    /// The span of the attempt that reached the upstream, which was told of it.
    pub balancer: SpanId,
    pub sampled: bool,
}

/// The spans of a request that has ended: the request itself, and those of its parts that are traced.
pub fn spans(
    traced: &Traced,
    parts: Instrumentations,
    context: &Context<'_>,
    log: &RequestLog<'_>,
) -> Vec<Span> {
    let mut spans = vec![request(traced, context, log)];
    let wanted = |part: &&PartTime| match part.part {
        Part::Router => parts.router,
        Part::Rewrite => parts.plugin_rewrite,
        Part::Access => parts.plugin_access,
        Part::HeaderFilter => parts.plugin_header_filter,
    };
    spans.extend(log.parts.iter().filter(wanted).map(|part| {
        let plugin = part.plugin.as_deref().unwrap_or_default();
        Span {
            name: match part.part {
                Part::Router => "kong.router".to_owned(),
                Part::Rewrite => format!("kong.rewrite.plugin.{plugin}"),
                Part::Access => format!("kong.access.plugin.{plugin}"),
                Part::HeaderFilter => format!("kong.header_filter.plugin.{plugin}"),
            },
            kind: Kind::Internal.into(),
            start_time_unix_nano: nanoseconds(log, part.from_us),
            end_time_unix_nano: nanoseconds(log, part.to_us),
            // A look for a route that found none has failed.
            status: (part.part == Part::Router && context.matched.is_none()).then(failed),
            ..child(traced, SpanId::random())
        }
    }));
    if parts.balancer {
        let last = log.tries.len();
        spans.extend(log.tries.iter().zip(1..).map(|(tried, number)| {
            let id = match number == last {
                true => traced.balancer,
                false => SpanId::random(),
            };
            attempt(traced, id, context, tried, number)
        }));
    }
    spans
}

/// Microseconds since the request's head as nanoseconds since the epoch.
fn nanoseconds(log: &RequestLog<'_>, since_us: u64) -> u64 {
    log.started_at * 1_000_000 + since_us * 1000
}

fn failed() -> Status {
    Status {
        message: String::new(),
        code: ERROR,
    }
}

fn child(traced: &Traced, id: SpanId) -> Span {
    Span {
        trace_id: traced.trace.bytes.to_vec(),
        span_id: id.0.to_vec(),
        parent_span_id: traced.span.0.to_vec(),
        ..Span::default()
    }
}

fn request(traced: &Traced, context: &Context<'_>, log: &RequestLog<'_>) -> Span {
    let head = context.head;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let host = host_without_port(head.headers.get("host").unwrap_or_default());
    let host = text(host).to_ascii_lowercase();
    let scheme = if context.peer.https { "https" } else { "http" };
    let mut target = text(head.path());
    if let Some(query) = head.query() {
        target = format!("{target}?{}", text(query));
    }
    let route = context.matched.map(|matched| matched.route());
    let path = route
        .as_ref()
        .and_then(|route| route.get("paths")?.get(0)?.as_str());
    let version = head.version.as_str();
    let attributes = vec![
        KeyValue::text("http.method", text(head.method())),
        KeyValue::text("http.url", format!("{scheme}://{host}{target}")),
        KeyValue::text("http.host", host),
        KeyValue::text("http.scheme", scheme),
        KeyValue::text(
            "http.flavor",
            version.strip_prefix("HTTP/").unwrap_or(version),
        ),
        KeyValue::text("http.client_ip", context.peer.client.to_string()),
        KeyValue::text("net.peer.ip", context.peer.peer.ip().to_string()),
        KeyValue::text("kong.request.id", context.request_id),
        KeyValue::text("http.route", path.unwrap_or_default()),
        KeyValue::new("http.status_code", Value::Int(log.status.into())),
    ];
    let parent = traced.parent.map(|parent| parent.0.to_vec());
    Span {
        parent_span_id: parent.unwrap_or_default(),
        name: "kong".to_owned(),
        kind: Kind::Server.into(),
        start_time_unix_nano: nanoseconds(log, 0),
        end_time_unix_nano: nanoseconds(log, log.total_us),
        attributes,
        ..child(traced, traced.span)
    }
}

fn attempt(traced: &Traced, id: SpanId, context: &Context<'_>, tried: &Try, number: usize) -> Span {
    let service = context.matched.and_then(|matched| matched.service());
    let host = service
        .as_ref()
        .and_then(|service| service.get("host")?.as_str());
    let mut attributes = vec![KeyValue::new("try_count", Value::Double(number as f64))];
    if let Some(address) = tried.address {
        let ip = address.ip().to_string();
        let port = f64::from(address.port());
        attributes.push(KeyValue::text("net.peer.ip", ip));
        attributes.push(KeyValue::new("net.peer.port", Value::Double(port)));
    }
    let own = tried.address.map(|address| address.ip());
    let own = own.as_ref().map(IpAddr::to_string);
    if let Some(name) = host.map(str::to_owned).or(own) {
        attributes.push(KeyValue::text("net.peer.name", name));
    }
    if tried.failure.is_some() {
        let status = Value::Int(tried.failure_status.into());
        attributes.push(KeyValue::new("http.status_code", status));
    }
    let from = tried.started_at * 1_000_000;
    Span {
        name: "kong.balancer".to_owned(),
        kind: Kind::Client.into(),
        start_time_unix_nano: from,
        end_time_unix_nano: from + tried.took_us * 1000,
        attributes,
        status: tried.failure.is_some().then(failed),
        ..child(traced, id)
    }
}

#[cfg(test)]
#[path = "spans_tests.rs"]
mod tests;
