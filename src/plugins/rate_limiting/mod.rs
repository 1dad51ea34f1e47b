//! rate-limiting: how many requests in a second, a minute, up to a year.

mod config;
pub(super) mod counters;
mod handler;
mod window;

pub(super) use handler::build;

/// As Kong's.
pub(super) const PRIORITY: i32 = 910;
