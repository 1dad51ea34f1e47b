//! request-termination: answers requests with a configured response.

mod config;
mod echo;
mod handler;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "request-termination",
    version: VERSION,
    priority: 2,
    phases: Phases::ACCESS,
    guards: true,
    definition: None,
    build: handler::build,
};
