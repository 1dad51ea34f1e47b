//! correlation-id: a header that names the request on its whole way.

mod config;
mod handler;

pub(super) use handler::build;

/// As Kong's.
pub(super) const PRIORITY: i32 = 100_001;
