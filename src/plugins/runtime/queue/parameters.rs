//! The settings of a queue: Kong's, with Kong's defaults.

use serde::{Deserialize, Serialize};
use std::time::Duration;

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
