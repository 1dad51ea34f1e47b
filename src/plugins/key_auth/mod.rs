//! key-auth: a key in a header, the query or the body names a consumer.

mod body;
mod config;
mod credential;
mod handler;

pub(super) use handler::build;

/// As Kong's.
pub(super) const PRIORITY: i32 = 1250;
