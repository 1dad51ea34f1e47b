//! correlation-id: a header that names the request on its whole way.

mod config;
mod handler;

pub(super) use handler::build;
