//! The HTTP/1.1 driver: moves the bytes between a client and an upstream; decisions are the pipeline's.
//!
//! `connection` serves one connection, `request_driver` one request of it, `forward` its attempts. `upload` takes
//! the request to the upstream, `download` the response to the client. What an upstream speaks is its codec's matter
//! (`exchange::UpstreamStream`). Bodies that must wait do so in a `spool`.

pub mod connection;
mod date;
mod download;
mod downstream;
mod forward;
mod framing;
mod read_ahead;
mod reply;
mod request_body;
mod request_driver;
pub mod spool;
mod tunnel;
mod upload;
pub mod worker;
