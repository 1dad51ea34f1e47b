//! An event whenever an address becomes healthy or unhealthy.

use crate::data_plane::balancer::Peer;
use std::net::SocketAddr;

/// Who found out.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A probe.
    Active,
    /// A request.
    Passive,
    /// The Admin API.
    Admin,
}

/// Tells the log of a change, if there was one.
pub fn note(upstream: &str, peer: &Peer, changed: Option<bool>, source: Source) {
    let Some(healthy) = changed else {
        return;
    };
    let target = &peer.target.address;
    let (host, port) = (&*target.host, target.port);
    let address = peer.socket().as_ref().map(SocketAddr::to_string);
    match healthy {
        true => tracing::info!(upstream, host, port, address, ?source, "target is healthy"),
        false => tracing::warn!(
            upstream,
            host,
            port,
            address,
            ?source,
            "target is unhealthy"
        ),
    }
}
