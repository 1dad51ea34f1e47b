//! datadog: what requests took, as tagged lines for a Datadog agent.

mod config;
mod handler;
mod lines;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "datadog",
    version: VERSION,
    priority: 10,
    phases: Phases::LOG_WITHOUT_HEADERS,
    guards: false,
    definition: None,
    build: handler::build,
};
