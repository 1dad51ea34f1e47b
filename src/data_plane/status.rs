//! What a data plane says on the status pages and in its metrics.

use super::heartbeat_client::{GetLinkState, HeartbeatClient, Phase};
use super::router::{EffectCell, Snapshot, SnapshotCell};
use super::telemetry_buffer::{Drain, SharedBuffer, TelemetryBuffer};
use super::upstream::Names;
use crate::actor::Slot;
use crate::data_plane::balancer::TargetAddress;
use crate::link::LocalFuture;
use crate::telemetry::status::{NodeState, NodeStatus, TargetHealth, TargetState, WorkerReadiness};
use std::net::{IpAddr, SocketAddr};
use std::time::UNIX_EPOCH;

/// The data plane's part of a node's state.
pub(super) struct Status {
    pub heartbeat: Slot<HeartbeatClient>,
    pub telemetry: Slot<TelemetryBuffer>,
    pub snapshots: SnapshotCell,
    pub effect: EffectCell,
    pub buffer: SharedBuffer,
    pub names: Names,
    pub workers: usize,
    /// Epoch seconds.
    pub cluster_cert_expiry: Option<i64>,
}

impl NodeStatus for Status {
    fn state(&self) -> LocalFuture<'_, NodeState> {
        Box::pin(async {
            let link = self.heartbeat.ask(GetLinkState).await.ok();
            let live = self.effect.load_full();
            // A snapshot is swapped for all workers at once.
            let ready = if live.is_some() { self.workers } else { 0 };
            let snapshot = self.snapshots.load();
            NodeState {
                configuration_hash: live.is_some().then(|| snapshot.digest().config_hash()),
                workers: Some(WorkerReadiness {
                    workers: self.workers,
                    with_router: ready,
                    with_plugins: ready,
                }),
                control_plane_last_seen: link
                    .as_ref()
                    .and_then(|link| link.last_heard?.duration_since(UNIX_EPOCH).ok())
                    .map(|at| at.as_secs_f64()),
                control_plane_connected: Some(link.is_some_and(|link| link.phase == Phase::Live)),
                cluster_cert_expiry: self.cluster_cert_expiry,
                revision_in_effect: live.as_ref().map(|live| live.position.revision.0),
                quarantined: live.map(|live| live.quarantined.len() as u64),
                telemetry_held: Some(self.buffer.totals().held as u64),
                targets: targets(&snapshot, &self.names),
                ..NodeState::default()
            }
        })
    }

    fn before_scrape(&self) -> LocalFuture<'_, ()> {
        Box::pin(async {
            // Without it the scrape shows what was drained before.
            let _ = self.telemetry.ask(Drain).await;
        })
    }
}

/// The targets with a weight. Nothing checks their health yet: what is known is whether their
/// names resolve.
fn targets(snapshot: &Snapshot, names: &Names) -> Vec<TargetHealth> {
    let mut found = Vec::new();
    snapshot.for_each_upstream(|upstream| {
        for target in upstream.balancer.targets() {
            health(&upstream.spec.name, target, names, &mut found);
        }
    });
    found
}

/// One entry for each address of a target, or one without an address.
fn health(upstream: &str, target: &TargetAddress, names: &Names, found: &mut Vec<TargetHealth>) {
    let mut add = |address: Option<IpAddr>, state| {
        found.push(TargetHealth {
            upstream: upstream.to_owned(),
            target: format!("{}:{}", target.host, target.port),
            address: address.map(|ip| SocketAddr::new(ip, target.port).to_string()),
            state,
        });
    };
    let known = match target.ip {
        Some(ip) => Some([ip].into()),
        None => names.addresses(&target.host),
    };
    match known.as_deref() {
        // No request has asked for the name.
        None => add(None, TargetState::HealthchecksOff),
        Some([]) => add(None, TargetState::DnsError),
        Some(addresses) => {
            for ip in addresses {
                add(Some(*ip), TargetState::HealthchecksOff);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use uuid::Uuid;

    #[test]
    fn a_target_is_shown_by_what_its_name_resolves_to() {
        let names = Names::default();
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        names.learned(&Arc::from("two.test"), &[ip("10.0.0.1"), ip("::1")]);
        names.learned(&Arc::from("gone.test"), &[]);
        let (off, error) = (TargetState::HealthchecksOff, TargetState::DnsError);
        for (target, expected) in [
            ("10.0.0.9:80", vec![(Some("10.0.0.9:80"), off)]),
            (
                "two.test:80",
                vec![(Some("10.0.0.1:80"), off), (Some("[::1]:80"), off)],
            ),
            ("gone.test:80", vec![(None, error)]),
            ("unasked.test:80", vec![(None, off)]),
        ] {
            let address = TargetAddress::parse(Uuid::nil(), target).expect("a target");
            let mut found = Vec::new();
            health("pool", &address, &names, &mut found);
            let shown: Vec<_> = found
                .iter()
                .map(|entry| (entry.address.as_deref(), entry.state))
                .collect();
            assert_eq!(shown, expected, "{target}");
        }
    }
}
