//! Request records for the control plane, and which metrics are exported.

use super::problems::Problems;
use super::units;
use super::values::Values;
use std::time::Duration;

/// Settings of the records a data plane sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Analytics {
    pub flush_interval: Duration,
    /// Records.
    pub buffer_size_limit: usize,
    pub debug: bool,
}

/// Which of Kong's metrics a data plane exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    pub status_code: bool,
    pub latency: bool,
    pub bandwidth: bool,
    pub upstream_health: bool,
    /// Fill the consumer label.
    pub per_consumer: bool,
}

const MAX_FLUSH_INTERVAL: f64 = 3600.0;
const MAX_BUFFER_SIZE: f64 = 10_000_000.0;

impl Analytics {
    pub(super) fn resolve(values: &Values, problems: &mut Problems) -> Analytics {
        let interval = values
            .number("analytics_flush_interval")
            .unwrap_or_default();
        if !(0.001..=MAX_FLUSH_INTERVAL).contains(&interval) {
            problems.violation("analytics_flush_interval must be between 0.001 and 3600");
        }
        let limit = values
            .number("analytics_buffer_size_limit")
            .unwrap_or_default();
        if limit.fract() != 0.0 || !(1.0..=MAX_BUFFER_SIZE).contains(&limit) {
            problems
                .violation("analytics_buffer_size_limit must be an integer between 1 and 10000000");
        }
        Analytics {
            flush_interval: units::seconds(interval),
            buffer_size_limit: limit as usize,
            debug: values.boolean("analytics_debug"),
        }
    }
}

impl Metrics {
    pub(super) fn resolve(values: &Values) -> Metrics {
        Metrics {
            status_code: values.boolean("metrics_status_code"),
            latency: values.boolean("metrics_latency"),
            bandwidth: values.boolean("metrics_bandwidth"),
            upstream_health: values.boolean("metrics_upstream_health"),
            per_consumer: values.boolean("metrics_per_consumer"),
        }
    }
}
