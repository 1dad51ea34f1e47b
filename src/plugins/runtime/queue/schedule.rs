//! When a queue delivers and when it tries again: pure, the caller brings the time.

use super::parameters::QueueParameters;
use std::time::{Duration, Instant};

/// The longest pause between two attempts when the node is about to end.
const HURRIED_PAUSE: Duration = Duration::from_secs(1);

/// What to do before the next delivery.
#[derive(Debug, PartialEq)]
pub enum Gather {
    /// Wait until this many entries are there, or until that time.
    Wait {
        entries: usize,
        until: Option<Instant>,
    },
    /// Deliver so many entries.
    Take(usize),
}

/// Gathers the entries of the next batch.
#[derive(Debug, Default)]
pub struct Gathering {
    /// When the first entry of the batch was seen.
    since: Option<Instant>,
}

impl Gathering {
    /// `waiting` entries are there. In a `hurry` nothing is waited for.
    pub fn next(
        &mut self,
        parameters: &QueueParameters,
        waiting: usize,
        hurry: bool,
        now: Instant,
    ) -> Gather {
        if waiting == 0 {
            self.since = None;
            return Gather::Wait {
                entries: 1,
                until: None,
            };
        }
        let size = parameters.batch_size();
        let until = *self.since.get_or_insert(now) + parameters.coalescing_delay();
        if waiting >= size || hurry || now >= until {
            self.since = None;
            return Gather::Take(waiting.min(size));
        }
        Gather::Wait {
            entries: size,
            until: Some(until),
        }
    }
}

/// What to do after a failed attempt.
#[derive(Debug, PartialEq)]
pub enum Failed {
    RetryAfter(Duration),
    GiveUp,
}

/// The attempts to deliver one batch.
#[derive(Clone, Copy, Debug)]
pub struct Attempts {
    begun: Instant,
    failures: u32,
}

impl Attempts {
    pub fn begin(now: Instant) -> Attempts {
        Attempts {
            begun: now,
            failures: 0,
        }
    }

    pub fn failures(self) -> u32 {
        self.failures
    }

    /// An attempt has failed. In a `hurry` the next one follows sooner.
    pub fn failed(&mut self, parameters: &QueueParameters, hurry: bool, now: Instant) -> Failed {
        if now.saturating_duration_since(self.begun) > parameters.retry_time() {
            return Failed::GiveUp;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = parameters.pause_after(self.failures);
        Failed::RetryAfter(match hurry {
            true => pause.min(HURRIED_PAUSE),
            false => pause,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(batch: usize, delay: f64) -> QueueParameters {
        QueueParameters {
            max_batch_size: batch,
            max_coalescing_delay: delay,
            ..QueueParameters::default()
        }
    }

    fn wait(entries: usize, until: Option<Instant>) -> Gather {
        Gather::Wait { entries, until }
    }

    #[test]
    fn a_batch_waits_until_it_is_full_or_old() {
        let (of_five, start) = (parameters(5, 2.0), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let mut gathering = Gathering::default();
        let mut next = |waiting, ms| gathering.next(&of_five, waiting, false, at(ms));
        assert_eq!(next(0, 0), wait(1, None));
        assert_eq!(next(1, 100), wait(5, Some(at(2100))));
        assert_eq!(next(3, 900), wait(5, Some(at(2100))));
        assert_eq!(next(7, 1000), Gather::Take(5));
        // The rest is a batch of its own.
        assert_eq!(next(2, 1000), wait(5, Some(at(3000))));
        assert_eq!(next(2, 3000), Gather::Take(2));
        assert_eq!(next(0, 3000), wait(1, None));
        // What was dropped meanwhile leaves no old beginning behind.
        assert_eq!(next(1, 3100), wait(5, Some(at(5100))));
        assert_eq!(next(0, 4000), wait(1, None));
        assert_eq!(next(1, 5000), wait(5, Some(at(7000))));
    }

    #[test]
    fn single_entries_and_a_hurry_wait_for_nothing() {
        let now = Instant::now();
        let check = |parameters: QueueParameters, waiting, hurry, expected| {
            let found = Gathering::default().next(&parameters, waiting, hurry, now);
            assert_eq!(found, expected, "{parameters:?} {waiting} {hurry}");
        };
        check(parameters(1, 3600.0), 1, false, Gather::Take(1));
        check(parameters(1, 3600.0), 9, false, Gather::Take(1));
        check(parameters(5, 3600.0), 3, true, Gather::Take(3));
        check(parameters(5, 0.0), 3, false, Gather::Take(3));
        let unordered = QueueParameters {
            concurrency_limit: -1,
            ..parameters(5, 3600.0)
        };
        check(unordered, 3, false, Gather::Take(1));
    }

    /// The attempts that a batch gets, in milliseconds after the first, when each takes no time.
    fn attempts_of(parameters: &QueueParameters) -> Vec<u64> {
        let start = Instant::now();
        let (mut attempts, mut now, mut made) = (Attempts::begin(start), start, Vec::new());
        loop {
            made.push((now - start).as_millis() as u64);
            match attempts.failed(parameters, false, now) {
                Failed::RetryAfter(pause) => now += pause,
                Failed::GiveUp => return made,
            }
        }
    }

    #[test]
    fn attempts_end_with_the_first_that_fails_after_the_retry_time() {
        let check = |initial, longest, time, expected: &[u64]| {
            let parameters = QueueParameters {
                initial_retry_delay: initial,
                max_retry_delay: longest,
                max_retry_time: time,
                ..QueueParameters::default()
            };
            assert_eq!(attempts_of(&parameters), expected);
        };
        check(0.1, 0.4, 2.0, &[0, 100, 300, 700, 1100, 1500, 1900, 2300]);
        check(0.1, 60.0, 0.5, &[0, 100, 300, 700]);
    }

    #[test]
    fn a_hurry_shortens_pauses() {
        let parameters = QueueParameters {
            initial_retry_delay: 30.0,
            ..QueueParameters::default()
        };
        let now = Instant::now();
        let mut attempts = Attempts::begin(now);
        let pause = |failed| match failed {
            Failed::RetryAfter(pause) => pause.as_secs(),
            Failed::GiveUp => panic!("too early"),
        };
        assert_eq!(pause(attempts.failed(&parameters, false, now)), 30);
        assert_eq!(pause(attempts.failed(&parameters, true, now)), 1);
        assert_eq!(attempts.failures(), 2);
    }
}
