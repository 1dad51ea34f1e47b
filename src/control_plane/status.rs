//! What a control plane says on the status pages and in its metrics.

use super::cluster_registry::{ClusterRegistry, CountSessions, Fleet};
use super::config_store::{ConfigStoreHandle, DataPlanePresence, Store, StoreError};
use super::session::Feed;
use crate::actor::Slot;
use crate::link::LocalFuture;
use crate::telemetry::status::{ControlPlaneState, DataPlaneState, NodeState, NodeStatus, on_node};
use futures_util::future::join4;
use metrics::Counter;
use serde_json::Value;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the database and the registry may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The control plane's part of a node's state.
pub(super) struct Status {
    /// Whether the node is one that has a database of its own, to those who ask.
    pub has_database: bool,
    pub writer: ConfigStoreHandle,
    pub registry: Slot<ClusterRegistry>,
    pub fleet: Arc<Fleet>,
    pub feed: Arc<Feed>,
    pub sent_bytes: Counter,
    /// Epoch seconds.
    pub cluster_cert_expiry: Option<i64>,
}

/// What the database answers in time; `None` otherwise.
async fn answer<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    timeout(PATIENCE, asked).await.ok()?.ok()
}

impl Status {
    fn store(&self) -> &Store {
        self.writer.store()
    }
}

impl NodeStatus for Status {
    fn state(&self) -> LocalFuture<'_, NodeState> {
        Box::pin(async {
            let (latest, rows, oldest, sessions) = join4(
                answer(self.store().latest_revision()),
                answer(self.fleet.data_planes()),
                answer(self.store().oldest_journal_revision()),
                timeout(PATIENCE, self.registry.ask(CountSessions)),
            )
            .await;
            let journal_revisions = latest.zip(oldest).map(|(latest, oldest)| {
                oldest.map_or(0, |oldest| (latest.0 + 1).saturating_sub(oldest.0))
            });
            NodeState {
                database_reachable: self.has_database.then_some(latest.is_some()),
                data_planes: rows.into_iter().flatten().map(data_plane).collect(),
                control_plane: Some(ControlPlaneState {
                    // After the rows: no data plane is shown ahead that is not.
                    revision: self.feed.position().revision.0,
                    is_read: self.feed.is_read(),
                    journal_revisions,
                    writes_waiting: self.writer.waiting() as u64,
                    sessions: sessions.ok().and_then(Result::ok),
                    cluster_cert_expiry: self.cluster_cert_expiry,
                }),
                ..NodeState::default()
            }
        })
    }

    fn quarantine(&self) -> LocalFuture<'_, Vec<Value>> {
        Box::pin(async {
            let rows = answer(self.fleet.all_data_planes()).await;
            let mut listed = Vec::new();
            for row in rows.into_iter().flatten() {
                let entries = row.quarantined.as_array().into_iter().flatten();
                listed.extend(entries.map(|entry| on_node(entry.clone(), row.id, &row.hostname)));
            }
            listed
        })
    }

    fn before_scrape(&self) -> LocalFuture<'_, ()> {
        self.sent_bytes.absolute(self.feed.sent_bytes());
        Box::pin(std::future::ready(()))
    }
}

fn data_plane(row: DataPlanePresence) -> DataPlaneState {
    DataPlaneState {
        node_id: row.id,
        hostname: row.hostname,
        ip: row.ip,
        version: row.version.unwrap_or_default(),
        config_hash: row.config_hash,
        last_seen: row.last_seen,
        version_compatible: row.sync_status == "normal",
        revision: row.revision.and_then(|n| u64::try_from(n).ok()),
        connected: row.connected,
    }
}
