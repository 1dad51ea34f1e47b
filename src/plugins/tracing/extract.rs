//! What a client's headers say of the trace that its request belongs to.

use super::format::Format;
use super::ids::{SpanId, TraceId, Width};
use percent_encoding::percent_decode_str;

/// Headers that carry more than this are not looked at, in bytes.
const LONGEST: usize = 512;

/// Most items of baggage that are carried over.
const MOST_BAGGAGE: usize = 64;

/// The headers of a request.
pub trait Headers {
    /// The first value of this name, in whatever case it came.
    fn get<'h>(&'h self, name: &'h str) -> Option<&'h str>;
    fn each(&self, visit: &mut dyn FnMut(&str, &str));
}

/// What a client has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// The format that it was said in; `None`: it has said nothing.
    pub format: Option<Format>,
    pub trace: Option<TraceId>,
    /// The client's span.
    pub span: Option<SpanId>,
    /// The parent of that.
    pub parent: Option<SpanId>,
    /// Whether the trace is sampled; `None`: that is for us to decide.
    pub sampled: Option<bool>,
    /// It is to be sampled whatever anybody decides.
    pub debug: bool,
    /// What travels with the trace, decoded.
    pub baggage: Vec<(String, String)>,
}

impl Extracted {
    /// In these formats client and server may tell of one span together.
    pub fn shares_span(&self) -> bool {
        matches!(
            self.format,
            Some(Format::B3 | Format::B3Single | Format::Jaeger)
        )
    }

    fn of(format: Format) -> Extracted {
        Extracted {
            format: Some(format),
            ..Extracted::default()
        }
    }
}

/// What is said in this format; `None` where nothing is.
pub fn extract(format: Format, headers: &dyn Headers) -> Option<Extracted> {
    match format {
        Format::W3c => w3c(headers),
        Format::B3 | Format::B3Single => b3_single(headers).or_else(|| b3(headers)),
        Format::Jaeger => jaeger(headers),
        Format::Ot => ot(headers),
        Format::Datadog => datadog(headers),
        Format::Aws => aws(headers),
        Format::Gcp => gcp(headers),
    }
}

fn value<'h>(headers: &'h dyn Headers, name: &'h str) -> Option<&'h str> {
    headers
        .get(name)
        .map(str::trim)
        .filter(|value| value.len() <= LONGEST)
}

/// `1` and `true`, `0` and `false`.
fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// Version 00 alone, as Kong.
fn w3c(headers: &dyn Headers) -> Option<Extracted> {
    let mut parts = value(headers, "traceparent")?.split('-');
    let mut part = |length: usize| parts.next().filter(|part| part.len() == length);
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    if version != "00" || parts.next().is_some() {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(Extracted {
        trace: Some(TraceId {
            width: Width::Long,
            ..TraceId::parse(trace)?
        }),
        span: Some(SpanId::parse(span)?.not_zero()?),
        sampled: Some(flags & 1 == 1),
        ..Extracted::of(Format::W3c)
    })
}

/// The header `b3`; a proxy that knows W3C alone may have moved it into `tracestate`.
fn b3_single(headers: &dyn Headers) -> Option<Extracted> {
    let carried = || value(headers, "tracestate")?.strip_prefix("b3=");
    let text = value(headers, "b3").or_else(carried)?;
    let mut found = Extracted::of(Format::B3Single);
    let state = |found: &mut Extracted, text: &str| match text {
        "d" => (found.debug, found.sampled) = (true, Some(true)),
        other => found.sampled = flag(other),
    };
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [alone] => state(&mut found, alone),
        [trace, span, rest @ ..] if matches!(trace.len(), 16 | 32) && span.len() == 16 => {
            if let (Some(trace), Some(span)) = (TraceId::parse(trace), SpanId::parse(span)) {
                (found.trace, found.span) = (Some(trace), Some(span));
                if let Some(text) = rest.first() {
                    state(&mut found, text);
                }
                found.parent = rest.get(1).and_then(|parent| SpanId::parse(parent));
            }
        }
        _ => {}
    }
    Some(found)
}

fn b3(headers: &dyn Headers) -> Option<Extracted> {
    let get = |name| value(headers, name);
    let (trace, span) = (get("x-b3-traceid"), get("x-b3-spanid"));
    let (sampled, flags) = (get("x-b3-sampled"), get("x-b3-flags"));
    let parent = get("x-b3-parentspanid");
    if [trace, span, sampled, flags, parent]
        .iter()
        .all(Option::is_none)
    {
        return None;
    }
    let mut found = Extracted::of(Format::B3);
    found.debug = flags == Some("1");
    found.sampled = match found.debug {
        true => Some(true),
        false => sampled.and_then(flag),
    };
    let trace = trace.filter(|trace| matches!(trace.len(), 16 | 32));
    let full = |text: &&str| text.len() == 16;
    if let Some(trace) = trace.and_then(TraceId::parse) {
        found.trace = Some(trace);
        found.span = span.filter(full).and_then(SpanId::parse);
        found.parent = parent.filter(full).and_then(SpanId::parse);
    }
    Some(found)
}

fn jaeger(headers: &dyn Headers) -> Option<Extracted> {
    let text = value(headers, "uber-trace-id")?;
    let text = percent_decode_str(text).decode_utf8().ok()?;
    let parts: Vec<&str> = text.split(':').collect();
    let [trace, span, parent, flags] = parts.as_slice() else {
        return None;
    };
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(Extracted {
        trace: Some(TraceId::parse(trace)?),
        span: Some(SpanId::parse(span)?.not_zero()?),
        parent: Some(SpanId::parse(parent)?),
        sampled: Some(flags & 1 == 1),
        baggage: baggage(headers, "uberctx-"),
        ..Extracted::of(Format::Jaeger)
    })
}

fn ot(headers: &dyn Headers) -> Option<Extracted> {
    let trace = value(headers, "ot-tracer-traceid")?;
    let span = value(headers, "ot-tracer-spanid");
    Some(Extracted {
        trace: Some(TraceId::parse(trace)?),
        span: span.and_then(SpanId::parse).and_then(SpanId::not_zero),
        sampled: value(headers, "ot-tracer-sampled").and_then(flag),
        baggage: baggage(headers, "ot-baggage-"),
        ..Extracted::of(Format::Ot)
    })
}

/// Ids are decimal, of 8 bytes; positive priorities are sampled.
fn datadog(headers: &dyn Headers) -> Option<Extracted> {
    let trace: u64 = value(headers, "x-datadog-trace-id")?.parse().ok()?;
    let span = value(headers, "x-datadog-parent-id");
    let span: Option<u64> = span.and_then(|span| span.parse().ok());
    let priority = value(headers, "x-datadog-sampling-priority");
    let priority: Option<i32> = priority.and_then(|priority| priority.parse().ok());
    (trace != 0).then(|| Extracted {
        trace: Some(TraceId::of_low(trace)),
        span: span.and_then(|span| SpanId(span.to_be_bytes()).not_zero()),
        sampled: priority.map(|priority| priority > 0),
        ..Extracted::of(Format::Datadog)
    })
}

/// `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=<0 or 1>`, in any order.
fn aws(headers: &dyn Headers) -> Option<Extracted> {
    let mut found = Extracted::of(Format::Aws);
    for field in value(headers, "x-amzn-trace-id")?.split(';') {
        match field.trim().split_once('=') {
            Some(("Root", root)) => {
                let mut parts = root.split('-');
                let (version, time, rest) = (parts.next()?, parts.next()?, parts.next()?);
                if version != "1" || time.len() != 8 || rest.len() != 24 {
                    return None;
                }
                found.trace = TraceId::parse(&format!("{time}{rest}"));
            }
            Some(("Parent", span)) => {
                found.span = SpanId::parse(span).and_then(SpanId::not_zero);
            }
            Some(("Sampled", sampled)) => found.sampled = flag(sampled),
            _ => {}
        }
    }
    found.trace.is_some().then_some(found)
}

/// `<32 digits>/<decimal>;o=<0 or 1>`
fn gcp(headers: &dyn Headers) -> Option<Extracted> {
    let text = value(headers, "x-cloud-trace-context")?;
    let (ids, options) = match text.split_once(';') {
        Some((ids, options)) => (ids, Some(options)),
        None => (text, None),
    };
    let (trace, span) = ids.split_once('/')?;
    let span: u64 = span.parse().ok()?;
    let trace = Some(trace).filter(|trace| trace.len() == 32)?;
    Some(Extracted {
        trace: Some(TraceId::parse(trace)?),
        span: SpanId(span.to_be_bytes()).not_zero(),
        sampled: options.and_then(|options| flag(options.strip_prefix("o=")?)),
        ..Extracted::of(Format::Gcp)
    })
}

fn baggage(headers: &dyn Headers, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    headers.each(&mut |name, value| {
        let name = name.to_ascii_lowercase();
        if let Some(key) = name.strip_prefix(prefix)
            && value.len() <= LONGEST
            && found.len() < MOST_BAGGAGE
        {
            let value = percent_decode_str(value).decode_utf8_lossy();
            found.push((key.to_owned(), value.into_owned()));
        }
    });
    found
}
