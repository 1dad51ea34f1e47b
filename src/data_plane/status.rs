//! What a data plane says on the status pages and in its metrics.

use super::health::shown;
use super::heartbeat_client::{GetLinkState, HeartbeatClient, Phase};
use super::router::{EffectCell, Snapshot, SnapshotCell};
use super::telemetry_buffer::{Drain, SharedBuffer, TelemetryBuffer};
use crate::actor::Slot;
use crate::link::LocalFuture;
use crate::plugins::Resources;
use crate::plugins::prometheus::Wanted;
use crate::plugins::proxy_cache::{Store, Usage};
use crate::telemetry::status::{
    CacheUsage, NodeState, NodeStatus, TargetHealth, WorkerReadiness, on_node,
};
use serde_json::Value;
use std::time::UNIX_EPOCH;
use uuid::Uuid;

/// The data plane's part of a node's state.
pub(super) struct Status {
    pub heartbeat: Slot<HeartbeatClient>,
    pub telemetry: Slot<TelemetryBuffer>,
    pub snapshots: SnapshotCell,
    pub effect: EffectCell,
    pub buffer: SharedBuffer,
    pub workers: usize,
    /// The id of this node.
    pub node: Uuid,
    pub hostname: String,
    /// Epoch seconds.
    pub cluster_cert_expiry: Option<i64>,
    /// What the plugins of this node share.
    pub resources: Resources,
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
                cache_current: link.as_ref().map(|link| link.live == link.persisted),
                control_plane_connected: Some(link.is_some_and(|link| link.phase == Phase::Live)),
                cluster_cert_expiry: self.cluster_cert_expiry,
                revision_in_effect: live.as_ref().map(|live| live.position.revision.0),
                quarantined: live.as_ref().map(|live| live.quarantined.len() as u64),
                routes: live.map(|live| live.routes),
                telemetry_held: Some(self.buffer.totals().held as u64),
                telemetry_connected: Some(self.buffer.totals().link_up),
                telemetry_trouble: self.buffer.trouble(),
                targets: targets(&snapshot),
                wants_target_health: self.resources.store::<Wanted>().upstream_health(),
                response_cache: Some(cache_usage(&self.resources)),
                plugin_queues: self.resources.host.entries(),
                ..NodeState::default()
            }
        })
    }

    fn quarantine(&self) -> LocalFuture<'_, Vec<Value>> {
        let live = self.effect.load_full();
        let entries = live.iter().flat_map(|live| live.quarantined.iter());
        let listed: Vec<Value> = entries
            .map(|entry| on_node(entry.document(), self.node, &self.hostname))
            .collect();
        Box::pin(std::future::ready(listed))
    }

    fn before_scrape(&self) -> LocalFuture<'_, ()> {
        Box::pin(async {
            // Without it the scrape shows what was drained before.
            let _ = self.telemetry.ask(Drain).await;
        })
    }
}

fn cache_usage(resources: &Resources) -> CacheUsage {
    let Usage { bytes, capacity } = resources.store::<Store>().usage();
    CacheUsage { bytes, capacity }
}

fn targets(snapshot: &Snapshot) -> Vec<TargetHealth> {
    let mut found = Vec::new();
    snapshot.for_each_upstream(|upstream| found.extend(shown(upstream).targets()));
    found
}
