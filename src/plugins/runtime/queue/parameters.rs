//! The settings of a queue: Kong's, with Kong's defaults.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// How many deliveries may be under way at a time where a queue does not order them.
const MOST_AT_ONCE: usize = 256;

/// The longest time that a number of seconds stands for; what is longer would overflow clocks.
const LONGEST: f64 = 365.0 * 86_400.0;

/// The record `queue` of a plugin's configuration. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct QueueParameters {
    /// Most entries that are delivered together.
    pub max_batch_size: usize,
    /// How long the first entry of a batch may wait for others.
    pub max_coalescing_delay: f64,
    /// Most entries that wait; beyond it the oldest are dropped. A batch that is being
    /// delivered does not count.
    pub max_entries: usize,
    /// Most bytes that wait, likewise.
    pub max_bytes: Option<u64>,
    /// A batch is given up by the first attempt that fails after this time.
    pub max_retry_time: f64,
    /// The pause after the first failed attempt; each further one doubles it.
    pub initial_retry_delay: f64,
    /// The longest pause between two attempts.
    pub max_retry_delay: f64,
    /// 1: one batch after the other, in order. -1: each entry by itself, without order.
    pub concurrency_limit: i32,
}

impl Default for QueueParameters {
    fn default() -> QueueParameters {
        QueueParameters {
            max_batch_size: 1,
            max_coalescing_delay: 1.0,
            max_entries: 10_000,
            max_bytes: None,
            max_retry_time: 60.0,
            initial_retry_delay: 0.01,
            max_retry_delay: 60.0,
            concurrency_limit: 1,
        }
    }
}

/// Names that earlier versions had for settings of queues, in the configuration of the plugin itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct OldQueueNames {
    /// It has no meaning any more.
    pub retry_count: Option<f64>,
    pub queue_size: Option<f64>,
    pub flush_timeout: Option<f64>,
}

/// The defaults that these fields had while they were in use: such a value was not chosen by anybody.
const OLD_RETRY_COUNT: f64 = 10.0;
const OLD_QUEUE_SIZE: f64 = 1.0;
const OLD_FLUSH_TIMEOUT: f64 = 2.0;

impl OldQueueNames {
    /// The settings of the queue with what these say. `plugin` and its id are named in a warning where a field
    /// without effect was given.
    pub fn applied_to(&self, queue: &QueueParameters, plugin: &str, id: Uuid) -> QueueParameters {
        if self
            .retry_count
            .is_some_and(|count| count != OLD_RETRY_COUNT)
        {
            tracing::warn!(
                plugin = %id,
                "{plugin}: retry_count has no effect: queue.max_retry_time bounds the attempts"
            );
        }
        let mut queue = queue.clone();
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
}

impl QueueParameters {
    /// How long the first entry of a batch waits for others.
    pub(super) fn coalescing_delay(&self) -> Duration {
        seconds(self.max_coalescing_delay)
    }

    pub(super) fn retry_time(&self) -> Duration {
        seconds(self.max_retry_time)
    }

    /// The pause after so many failed attempts.
    pub(super) fn pause_after(&self, failures: u32) -> Duration {
        let doubled =
            self.initial_retry_delay * 2f64.powi(failures.saturating_sub(1).min(63) as i32);
        seconds(doubled.min(self.max_retry_delay))
    }

    /// Entries of one delivery.
    pub(super) fn batch_size(&self) -> usize {
        match self.is_ordered() {
            true => self.max_batch_size.max(1),
            false => 1,
        }
    }

    /// Deliveries that may be under way at a time.
    pub(super) fn most_at_once(&self) -> usize {
        match self.is_ordered() {
            true => 1,
            false => MOST_AT_ONCE,
        }
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.concurrency_limit != -1
    }
}

fn seconds(number: f64) -> Duration {
    // The schema rules out neither negative numbers nor NaN everywhere.
    let number = if number.is_nan() { LONGEST } else { number };
    Duration::from_secs_f64(number.clamp(0.0, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let parameters = QueueParameters {
            initial_retry_delay: 0.1,
            max_retry_delay: 0.4,
            ..QueueParameters::default()
        };
        let pauses =
            [1, 2, 3, 4, 1000].map(|failures| parameters.pause_after(failures).as_millis());
        assert_eq!(pauses, [100, 200, 400, 400, 400]);
    }

    #[test]
    fn old_names_of_settings_count() {
        let given = QueueParameters {
            max_batch_size: 7,
            ..QueueParameters::default()
        };
        let check = |queue_size, flush_timeout, batch: usize, delay: f64| {
            let old = OldQueueNames {
                retry_count: Some(3.0),
                queue_size,
                flush_timeout,
            };
            let queue = old.applied_to(&given, "x", Uuid::nil());
            assert_eq!(
                (queue.max_batch_size, queue.max_coalescing_delay),
                (batch, delay)
            );
        };
        check(None, None, 7, 1.0);
        check(Some(1.0), Some(2.0), 7, 1.0);
        check(Some(3.0), Some(5.0), 3, 5.0);
    }

    #[test]
    fn odd_numbers_are_times_all_the_same() {
        for (number, expected) in [
            (-1.0, 0.0),
            (f64::NAN, 365.0 * 86_400.0),
            (f64::INFINITY, 365.0 * 86_400.0),
            (0.5, 0.5),
        ] {
            assert_eq!(seconds(number).as_secs_f64(), expected, "{number}");
        }
    }
}
