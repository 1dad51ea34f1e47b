//! Choosing the target of a request: pure code, shared by all workers without a lock.
//!
//! Weighted round-robin is the algorithm of every upstream for now; upstreams that ask for
//! `least-connections`, `consistent-hashing` or `latency` are served by it too.

mod round_robin;
mod target;

pub use round_robin::RoundRobin;
pub use target::TargetAddress;

/// Where the requests of a service go.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// The service's host is the name of an upstream; its targets bring their own ports.
    Balanced(&'a RoundRobin),
    /// The service's own host and port.
    Host(&'a TargetAddress),
}

impl<'a> Destination<'a> {
    /// The address of the next attempt, if possible one whose id is not in `tried`; `None` when
    /// an upstream has no target with a weight.
    pub fn pick(&self, tried: &[uuid::Uuid]) -> Option<&'a TargetAddress> {
        match self {
            Destination::Balanced(targets) => targets.pick(tried),
            Destination::Host(address) => Some(address),
        }
    }
}
