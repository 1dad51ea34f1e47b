//! proxy-cache: keeps responses of upstreams in memory, and answers with them.

mod cache_control;
mod config;
mod handler;
mod key;
mod media_type;
mod store;

pub use store::{Store, Usage};

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "proxy-cache",
    version: VERSION,
    priority: 100,
    phases: Phases::ACCESS
        .and(Phases::HEADER_FILTER)
        .and(Phases::BODY_FILTER),
    guards: true,
    definition: None,
    build: handler::build,
};
