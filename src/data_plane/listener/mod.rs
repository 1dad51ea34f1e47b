//! Client connections: sockets, workers, certificates, the PROXY protocol, drain.
//!
//! `server` binds and starts the workers; a connection is then served by the driver of its protocol (`http1`).
//! Decisions are the pipeline's (`exchange::Pipeline`), bytes are the driver's.
//!
//! This is the hot path: no lock, no mailbox, no log above debug, no allocation per header.

mod actor;
mod certificates;
mod http1;
mod proxy_protocol;
mod server;
mod tls_names;

pub use actor::{DrainConnections, Listener, StopAccepting};
pub use certificates::CertificateResolver;
pub use http1::spool::{BodyFiles, SpoolLimits};
pub use http1::worker::{DriverSettings, Phase};
pub use server::{ListenError, Server, ServerConfig, ServerHandle};

#[cfg(test)]
mod tests;
