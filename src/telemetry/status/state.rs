//! What a node says about itself, and when it is ready.

use crate::link::LocalFuture;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// Kong's hash of an empty configuration.
const EMPTY_HASH: &str = "00000000000000000000000000000000";

/// A node of either role, asked by its status API.
pub trait NodeStatus: Send + Sync {
    /// Everything about the node now. Asked on every request to the status API; may ask a
    /// database, with a timeout of its own.
    fn state(&self) -> LocalFuture<'_, NodeState>;

    /// The entities that are not in effect as configured, as `GET /quarantine` lists them: each
    /// with the node where that is so.
    fn quarantine(&self) -> LocalFuture<'_, Vec<Value>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Called before a scrape: brings counters up to date, such as by draining records.
    fn before_scrape(&self) -> LocalFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What a node says about itself. The default says nothing.
#[derive(Clone, Debug, Default)]
pub struct NodeState {
    /// Whether the database answers; `None` on a node without one.
    pub database_reachable: Option<bool>,
    /// The configuration in effect, 32 hex digits; `None` before there is any. Shown by nodes
    /// without a database.
    pub configuration_hash: Option<String>,
    /// On nodes that serve traffic.
    pub workers: Option<WorkerReadiness>,
    /// Whether the link to a control plane is up; on data planes.
    pub control_plane_connected: Option<bool>,
    /// Epoch seconds; on data planes.
    pub cluster_cert_expiry: Option<i64>,
    /// Entities that are not in effect as configured; on data planes.
    pub quarantined: Option<u64>,
    /// On data planes.
    pub routes: Option<RouteCounts>,
    /// Request records waiting for the control plane; on data planes.
    pub telemetry_held: Option<u64>,
    /// Whether there is a telemetry link; on data planes.
    pub telemetry_connected: Option<bool>,
    /// Why there is none.
    pub telemetry_trouble: Option<String>,
    /// The revision that serves requests; on data planes.
    pub revision_in_effect: Option<u64>,
    /// Whether the cache holds what serves requests, so that a restart would begin with it; on data
    /// planes.
    pub cache_current: Option<bool>,
    /// When a control plane was last heard, epoch seconds; on data planes.
    pub control_plane_last_seen: Option<f64>,
    /// Entries in the queues of plugins, by plugin; on data planes.
    pub plugin_queues: Vec<(Arc<str>, u64)>,
    /// On control planes.
    pub control_plane: Option<ControlPlaneState>,
    /// The data planes a control plane knows.
    pub data_planes: Vec<DataPlaneState>,
    /// The targets a data plane balances over.
    pub targets: Vec<TargetHealth>,
    /// A plugin prometheus wants their health in the metrics.
    pub wants_target_health: bool,
    /// On data planes.
    pub response_cache: Option<CacheUsage>,
}

/// How full the responses that are stored in memory make the room for them, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheUsage {
    pub bytes: u64,
    pub capacity: u64,
}

/// What a control plane says about its configuration and its sessions.
#[derive(Clone, Debug, Default)]
pub struct ControlPlaneState {
    /// The latest revision it hands to data planes.
    pub revision: u64,
    /// Whether the configuration has been read since the start; data planes are refused before.
    pub is_read: bool,
    /// How many revisions the journal has; `None` when the database does not say.
    pub journal_revisions: Option<u64>,
    /// Writes queued or under way.
    pub writes_waiting: u64,
    /// How many sessions are in each state; `None` when they cannot be counted.
    pub sessions: Option<Vec<(&'static str, u64)>>,
    /// Epoch seconds; `None` without a cluster certificate.
    pub cluster_cert_expiry: Option<i64>,
}

/// How many routes are configured, and how many of them are served in some version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounts {
    pub configured: usize,
    pub served: usize,
}

/// How many workers have a router and their plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerReadiness {
    pub workers: usize,
    pub with_router: usize,
    pub with_plugins: usize,
}

/// A data plane as a control plane knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPlaneState {
    pub node_id: Uuid,
    pub hostname: String,
    pub ip: String,
    /// The Kong version it implements.
    pub version: String,
    /// 32 hex digits.
    pub config_hash: String,
    /// Epoch seconds.
    pub last_seen: i64,
    pub version_compatible: bool,
    /// What is in effect there, as last heard.
    pub revision: Option<u64>,
    /// Whether any control plane has an accepted link to it.
    pub connected: bool,
}

/// The health of one address of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    pub upstream: String,
    /// `host:port` as it was configured.
    pub target: String,
    /// `ip:port`; `None` when the name does not resolve.
    pub address: Option<String>,
    pub state: TargetState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    HealthchecksOff,
    Healthy,
    Unhealthy,
    DnsError,
}

impl NodeState {
    /// What this part of a node says, and where it says nothing, what the other says.
    #[must_use]
    pub fn or(mut self, other: NodeState) -> NodeState {
        self.data_planes.extend(other.data_planes);
        self.targets.extend(other.targets);
        self.plugin_queues.extend(other.plugin_queues);
        NodeState {
            database_reachable: self.database_reachable.or(other.database_reachable),
            configuration_hash: self.configuration_hash.or(other.configuration_hash),
            workers: self.workers.or(other.workers),
            control_plane_connected: self
                .control_plane_connected
                .or(other.control_plane_connected),
            cluster_cert_expiry: self.cluster_cert_expiry.or(other.cluster_cert_expiry),
            quarantined: self.quarantined.or(other.quarantined),
            routes: self.routes.or(other.routes),
            telemetry_held: self.telemetry_held.or(other.telemetry_held),
            telemetry_connected: self.telemetry_connected.or(other.telemetry_connected),
            telemetry_trouble: self.telemetry_trouble.or(other.telemetry_trouble),
            revision_in_effect: self.revision_in_effect.or(other.revision_in_effect),
            cache_current: self.cache_current.or(other.cache_current),
            control_plane_last_seen: self
                .control_plane_last_seen
                .or(other.control_plane_last_seen),
            wants_target_health: self.wants_target_health || other.wants_target_health,
            response_cache: self.response_cache.or(other.response_cache),
            control_plane: self.control_plane.or(other.control_plane),
            ..self
        }
    }

    /// Whether the node may be sent traffic, or Kong's words for why not.
    ///
    /// # Errors
    /// The message of the 503.
    pub fn readiness(&self) -> Result<(), String> {
        if self.database_reachable == Some(false) {
            return Err("failed to connect to database".to_owned());
        }
        if self.control_plane.as_ref().is_some_and(|own| !own.is_read) {
            return Err(
                "the configuration is being read, data planes cannot connect yet".to_owned(),
            );
        }
        let Some(ready) = self.workers else {
            return Ok(());
        };
        let of = |done: usize| format!("{done} of {} workers", ready.workers);
        if ready.with_router < ready.workers {
            let workers = of(ready.with_router);
            return Err(format!(
                "router builds not yet complete, router ready in {workers}"
            ));
        }
        if ready.with_plugins < ready.workers {
            let workers = of(ready.with_plugins);
            return Err(format!(
                "plugins iterator builds not yet complete, plugins iterator ready in {workers}"
            ));
        }
        if let Some(routes) = self.routes
            && routes.configured > 0
            && routes.served == 0
        {
            return Err(format!(
                "no route is served: all {} that are configured are quarantined (see /quarantine)",
                routes.configured
            ));
        }
        // A node with a database is complete with an empty configuration, too.
        if self.database_reachable.is_some() {
            return Ok(());
        }
        match self.configuration_hash.as_deref() {
            None => {
                Err("no configuration available (configuration hash is not initialized)".to_owned())
            }
            Some(EMPTY_HASH) => {
                Err("no configuration available (empty configuration present)".to_owned())
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(database: Option<bool>, counts: Option<(usize, usize)>, hash: &str) -> NodeState {
        NodeState {
            database_reachable: database,
            configuration_hash: (!hash.is_empty()).then(|| hash.to_owned()),
            workers: counts.map(|(with_router, with_plugins)| WorkerReadiness {
                workers: 2,
                with_router,
                with_plugins,
            }),
            ..NodeState::default()
        }
    }

    #[test]
    fn what_one_plane_says_the_node_says() {
        let data_plane = || NodeState {
            wants_target_health: true,
            response_cache: Some(CacheUsage {
                bytes: 1,
                capacity: 2,
            }),
            ..NodeState::default()
        };
        for whole in [
            data_plane().or(NodeState::default()),
            NodeState::default().or(data_plane()),
        ] {
            assert!(whole.wants_target_health);
            assert_eq!(whole.response_cache, data_plane().response_cache);
        }
    }

    #[test]
    fn trial_03_a_node_that_serves_none_of_its_routes_is_not_ready() {
        let check = |database: Option<bool>, configured, served, expected: &str| {
            let mut state = state(database, Some((2, 2)), "405770f4fb29f7a097fd0c7888d990ea");
            state.routes = Some(RouteCounts { configured, served });
            let found = state.readiness().err().unwrap_or_else(|| "ready".into());
            assert_eq!(found, expected, "{database:?} {configured} {served}");
        };
        let why = "no route is served: all 3 that are configured are quarantined (see /quarantine)";
        for database in [None, Some(true)] {
            check(database, 3, 0, why);
            check(database, 3, 1, "ready");
            check(database, 0, 0, "ready");
        }
    }

    #[test]
    fn readiness_by_role() {
        let hash = "405770f4fb29f7a097fd0c7888d990ea";
        for (name, state, expected) in [
            ("control plane", state(Some(true), None, ""), "ready"),
            (
                "control plane without its database",
                state(Some(false), None, ""),
                "failed to connect to database",
            ),
            ("data plane", state(None, Some((2, 2)), hash), "ready"),
            (
                "data plane, routers being built",
                state(None, Some((1, 0)), ""),
                "router builds not yet complete, router ready in 1 of 2 workers",
            ),
            (
                "data plane, plugins being built",
                state(None, Some((2, 0)), ""),
                "plugins iterator builds not yet complete, plugins iterator ready in 0 of 2 workers",
            ),
            (
                "data plane before its first configuration",
                state(None, Some((2, 2)), ""),
                "no configuration available (configuration hash is not initialized)",
            ),
            (
                "data plane with an empty configuration",
                state(None, Some((2, 2)), EMPTY_HASH),
                "no configuration available (empty configuration present)",
            ),
            (
                "traditional node with an empty configuration",
                state(Some(true), Some((2, 2)), EMPTY_HASH),
                "ready",
            ),
            (
                "traditional node without its database",
                state(Some(false), Some((2, 2)), hash),
                "failed to connect to database",
            ),
        ] {
            let found = state.readiness().err().unwrap_or_else(|| "ready".into());
            assert_eq!(found, expected, "{name}");
        }
    }
}
