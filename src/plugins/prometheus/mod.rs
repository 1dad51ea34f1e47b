//! prometheus: chooses what of a request is counted for `/metrics`.

mod config;
mod handler;

pub use handler::Wanted;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "prometheus",
    version: VERSION,
    priority: 13,
    phases: Phases::LOG_WITHOUT_HEADERS,
    guards: false,
    definition: None,
    build: handler::build,
};
