//! request-termination: answers requests with a configured response.

mod config;
mod echo;
mod handler;

pub(super) use handler::build;
