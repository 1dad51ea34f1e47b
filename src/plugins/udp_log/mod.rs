//! udp-log: the records of requests, one datagram each.

mod config;
mod handler;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "udp-log",
    version: VERSION,
    priority: 8,
    phases: Phases::LOG,
    guards: false,
    definition: None,
    build: handler::build,
};
