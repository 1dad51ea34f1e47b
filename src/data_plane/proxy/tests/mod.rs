//! The pipeline as drivers see it, without sockets.

mod allocations;
mod beside_kong;
mod driven;
mod errors;
mod health;
mod hostile;
mod plugins;
mod recorded;
mod requests;
mod responses;
mod retries;
mod tls;
