//! http-log: the records of requests, sent to an HTTP server.

mod config;
mod handler;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "http-log",
    version: VERSION,
    priority: 12,
    phases: Phases::LOG,
    guards: false,
    definition: None,
    build: handler::build,
};
