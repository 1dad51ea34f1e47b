//! How long to wait before the next attempt, as a pure function of how the last one went.

use std::time::Duration;

/// How fast a failing actor is restarted. It is restarted for ever, because a node that has
/// lost an actor for good is harder to notice than one that keeps trying; `max_delay` bounds
/// the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The wait before the first restart; each further one doubles it.
    pub first_delay: Duration,
    /// The longest wait: never more than one restart per this time once it is reached.
    pub max_delay: Duration,
    /// An actor that lived this long was healthy: the wait starts over.
    pub healthy_after: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        RestartPolicy {
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            healthy_after: Duration::from_secs(10),
        }
    }
}

/// The memory of a [`RestartPolicy`]: the wait that comes next.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: RestartPolicy,
    next: Duration,
}

impl Backoff {
    #[must_use]
    pub fn new(policy: RestartPolicy) -> Backoff {
        Backoff {
            policy,
            next: policy.first_delay,
        }
    }

    /// The wait after a life that lasted `lived`.
    pub fn after(&mut self, lived: Duration) -> Duration {
        if lived >= self.policy.healthy_after {
            self.next = self.policy.first_delay;
        }
        let delay = self.next.min(self.policy.max_delay);
        self.next = delay.saturating_mul(2).min(self.policy.max_delay);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_to_its_bound_and_a_healthy_life_resets_it() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(RestartPolicy {
            first_delay: ms(100),
            max_delay: ms(700),
            healthy_after: ms(5000),
        });
        for (lived, expected) in [
            (0, 100),
            (10, 200),
            (4999, 400),
            (0, 700),
            (0, 700),
            (5000, 100),
            (0, 200),
        ] {
            assert_eq!(backoff.after(ms(lived)), ms(expected), "after {lived} ms");
        }
    }
}
