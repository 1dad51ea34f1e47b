//! correlation-id: a header that names the request on its whole way.

mod config;
mod handler;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "correlation-id",
    version: VERSION,
    priority: 100_001,
    phases: Phases::ACCESS
        .and(Phases::HEADER_FILTER)
        .and(Phases::LOG_WITHOUT_HEADERS),
    guards: false,
    definition: None,
    build: handler::build,
};
