//! loggly: the records of requests, one datagram of RFC 5424 each.

mod config;
mod handler;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "loggly",
    version: VERSION,
    priority: 6,
    phases: Phases::LOG,
    guards: false,
    definition: None,
    build: handler::build,
};
