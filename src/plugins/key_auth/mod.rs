//! key-auth: a key in a header, the query or the body names a consumer.

mod body;
mod config;
mod credential;
mod handler;

pub(super) use handler::build;
