//! The formats of headers, by name.

use serde::{Deserialize, Serialize};

/// The header formats of distributed tracing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `traceparent` and `tracestate`.
    W3c,
    /// `X-B3-TraceId` and others.
    B3,
    /// `b3`.
    #[serde(rename = "b3-single")]
    B3Single,
    /// `uber-trace-id` and `uberctx-…`.
    Jaeger,
    /// OpenTracing: `ot-tracer-…` and `ot-baggage-…`.
    Ot,
    /// `x-datadog-…`.
    Datadog,
    /// `X-Amzn-Trace-Id`.
    Aws,
    /// `X-Cloud-Trace-Context`.
    Gcp,
}

/// What `inject` and `header_type` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderType {
    /// The format in which the client's context was found, or else the default.
    Preserve,
    /// What the client says of a trace does not count.
    Ignore,
    #[serde(untagged)]
    Format(Format),
}
