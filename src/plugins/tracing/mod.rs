//! Distributed tracing: the ids of traces and spans, and the headers in which they travel. What zipkin and
//! opentelemetry share.

mod extract;
mod format;
mod ids;
mod inject;
mod propagation;

#[cfg(test)]
mod tests;

pub use extract::Extracted;
pub use format::{Format, HeaderType};
pub use ids::{SpanId, TraceId, Width};
pub use inject::Injected;
pub use propagation::{Propagation, PropagationConfig};
