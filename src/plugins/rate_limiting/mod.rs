//! rate-limiting: how many requests in a second, a minute, up to a year.

mod config;
pub(super) mod counters;
mod handler;
mod window;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "rate-limiting",
    version: VERSION,
    priority: 910,
    phases: Phases::ACCESS,
    guards: true,
    definition: None,
    build: handler::build,
};
