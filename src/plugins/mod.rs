//! Plugins: what each does in which phase.
//!
//! A plugin is a folder here: `config.rs` (the typed configuration), `handler.rs` (the
//! phases) and whatever else it needs. A [`Handler`] is one configured instance; it is
//! built once, when the configuration changes, and then shared by all workers. Handlers
//! know requests by [`Context`] alone, and never the data plane that runs them.

pub mod correlation_id;
pub mod cors;
pub mod datadog;
pub mod file_log;
pub mod http_log;
pub mod key_auth;
pub mod loggly;
#[cfg(feature = "lua")]
pub mod lua;
pub mod opentelemetry;
#[cfg(feature = "lua")]
pub mod post_function;
#[cfg(feature = "lua")]
pub mod pre_function;
pub mod prometheus;
pub mod proxy_cache;
pub mod rate_limiting;
pub mod request_termination;
pub mod response_transformer;
pub mod runtime;
pub mod statsd;
pub mod syslog;
pub mod tcp_log;
pub mod tracing;
pub mod udp_log;
pub mod zipkin;

pub use runtime::*;

/// Every plugin that comes with Langur, by descending priority (priorities as Kong's). A build of
/// one's own may have fewer: see `examples/fewer_plugins.rs`.
pub const BUNDLED: &[Descriptor] = &[
    #[cfg(feature = "lua")]
    pre_function::PLUGIN,
    correlation_id::PLUGIN,
    zipkin::PLUGIN,
    cors::PLUGIN,
    key_auth::PLUGIN,
    rate_limiting::PLUGIN,
    response_transformer::PLUGIN,
    proxy_cache::PLUGIN,
    opentelemetry::PLUGIN,
    prometheus::PLUGIN,
    http_log::PLUGIN,
    statsd::PLUGIN,
    datadog::PLUGIN,
    file_log::PLUGIN,
    udp_log::PLUGIN,
    tcp_log::PLUGIN,
    loggly::PLUGIN,
    syslog::PLUGIN,
    request_termination::PLUGIN,
    #[cfg(feature = "lua")]
    post_function::PLUGIN,
];
