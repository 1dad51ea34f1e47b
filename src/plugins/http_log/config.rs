//! The configuration of http-log.

use crate::plugins::runtime::milliseconds;
use crate::plugins::{OldQueueNames, QueueParameters};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// There is no `Debug`: it would show the credentials.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    pub http_endpoint: String,
    pub method: Method,
    pub content_type: String,
    /// Milliseconds, for a whole attempt.
    pub timeout: f64,
    /// Milliseconds that a connection without requests is kept.
    pub keepalive: f64,
    pub headers: BTreeMap<String, String>,
    pub queue: QueueParameters,
    #[serde(flatten)]
    pub old: OldQueueNames,
    /// These change records before they are in a queue, and have no part in whose queue it is.
    #[serde(skip_serializing)]
    pub custom_fields_by_lua: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Post,
    Put,
    Patch,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            http_endpoint: String::new(),
            method: Method::Post,
            content_type: "application/json".to_owned(),
            timeout: 10_000.0,
            keepalive: 60_000.0,
            headers: BTreeMap::new(),
            queue: QueueParameters::default(),
            old: OldQueueNames::default(),
            custom_fields_by_lua: BTreeMap::new(),
        }
    }
}

impl Config {
    pub fn timeout(&self) -> Duration {
        milliseconds(self.timeout)
    }

    pub fn keepalive(&self) -> Duration {
        milliseconds(self.keepalive)
    }
}
