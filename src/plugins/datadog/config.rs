//! The configuration of datadog.

use crate::plugins::{ConsumerIdentifier, OldQueueNames, QueueParameters, StatType};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    /// `None`: nothing is sent.
    pub host: Option<String>,
    pub port: Option<u16>,
    pub prefix: Option<String>,
    pub service_name_tag: Option<String>,
    pub status_tag: Option<String>,
    pub consumer_tag: Option<String>,
    pub metrics: Vec<Metric>,
    pub queue: QueueParameters,
    #[serde(flatten)]
    pub old: OldQueueNames,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Metric {
    pub name: String,
    pub stat_type: StatType,
    pub sample_rate: Option<f64>,
    pub tags: Option<Vec<String>>,
    pub consumer_identifier: Option<ConsumerIdentifier>,
}
