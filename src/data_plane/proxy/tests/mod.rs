//! The pipeline as drivers see it, without sockets.

mod allocations;
mod driven;
mod errors;
mod health;
mod plugins;
mod recorded;
mod requests;
mod responses;
mod retries;
mod tls;
