//! Every metric this program exports, and what Kong exports that it leaves out. The only
//! place with names, labels, help texts and buckets; `docs/metrics.md` is made from it.

use std::fmt::Write as _;

/// The Prometheus type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Counter,
    Gauge,
    Histogram,
}

impl Type {
    const fn name(self) -> &'static str {
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
    "data plane, unless status_code_metrics is off",
    "HTTP status codes per consumer/service/route in Kong",
);
pub const BANDWIDTH: Metric = counter(
    "kong_bandwidth_bytes",
    &["service", "route", "direction", "workspace", "consumer"],
    "data plane, unless bandwidth_metrics is off",
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
const LATENCY: &str = "data plane, unless latency_metrics is off";
const SLOW_BUCKETS: &[f64] = &[
    25.0, 50.0, 80.0, 100.0, 250.0, 400.0, 700.0, 1000.0, 2000.0, 5000.0, 10_000.0, 30_000.0,
    60_000.0,
];
pub const UPSTREAM_TARGET_HEALTH: Metric = gauge(
    "kong_upstream_target_health",
    &["upstream", "target", "address", "state", "subsystem"],
    "data plane, unless upstream_health_metrics is off",
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
    &PROCESS_CPU,
    &PROCESS_RESIDENT,
    &PROCESS_VIRTUAL,
    &PROCESS_OPEN_FDS,
    &PROCESS_MAX_FDS,
    &PROCESS_START,
];

/// What Kong 3.9 exports and this program does not, with the reason.
pub const LEFT_OUT: &[(&str, &str)] = &[
    (
        "kong_memory_lua_shared_dict_bytes",
        "there are no shared dictionaries; `process_resident_memory_bytes` is the memory",
    ),
    (
        "kong_memory_lua_shared_dict_total_bytes",
        "there are no shared dictionaries, and nothing is reserved in advance",
    ),
    (
        "kong_nginx_timers",
        "there are no nginx timers; actors are shown by `/debug/actors`",
    ),
    (
        "kong_stream_sessions_total, kong_session_duration_ms",
        "TCP, TLS and UDP proxying is not there yet",
    ),
    ("kong_ai_llm_*", "the AI plugins are not there"),
];

/// The documentation of all metrics: what `docs/metrics.md` holds.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for metric in ALL {
        let labels = match metric.labels {
            [] => "–".to_owned(),
            labels => labels.join(", "),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {labels} | {} | {} |",
            metric.name,
            metric.kind.name(),
            metric.exported,
            metric.help.replace('|', "\\|"),
        );
    }
    text.push_str("\n## Buckets\n\nUpper bounds in milliseconds; `+Inf` follows.\n\n");
    for metric in ALL.iter().filter(|metric| !metric.buckets.is_empty()) {
        let bounds: Vec<_> = metric.buckets.iter().map(f64::to_string).collect();
        let _ = writeln!(text, "- `{}`: {}", metric.name, bounds.join(", "));
    }
    text.push_str("\n## Left out\n\nNames of Kong 3.9 that are not exported, and why.\n\n");
    for (name, why) in LEFT_OUT {
        let _ = writeln!(text, "- `{name}`: {why}");
    }
    text
}

const INTRODUCTION: &str = "\
# Metrics

<!-- Made from src/telemetry/metrics/table.rs; a test compares. LANGUR_BLESS=1 cargo test --lib metrics writes it anew. -->

`GET /metrics` on the status listener of both roles, and on the admin listener of a control
plane, answers in the Prometheus text format. Data planes use Kong's names, so that Kong's
dashboards go on working; nothing has to be switched on. Control planes export the totals of
the fleet under `langur_fleet_`, each control plane only what it has counted itself: the sum
over all control planes counts every request once. Requests that no route matched are not in
Kong's request metrics; in the fleet's they have empty `service` and `route` labels.

Latencies are measured in microseconds and exported in milliseconds with a fraction.
`consumer` is empty unless metrics per consumer are switched on.

## Names

| name | type | labels | exported by | help |
|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_histograms_have_rising_buckets() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let buckets = metric.buckets;
            assert!(buckets.is_sorted(), "{}", metric.name);
            assert_eq!(
                buckets.is_empty(),
                metric.kind != Type::Histogram,
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn the_documentation_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("LANGUR_BLESS").is_some() {
            std::fs::write(path, markdown()).expect("docs/metrics.md can be written");
        }
        let written = std::fs::read_to_string(path).expect("docs/metrics.md");
        assert_eq!(
            written,
            markdown(),
            "run this test with LANGUR_BLESS=1 to write docs/metrics.md anew"
        );
    }
}
