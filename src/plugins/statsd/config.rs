//! The configuration of statsd.

use crate::plugins::{ConsumerIdentifier, OldQueueNames, QueueParameters, StatType};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    /// `None`: nothing is sent.
    pub host: Option<String>,
    pub port: Option<u16>,
    pub prefix: Option<String>,
    pub metrics: Vec<Metric>,
    /// Ranges such as `200-299`; other statuses are not told of. `None`: all are.
    pub allow_status_codes: Option<Vec<StatusRange>>,
    /// Most bytes of a datagram; 0: one for each line.
    pub udp_packet_size: Option<f64>,
    pub use_tcp: Option<bool>,
    pub hostname_in_prefix: Option<bool>,
    pub consumer_identifier_default: Option<ConsumerIdentifier>,
    pub service_identifier_default: Option<ServiceIdentifier>,
    pub workspace_identifier_default: Option<WorkspaceIdentifier>,
    pub tag_style: Option<TagStyle>,
    pub queue: QueueParameters,
    #[serde(flatten)]
    pub old: OldQueueNames,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Metric {
    pub name: String,
    pub stat_type: StatType,
    pub sample_rate: Option<f64>,
    pub consumer_identifier: Option<ConsumerIdentifier>,
    pub service_identifier: Option<ServiceIdentifier>,
    pub workspace_identifier: Option<WorkspaceIdentifier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum ServiceIdentifier {
    #[serde(rename = "service_id")]
    Id,
    #[serde(rename = "service_name")]
    Name,
    #[serde(rename = "service_host")]
    Host,
    #[serde(rename = "service_name_or_host")]
    NameOrHost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceIdentifier {
    WorkspaceId,
    WorkspaceName,
}

/// How tags are written; without one, names say what tags would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TagStyle {
    Dogstatsd,
    Influxdb,
    Librato,
    Signalfx,
}

/// Statuses from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange(pub u16, pub u16);

impl TryFrom<String> for StatusRange {
    type Error = String;

    fn try_from(text: String) -> Result<StatusRange, String> {
        let number = |text: &str| {
            text.parse::<u32>()
                .map(|n| n.min(u32::from(u16::MAX)) as u16)
        };
        let range = text
            .split_once('-')
            .map(|(from, to)| (number(from), number(to)));
        match range {
            Some((Ok(from), Ok(to))) => Ok(StatusRange(from, to)),
            _ => Err(format!("'{text}' is no range of statuses")),
        }
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> String {
        format!("{}-{}", range.0, range.1)
    }
}
