//! tcp-log: the records of requests, one line each, over a connection.

mod config;
mod handler;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "tcp-log",
    version: VERSION,
    priority: 7,
    phases: Phases::LOG,
    guards: false,
    definition: None,
    build: handler::build,
};
