//! zipkin: spans of requests, to a Zipkin server, and the headers that tell upstreams of them.

mod config;
mod handler;
mod spans;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "zipkin",
    version: VERSION,
    priority: 100_000,
    phases: Phases::ACCESS
        .and(Phases::HEADER_FILTER)
        .and(Phases::LOG_WITHOUT_HEADERS),
    guards: false,
    definition: None,
    build: handler::build,
};
