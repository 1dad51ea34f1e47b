//! syslog: the records of requests, to the log of the system.

mod config;
mod handler;
mod socket;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "syslog",
    version: VERSION,
    priority: 4,
    phases: Phases::LOG,
    guards: false,
    definition: None,
    build: handler::build,
};
