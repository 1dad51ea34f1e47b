//! The configuration of zipkin.

use crate::plugins::QueueParameters;
use crate::plugins::tracing::{Format, HeaderType, PropagationConfig};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    /// `None`: headers alone, nothing is sent.
    pub http_endpoint: Option<String>,
    pub sample_ratio: Option<f64>,
    pub default_service_name: Option<String>,
    pub local_service_name: String,
    pub include_credential: bool,
    /// 8 or 16, for traces that begin here.
    pub traceid_byte_count: u8,
    pub header_type: Option<HeaderType>,
    pub default_header_type: Option<Format>,
    pub propagation: PropagationConfig,
    pub tags_header: String,
    pub static_tags: Vec<StaticTag>,
    pub http_span_name: SpanName,
    /// Milliseconds.
    pub connect_timeout: Option<f64>,
    pub send_timeout: Option<f64>,
    pub read_timeout: Option<f64>,
    pub http_response_header_for_traceid: Option<String>,
    pub phase_duration_flavor: DurationFlavor,
    pub queue: QueueParameters,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct StaticTag {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanName {
    #[default]
    Method,
    MethodPath,
}

/// How spans tell when phases began and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DurationFlavor {
    #[default]
    Annotations,
    Tags,
}
