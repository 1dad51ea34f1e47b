//! The configuration of opentelemetry.

use crate::plugins::QueueParameters;
use crate::plugins::tracing::{HeaderType, PropagationConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// There is no `Debug`: it would show the credentials in headers.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    pub traces_endpoint: Option<String>,
    pub logs_endpoint: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub resource_attributes: BTreeMap<String, String>,
    pub queue: QueueParameters,
    /// Names of earlier versions for fields of `queue`.
    pub batch_span_count: Option<f64>,
    pub batch_flush_delay: Option<f64>,
    /// Milliseconds.
    pub connect_timeout: Option<f64>,
    pub send_timeout: Option<f64>,
    pub read_timeout: Option<f64>,
    pub http_response_header_for_traceid: Option<String>,
    pub header_type: Option<HeaderType>,
    /// `None`: as the node is set.
    pub sampling_rate: Option<f64>,
    pub propagation: PropagationConfig,
}

/// The defaults that these fields had while they were in use: such a value was not chosen by anybody.
const OLD_SPAN_COUNT: f64 = 200.0;
const OLD_FLUSH_DELAY: f64 = 3.0;

impl Config {
    /// The settings of the queue, the old names included.
    pub fn queue(&self) -> QueueParameters {
        let mut queue = self.queue.clone();
        if let Some(count) = self
            .batch_span_count
            .filter(|count| *count != OLD_SPAN_COUNT)
        {
            queue.max_batch_size = count.max(1.0) as usize;
        }
        if let Some(delay) = self
            .batch_flush_delay
            .filter(|delay| *delay != OLD_FLUSH_DELAY)
        {
            queue.max_coalescing_delay = delay;
        }
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn old_names_of_queue_settings_count() {
        let check = |config: Value, batch: usize, delay: f64| {
            let config: Config = serde_json::from_value(config).expect("a configuration");
            let queue = config.queue();
            assert_eq!(
                (queue.max_batch_size, queue.max_coalescing_delay),
                (batch, delay)
            );
        };
        let queue = json!({"max_batch_size": 7});
        check(json!({"queue": queue}), 7, 1.0);
        check(
            json!({"queue": queue, "batch_span_count": 200, "batch_flush_delay": 3}),
            7,
            1.0,
        );
        check(
            json!({"queue": queue, "batch_span_count": 5, "batch_flush_delay": 2}),
            5,
            2.0,
        );
    }
}
