//! Our own names.

use super::{BOTH, CONTROL_PLANE, DATA_PLANE, Metric, counter, gauge, histogram};

pub const LANGUR_NODE_INFO: Metric = gauge(
    "langur_node_info",
    &["node_id", "hostname", "role", "version"],
    BOTH,
    "Langur node metadata information, value is always 1",
);

// What a data plane says of itself.

pub const REVISION_IN_EFFECT: Metric = gauge(
    "langur_revision_in_effect",
    &[],
    "data plane, once it has a configuration",
    "Revision of the configuration that serves requests",
);
pub const PLUGIN_PANICS: Metric = counter(
    "langur_plugin_panics_total",
    &["plugin"],
    DATA_PLANE,
    "Panics of plugins, each of which cost one request a 500 or its log phase",
);
pub const LUA_ERRORS: Metric = counter(
    "langur_lua_errors_total",
    &["plugin"],
    "data plane, in builds with Lua",
    "Functions of configurations that have failed",
);
pub const LUA_SLOW: Metric = counter(
    "langur_lua_slow_calls_total",
    &["plugin"],
    "data plane, in builds with Lua",
    "Functions of configurations that have kept their worker for more than half a second; the log names them",
);
pub const PLUGIN_QUEUE_ENTRIES: Metric = gauge(
    "langur_plugin_queue_entries",
    &["plugin"],
    DATA_PLANE,
    "Entries in the queues of plugins, those that are being delivered included",
);
pub const PLUGIN_QUEUE_DELIVERED: Metric = counter(
    "langur_plugin_queue_delivered_total",
    &["plugin"],
    DATA_PLANE,
    "Entries that the queues of plugins have delivered",
);
pub const PLUGIN_QUEUE_DROPPED: Metric = counter(
    "langur_plugin_queue_dropped_total",
    &["plugin", "reason"],
    DATA_PLANE,
    "Entries that the queues of plugins have dropped; reason = full|too_large|undelivered|shutdown",
);
pub const QUARANTINED: Metric = gauge(
    "langur_quarantined_entities",
    &[],
    "data plane, once it has a configuration",
    "Entities that are not in effect as configured; /clustering/data-planes says why",
);
pub const CACHE_CURRENT: Metric = gauge(
    "langur_cache_current",
    &[],
    DATA_PLANE,
    "Configuration that serves requests is in the cache, 0 is not: a restart without a control plane would begin with an earlier one",
);
pub const CONTROL_PLANE_LAST_SEEN: Metric = gauge(
    "langur_control_plane_last_seen_timestamp_seconds",
    &[],
    "data plane, once a control plane has answered it",
    "Unix timestamp of the last frame that came from a control plane",
);
pub const TELEMETRY_CONNECTED: Metric = gauge(
    "langur_telemetry_connected",
    &[],
    DATA_PLANE,
    "Telemetry link to a control plane, 0 is none: /status says why",
);
pub const TELEMETRY_HELD: Metric = gauge(
    "langur_telemetry_records_held",
    &[],
    DATA_PLANE,
    "Request records held for the control plane, sent and unanswered ones included",
);
pub const TELEMETRY_SENT: Metric = counter(
    "langur_telemetry_records_sent_total",
    &[],
    DATA_PLANE,
    "Request records sent to a control plane, each time they were sent",
);
pub const TELEMETRY_ACKNOWLEDGED: Metric = counter(
    "langur_telemetry_records_acknowledged_total",
    &[],
    DATA_PLANE,
    "Request records that a control plane has answered for",
);
pub const TELEMETRY_DROPPED: Metric = counter(
    "langur_telemetry_records_dropped_total",
    &[],
    DATA_PLANE,
    "Request records lost before the control plane has counted them",
);

// What a control plane says of the configuration.

pub const CONFIG_REVISION: Metric = gauge(
    "langur_config_revision",
    &[],
    CONTROL_PLANE,
    "Latest revision of the configuration that this control plane hands to data planes",
);
pub const CONFIG_WRITES: Metric = counter(
    "langur_config_writes_total",
    &["entity", "operation"],
    CONTROL_PLANE,
    "Entities written by this control plane; operation = create|upsert|update|delete, deletions that follow from another and expired entities included",
);
pub const CONFIG_WRITES_FAILED: Metric = counter(
    "langur_config_writes_failed_total",
    &["reason"],
    CONTROL_PLANE,
    "Writes that were not committed by this control plane; reason = refused|busy|database",
);
pub const CONFIG_WRITES_WAITING: Metric = gauge(
    "langur_config_writes_waiting",
    &[],
    CONTROL_PLANE,
    "Writes waiting for their commit, the one under way included",
);
pub const CONFIG_WRITE_DURATION: Metric = histogram(
    "langur_config_write_duration_ms",
    &[],
    MILLISECONDS,
    CONTROL_PLANE,
    "Time from taking a write to its commit",
);
pub const JOURNAL_REVISIONS: Metric = gauge(
    "langur_journal_revisions",
    &[],
    "control plane, while its database answers",
    "Revisions in the journal; a data plane that is further behind is sent the whole configuration",
);

// What a control plane says of the data planes.

pub const PROPAGATION: Metric = histogram(
    "langur_propagation_ms",
    &["data_plane"],
    MILLISECONDS,
    "control plane, for the data planes connected to it",
    "Time from the commit of a revision to its acknowledgement as in effect, for revisions committed while the data plane was connected",
);
pub const SESSIONS: Metric = gauge(
    "langur_sessions",
    &["state"],
    CONTROL_PLANE,
    "Data planes connected to this control plane; state = greeting|syncing|live|ahead|rejecting|closing",
);
pub const DATA_PLANE_REVISION: Metric = gauge(
    "langur_data_plane_revision",
    &["node_id", "hostname", "ip"],
    "control plane, of every data plane of the cluster that has joined",
    "Revision in effect on the data plane, as last heard",
);
pub const DATA_PLANE_CONNECTED: Metric = gauge(
    "langur_data_plane_connected",
    &["node_id", "hostname", "ip"],
    "control plane, of every data plane of the cluster",
    "Data plane connected to any control plane, 0 is unconnected",
);
pub const CONTROL_PLANE_CERT_EXPIRY: Metric = gauge(
    "langur_control_plane_cluster_cert_expiry_timestamp",
    &[],
    CONTROL_PLANE,
    "Unix timestamp of the control plane's cluster_cert expiry time",
);
pub const CLUSTER_SENT: Metric = counter(
    "langur_cluster_sent_bytes_total",
    &[],
    CONTROL_PLANE,
    "Bytes sent to data planes over configuration links",
);
pub const LINKS_REFUSED: Metric = counter(
    "langur_cluster_links_refused_total",
    &["link", "reason"],
    CONTROL_PLANE,
    "Links of data planes that were refused; link = configuration|telemetry, reason = full|address|identity",
);
pub const ACCESS_LOG_LOST: Metric = counter(
    "langur_access_log_lines_lost_total",
    &["log", "reason"],
    "both roles, for each access log that is on",
    "Lines of access logs that were not written; log = proxy|admin|status, reason = full (they come faster than they can be written)|write (the disk or the reader of a pipe fails)",
);
pub const FLEET_REQUESTS: Metric = counter(
    "langur_fleet_http_requests_total",
    &["data_plane", "service", "route", "code", "consumer"],
    COUNTED_HERE,
    "Requests served by data planes, by status code",
);
pub const FLEET_BANDWIDTH: Metric = counter(
    "langur_fleet_bandwidth_bytes_total",
    &["data_plane", "service", "route", "direction", "consumer"],
    COUNTED_HERE,
    "Bytes read from (ingress) and written to (egress) the clients of data planes",
);
pub const FLEET_DROPPED: Metric = counter(
    "langur_fleet_records_dropped_total",
    &["data_plane"],
    COUNTED_HERE,
    "Request records that data planes report as lost",
);
pub const FLEET_BATCHES: Metric = counter(
    "langur_fleet_batches_total",
    &["result"],
    CONTROL_PLANE,
    "Telemetry batches read, by what became of them: counted, already_counted, refused, failed",
);

const COUNTED_HERE: &str = "control plane; only what this control plane has counted";
/// From a commit on a local disk to a data plane that has to be waited for.
const MILLISECONDS: &[f64] = &[
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0, 30_000.0,
];
