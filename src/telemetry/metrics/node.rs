//! The gauges of a node: what it is, its connections, its memory, whom it knows.

use super::table::{
    CACHE_CURRENT, CLUSTER_CERT_EXPIRY, CONFIG_REVISION, CONFIG_WRITES_WAITING, CONNECTIONS,
    CONTROL_PLANE_CERT_EXPIRY, CONTROL_PLANE_CONNECTED, CONTROL_PLANE_LAST_SEEN,
    DATA_PLANE_CONFIG_HASH, DATA_PLANE_CONNECTED, DATA_PLANE_LAST_SEEN, DATA_PLANE_REVISION,
    DATA_PLANE_VERSION_COMPATIBLE, DATASTORE_REACHABLE, JOURNAL_REVISIONS, LANGUR_NODE_INFO,
    NODE_INFO, PLUGIN_QUEUE_ENTRIES, PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_OPEN_FDS,
    PROCESS_RESIDENT, PROCESS_START, PROCESS_VIRTUAL, QUARANTINED, REQUESTS, REVISION_IN_EFFECT,
    SESSIONS, SHARED_DICT, SHARED_DICT_TOTAL, TELEMETRY_CONNECTED, TELEMETRY_HELD,
    UPSTREAM_TARGET_HEALTH, WORKERS_MEMORY,
};
use super::{Gauges, MetricOptions};
use crate::telemetry::counters::Connections;
use crate::telemetry::process::ProcessStats;
use crate::telemetry::status::{
    ControlPlaneState, DataPlaneState, NodeState, TargetHealth, TargetState,
};
use metrics::SharedString;
use uuid::Uuid;

/// The dictionary in which Kong keeps what proxy-cache stores.
const RESPONSES: &str = "kong_db_cache";

/// There are no streams yet.
const SUBSYSTEM: &str = "http";

/// Who this node is in labels.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    pub node_id: Uuid,
    pub hostname: String,
    /// The `role` of the settings.
    pub role: &'static str,
    /// The `version` label of `kong_node_info`.
    pub version: String,
}

/// Sets every gauge of a node.
pub fn set_node_gauges(
    gauges: &mut Gauges<'_>,
    node: &NodeIdentity,
    options: &MetricOptions,
    connections: &Connections,
    process: &ProcessStats,
    state: &NodeState,
) {
    let node_id: SharedString = node.node_id.to_string().into();
    let version = node.version.clone().into();
    gauges.set(&NODE_INFO, [node_id.clone(), version], 1.0);
    let own = [
        node_id.clone(),
        node.hostname.clone().into(),
        node.role.into(),
        env!("CARGO_PKG_VERSION").into(),
    ];
    gauges.set(&LANGUR_NODE_INFO, own, 1.0);
    set_connections(gauges, &node_id, connections);
    set_process(gauges, &node_id, process);
    // A node without a database keeps its configuration in memory, which is always there.
    let reachable = state.database_reachable.unwrap_or(true);
    gauges.set(&DATASTORE_REACHABLE, [], flag(reachable));
    for (metric, value) in [
        (
            &CLUSTER_CERT_EXPIRY,
            state.cluster_cert_expiry.map(|at| at as f64),
        ),
        (
            &CONTROL_PLANE_CONNECTED,
            state.control_plane_connected.map(flag),
        ),
        (&CONTROL_PLANE_LAST_SEEN, state.control_plane_last_seen),
        (
            &REVISION_IN_EFFECT,
            state.revision_in_effect.map(|n| n as f64),
        ),
        (&QUARANTINED, state.quarantined.map(|n| n as f64)),
        (&CACHE_CURRENT, state.cache_current.map(flag)),
        (&TELEMETRY_HELD, state.telemetry_held.map(|n| n as f64)),
        (&TELEMETRY_CONNECTED, state.telemetry_connected.map(flag)),
    ] {
        if let Some(value) = value {
            gauges.set(metric, [], value);
        }
    }
    if let Some(control_plane) = &state.control_plane {
        set_control_plane(gauges, control_plane);
    }
    for (plugin, entries) in &state.plugin_queues {
        let values = [plugin.to_string().into()];
        gauges.set(&PLUGIN_QUEUE_ENTRIES, values, *entries as f64);
    }
    for data_plane in &state.data_planes {
        set_data_plane(gauges, data_plane);
    }
    if let Some(cache) = state.response_cache {
        let labels = || [node_id.clone(), RESPONSES.into(), SUBSYSTEM.into()];
        gauges.set(&SHARED_DICT, labels(), cache.bytes as f64);
        gauges.set(&SHARED_DICT_TOTAL, labels(), cache.capacity as f64);
    }
    if options.upstream_health_metrics || state.wants_target_health {
        for target in &state.targets {
            set_target(gauges, target);
        }
    }
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn set_connections(gauges: &mut Gauges<'_>, node_id: &SharedString, now: &Connections) {
    for (state, value) in [
        ("accepted", now.accepted),
        ("active", now.active),
        ("handled", now.handled),
        ("reading", now.reading),
        ("total", now.requests),
        ("waiting", now.waiting),
        ("writing", now.writing),
    ] {
        let values = [node_id.clone(), SUBSYSTEM.into(), state.into()];
        gauges.set(&CONNECTIONS, values, value as f64);
    }
    let values = [node_id.clone(), SUBSYSTEM.into()];
    gauges.set(&REQUESTS, values, now.requests as f64);
}

fn set_process(gauges: &mut Gauges<'_>, node_id: &SharedString, process: &ProcessStats) {
    for (metric, value) in [
        (&PROCESS_CPU, process.cpu_seconds),
        (&PROCESS_RESIDENT, process.resident_bytes.map(|n| n as f64)),
        (&PROCESS_VIRTUAL, process.virtual_bytes.map(|n| n as f64)),
        (&PROCESS_OPEN_FDS, process.open_fds.map(|n| n as f64)),
        (&PROCESS_MAX_FDS, process.max_fds.map(|n| n as f64)),
        (&PROCESS_START, process.start_time),
    ] {
        if let Some(value) = value {
            gauges.set(metric, [], value);
        }
    }
    if let Some(bytes) = process.resident_bytes {
        let pid = std::process::id().to_string();
        let values = [node_id.clone(), pid.into(), SUBSYSTEM.into()];
        gauges.set(&WORKERS_MEMORY, values, bytes as f64);
    }
}

fn set_control_plane(gauges: &mut Gauges<'_>, state: &ControlPlaneState) {
    gauges.set(&CONFIG_REVISION, [], state.revision as f64);
    gauges.set(&CONFIG_WRITES_WAITING, [], state.writes_waiting as f64);
    if let Some(revisions) = state.journal_revisions {
        gauges.set(&JOURNAL_REVISIONS, [], revisions as f64);
    }
    if let Some(expiry) = state.cluster_cert_expiry {
        gauges.set(&CONTROL_PLANE_CERT_EXPIRY, [], expiry as f64);
    }
    for (name, sessions) in state.sessions.iter().flatten() {
        gauges.set(&SESSIONS, [(*name).into()], *sessions as f64);
    }
}

fn set_data_plane(gauges: &mut Gauges<'_>, peer: &DataPlaneState) {
    let place = || -> [SharedString; 3] {
        [
            peer.node_id.to_string().into(),
            peer.hostname.clone().into(),
            peer.ip.clone().into(),
        ]
    };
    gauges.set(&DATA_PLANE_LAST_SEEN, place(), peer.last_seen as f64);
    gauges.set(&DATA_PLANE_CONNECTED, place(), flag(peer.connected));
    if let Some(revision) = peer.revision {
        gauges.set(&DATA_PLANE_REVISION, place(), revision as f64);
    }
    if let Ok(hash) = u128::from_str_radix(&peer.config_hash, 16) {
        // As Kong's: the hash as one number, with what precision a float has.
        gauges.set(&DATA_PLANE_CONFIG_HASH, place(), hash as f64);
    }
    let [node_id, hostname, ip] = place();
    let values = [node_id, hostname, ip, peer.version.clone().into()];
    gauges.set(
        &DATA_PLANE_VERSION_COMPATIBLE,
        values,
        flag(peer.version_compatible),
    );
}

/// Four series for each address, one of which is 1.
fn set_target(gauges: &mut Gauges<'_>, target: &TargetHealth) {
    for (name, state) in [
        ("healthchecks_off", TargetState::HealthchecksOff),
        ("healthy", TargetState::Healthy),
        ("unhealthy", TargetState::Unhealthy),
        ("dns_error", TargetState::DnsError),
    ] {
        let values = [
            target.upstream.clone().into(),
            target.target.clone().into(),
            target.address.clone().unwrap_or_default().into(),
            name.into(),
            SUBSYSTEM.into(),
        ];
        gauges.set(&UPSTREAM_TARGET_HEALTH, values, flag(target.state == state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    fn scraped(state: &NodeState, options: &MetricOptions) -> String {
        let node = NodeIdentity {
            node_id: Uuid::from_u128(1),
            hostname: "vm".into(),
            role: "data_plane",
            version: "3.9.3".into(),
        };
        let connections = Connections {
            accepted: 7,
            handled: 7,
            requests: 9,
            active: 3,
            waiting: 2,
            writing: 1,
            reading: 0,
        };
        let process = ProcessStats {
            resident_bytes: Some(4096),
            ..ProcessStats::default()
        };
        Metrics::new().scrape(|gauges| {
            set_node_gauges(gauges, &node, options, &connections, &process, state);
        })
    }

    #[test]
    fn a_data_plane() {
        let state = NodeState {
            cluster_cert_expiry: Some(1_889_896_818),
            control_plane_connected: Some(false),
            revision_in_effect: Some(12),
            targets: vec![TargetHealth {
                upstream: "pu".into(),
                target: "a.test:80".into(),
                address: None,
                state: TargetState::DnsError,
            }],
            ..NodeState::default()
        };
        let text = scraped(&state, &MetricOptions::default());
        let id = "00000000-0000-0000-0000-000000000001";
        let lines: Vec<&str> = text.lines().collect();
        for expected in [
            "kong_control_plane_connected 0",
            "kong_data_plane_cluster_cert_expiry_timestamp 1889896818",
            "kong_datastore_reachable 1",
            "langur_revision_in_effect 12",
            &format!("kong_node_info{{node_id=\"{id}\",version=\"3.9.3\"}} 1"),
            &format!(
                "kong_nginx_connections_total{{node_id=\"{id}\",subsystem=\"http\",state=\"total\"}} 9"
            ),
            &format!("kong_nginx_requests_total{{node_id=\"{id}\",subsystem=\"http\"}} 9"),
            "process_resident_memory_bytes 4096",
            r#"kong_upstream_target_health{upstream="pu",target="a.test:80",address="",state="dns_error",subsystem="http"} 1"#,
            r#"kong_upstream_target_health{upstream="pu",target="a.test:80",address="",state="healthy",subsystem="http"} 0"#,
        ] {
            assert!(lines.contains(&expected), "{expected} is not in\n{text}");
        }
        assert!(!text.contains("kong_data_plane_last_seen"), "{text}");
        let off = MetricOptions {
            upstream_health_metrics: false,
            ..MetricOptions::default()
        };
        assert!(!scraped(&state, &off).contains("target_health"));
    }

    #[test]
    fn a_control_plane() {
        let peer = DataPlaneState {
            node_id: Uuid::from_u128(5),
            hostname: "vm".into(),
            ip: "127.0.0.1".into(),
            version: "3.9.3".into(),
            config_hash: "c66e45b9f3bc2ab92b9c2b8f8c3d8a0e".into(),
            last_seen: 1_795_290_701,
            version_compatible: true,
            revision: Some(7),
            connected: false,
        };
        let state = NodeState {
            database_reachable: Some(false),
            data_planes: vec![peer],
            control_plane: Some(ControlPlaneState {
                revision: 9,
                is_read: true,
                journal_revisions: None,
                writes_waiting: 2,
                sessions: Some(vec![("live", 0), ("syncing", 3)]),
                cluster_cert_expiry: None,
            }),
            ..NodeState::default()
        };
        let text = scraped(&state, &MetricOptions::default());
        let place =
            r#"node_id="00000000-0000-0000-0000-000000000005",hostname="vm",ip="127.0.0.1""#;
        let lines: Vec<&str> = text.lines().collect();
        for expected in [
            "kong_datastore_reachable 0",
            &format!("kong_data_plane_last_seen{{{place}}} 1795290701"),
            &format!("kong_data_plane_config_hash{{{place}}} 2.6375971003876e+38"),
            &format!("kong_data_plane_version_compatible{{{place},kong_version=\"3.9.3\"}} 1"),
            &format!("langur_data_plane_revision{{{place}}} 7"),
            &format!("langur_data_plane_connected{{{place}}} 0"),
            "langur_config_revision 9",
            "langur_config_writes_waiting 2",
            "langur_sessions{state=\"syncing\"} 3",
        ] {
            assert!(lines.contains(&expected), "{expected} is not in\n{text}");
        }
        for absent in ["langur_journal_revisions", "cluster_cert_expiry"] {
            assert!(!text.contains(absent), "{text}");
        }
    }
}
