//! key-auth: a key in a header, the query or the body names a consumer.

mod body;
mod config;
mod credential;
mod handler;

use super::{Implemented, VERSION};

pub const PLUGIN: Implemented = Implemented {
    name: "key-auth",
    version: VERSION,
    priority: PRIORITY,
    guards: true,
    build: |_, plugin| handler::build(plugin),
};

/// As Kong's.
const PRIORITY: i32 = 1250;
