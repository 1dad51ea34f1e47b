//! Choosing the address of a request: pure code, shared by all workers without a lock.
//!
//! Weighted round-robin over the healthy addresses is the algorithm of every upstream for now;
//! upstreams that ask for `least-connections`, `consistent-hashing` or `latency` are served by
//! it too.

mod checks;
mod health;
mod peer;
mod pool;
mod round_robin;
mod target;

pub use checks::{ActiveChecks, Checks, PassiveChecks, ProbeKind, Statuses};
pub use health::{Health, Limits, Observation};
pub use peer::Peer;
pub use pool::{Address, Host, LookupError, Pool, Resolution, SrvPlace, Weights};
pub use round_robin::RoundRobin;
pub use target::{Target, TargetAddress};
