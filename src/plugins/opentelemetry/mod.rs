//! opentelemetry: spans and log lines of requests by OTLP over HTTP, and the headers that tell upstreams of them.

mod config;
mod handler;
mod logs;
mod otlp;
mod server;
mod spans;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "opentelemetry",
    version: VERSION,
    priority: 14,
    phases: Phases::ACCESS
        .and(Phases::HEADER_FILTER)
        .and(Phases::LOG_WITHOUT_HEADERS),
    guards: false,
    definition: None,
    build: handler::build,
};
