//! One address that requests can be sent to.

use super::{Health, Target};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// An address of a target, or the target's name while nobody has resolved it.
#[derive(Debug)]
pub struct Peer {
    pub target: Arc<Target>,
    /// What to connect to: the text of `ip`, or the name.
    pub host: Arc<str>,
    pub ip: Option<IpAddr>,
    pub health: Arc<Health>,
}

impl Peer {
    pub(super) fn of_name(target: &Arc<Target>) -> Peer {
        Peer {
            host: Arc::clone(&target.address.host),
            ip: None,
            health: Arc::default(),
            target: Arc::clone(target),
        }
    }

    pub(super) fn of_address(target: &Arc<Target>, ip: IpAddr, health: Arc<Health>) -> Peer {
        Peer {
            host: match target.address.ip {
                Some(_) => Arc::clone(&target.address.host),
                None => ip.to_string().into(),
            },
            ip: Some(ip),
            health,
            target: Arc::clone(target),
        }
    }

    /// `None` while the name is not resolved.
    pub fn socket(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip?, self.target.address.port))
    }

    /// Whether both are the same address of the same target, whatever became of its weight.
    pub fn is(&self, other: &Peer) -> bool {
        Arc::ptr_eq(&self.health, &other.health)
    }
}
