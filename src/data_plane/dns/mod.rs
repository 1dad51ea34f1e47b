//! The node's one resolver: names of upstreams, their targets and services to addresses.
//!
//! `question` asks: the hosts file, then the name servers, in the order of `dns_order`. `memory`
//! keeps the answers of the whole node for as long as each says, and goes on with an outdated one
//! while no name server answers. `cache` joins the two. Each worker keeps the answers it uses
//! (`upstream::Resolver`), so that a request takes no lock. SRV records bring ports and weights.

mod cache;
mod hosts;
mod memory;
mod question;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use cache::Dns;
pub use memory::Answer;
