//! Every metric this program exports, and what Kong exports that it leaves out. The only
//! place with names, labels, help texts and buckets; `docs/metrics.md` is made from it.

/// The Prometheus type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Counter,
    Gauge,
    Histogram,
}

impl Type {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Type,
    /// In the order in which they are printed.
    pub labels: &'static [&'static str],
    pub help: &'static str,
    /// Upper bounds; a histogram has some, nothing else has.
    pub buckets: &'static [f64],
    /// Who exports it and when, for the documentation.
    pub exported: &'static str,
}

const BOTH: &str = "both roles";
const DATA_PLANE: &str = "data plane";
const CONTROL_PLANE: &str = "control plane";

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    exported: &'static str,
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind: Type::Gauge,
        labels,
        help,
        buckets: &[],
        exported,
    }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    exported: &'static str,
    help: &'static str,
) -> Metric {
    Metric {
        kind: Type::Counter,
        ..gauge(name, labels, exported, help)
    }
}

const fn histogram(
    name: &'static str,
    buckets: &'static [f64],
    exported: &'static str,
    help: &'static str,
) -> Metric {
    Metric {
        kind: Type::Histogram,
        buckets,
        ..gauge(name, &["service", "route", "workspace"], exported, help)
    }
}

// Kong's names. Labels, help texts and buckets are part of them: dashboards depend on both.

pub const HTTP_REQUESTS: Metric = counter(
    "kong_http_requests_total",
    &[
        "service",
        "route",
        "code",
        "source",
        "workspace",
        "consumer",
    ],
    "data plane, unless metrics_status_code is off",
    "HTTP status codes per consumer/service/route in Kong",
);
pub const BANDWIDTH: Metric = counter(
    "kong_bandwidth_bytes",
    &["service", "route", "direction", "workspace", "consumer"],
    "data plane, unless metrics_bandwidth is off",
    "Total bandwidth (ingress/egress) throughput in bytes",
);
pub const KONG_LATENCY: Metric = histogram(
    "kong_kong_latency_ms",
    &[
        1.0, 2.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 200.0, 500.0, 750.0, 1000.0,
        3000.0, 6000.0,
    ],
    LATENCY,
    "Latency added by Kong and enabled plugins for each service/route in Kong",
);
pub const UPSTREAM_LATENCY: Metric = histogram(
    "kong_upstream_latency_ms",
    SLOW_BUCKETS,
    LATENCY,
    "Latency added by upstream response for each service/route in Kong",
);
pub const REQUEST_LATENCY: Metric = histogram(
    "kong_request_latency_ms",
    SLOW_BUCKETS,
    LATENCY,
    "Total latency incurred during requests for each service/route in Kong",
);
const LATENCY: &str = "data plane, unless metrics_latency is off";
const SLOW_BUCKETS: &[f64] = &[
    25.0, 50.0, 80.0, 100.0, 250.0, 400.0, 700.0, 1000.0, 2000.0, 5000.0, 10_000.0, 30_000.0,
    60_000.0,
];
pub const UPSTREAM_TARGET_HEALTH: Metric = gauge(
    "kong_upstream_target_health",
    &["upstream", "target", "address", "state", "subsystem"],
    "data plane, unless metrics_upstream_health is off",
    "Health status of targets of upstream. States = healthchecks_off|healthy|unhealthy|dns_error, value is 1 when state is populated.",
);
pub const CONNECTIONS: Metric = gauge(
    "kong_nginx_connections_total",
    &["node_id", "subsystem", "state"],
    BOTH,
    "Number of connections by subsystem",
);
pub const REQUESTS: Metric = gauge(
    "kong_nginx_requests_total",
    &["node_id", "subsystem"],
    BOTH,
    "Number of requests total",
);
pub const METRIC_ERRORS: Metric = counter(
    "kong_nginx_metric_errors_total",
    &[],
    BOTH,
    "Number of nginx-lua-prometheus errors",
);
pub const DATASTORE_REACHABLE: Metric = gauge(
    "kong_datastore_reachable",
    &[],
    BOTH,
    "Datastore reachable from Kong, 0 is unreachable",
);
pub const NODE_INFO: Metric = gauge(
    "kong_node_info",
    &["node_id", "version"],
    BOTH,
    "Kong Node metadata information",
);
pub const WORKERS_MEMORY: Metric = gauge(
    "kong_memory_workers_lua_vms_bytes",
    &["node_id", "pid", "kong_subsystem"],
    "both roles; there is no Lua: the resident memory of the one process",
    "Allocated bytes in worker Lua VM",
);
pub const CLUSTER_CERT_EXPIRY: Metric = gauge(
    "kong_data_plane_cluster_cert_expiry_timestamp",
    &[],
    DATA_PLANE,
    "Unix timestamp of Data Plane's cluster_cert expiry time",
);
pub const CONTROL_PLANE_CONNECTED: Metric = gauge(
    "kong_control_plane_connected",
    &[],
    DATA_PLANE,
    "Kong connected to control plane, 0 is unconnected",
);
pub const DATA_PLANE_LAST_SEEN: Metric = gauge(
    "kong_data_plane_last_seen",
    &["node_id", "hostname", "ip"],
    CONTROL_PLANE,
    "Last time data plane contacted control plane",
);
pub const DATA_PLANE_CONFIG_HASH: Metric = gauge(
    "kong_data_plane_config_hash",
    &["node_id", "hostname", "ip"],
    CONTROL_PLANE,
    "Config hash numeric value of the data plane",
);
pub const DATA_PLANE_VERSION_COMPATIBLE: Metric = gauge(
    "kong_data_plane_version_compatible",
    &["node_id", "hostname", "ip", "kong_version"],
    CONTROL_PLANE,
    "Version compatible status of the data plane, 0 is incompatible",
);

// Our own names.

pub const TELEMETRY_HELD: Metric = gauge(
    "langur_telemetry_records_held",
    &[],
    DATA_PLANE,
    "Request records held for the control plane, sent and unanswered ones included",
);
pub const TELEMETRY_DROPPED: Metric = counter(
    "langur_telemetry_records_dropped_total",
    &[],
    DATA_PLANE,
    "Request records lost before the control plane has counted them",
);
pub const FLEET_REQUESTS: Metric = counter(
    "langur_fleet_http_requests_total",
    &["data_plane", "service", "route", "code", "consumer"],
    "control plane; only what this control plane has counted",
    "Requests served by data planes, by status code",
);
pub const FLEET_BANDWIDTH: Metric = counter(
    "langur_fleet_bandwidth_bytes_total",
    &["data_plane", "service", "route", "direction", "consumer"],
    "control plane; only what this control plane has counted",
    "Bytes read from (ingress) and written to (egress) the clients of data planes",
);
pub const FLEET_DROPPED: Metric = counter(
    "langur_fleet_records_dropped_total",
    &["data_plane"],
    "control plane; only what this control plane has counted",
    "Request records that data planes report as lost",
);
pub const FLEET_BATCHES: Metric = counter(
    "langur_fleet_batches_total",
    &["result"],
    CONTROL_PLANE,
    "Telemetry batches read, by what became of them: counted, already_counted, refused, failed",
);
pub const QUARANTINED: Metric = gauge(
    "langur_quarantined_entities",
    &[],
    DATA_PLANE,
    "Entities that are not in effect as configured; /clustering/data-planes says why",
);

pub const CLUSTER_SENT: Metric = counter(
    "langur_cluster_sent_bytes_total",
    &[],
    CONTROL_PLANE,
    "Bytes sent to data planes over configuration links",
);

// The usual names of a process.

pub const PROCESS_CPU: Metric = gauge(
    "process_cpu_seconds_total",
    &[],
    BOTH,
    "Total user and system CPU time spent in seconds.",
);
pub const PROCESS_RESIDENT: Metric = gauge(
    "process_resident_memory_bytes",
    &[],
    BOTH,
    "Resident memory size in bytes.",
);
pub const PROCESS_VIRTUAL: Metric = gauge(
    "process_virtual_memory_bytes",
    &[],
    BOTH,
    "Virtual memory size in bytes.",
);
pub const PROCESS_OPEN_FDS: Metric = gauge(
    "process_open_fds",
    &[],
    BOTH,
    "Number of open file descriptors.",
);
pub const PROCESS_MAX_FDS: Metric = gauge(
    "process_max_fds",
    &[],
    BOTH,
    "Maximum number of open file descriptors.",
);
pub const PROCESS_START: Metric = gauge(
    "process_start_time_seconds",
    &[],
    BOTH,
    "Start time of the process since unix epoch in seconds.",
);

/// All of them.
pub const ALL: &[&Metric] = &[
    &HTTP_REQUESTS,
    &BANDWIDTH,
    &KONG_LATENCY,
    &UPSTREAM_LATENCY,
    &REQUEST_LATENCY,
    &UPSTREAM_TARGET_HEALTH,
    &CONNECTIONS,
    &REQUESTS,
    &METRIC_ERRORS,
    &DATASTORE_REACHABLE,
    &NODE_INFO,
    &WORKERS_MEMORY,
    &CLUSTER_CERT_EXPIRY,
    &CONTROL_PLANE_CONNECTED,
    &DATA_PLANE_LAST_SEEN,
    &DATA_PLANE_CONFIG_HASH,
    &DATA_PLANE_VERSION_COMPATIBLE,
    &TELEMETRY_HELD,
    &TELEMETRY_DROPPED,
    &FLEET_REQUESTS,
    &FLEET_BANDWIDTH,
    &FLEET_DROPPED,
    &FLEET_BATCHES,
    &QUARANTINED,
    &CLUSTER_SENT,
    &PROCESS_CPU,
    &PROCESS_RESIDENT,
    &PROCESS_VIRTUAL,
    &PROCESS_OPEN_FDS,
    &PROCESS_MAX_FDS,
    &PROCESS_START,
];

/// What Kong 3.9 exports and this program does not, with the reason.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("kong_memory_lua_shared_dict_bytes", NO_DICTIONARIES),
    ("kong_memory_lua_shared_dict_total_bytes", NO_DICTIONARIES),
    (
        "kong_nginx_timers",
        "there are no nginx timers; `/debug/actors` shows what runs in the background",
    ),
    ("kong_stream_sessions_total", NO_STREAMS),
    ("kong_session_duration_ms", NO_STREAMS),
    ("kong_ai_llm_requests_total", NO_AI),
    ("kong_ai_llm_cost_total", NO_AI),
    ("kong_ai_llm_tokens_total", NO_AI),
    ("kong_ai_llm_provider_latency_ms", NO_AI),
];

const NO_DICTIONARIES: &str =
    "there are no shared dictionaries; `process_resident_memory_bytes` is all memory";
const NO_STREAMS: &str = "TCP, TLS and UDP are not proxied";
const NO_AI: &str = "there are no AI plugins";
