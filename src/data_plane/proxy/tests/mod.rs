//! The pipeline as drivers see it, without sockets.

mod allocations;
mod beside_kong;
mod bodies;
mod driven;
mod errors;
mod filtered_bodies;
mod health;
mod hostile;
mod isolation;
mod plugins;
mod recorded;
mod requests;
mod responses;
mod retries;
mod running;
mod stored;
mod tls;
