//! Begins or continues a trace, tells the upstream of it, and sends its spans when the request has ended.

use super::config::Config;
use super::spans::{Describe, Traced};
use crate::plugins::runtime::{Collector, Posting, config_of, list, milliseconds};
use crate::plugins::tracing::{Extracted, Format, Injected, Propagation, SpanId, TraceId};
use crate::plugins::{
    Access, Build, BuildError, Context, Deliver, Delivery, Flow, Handler, Phases, Queue,
    RequestLog, queue_name,
};
use awc::http::header::{CONTENT_TYPE, HeaderValue};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection to the server is kept without requests.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Milliseconds, where a configuration has null.
const CONNECT_TIMEOUT: f64 = 2_000.0;
const OTHER_TIMEOUT: f64 = 5_000.0;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let queue = match &config.http_endpoint {
        None => None,
        Some(url) => {
            let server = Server(collector(build, &config, url)?);
            let (host, name) = (&build.resources.host, queue_name(&config));
            Some(host.queue(&build.plugin.name, name, &config.queue, server))
        }
    };
    // The field of earlier versions counts where somebody has chosen it.
    let mut formats = config.propagation.clone();
    if let Some(old) = config.default_header_type.filter(|old| *old != Format::B3) {
        formats.default_format = Some(old);
    }
    Ok(Arc::new(Zipkin {
        propagation: Propagation::new(&formats, config.header_type, Format::B3),
        ratio: config.sample_ratio.unwrap_or_default(),
        short: config.traceid_byte_count == 8,
        response_header: config.http_response_header_for_traceid.clone(),
        timed: build
            .resources
            .settings
            .tracing
            .instrumentations
            .plugin_header_filter,
        describe: Describe::new(&config, build.resources.node.id),
        queue,
    }))
}

fn collector(build: &Build<'_>, config: &Config, url: &str) -> Result<Collector, BuildError> {
    let part = |given: Option<f64>, usual| milliseconds(given.unwrap_or(usual));
    let posting = Posting {
        method: "POST",
        headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        timeout: part(config.connect_timeout, CONNECT_TIMEOUT)
            + part(config.send_timeout, OTHER_TIMEOUT)
            + part(config.read_timeout, OTHER_TIMEOUT),
        keep_alive: KEEP_ALIVE,
        verify: true,
        resources: build.resources,
    };
    Collector::new(url, posting).map_err(|reason| BuildError::Config {
        name: build.plugin.name.clone(),
        reason: format!("http_endpoint: {reason}"),
    })
}

struct Zipkin {
    propagation: Propagation,
    /// The share of traces, of those that begin here, that are sampled.
    ratio: f64,
    /// Traces that begin here have ids of 8 bytes.
    short: bool,
    response_header: Option<String>,
    /// Its header phase has a span, as every plugin's has.
    timed: bool,
    describe: Describe,
    /// Each entry has the spans of one request.
    queue: Option<Queue<Bytes>>,
}

impl Zipkin {
    /// The trace of the request; it begins when it is first asked for.
    fn traced(&self, context: &mut Context<'_>) -> (Traced, Option<Extracted>) {
        if let Some(traced) = context.state.get::<Traced>() {
            return (*traced, None);
        }
        let extracted = self.propagation.extract(context);
        let trace = extracted
            .trace
            .unwrap_or_else(|| TraceId::random(self.short));
        // In some formats client and server tell of one span together.
        let shared = extracted.span.filter(|_| extracted.shares_span());
        let decided = || trace.is_sampled(self.ratio);
        let traced = Traced {
            trace,
            span: shared.unwrap_or_else(SpanId::random),
            parent: match shared {
                Some(_) => extracted.parent,
                None => extracted.span,
            },
            proxy: SpanId::random(),
            sampled: extracted.sampled.unwrap_or_else(decided),
            debug: extracted.debug,
        };
        context.state.put(traced);
        (traced, Some(extracted))
    }
}

impl Handler for Zipkin {
    fn phases(&self, declared: Phases) -> Phases {
        let mut phases = Phases::ACCESS;
        if self.response_header.is_some() || self.timed {
            phases = phases.and(Phases::HEADER_FILTER);
        }
        if self.queue.is_some() {
            phases = phases.and(Phases::LOG_WITHOUT_HEADERS);
        }
        debug_assert!(declared.contains(phases));
        phases
    }

    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        if let (traced, Some(extracted)) = self.traced(context) {
            let injected = Injected {
                trace: traced.trace,
                span: traced.proxy,
                parent: Some(traced.span),
                sampled: traced.sampled,
                debug: traced.debug,
            };
            self.propagation.inject(context, &extracted, &injected);
        }
        Flow::Continue.into()
    }

    fn header_filter(&self, context: &mut Context<'_>) {
        if let Some(name) = &self.response_header {
            let (traced, _) = self.traced(context);
            let id = self.describe.trace_id(traced.trace);
            context.response_edits.set(name, id);
        }
    }

    fn log(&self, context: &mut Context<'_>, log: &RequestLog<'_>) {
        let Some(queue) = &self.queue else {
            return;
        };
        let (traced, _) = self.traced(context);
        if !traced.sampled {
            return;
        }
        let spans = self.describe.spans(&traced, context, log);
        let mut text = Vec::new();
        for span in &spans {
            if !text.is_empty() {
                text.push(b',');
            }
            // A map of JSON values can always be written.
            let _ = serde_json::to_writer(&mut text, span);
        }
        let size = text.len();
        queue.try_enqueue(Bytes::from(text), size);
    }
}

/// A server that takes spans.
struct Server(Collector);

impl Deliver<Bytes> for Server {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        Box::pin(async move { self.0.send(list(batch)).await })
    }
}
