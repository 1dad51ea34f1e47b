//! The configuration of http-log.

use crate::plugins::QueueParameters;
use crate::plugins::runtime::milliseconds;
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
    /// Names of earlier versions for fields of `queue`; one of them has no meaning any more.
    pub retry_count: Option<f64>,
    pub queue_size: Option<f64>,
    pub flush_timeout: Option<f64>,
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
            retry_count: None,
            queue_size: None,
            flush_timeout: None,
            custom_fields_by_lua: BTreeMap::new(),
        }
    }
}

/// The defaults that these fields had while they were in use: such a value was not chosen by anybody.
const OLD_RETRY_COUNT: f64 = 10.0;
const OLD_QUEUE_SIZE: f64 = 1.0;
const OLD_FLUSH_TIMEOUT: f64 = 2.0;

impl Config {
    /// Whether `retry_count` was given, which has no effect.
    pub fn counts_retries(&self) -> bool {
        self.retry_count
            .is_some_and(|count| count != OLD_RETRY_COUNT)
    }

    /// The settings of the queue, the old names included.
    pub fn queue(&self) -> QueueParameters {
        let mut queue = self.queue.clone();
        if let Some(size) = self.queue_size.filter(|size| *size != OLD_QUEUE_SIZE) {
            queue.max_batch_size = size.max(1.0) as usize;
        }
        if let Some(delay) = self
            .flush_timeout
            .filter(|delay| *delay != OLD_FLUSH_TIMEOUT)
        {
            queue.max_coalescing_delay = delay;
        }
        queue
    }

    pub fn timeout(&self) -> Duration {
        milliseconds(self.timeout)
    }

    pub fn keepalive(&self) -> Duration {
        milliseconds(self.keepalive)
    }
}
