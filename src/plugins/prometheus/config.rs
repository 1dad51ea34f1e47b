//! The configuration of prometheus.

use serde::Deserialize;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    pub per_consumer: Option<bool>,
    pub status_code_metrics: Option<bool>,
    pub ai_metrics: Option<bool>,
    pub latency_metrics: Option<bool>,
    pub bandwidth_metrics: Option<bool>,
    pub upstream_health_metrics: Option<bool>,
}
