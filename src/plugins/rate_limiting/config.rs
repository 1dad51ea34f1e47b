//! The configuration of rate-limiting.

use super::window::{PERIODS, Period};
use crate::plugins::HeaderName;
use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitBy {
    Consumer,
    Credential,
    Ip,
    Service,
    Header,
    Path,
}

/// Where counters live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// In the memory of this node.
    Local,
    /// In Redis, shared by nodes.
    Redis,
    /// In Kong's database: not possible on a data plane.
    Cluster,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    pub second: Option<f64>,
    pub minute: Option<f64>,
    pub hour: Option<f64>,
    pub day: Option<f64>,
    pub month: Option<f64>,
    pub year: Option<f64>,
    pub limit_by: LimitBy,
    pub header_name: Option<HeaderName>,
    pub path: Option<String>,
    pub policy: Policy,
    pub hide_client_headers: bool,
    /// A number in the schema, hence possibly written `429.0`.
    pub error_code: f64,
    pub error_message: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            second: None,
            minute: None,
            hour: None,
            day: None,
            month: None,
            year: None,
            limit_by: LimitBy::Consumer,
            header_name: None,
            path: None,
            policy: Policy::Local,
            hide_client_headers: false,
            error_code: 429.0,
            error_message: "API rate limit exceeded".to_owned(),
        }
    }
}

impl Config {
    /// The configured limits, from the shortest window to the longest.
    pub fn limits(&self) -> [Option<f64>; PERIODS] {
        Period::ALL.map(|period| match period {
            Period::Second => self.second,
            Period::Minute => self.minute,
            Period::Hour => self.hour,
            Period::Day => self.day,
            Period::Month => self.month,
            Period::Year => self.year,
        })
    }
}
