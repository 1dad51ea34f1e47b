//! Begins or continues a trace, tells the upstream of it, and sends its spans and log lines when the request has
//! ended.

use super::config::Config;
use super::logs::records;
use super::otlp::KeyValue;
use super::server::{Server, Takes};
use super::spans::{Traced, spans};
use crate::plugins::runtime::{Collector, Posting, config_of, milliseconds};
use crate::plugins::tracing::{Extracted, Format, Injected, Propagation, SpanId, TraceId};
use crate::plugins::{
    Access, Build, BuildError, Context, Flow, Handler, Phases, Queue, RequestLog, VERSION,
    WantsLogLines, queue_name,
};
use crate::settings::Instrumentations;
use awc::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection to the server is kept without requests.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Milliseconds, where a configuration has null.
const CONNECT_TIMEOUT: f64 = 1_000.0;
const OTHER_TIMEOUT: f64 = 5_000.0;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let tracing = build.resources.settings.tracing;
    let queue = |field: &str, url: &str, takes: Takes| {
        let server = Server {
            collector: collector(build, &config, field, url)?,
            resource: resource(&config.resource_attributes, build),
            takes,
        };
        let (host, name) = (&build.resources.host, queue_name(&(&config, field)));
        Ok::<_, BuildError>(host.queue(&build.plugin.name, name, &config.queue(), server))
    };
    let traces = config.traces_endpoint.as_deref();
    let traces = match traces.filter(|_| tracing.instrumentations.on) {
        Some(url) => Some(queue("traces_endpoint", url, Takes::Spans)?),
        None => None,
    };
    let logs = match &config.logs_endpoint {
        Some(url) => Some(Logs {
            queue: queue("logs_endpoint", url, Takes::LogRecords)?,
            _wants: WantsLogLines::new(),
        }),
        None => None,
    };
    let header_type = config.header_type;
    Ok(Arc::new(OpenTelemetry {
        propagation: Propagation::new(&config.propagation, header_type, Format::W3c),
        share: config.sampling_rate.unwrap_or(tracing.sampling_rate),
        parts: tracing.instrumentations,
        response_header: config.http_response_header_for_traceid,
        traces,
        logs,
    }))
}

fn collector(
    build: &Build<'_>,
    config: &Config,
    field: &str,
    url: &str,
) -> Result<Collector, BuildError> {
    let bad = |field: &str, reason: &str| BuildError::Config {
        name: build.plugin.name.clone(),
        reason: format!("{field}: {reason}"),
    };
    let mut headers = vec![(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-protobuf"),
    )];
    for (name, text) in &config.headers {
        let own = format!("headers.{name}");
        let value = HeaderValue::from_str(text).map_err(|_| bad(&own, "no value of a header"))?;
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| bad(&own, "no name of a header"))?;
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value));
    }
    let part = |given: Option<f64>, usual| milliseconds(given.unwrap_or(usual));
    let posting = Posting {
        method: "POST",
        headers,
        timeout: part(config.connect_timeout, CONNECT_TIMEOUT)
            + part(config.send_timeout, OTHER_TIMEOUT)
            + part(config.read_timeout, OTHER_TIMEOUT),
        keep_alive: KEEP_ALIVE,
        verify: true,
        resources: build.resources,
    };
    Collector::new(url, posting).map_err(|reason| bad(field, &reason))
}

/// What spans are of: the gateway and this node, unless the configuration says otherwise.
fn resource(given: &BTreeMap<String, String>, build: &Build<'_>) -> Vec<KeyValue> {
    let mut attributes: BTreeMap<&str, String> = BTreeMap::from([
        ("service.name", "kong".to_owned()),
        ("service.version", VERSION.to_owned()),
        ("service.instance.id", build.resources.node.id.to_string()),
    ]);
    let given = given.iter().map(|(key, value)| (&**key, value.clone()));
    attributes.extend(given);
    let shown = attributes.into_iter();
    shown
        .map(|(key, value)| KeyValue::text(key, value))
        .collect()
}

struct OpenTelemetry {
    propagation: Propagation,
    /// The share of traces that are sampled.
    share: f64,
    /// What the node keeps times of; where it keeps none, only headers are passed on.
    parts: Instrumentations,
    response_header: Option<String>,
    /// Each entry is an encoded span.
    traces: Option<Queue<Bytes>>,
    logs: Option<Logs>,
}

/// Where log lines go.
struct Logs {
    /// Each entry is an encoded record.
    queue: Queue<Bytes>,
    /// While this is here, lines are kept.
    _wants: WantsLogLines,
}

impl OpenTelemetry {
    /// The trace of the request; it begins when it is first asked for.
    fn traced(&self, context: &mut Context<'_>) -> (Traced, Option<Extracted>) {
        if let Some(traced) = context.state.get::<Traced>() {
            return (*traced, None);
        }
        let extracted = self.propagation.extract(context);
        let trace = extracted.trace.unwrap_or_else(|| TraceId::random(false));
        let wanted = extracted.sampled != Some(false);
        let traced = Traced {
            trace,
            span: SpanId::random(),
            parent: extracted.span.and_then(SpanId::not_zero),
            balancer: SpanId::random(),
            sampled: self.parts.on && wanted && trace.is_sampled(self.share),
        };
        context.state.put(traced);
        (traced, Some(extracted))
    }
}

impl Handler for OpenTelemetry {
    fn phases(&self, declared: Phases) -> Phases {
        let mut phases = Phases::ACCESS;
        if self.response_header.is_some() || self.parts.plugin_header_filter {
            phases = phases.and(Phases::HEADER_FILTER);
        }
        if self.traces.is_some() || self.logs.is_some() {
            phases = phases.and(Phases::LOG_WITHOUT_HEADERS);
        }
        debug_assert!(declared.contains(phases));
        phases
    }

    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        if let (traced, Some(extracted)) = self.traced(context) {
            let (span, parent) = match self.parts.balancer {
                true => (traced.balancer, Some(traced.span)),
                false => (traced.span, traced.parent),
            };
            let injected = Injected {
                trace: traced.trace,
                span,
                parent,
                sampled: traced.sampled,
                debug: extracted.debug && traced.sampled,
            };
            self.propagation.inject(context, &extracted, &injected);
        }
        Flow::Continue.into()
    }

    fn header_filter(&self, context: &mut Context<'_>) {
        if let Some(name) = &self.response_header {
            let (traced, _) = self.traced(context);
            context.response_edits.set(name, traced.trace.long());
        }
    }

    fn log(&self, context: &mut Context<'_>, log: &RequestLog<'_>) {
        let (traced, _) = self.traced(context);
        if let Some(queue) = self.traces.as_ref().filter(|_| traced.sampled) {
            for span in spans(&traced, self.parts, context, log) {
                enqueue(queue, &span);
            }
        }
        if let Some(logs) = &self.logs {
            for record in records(&traced, context) {
                enqueue(&logs.queue, &record);
            }
        }
    }
}

fn enqueue(queue: &Queue<Bytes>, message: &impl Message) {
    let text = message.encode_to_vec();
    let size = text.len();
    queue.try_enqueue(Bytes::from(text), size);
}
