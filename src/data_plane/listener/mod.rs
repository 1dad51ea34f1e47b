//! Client connections: sockets, workers, certificates, the HTTP/1.1 driver, drain.
//!
//! `server` binds and starts the workers; `connection` serves one connection, `exchange` one
//! request of it, `forward` its attempts. `upload` takes the request to the upstream, `download` the response to the
//! client. Bodies that must wait do so in a `spool`. Decisions are the pipeline's (`pipeline`), bytes are the driver's.
//!
//! This is the hot path: no lock, no mailbox, no log above debug, no allocation per header.

mod actor;
mod buffer;
mod certificates;
mod connection;
mod date;
mod download;
mod downstream;
mod exchange;
mod forward;
pub mod pipeline;
mod proxy_protocol;
mod read_ahead;
mod reply;
mod request_body;
mod server;
mod spool;
mod tunnel;
mod upload;
mod worker;

pub use actor::{DrainConnections, Listener, StopAccepting};
pub use certificates::CertificateResolver;
pub use server::{ListenError, Server, ServerConfig, ServerHandle};
pub use spool::{BodyFiles, SpoolLimits};
pub use worker::{DriverSettings, Phase};

#[cfg(test)]
mod tests;
