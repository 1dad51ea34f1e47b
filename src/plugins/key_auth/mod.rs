//! key-auth: a key in a header, the query or the body names a consumer.

mod body;
mod config;
mod credential;
mod handler;

use super::{Descriptor, Phases, VERSION};

pub const PLUGIN: Descriptor = Descriptor {
    name: "key-auth",
    version: VERSION,
    priority: 1250,
    phases: Phases::ACCESS,
    guards: true,
    definition: None,
    build: handler::build,
};
