//! Health checks of upstreams: what a node finds out about the addresses it balances over.
//!
//! The state itself lies in the balancer, where workers read it without a lock. Here are those
//! who write it: the HealthChecker, which resolves the names of targets and sends the probes,
//! and people by the Admin API. Requests report what became of them in `proxy`.

mod actor;
mod log;
mod names;
mod options;
mod probe;
mod prober;
mod schedule;
mod view;

pub use actor::HealthChecker;
pub use log::{Source, note};
pub use options::{HealthOptions, Progress};
pub use probe::Credentials;
pub use view::{View, shown};
