//! The Admin API over actix's test service, on a real SQLite database.

mod bodies;
mod certificates;
mod concurrency;
mod credentials;
mod entities;
mod lists;
mod plain_http;
mod revisions;
pub mod support;
mod transactions;
mod wait;
