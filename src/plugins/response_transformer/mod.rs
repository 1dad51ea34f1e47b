//! response-transformer: changes the headers and the JSON body of responses.

mod config;
mod handler;
mod headers;
mod json;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "response-transformer",
    version: VERSION,
    priority: 800,
    phases: Phases::HEADER_FILTER.and(Phases::BODY_FILTER),
    guards: true,
    definition: None,
    build: handler::build,
};
