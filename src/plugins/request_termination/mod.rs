//! request-termination: answers requests with a configured response.

mod config;
mod echo;
mod handler;

pub(super) use handler::build;

/// As Kong's.
pub(super) const PRIORITY: i32 = 2;
