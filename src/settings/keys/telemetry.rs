//! Keys of telemetry, metrics and tracing.

use crate::settings::key::*;

#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    number("analytics_flush_interval", "1",
        "Seconds between two batches of request records to the control plane."),
    number("analytics_buffer_size_limit", "100000",
        "Most request records a data plane keeps for the control plane; beyond, the oldest are dropped and counted."),
    boolean("analytics_debug", "off",
        "Log each batch of records; for debugging."),
    boolean("metrics_status_code", "on",
        "Export kong_http_requests_total."),
    boolean("metrics_latency", "on",
        "Export the latency histograms."),
    boolean("metrics_bandwidth", "on",
        "Export kong_bandwidth_bytes."),
    boolean("metrics_upstream_health", "off",
        "Export kong_upstream_target_health: four series for each address."),
    boolean("metrics_per_consumer", "off",
        "Fill the consumer label; one series for each consumer."),
    list("tracing_instrumentations", "off", 
        "Parts of a request that plugins such as opentelemetry write spans for: `off`, `all`, or some of `request`, `router`, `balancer`, `plugin_rewrite`, `plugin_access` and `plugin_header_filter`."),
    number("tracing_sampling_rate", "0.01", 
        "Share of the traces that opentelemetry sends, from 0 to 1, where its configuration does not say."),
    list("opentelemetry_tracing", "off", "Old name of tracing_instrumentations.")
        .alias_of("tracing_instrumentations"),
    number("opentelemetry_tracing_sampling_rate", "0.01", "Old name of tracing_sampling_rate.")
        .alias_of("tracing_sampling_rate"),
];
