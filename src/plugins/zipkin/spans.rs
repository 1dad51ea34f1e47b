//! The spans of one request, in Zipkin's JSON (version 2 of its API).
//!
//! They are made from the times that every request has when it has ended: tracing costs nothing while one runs.

use super::config::{Config, DurationFlavor, SpanName, StaticTag};
use crate::http::host_without_port;
use crate::plugins::tracing::{SpanId, TraceId};
use crate::plugins::{Context, Part, RequestLog, Try};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use uuid::Uuid;

/// The ids of a request.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    pub trace: TraceId,
    pub span: SpanId,
    pub parent: Option<SpanId>,
    /// The span of the upstream's part, of which the upstream's own are children.
    pub proxy: SpanId,
    pub sampled: bool,
    pub debug: bool,
}

/// What a configuration says of spans.
pub struct Describe {
    local: Value,
    default_service: Option<String>,
    credential: bool,
    short: bool,
    tags_header: String,
    static_tags: Vec<StaticTag>,
    name: SpanName,
    flavor: DurationFlavor,
    node: Uuid,
}

impl Describe {
    pub fn new(config: &Config, node: Uuid) -> Describe {
        Describe {
            local: json!({ "serviceName": config.local_service_name }),
            default_service: config.default_service_name.clone(),
            credential: config.include_credential,
            short: config.traceid_byte_count == 8,
            tags_header: config.tags_header.clone(),
            static_tags: config.static_tags.clone(),
            name: config.http_span_name,
            flavor: config.phase_duration_flavor,
            node,
        }
    }

    /// As it is sent: 32 digits, or 16 where ids of 8 bytes are configured and enough.
    pub fn trace_id(&self, trace: TraceId) -> String {
        match self.short && trace.bytes[..8] == [0; 8] {
            true => trace.short(),
            false => trace.long(),
        }
    }

    /// The request's span, that of the upstream's part, and one for each attempt.
    pub fn spans(
        &self,
        traced: &Traced,
        context: &Context<'_>,
        log: &RequestLog<'_>,
    ) -> Vec<Map<String, Value>> {
        let times = Times::of(log);
        let service = context.matched.and_then(|matched| matched.service());
        let owned = entity_tags(context);
        let reached = || log.tries.iter().filter(|tried| tried.address.is_some());
        let mut spans = vec![self.request(traced, context, log, &times)];

        let mut tags = owned.clone();
        let host = service.as_ref().and_then(|service| service.get("host"));
        if let Some(host) = host.filter(|_| reached().next().is_some()) {
            tags.insert("peer.hostname".to_owned(), host.clone());
        }
        let (names, phases) = (
            ["ka", "kh", "kb"],
            [
                ("kong.access.duration_ms", times.routed, times.forwarded),
                (
                    "kong.header_filter.duration_ms",
                    times.answered,
                    times.answered,
                ),
                ("kong.body_filter.duration_ms", times.answered, times.end),
            ],
        );
        let annotations = self.durations(&mut tags, &names, &phases);
        let name = context.service.and_then(|service| service.name);
        let name = name.or(self.default_service.as_deref());
        let address = reached().next_back().and_then(|tried| tried.address);
        let port = service.as_ref().and_then(|service| service.get("port"));
        spans.push(self.span(
            traced,
            Span {
                id: traced.proxy,
                parent: Some(traced.span),
                name: format!("{} (proxy)", self.name(context)),
                kind: "CLIENT",
                from: times.routed,
                to: times.end,
                remote: endpoint(name, address, port),
                annotations,
                tags,
            },
        ));
        for (tried, number) in reached().zip(1..) {
            spans.push(self.attempt(traced, context, tried, number, name, owned.clone()));
        }
        spans
    }

    fn request(
        &self,
        traced: &Traced,
        context: &Context<'_>,
        log: &RequestLog<'_>,
        times: &Times,
    ) -> Map<String, Value> {
        let head = context.head;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut tags = Map::new();
        let mut tag = |name: &str, value: String| {
            tags.insert(name.to_owned(), value.into());
        };
        tag("lc", "kong".to_owned());
        tag("kong.node.id", self.node.to_string());
        tag("http.method", text(head.method()));
        let host = head.headers.get("host").unwrap_or_default();
        tag(
            "http.host",
            text(host_without_port(host)).to_ascii_lowercase(),
        );
        tag("http.path", text(head.path()));
        tag("http.protocol", head.version.as_str().to_owned());
        tag("http.status_code", log.status.to_string());
        if let Some(consumer) = &context.identity.consumer {
            tag("kong.consumer", consumer.id.to_string());
        }
        let credential = context.identity.credential.filter(|_| self.credential);
        if let Some(credential) = credential {
            tag("kong.credential", credential.to_string());
        }
        for StaticTag { name, value } in &self.static_tags {
            tag(name, value.clone());
        }
        let given = context.request_header(&self.tags_header).map(text);
        for (name, value) in given.iter().flat_map(|given| header_tags(given)) {
            tag(name, value.to_owned());
        }
        let rewrite = [("kong.rewrite.duration_ms", times.begin, times.routed)];
        let annotations = self.durations(&mut tags, &["kr"], &rewrite);
        let client = SocketAddr::new(context.peer.client, context.peer.client_port);
        let service = self.default_service.as_deref();
        self.span(
            traced,
            Span {
                id: traced.span,
                parent: traced.parent,
                name: self.name(context),
                kind: "SERVER",
                from: times.begin,
                to: times.end,
                remote: endpoint(service, Some(client), None),
                annotations,
                tags,
            },
        )
    }

    fn attempt(
        &self,
        traced: &Traced,
        context: &Context<'_>,
        tried: &Try,
        number: u32,
        service: Option<&str>,
        mut tags: Map<String, Value>,
    ) -> Map<String, Value> {
        let mut tag = |name: &str, value: String| {
            tags.insert(name.to_owned(), value.into());
        };
        tag("kong.balancer.try", number.to_string());
        if tried.failure.is_some() {
            tag("error", "true".to_owned());
            tag("kong.balancer.state", "failed".to_owned());
            tag("http.status_code", tried.failure_status.to_string());
        }
        let from = tried.started_at * 1000;
        self.span(
            traced,
            Span {
                id: SpanId::random(),
                parent: Some(traced.span),
                name: format!("{} (balancer try {number})", self.name(context)),
                kind: "CLIENT",
                from,
                to: from + tried.took_us,
                remote: endpoint(service, tried.address, None),
                annotations: Vec::new(),
                tags,
            },
        )
    }

    fn name(&self, context: &Context<'_>) -> String {
        let method = String::from_utf8_lossy(context.head.method());
        match self.name {
            SpanName::Method => method.into_owned(),
            SpanName::MethodPath => {
                format!("{method} {}", String::from_utf8_lossy(context.head.path()))
            }
        }
    }

    /// Phases as annotations, or as tags: what annotations begin with, and the tag with begin and end.
    fn durations(
        &self,
        tags: &mut Map<String, Value>,
        names: &[&str],
        phases: &[(&str, u64, u64)],
    ) -> Vec<Value> {
        let mut annotations = Vec::new();
        for (name, (tag, from, to)) in names.iter().zip(phases) {
            match self.flavor {
                DurationFlavor::Annotations => {
                    for (letter, at) in [('s', from), ('f', to)] {
                        annotations
                            .push(json!({"timestamp": at, "value": format!("{name}{letter}")}));
                    }
                }
                DurationFlavor::Tags => {
                    let milliseconds = (to.saturating_sub(*from)) as f64 / 1000.0;
                    tags.insert((*tag).to_owned(), milliseconds.to_string().into());
                }
            }
        }
        annotations
    }

    fn span(&self, traced: &Traced, span: Span) -> Map<String, Value> {
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| {
            shown.insert(name.to_owned(), value);
        };
        put("traceId", self.trace_id(traced.trace).into());
        if let Some(parent) = span.parent {
            put("parentId", parent.to_string().into());
        }
        put("id", span.id.to_string().into());
        put("name", span.name.into());
        put("kind", span.kind.into());
        put("timestamp", span.from.into());
        // Zipkin knows no shorter time than this.
        put("duration", span.to.saturating_sub(span.from).max(1).into());
        put("localEndpoint", self.local.clone());
        put("remoteEndpoint", span.remote);
        if !span.annotations.is_empty() {
            put("annotations", span.annotations.into());
        }
        if !span.tags.is_empty() {
            put("tags", span.tags.into());
        }
        shown
    }
}

/// Times are microseconds since the epoch.
struct Span {
    id: SpanId,
    parent: Option<SpanId>,
    name: String,
    kind: &'static str,
    from: u64,
    to: u64,
    remote: Value,
    annotations: Vec<Value>,
    tags: Map<String, Value>,
}

/// The turning points of a request, in microseconds since the epoch.
struct Times {
    begin: u64,
    /// The route is known.
    routed: u64,
    /// The last address was chosen, or the gateway had its own answer.
    forwarded: u64,
    /// The head of the response was there.
    answered: u64,
    end: u64,
}

impl Times {
    fn of(log: &RequestLog<'_>) -> Times {
        let begin = log.started_at * 1000;
        let router = log.parts.iter().find(|part| part.part == Part::Router);
        let forwarded = begin + log.gateway_us;
        Times {
            begin,
            routed: begin + router.map_or(0, |part| part.to_us).min(log.gateway_us),
            forwarded,
            answered: forwarded + log.waited_us.unwrap_or_default(),
            end: begin + log.total_us,
        }
    }
}

/// `null` where nothing is known.
fn endpoint(service: Option<&str>, address: Option<SocketAddr>, port: Option<&Value>) -> Value {
    let mut shown = Map::new();
    if let Some(service) = service {
        shown.insert("serviceName".to_owned(), service.into());
    }
    if let Some(address) = address {
        let kind = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        shown.insert(kind.to_owned(), address.ip().to_string().into());
        shown.insert("port".to_owned(), address.port().into());
    } else if let Some(port) = port {
        shown.insert("port".to_owned(), port.clone());
    }
    match shown.is_empty() {
        true => Value::Null,
        false => shown.into(),
    }
}

fn entity_tags(context: &Context<'_>) -> Map<String, Value> {
    let mut tags = Map::new();
    for (kind, entity) in [("service", context.service), ("route", context.route)] {
        if let Some(entity) = entity {
            tags.insert(format!("kong.{kind}"), entity.id.to_string().into());
            if let Some(name) = entity.name {
                tags.insert(format!("kong.{kind}_name"), name.into());
            }
        }
    }
    tags
}

/// `name=value; other=value`; what is neither is left out.
fn header_tags(given: &str) -> impl Iterator<Item = (&str, &str)> {
    given.split(';').filter_map(|item| {
        let (name, value) = item.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then_some((name, value.trim()))
    })
}

#[cfg(test)]
#[path = "spans_tests.rs"]
mod tests;
