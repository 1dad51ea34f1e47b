//! The health checks of an upstream's row. A field that is absent checks nothing.

use super::Headers;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Healthchecks {
    pub active: ActiveHealthcheck,
    pub passive: PassiveHealthcheck,
    /// Percent, 0 to 100.
    pub threshold: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ActiveHealthcheck {
    /// `tcp`, `http`, `https`, `grpc` or `grpcs`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Seconds.
    pub timeout: f64,
    pub concurrency: u32,
    pub http_path: String,
    pub headers: Headers,
    pub https_sni: Option<String>,
    pub https_verify_certificate: bool,
    pub healthy: HealthyProbes,
    pub unhealthy: UnhealthyProbes,
}

/// The defaults of the schema, for rows that were written without them.
impl Default for ActiveHealthcheck {
    fn default() -> ActiveHealthcheck {
        ActiveHealthcheck {
            kind: "http".to_owned(),
            timeout: 1.0,
            concurrency: 10,
            http_path: "/".to_owned(),
            headers: Headers::default(),
            https_sni: None,
            https_verify_certificate: true,
            healthy: HealthyProbes::default(),
            unhealthy: UnhealthyProbes::default(),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthyProbes {
    /// Seconds; 0 is never.
    pub interval: f64,
    pub http_statuses: Vec<u16>,
    pub successes: u8,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UnhealthyProbes {
    /// Seconds; 0 is never.
    pub interval: f64,
    pub http_statuses: Vec<u16>,
    #[serde(flatten)]
    pub counts: FailureCounts,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PassiveHealthcheck {
    #[serde(rename = "type")]
    pub kind: String,
    pub healthy: HealthyRequests,
    pub unhealthy: UnhealthyRequests,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthyRequests {
    pub http_statuses: Vec<u16>,
    pub successes: u8,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UnhealthyRequests {
    pub http_statuses: Vec<u16>,
    #[serde(flatten)]
    pub counts: FailureCounts,
}

/// How many failures of each kind make an address unhealthy; 0 is any number.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FailureCounts {
    pub tcp_failures: u8,
    pub timeouts: u8,
    pub http_failures: u8,
}
