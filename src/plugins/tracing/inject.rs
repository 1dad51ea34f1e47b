//! Headers that tell an upstream which trace its request belongs to.

use super::format::Format;
use super::ids::{SpanId, TraceId, Width};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What values of baggage may have as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// What an upstream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected {
    pub trace: TraceId,
    /// The span that the upstream's is a child of.
    pub span: SpanId,
    /// The parent of that.
    pub parent: Option<SpanId>,
    pub sampled: bool,
    pub debug: bool,
}

/// Writes the headers of one format; `None` for a value clears the header.
pub fn inject(
    format: Format,
    injected: &Injected,
    baggage: &[(String, String)],
    out: &mut dyn FnMut(&str, Option<&str>),
) {
    let Injected {
        trace,
        span,
        parent,
        sampled,
        debug,
    } = *injected;
    let bit = if sampled { "1" } else { "0" };
    let carry = |prefix: &str, out: &mut dyn FnMut(&str, Option<&str>)| {
        for (key, value) in baggage {
            let value = utf8_percent_encode(value, ENCODED).to_string();
            out(&format!("{prefix}{key}"), Some(&value));
        }
    };
    match format {
        Format::W3c => {
            let value = format!("00-{}-{span}-0{bit}", trace.long());
            out("traceparent", Some(&value));
        }
        Format::B3 => {
            out("X-B3-TraceId", Some(&trace.as_it_came(Width::Long)));
            out("X-B3-SpanId", Some(&span.to_string()));
            let parent = parent.map(|parent| parent.to_string());
            out("X-B3-ParentSpanId", parent.as_deref());
            match debug {
                true => out("X-B3-Flags", Some("1")),
                false => out("X-B3-Sampled", Some(bit)),
            }
        }
        Format::B3Single => {
            let state = if debug { "d" } else { bit };
            let mut value = format!("{}-{span}-{state}", trace.as_it_came(Width::Long));
            if let Some(parent) = parent {
                value.push_str(&format!("-{parent}"));
            }
            out("b3", Some(&value));
        }
        Format::Jaeger => {
            let trace = trace.as_it_came(Width::Long);
            let parent = parent.map_or_else(|| "0".to_owned(), |parent| parent.to_string());
            let value = format!("{trace}:{span}:{parent}:0{bit}");
            out("uber-trace-id", Some(&value));
            carry("uberctx-", out);
        }
        Format::Ot => {
            out("ot-tracer-traceid", Some(&trace.as_it_came(Width::Short)));
            out("ot-tracer-spanid", Some(&span.to_string()));
            out("ot-tracer-sampled", Some(bit));
            carry("ot-baggage-", out);
        }
        Format::Datadog => {
            out("x-datadog-trace-id", Some(&trace.low().to_string()));
            out("x-datadog-parent-id", Some(&span.number().to_string()));
            out("x-datadog-sampling-priority", Some(bit));
        }
        Format::Aws => {
            let trace = trace.long();
            let (time, rest) = trace.split_at(8);
            let value = format!("Root=1-{time}-{rest};Parent={span};Sampled={bit}");
            out("X-Amzn-Trace-Id", Some(&value));
        }
        Format::Gcp => {
            let value = format!("{}/{};o={bit}", trace.long(), span.number());
            out("X-Cloud-Trace-Context", Some(&value));
        }
    }
}
