//! The health of upstreams as pages show it, and how people set it.
//!
//! The data plane knows it; the Admin API and the status listener of its process ask here.

use super::{TargetHealth, TargetState};
use crate::link::LocalFuture;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use thiserror::Error;
use uuid::Uuid;

/// The upstreams that a node balances over.
pub trait Upstreams: Send + Sync {
    /// One upstream by its id, once `revision` is in effect and new targets had their first
    /// lookup and probe; what is there after a moment, if that takes longer. `None` when
    /// nothing is in effect under this id.
    fn upstream(&self, id: Uuid, revision: u64) -> LocalFuture<'_, Option<UpstreamHealth>>;

    /// The targets of an upstream, by its id or name; `None` when there is none.
    fn targets(&self, upstream: String) -> LocalFuture<'_, Option<TargetDocuments>>;

    /// Sets the health of a target's addresses, or of one of them.
    ///
    /// # Errors
    /// See [`SetHealthError`].
    fn set_health(&self, setting: SetHealth) -> LocalFuture<'_, Result<(), SetHealthError>>;
}

/// The targets of an upstream as entities.
#[derive(Clone, Debug)]
pub struct TargetDocuments {
    pub upstream: Uuid,
    /// Newest first.
    pub targets: Vec<Value>,
}

/// The page `/upstreams/{u}/health`: the targets with what is known of them, or with
/// `?balancer_health=1` the upstream as a whole. Where nothing is balanced, targets as they are.
pub fn health_page(
    mut targets: Vec<Value>,
    known: Option<&UpstreamHealth>,
    of_balancer: bool,
    node: Uuid,
) -> Value {
    let mut page = json!({"next": null, "node_id": node});
    let hosts = known.into_iter().flat_map(|known| &known.hosts);
    let hosts: HashMap<Uuid, &HostHealth> = hosts.map(|host| (host.target, host)).collect();
    if of_balancer {
        if let Some(known) = known {
            page["data"] = known.balancer_data();
        }
        return page;
    }
    for target in &mut targets {
        let id = target["id"]
            .as_str()
            .and_then(|id| Uuid::parse_str(id).ok());
        let host = id.and_then(|id| hosts.get(&id));
        if let Some((known, host)) = known.zip(host) {
            target["health"] = host.state(known).as_str().into();
            target["data"] = host.data(known);
        }
    }
    page["data"] = targets.into();
    page
}

/// Which address of which target of which upstream is to be what.
#[derive(Clone, Copy, Debug)]
pub struct SetHealth {
    pub upstream: Uuid,
    pub target: Uuid,
    /// `None` is all of them.
    pub address: Option<SocketAddr>,
    pub healthy: bool,
    /// Is awaited as by [`Upstreams::upstream`].
    pub revision: u64,
}

/// Why health cannot be set; the texts are Kong's.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SetHealthError {
    #[error("Upstream {0} has no balancer")]
    NoBalancer(Uuid),
    #[error("no healthchecker found for {0}")]
    NoHealthchecker(String),
    /// The target has no such address.
    #[error("Not found")]
    NoAddress,
}

/// An upstream as it balances now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamHealth {
    pub id: Uuid,
    pub name: String,
    /// Whether any check can take an address out.
    pub checked: bool,
    /// Whether it is used at all.
    pub healthy: bool,
    /// In the order of their age.
    pub hosts: Vec<HostHealth>,
}

/// A target with what is known of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostHealth {
    /// The target's id.
    pub target: Uuid,
    pub host: String,
    pub port: u16,
    pub weight: u16,
    /// The type of the record, or why there is none.
    pub dns: String,
    /// Whether a lookup has ended.
    pub resolved: bool,
    pub addresses: Vec<AddressHealth>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHealth {
    pub address: SocketAddr,
    /// The target's, or the one of an SRV record.
    pub weight: u16,
    pub healthy: bool,
}

impl TargetState {
    /// As Kong's Admin API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetState::HealthchecksOff => "HEALTHCHECKS_OFF",
            TargetState::Healthy => "HEALTHY",
            TargetState::Unhealthy => "UNHEALTHY",
            TargetState::DnsError => "DNS_ERROR",
        }
    }
}

fn state(healthy: bool) -> TargetState {
    match healthy {
        true => TargetState::Healthy,
        false => TargetState::Unhealthy,
    }
}

/// The members of a `weight` object.
#[derive(Clone, Copy, Default)]
struct Weight {
    total: u64,
    available: u64,
}

impl Weight {
    fn to_json(self) -> Value {
        json!({
            "total": self.total,
            "available": self.available,
            "unavailable": self.total - self.available,
        })
    }
}

impl HostHealth {
    /// Whether probes or requests have a say: nothing is sent to a target without a weight.
    fn is_checked(&self, upstream: &UpstreamHealth) -> bool {
        upstream.checked && self.weight > 0
    }

    /// The health of the whole target: one healthy address is enough.
    pub fn state(&self, upstream: &UpstreamHealth) -> TargetState {
        if self.addresses.is_empty() {
            return TargetState::DnsError;
        }
        match self.is_checked(upstream) {
            false => TargetState::HealthchecksOff,
            true => state(self.addresses.iter().any(|address| address.healthy)),
        }
    }

    fn address_state(&self, upstream: &UpstreamHealth, address: &AddressHealth) -> TargetState {
        match self.is_checked(upstream) {
            false => TargetState::HealthchecksOff,
            true => state(address.healthy),
        }
    }

    fn weight(&self) -> Weight {
        let count = |of: &dyn Fn(&AddressHealth) -> bool| {
            let counted = self.addresses.iter().filter(|address| of(address));
            counted.map(|address| u64::from(address.weight)).sum()
        };
        Weight {
            total: count(&|_| true),
            available: count(&|address| address.healthy),
        }
    }

    /// An empty list is an empty object here: that is how Kong writes it.
    fn to_json(&self, addresses: Vec<Value>) -> Value {
        let addresses = match addresses.is_empty() {
            true => json!({}),
            false => addresses.into(),
        };
        json!({
            "host": self.host,
            "port": self.port,
            "dns": self.dns,
            "nodeWeight": self.weight,
            "weight": self.weight().to_json(),
            "addresses": addresses,
        })
    }

    fn address_json(&self, address: &AddressHealth, key: &str, value: Value) -> Value {
        json!({
            "ip": address.address.ip(),
            "port": address.address.port(),
            "weight": address.weight,
            key: value,
        })
    }

    /// The `data` of a target in `GET /upstreams/{u}/health`.
    pub fn data(&self, upstream: &UpstreamHealth) -> Value {
        let addresses = self.addresses.iter().map(|address| {
            let state = self.address_state(upstream, address).as_str();
            self.address_json(address, "health", state.into())
        });
        self.to_json(addresses.collect())
    }

    /// The same in the details of `?balancer_health=1`.
    fn details(&self) -> Value {
        let addresses = self.addresses.iter();
        let addresses =
            addresses.map(|address| self.address_json(address, "healthy", address.healthy.into()));
        self.to_json(addresses.collect())
    }
}

impl UpstreamHealth {
    /// The `data` of `GET /upstreams/{u}/health?balancer_health=1`.
    pub fn balancer_data(&self) -> Value {
        let mut weight = Weight::default();
        for host in self.hosts.iter().map(HostHealth::weight) {
            weight.total += host.total;
            weight.available += host.available;
        }
        let balancer = state(self.healthy);
        let health = match self.checked {
            false => TargetState::HealthchecksOff,
            true => balancer,
        };
        let hosts: Vec<Value> = self.hosts.iter().map(HostHealth::details).collect();
        json!({
            "id": self.id,
            "health": health.as_str(),
            "balancer_health": balancer.as_str(),
            "details": {
                "healthy": self.healthy,
                "weight": weight.to_json(),
                "hosts": hosts,
            },
        })
    }

    /// For the metrics: one entry for each address of a target, or one without an address.
    /// Targets whose names nobody has asked for yet are left out.
    pub fn targets(&self) -> Vec<TargetHealth> {
        let mut targets = Vec::new();
        for host in self.hosts.iter().filter(|host| host.resolved) {
            let name = match host.host.contains(':') {
                true => format!("[{}]:{}", host.host, host.port),
                false => format!("{}:{}", host.host, host.port),
            };
            let mut add = |address: Option<&AddressHealth>, state| {
                targets.push(TargetHealth {
                    upstream: self.name.clone(),
                    target: name.clone(),
                    address: address.map(|address| address.address.to_string()),
                    state,
                });
            };
            if host.addresses.is_empty() {
                add(None, TargetState::DnsError);
            }
            for address in &host.addresses {
                add(Some(address), host.address_state(self, address));
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(weight: u16, addresses: &[(&str, bool)]) -> HostHealth {
        let addresses = addresses.iter().map(|(address, healthy)| AddressHealth {
            address: address.parse().expect("an address"),
            weight,
            healthy: *healthy,
        });
        HostHealth {
            target: Uuid::nil(),
            host: "a.test".into(),
            port: 80,
            weight,
            dns: "A".into(),
            resolved: true,
            addresses: addresses.collect(),
        }
    }

    fn upstream(checked: bool, hosts: Vec<HostHealth>) -> UpstreamHealth {
        UpstreamHealth {
            id: Uuid::nil(),
            name: "u".into(),
            checked,
            healthy: true,
            hosts,
        }
    }

    #[test]
    fn the_state_of_a_target() {
        use TargetState::*;
        let (up, down) = (("10.0.0.1:80", true), ("10.0.0.2:80", false));
        for (checked, weight, addresses, expected, available) in [
            (true, 10, &[up, down][..], Healthy, 10),
            (true, 10, &[down][..], Unhealthy, 0),
            (true, 10, &[][..], DnsError, 0),
            (true, 0, &[up][..], HealthchecksOff, 0),
            (false, 10, &[up][..], HealthchecksOff, 10),
            (false, 10, &[][..], DnsError, 0),
        ] {
            let upstream = upstream(checked, vec![host(weight, addresses)]);
            let found = upstream.hosts[0].state(&upstream);
            assert_eq!(found, expected, "{upstream:?}");
            let data = upstream.hosts[0].data(&upstream);
            assert_eq!(data["weight"]["available"], available, "{data}");
            let total = u64::from(weight) * addresses.len() as u64;
            assert_eq!(data["weight"]["total"], total, "{data}");
            assert_eq!(
                data["addresses"].is_object(),
                addresses.is_empty(),
                "{data}"
            );
        }
    }

    #[test]
    fn the_balancer_sums_up() {
        let hosts = vec![
            host(10, &[("10.0.0.1:80", true), ("10.0.0.2:80", false)]),
            host(5, &[("[::1]:80", true)]),
        ];
        let upstream = upstream(true, hosts);
        let data = upstream.balancer_data();
        let weight = json!({"total": 25, "available": 15, "unavailable": 10});
        assert_eq!(data["details"]["weight"], weight);
        assert_eq!(data["details"]["hosts"][1]["addresses"][0]["ip"], "::1");
        assert_eq!(
            data["details"]["hosts"][0]["addresses"][1]["healthy"],
            false
        );
        assert_eq!(
            (&data["health"], &data["balancer_health"]),
            (&json!("HEALTHY"), &json!("HEALTHY"))
        );
    }

    #[test]
    fn metrics_name_an_ipv6_target_as_its_address() {
        let mut target = host(1, &[("[::1]:80", true)]);
        target.host = "0000:0000:0000:0000:0000:0000:0000:0001".into();
        let shown = upstream(true, vec![target]).targets();
        let expected = "[0000:0000:0000:0000:0000:0000:0000:0001]:80";
        assert_eq!(shown[0].target, expected);
    }

    #[test]
    fn metrics_show_every_address() {
        use TargetState::*;
        let mut unasked = host(1, &[]);
        unasked.resolved = false;
        let hosts = vec![
            host(10, &[("10.0.0.1:80", true), ("10.0.0.2:80", false)]),
            host(10, &[]),
            host(0, &[("10.0.0.3:80", true)]),
            unasked,
        ];
        let targets = upstream(true, hosts).targets();
        let shown: Vec<_> = targets
            .iter()
            .map(|target| (target.address.as_deref(), target.state))
            .collect();
        assert_eq!(
            shown,
            [
                (Some("10.0.0.1:80"), Healthy),
                (Some("10.0.0.2:80"), Unhealthy),
                (None, DnsError),
                (Some("10.0.0.3:80"), HealthchecksOff),
            ]
        );
    }
}
