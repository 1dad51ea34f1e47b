//! When an address is probed next. Pure: the caller brings the time.

use crate::data_plane::balancer::{ActiveChecks, Health};
use std::time::Duration;
use tokio::time::Instant;

/// The turn of one address.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// When it was probed, or set by hand; `None` before the first time.
    last: Option<Instant>,
    /// How often it had been set by hand then.
    setting: u32,
}

impl Turn {
    pub fn new(health: &Health) -> Turn {
        Turn {
            last: None,
            setting: health.setting(),
        }
    }

    /// A probe begins.
    pub fn begin(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// How long to wait before asking again; zero when a probe is due, which is at once for a new
    /// address. What was set by hand stays so for an interval.
    ///
    /// Never longer than the shorter interval: requests may change the health of an address
    /// meanwhile, and with it the interval.
    pub fn pause(&mut self, health: &Health, checks: &ActiveChecks, now: Instant) -> Duration {
        let setting = health.setting();
        if std::mem::replace(&mut self.setting, setting) != setting {
            self.last = Some(now);
        }
        let due = checks.interval(health.is_healthy()).map(|interval| {
            let due = self.last.map_or(now, |last| last + interval);
            due.saturating_duration_since(now)
        });
        let shorter = [checks.healthy_interval, checks.unhealthy_interval];
        let pauses = shorter.into_iter().flatten().chain(due);
        pauses.min().unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::balancer::{Checks, Limits, Observation};
    use serde_json::json;

    /// One address whose probes begin when they are due.
    struct Address {
        health: Health,
        turn: Turn,
        checks: ActiveChecks,
        start: Instant,
    }

    impl Address {
        fn new(healthy: f64, unhealthy: f64) -> Address {
            let checks = json!({"active": {
                "healthy": {"interval": healthy}, "unhealthy": {"interval": unhealthy},
            }});
            let checks = serde_json::from_value(checks).expect("checks");
            let health = Health::default();
            Address {
                turn: Turn::new(&health),
                health,
                checks: Checks::compile(&checks).active.expect("probes"),
                start: Instant::now(),
            }
        }

        /// The seconds to wait at this time; 0 is a probe.
        fn pause(&mut self, seconds: f64) -> f64 {
            let now = self.start + Duration::from_secs_f64(seconds);
            let pause = self.turn.pause(&self.health, &self.checks, now);
            if pause.is_zero() {
                self.turn.begin(now);
            }
            pause.as_secs_f64()
        }

        fn observe(&self, seen: Observation) {
            self.health.observe(seen, &Limits::ONE);
        }
    }

    #[test]
    fn each_health_has_its_interval() {
        let mut address = Address::new(10.0, 2.0);
        assert_eq!(address.pause(0.0), 0.0, "a new one at once");
        assert_eq!(address.pause(0.0), 2.0, "it may become unhealthy meanwhile");
        assert_eq!(address.pause(9.0), 1.0);
        assert_eq!(address.pause(10.0), 0.0);
        address.observe(Observation::Timeout);
        assert_eq!(address.pause(11.0), 1.0);
        assert_eq!(address.pause(12.5), 0.0, "late is due");
        assert_eq!(address.pause(13.5), 1.0);
        address.observe(Observation::Success);
        assert_eq!(address.pause(22.0), 0.5);
        assert_eq!(address.pause(22.5), 0.0);
    }

    #[test]
    fn without_an_interval_there_is_no_probe() {
        let mut address = Address::new(0.0, 5.0);
        assert_eq!(address.pause(0.0), 5.0);
        assert_eq!(address.pause(100.0), 5.0);
        address.observe(Observation::Timeout);
        assert_eq!(address.pause(101.0), 0.0);
    }

    #[test]
    fn what_is_set_by_hand_stays_for_an_interval() {
        let mut address = Address::new(1.0, 1.0);
        assert_eq!(address.pause(0.0), 0.0);
        address.health.set(false);
        assert_eq!(address.pause(1.0), 1.0);
        assert_eq!(address.pause(1.5), 0.5);
        assert_eq!(address.pause(2.0), 0.0);
    }
}
