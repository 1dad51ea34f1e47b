//! statsd: what requests took, as lines for a StatsD server.

mod config;
mod handler;
mod lines;
mod names;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "statsd",
    version: VERSION,
    priority: 11,
    phases: Phases::LOG_WITHOUT_HEADERS,
    guards: false,
    definition: None,
    build: handler::build,
};
