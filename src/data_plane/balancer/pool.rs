//! The targets of one upstream with their addresses, and the choice among them.

use super::{Checks, Health, Peer, RoundRobin, Target};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

/// What is known of the addresses of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resolution {
    /// Nobody has asked yet.
    #[default]
    Pending,
    /// At least one address.
    Found(Arc<[Address]>),
    Failed(LookupError),
}

/// One address of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub ip: IpAddr,
    /// What an SRV record says beside the address; it wins over what the target says.
    pub srv: Option<SrvPlace>,
}

/// Port and share of an SRV record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SrvPlace {
    /// `None` when the record has 0, which leaves the port to the target.
    pub port: Option<NonZeroU16>,
    /// At least 1: a record with weight 0 gets the smallest share.
    pub weight: NonZeroU16,
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Address {
        Address { ip, srv: None }
    }
}

/// Why a name has no address; the texts are Kong's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no such name.
    #[error("dns server error: 3 name error")]
    NameError,
    /// Nobody could say.
    #[error("dns server error: 2 server failure")]
    ServerFailure,
}

/// A target with its addresses.
#[derive(Debug)]
pub struct Host {
    pub target: Arc<Target>,
    pub resolution: Resolution,
    pub peers: Box<[Arc<Peer>]>,
}

/// One version of an upstream's addresses. Their health outlives it.
#[derive(Debug, Default)]
pub struct Pool {
    hosts: Box<[Host]>,
    /// Those with a weight.
    peers: Box<[Arc<Peer>]>,
    ring: RoundRobin,
    /// Percent of the weight; more than that must be available.
    threshold: f64,
}

/// By the target's host and port and, once its name is resolved, the address.
type HealthByAddress = HashMap<(Arc<str>, u16, Option<SocketAddr>), Arc<Health>>;

/// Sums over addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    pub total: u64,
    pub available: u64,
}

impl Weights {
    pub fn of<'a>(peers: impl IntoIterator<Item = &'a Arc<Peer>>) -> Weights {
        let mut sum = Weights::default();
        for peer in peers {
            let weight = u64::from(peer.weight);
            sum.total += weight;
            if peer.health.is_healthy() {
                sum.available += weight;
            }
        }
        sum
    }
}

impl Pool {
    /// The targets, each by what `resolve` says of its name. Addresses that `previous` has keep
    /// their health; without checks everything is healthy.
    pub fn new(
        targets: &[Arc<Target>],
        checks: &Checks,
        resolve: impl Fn(&Target) -> Resolution,
        previous: Option<&Pool>,
    ) -> Pool {
        let known = previous.filter(|_| checks.on);
        let known = known.map(Pool::health_by_address).unwrap_or_default();
        let hosts: Box<[Host]> = targets
            .iter()
            .map(|target| Host::new(target, resolve(target), &known))
            .collect();
        let weighted = hosts.iter().filter(|host| host.target.weight > 0);
        let peers: Box<[Arc<Peer>]> = weighted.flat_map(|host| host.peers.to_vec()).collect();
        let weights: Vec<u16> = peers.iter().map(|peer| peer.weight).collect();
        Pool {
            ring: RoundRobin::new(&weights, previous.map(|previous| &previous.ring)),
            hosts,
            peers,
            threshold: checks.threshold,
        }
    }

    fn health_by_address(&self) -> HealthByAddress {
        let peers = self.hosts.iter().flat_map(|host| &host.peers);
        peers
            .map(|peer| {
                let address = &peer.target.address;
                let key = (Arc::clone(&address.host), address.port, peer.socket());
                (key, Arc::clone(&peer.health))
            })
            .collect()
    }

    /// All targets, also those without a weight or an address.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The addresses with a weight.
    pub fn peers(&self) -> &[Arc<Peer>] {
        &self.peers
    }

    /// Whether the upstream may be used at all: more of its weight is available than the
    /// threshold.
    pub fn is_healthy(&self) -> bool {
        let Weights { total, available } = Weights::of(&self.peers);
        // Compared without a division: percents times the total.
        total > 0 && available as f64 * 100.0 > self.threshold * total as f64
    }

    /// The address whose turn it is, of those that are healthy, and if possible none that is in
    /// `tried`. `None` when there is none, or the upstream as a whole is unhealthy.
    pub fn pick(&self, tried: &[Arc<Peer>]) -> Option<&Arc<Peer>> {
        if self.threshold > 0.0 && !self.is_healthy() {
            return None;
        }
        let healthy = |peer: &Peer| peer.health.is_healthy();
        let fresh = |peer: &Peer| !tried.iter().any(|tried| tried.is(peer));
        let pick = |usable: &dyn Fn(&Peer) -> bool| {
            let index = self.ring.pick(|index| {
                let peer = self.peers.get(index);
                peer.is_some_and(|peer| usable(peer))
            })?;
            self.peers.get(index)
        };
        if tried.is_empty() {
            return pick(&healthy);
        }
        pick(&|peer| healthy(peer) && fresh(peer)).or_else(|| pick(&healthy))
    }
}

impl Host {
    fn new(target: &Arc<Target>, resolution: Resolution, known: &HealthByAddress) -> Host {
        let address = &target.address;
        let of_address = |found: &Address| {
            let mut peer = Peer::of_address(target, *found);
            let key = (Arc::clone(&address.host), address.port, peer.socket());
            if let Some(health) = known.get(&key) {
                peer.health = Arc::clone(health);
            }
            Arc::new(peer)
        };
        let resolution = match address.ip {
            Some(ip) => Resolution::Found([ip.into()].into()),
            None => resolution,
        };
        Host {
            peers: match &resolution {
                Resolution::Pending => [Arc::new(Peer::of_name(target))].into(),
                Resolution::Found(addresses) => addresses.iter().map(of_address).collect(),
                Resolution::Failed(_) => Box::default(),
            },
            target: Arc::clone(target),
            resolution,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::balancer::{Limits, Observation, TargetAddress};
    use uuid::Uuid;

    fn targets(list: &[(&str, u16)]) -> Vec<Arc<Target>> {
        let target = |(text, weight): &(&str, u16)| {
            Arc::new(Target {
                address: TargetAddress::parse(Uuid::nil(), text).expect("a target"),
                weight: *weight,
                created_at: 0.0,
            })
        };
        list.iter().map(target).collect()
    }

    fn found(addresses: &[&str]) -> Resolution {
        let address = |ip: &&str| ip.parse::<IpAddr>().expect("an address").into();
        Resolution::Found(addresses.iter().map(address).collect())
    }

    fn checks(threshold: f64) -> Checks {
        Checks {
            threshold,
            on: true,
            ..Checks::default()
        }
    }

    fn pool(list: &[(&str, u16)], threshold: f64) -> Pool {
        let pending = |_: &Target| Resolution::Pending;
        Pool::new(&targets(list), &checks(threshold), pending, None)
    }

    fn take_out(pool: &Pool, index: usize) {
        let health = &pool.peers()[index].health;
        health.observe(Observation::TcpFailure, &Limits::ONE);
    }

    fn picks(pool: &Pool, n: usize) -> Vec<String> {
        let mut hosts: Vec<String> = (0..n)
            .filter_map(|_| pool.pick(&[]))
            .map(|peer| peer.host.to_string())
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    #[test]
    fn unhealthy_addresses_are_left_out() {
        let pool = pool(
            &[("10.0.0.1:80", 10), ("10.0.0.2:80", 10), ("10.0.0.3:80", 0)],
            0.0,
        );
        assert_eq!(picks(&pool, 4), ["10.0.0.1", "10.0.0.2"]);
        take_out(&pool, 0);
        assert_eq!(picks(&pool, 4), ["10.0.0.2"]);
        assert!(pool.is_healthy());
        take_out(&pool, 1);
        assert!(pool.pick(&[]).is_none());
        assert!(!pool.is_healthy());
        pool.peers()[0]
            .health
            .observe(Observation::Success, &Limits::ONE);
        assert_eq!(picks(&pool, 4), ["10.0.0.1"]);
    }

    #[test]
    fn a_retry_goes_elsewhere_while_there_is_an_elsewhere() {
        let pool = pool(
            &[("10.0.0.1:80", 1), ("10.0.0.2:80", 9), ("10.0.0.3:80", 1)],
            0.0,
        );
        take_out(&pool, 2);
        let mut tried = Vec::new();
        for _ in 0..2 {
            let peer = pool.pick(&tried).expect("an address");
            assert!(!tried.iter().any(|tried| peer.is(tried)));
            tried.push(Arc::clone(peer));
        }
        let again = pool.pick(&tried).expect("one that was tried");
        assert_ne!(&*again.host, "10.0.0.3");
    }

    #[test]
    fn more_than_the_threshold_must_be_available() {
        let list = [("10.0.0.1:80", 50), ("10.0.0.2:80", 50)];
        for (threshold, out, healthy) in [
            (0.0, 0, true),
            (0.0, 1, true),
            (0.0, 2, false),
            (49.9, 1, true),
            (50.0, 1, false),
            (99.9, 0, true),
            (100.0, 0, false),
        ] {
            let pool = pool(&list, threshold);
            (0..out).for_each(|index| take_out(&pool, index));
            assert_eq!(pool.is_healthy(), healthy, "{threshold} {out}");
            assert_eq!(pool.pick(&[]).is_some(), healthy, "{threshold} {out}");
        }
        assert!(!pool(&[], 0.0).is_healthy());
        assert!(!pool(&[("10.0.0.1:80", 0)], 0.0).is_healthy());
    }

    #[test]
    fn every_address_of_a_name_has_the_weight_of_its_target() {
        let targets = targets(&[("a.test:80", 10), ("gone.test:80", 10), ("new.test:80", 5)]);
        let resolve = |target: &Target| match &*target.address.host {
            "a.test" => found(&["10.0.0.1", "10.0.0.2"]),
            "gone.test" => Resolution::Failed(LookupError::NameError),
            _ => Resolution::Pending,
        };
        let pool = Pool::new(&targets, &checks(0.0), resolve, None);
        assert_eq!(picks(&pool, 9), ["10.0.0.1", "10.0.0.2", "new.test"]);
        let expected = Weights {
            total: 25,
            available: 25,
        };
        assert_eq!(Weights::of(pool.peers()), expected);
        assert!(pool.hosts()[1].peers.is_empty());
    }

    #[test]
    fn an_srv_record_brings_port_and_weight() {
        let targets = targets(&[("srv.test:80", 10)]);
        let place = |port, weight| SrvPlace {
            port: NonZeroU16::new(port),
            weight: NonZeroU16::new(weight).expect("a weight"),
        };
        let address = |ip: &str, srv| Address {
            ip: ip.parse().expect("an address"),
            srv: Some(srv),
        };
        let found = [
            address("10.0.0.1", place(8001, 3)),
            address("10.0.0.1", place(8002, 1)),
            address("10.0.0.2", place(0, 4)),
        ];
        let resolve = |_: &Target| Resolution::Found(found.into());
        let pool = Pool::new(&targets, &checks(0.0), resolve, None);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..16 {
            let peer = pool.pick(&[]).expect("an address");
            let socket = peer.socket().expect("resolved").to_string();
            *counts.entry(socket).or_insert(0) += 1;
        }
        let expected = [
            ("10.0.0.1:8001", 6),
            ("10.0.0.1:8002", 2),
            ("10.0.0.2:80", 8),
        ];
        let expected = expected.map(|(socket, count)| (socket.to_owned(), count));
        assert_eq!(counts, expected.into());
        assert_eq!(Weights::of(pool.peers()).total, 8);
        // One port of an address may fail while another goes on.
        take_out(&pool, 0);
        let healthy = |peer: &Arc<Peer>| peer.health.is_healthy();
        assert_eq!(pool.peers().iter().filter(|peer| healthy(peer)).count(), 2);
    }

    #[test]
    fn health_stays_with_the_address() {
        let before = targets(&[("a.test:80", 10), ("10.0.0.9:80", 1)]);
        let resolve = |_: &Target| found(&["10.0.0.1", "10.0.0.2"]);
        let first = Pool::new(&before, &checks(0.0), resolve, None);
        take_out(&first, 1);
        take_out(&first, 2);
        // Another weight, another order, an address more; and one that only looks the same.
        let after = targets(&[("10.0.0.9:80", 7), ("a.test:80", 3), ("b.test:80", 3)]);
        let resolve = |_: &Target| found(&["10.0.0.2", "10.0.0.3"]);
        let second = Pool::new(&after, &checks(0.0), resolve, Some(&first));
        let health: Vec<(String, bool)> = second
            .peers()
            .iter()
            .map(|peer| (peer.host.to_string(), peer.health.is_healthy()))
            .collect();
        let of = |host: &str, healthy| (host.to_owned(), healthy);
        assert_eq!(
            health,
            [
                of("10.0.0.9", false),
                of("10.0.0.2", false),
                of("10.0.0.3", true),
                of("10.0.0.2", true),
                of("10.0.0.3", true),
            ]
        );
        let off = Pool::new(&after, &Checks::default(), resolve, Some(&second));
        assert!(off.peers().iter().all(|peer| peer.health.is_healthy()));
    }
}
