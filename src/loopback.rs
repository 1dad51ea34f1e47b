//! Loopback addresses of a test's own.
//!
//! Whoever closes a port of 127.0.0.1 may find another test, or any process of the machine, there a
//! moment later. `tests/gateway/harness/node.rs` and `scripts/loopback.py` do the same.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

/// An address that nobody else on this machine listens on.
pub fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let [.., n] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 1 + (high ^ middle) % 250, 1 + low % 250, 1 + n % 250)
}

/// An address where nobody listens, nor ever will.
pub fn closed_address() -> SocketAddr {
    (own_address(), 1).into()
}
