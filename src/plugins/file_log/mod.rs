//! file-log: the records of requests, one line each, in a file.

mod config;
mod handler;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "file-log",
    version: VERSION,
    priority: 9,
    phases: Phases::LOG,
    guards: false,
    definition: None,
    build: handler::build,
};
