//! request-termination: answers requests with a configured response.

mod config;
mod echo;
mod handler;

use super::{Implemented, VERSION};

pub const PLUGIN: Implemented = Implemented {
    name: "request-termination",
    version: VERSION,
    priority: PRIORITY,
    guards: true,
    build: |factory, plugin| handler::build(plugin, factory.node()),
};

/// As Kong's.
const PRIORITY: i32 = 2;
