//! Kong's names. Labels, help texts and buckets are part of them: dashboards depend on both.

use super::{BOTH, CONTROL_PLANE, DATA_PLANE, Metric, counter, gauge, histogram};

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
    ROUTE,
    &[
        1.0, 2.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 200.0, 500.0, 750.0, 1000.0,
        3000.0, 6000.0,
    ],
    LATENCY,
    "Latency added by Kong and enabled plugins for each service/route in Kong",
);
pub const UPSTREAM_LATENCY: Metric = histogram(
    "kong_upstream_latency_ms",
    ROUTE,
    SLOW_BUCKETS,
    LATENCY,
    "Latency added by upstream response for each service/route in Kong",
);
pub const REQUEST_LATENCY: Metric = histogram(
    "kong_request_latency_ms",
    ROUTE,
    SLOW_BUCKETS,
    LATENCY,
    "Total latency incurred during requests for each service/route in Kong",
);
const ROUTE: &[&str] = &["service", "route", "workspace"];
const LATENCY: &str =
    "data plane, unless metrics_latency is off or the plugin prometheus says otherwise";
const SLOW_BUCKETS: &[f64] = &[
    25.0, 50.0, 80.0, 100.0, 250.0, 400.0, 700.0, 1000.0, 2000.0, 5000.0, 10_000.0, 30_000.0,
    60_000.0,
];
pub const UPSTREAM_TARGET_HEALTH: Metric = gauge(
    "kong_upstream_target_health",
    &["upstream", "target", "address", "state", "subsystem"],
    "data plane, when metrics_upstream_health is on, or upstream_health_metrics of a plugin prometheus",
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
pub const SHARED_DICT: Metric = gauge(
    "kong_memory_lua_shared_dict_bytes",
    &["node_id", "shared_dict", "kong_subsystem"],
    "data plane; kong_db_cache alone: what proxy-cache stores",
    "Allocated slabs in bytes in a shared_dict",
);
pub const SHARED_DICT_TOTAL: Metric = gauge(
    "kong_memory_lua_shared_dict_total_bytes",
    &["node_id", "shared_dict", "kong_subsystem"],
    "data plane; kong_db_cache alone: what proxy-cache may store",
    "Total capacity in bytes of a shared_dict",
);
pub const WORKERS_MEMORY: Metric = gauge(
    "kong_memory_workers_lua_vms_bytes",
    &["node_id", "pid", "kong_subsystem"],
    "both roles; the resident memory of the one process, Lua included",
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
