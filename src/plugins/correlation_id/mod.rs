//! correlation-id: a header that names the request on its whole way.

mod config;
mod handler;

use super::{Implemented, VERSION};

pub const PLUGIN: Implemented = Implemented {
    name: "correlation-id",
    version: VERSION,
    priority: PRIORITY,
    guards: false,
    build: |_, plugin| handler::build(plugin),
};

/// As Kong's.
const PRIORITY: i32 = 100_001;
