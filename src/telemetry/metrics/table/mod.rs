//! Every metric this program exports, and what Kong exports that it leaves out. The only
//! place with names, labels, help texts and buckets; `docs/metrics.md` is made from it.

mod kong;
mod langur;
mod process;

pub use kong::*;
pub use langur::*;
pub use process::*;

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
    labels: &'static [&'static str],
    buckets: &'static [f64],
    exported: &'static str,
    help: &'static str,
) -> Metric {
    Metric {
        kind: Type::Histogram,
        buckets,
        ..gauge(name, labels, exported, help)
    }
}

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
    &SHARED_DICT,
    &SHARED_DICT_TOTAL,
    &WORKERS_MEMORY,
    &CLUSTER_CERT_EXPIRY,
    &CONTROL_PLANE_CONNECTED,
    &DATA_PLANE_LAST_SEEN,
    &DATA_PLANE_CONFIG_HASH,
    &DATA_PLANE_VERSION_COMPATIBLE,
    &LANGUR_NODE_INFO,
    &REVISION_IN_EFFECT,
    &QUARANTINED,
    &CACHE_CURRENT,
    &PLUGIN_PANICS,
    &LUA_ERRORS,
    &LUA_SLOW,
    &PLUGIN_QUEUE_ENTRIES,
    &PLUGIN_QUEUE_DELIVERED,
    &PLUGIN_QUEUE_DROPPED,
    &CONTROL_PLANE_LAST_SEEN,
    &TELEMETRY_CONNECTED,
    &TELEMETRY_HELD,
    &TELEMETRY_SENT,
    &TELEMETRY_ACKNOWLEDGED,
    &TELEMETRY_DROPPED,
    &CONFIG_REVISION,
    &CONFIG_WRITES,
    &CONFIG_WRITES_FAILED,
    &CONFIG_WRITES_WAITING,
    &CONFIG_WRITE_DURATION,
    &JOURNAL_REVISIONS,
    &PROPAGATION,
    &SESSIONS,
    &DATA_PLANE_REVISION,
    &DATA_PLANE_CONNECTED,
    &CONTROL_PLANE_CERT_EXPIRY,
    &CLUSTER_SENT,
    &LINKS_REFUSED,
    &ACCESS_LOG_LOST,
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

const NO_STREAMS: &str = "TCP, TLS and UDP are not proxied";
const NO_AI: &str = "there are no AI plugins";
