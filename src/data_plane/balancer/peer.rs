//! One address that requests can be sent to.

use super::{Address, Health, Target};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

/// An address of a target, or the target's name while nobody has resolved it.
#[derive(Debug)]
pub struct Peer {
    pub target: Arc<Target>,
    /// What to connect to: the text of `ip`, or the name.
    pub host: Arc<str>,
    pub ip: Option<IpAddr>,
    /// The target's, or the one of an SRV record.
    pub port: u16,
    /// The target's, or the one of an SRV record.
    pub weight: u16,
    pub health: Arc<Health>,
}

impl Peer {
    pub(super) fn of_name(target: &Arc<Target>) -> Peer {
        Peer {
            host: Arc::clone(&target.address.host),
            ip: None,
            port: target.address.port,
            weight: target.weight,
            health: Arc::default(),
            target: Arc::clone(target),
        }
    }

    /// A peer of which nothing is known yet.
    pub(super) fn of_address(target: &Arc<Target>, Address { ip, srv }: Address) -> Peer {
        let port = srv.and_then(|srv| srv.port).map(NonZeroU16::get);
        Peer {
            port: port.unwrap_or(target.address.port),
            weight: srv.map_or(target.weight, |srv| srv.weight.get()),
            host: match target.address.ip {
                Some(_) => Arc::clone(&target.address.host),
                None => ip.to_string().into(),
            },
            ip: Some(ip),
            health: Arc::default(),
            target: Arc::clone(target),
        }
    }

    /// `None` while the name is not resolved.
    pub fn socket(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip?, self.port))
    }

    /// Whether both are the same address of the same target, whatever became of its weight.
    pub fn is(&self, other: &Peer) -> bool {
        Arc::ptr_eq(&self.health, &other.health)
    }
}
