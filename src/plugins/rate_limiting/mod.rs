//! rate-limiting: how many requests in a second, a minute, up to a year.

mod config;
pub(super) mod counters;
mod handler;
mod window;

use super::{Implemented, VERSION};

pub const PLUGIN: Implemented = Implemented {
    name: "rate-limiting",
    version: VERSION,
    priority: PRIORITY,
    guards: true,
    build: |factory, plugin| handler::build(plugin, factory.counters()),
};

/// As Kong's.
const PRIORITY: i32 = 910;
