//! The pipeline as drivers see it, without sockets.

mod errors;
mod plugins;
mod requests;
mod responses;
mod retries;
mod tls;
