//! cors: answers the questions of browsers before they send a request, and tells them which pages
//! may read a response.

mod config;
mod handler;
mod origins;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "cors",
    version: VERSION,
    priority: 2000,
    phases: Phases::ACCESS.and(Phases::HEADER_FILTER),
    guards: true,
    definition: None,
    build: handler::build,
};
