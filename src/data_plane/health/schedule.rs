//! When each address of an upstream is probed next. Pure: the caller brings the time.

use crate::data_plane::balancer::{ActiveChecks, Peer};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The addresses of one upstream.
#[derive(Default)]
pub struct Schedule {
    entries: Vec<Entry>,
}

struct Entry {
    peer: Arc<Peer>,
    /// When it was probed, or set by hand; `None` before the first time.
    last: Option<Instant>,
    /// How often it had been set by hand then.
    setting: u32,
}

impl Entry {
    /// When it is probed next; a new address at once.
    fn due(&self, checks: &ActiveChecks, now: Instant) -> Option<Instant> {
        let interval = checks.interval(self.peer.health.is_healthy())?;
        Some(self.last.map_or(now, |last| last + interval))
    }
}

impl Schedule {
    /// Follows the addresses of the upstream: those that stay keep their time.
    pub fn follow(&mut self, peers: &[Arc<Peer>]) {
        let mut before = std::mem::take(&mut self.entries);
        for peer in peers.iter().filter(|peer| peer.ip.is_some()) {
            let known = before.iter().position(|entry| entry.peer.is(peer));
            let known = known.map(|at| before.swap_remove(at));
            self.entries.push(Entry {
                peer: Arc::clone(peer),
                last: known.as_ref().and_then(|known| known.last),
                setting: known.map_or(peer.health.setting(), |known| known.setting),
            });
        }
    }

    /// The addresses to probe now, which counts as done. What was set by hand stays so for an
    /// interval.
    pub fn take_due(&mut self, checks: &ActiveChecks, now: Instant) -> Vec<Arc<Peer>> {
        let mut due = Vec::new();
        for entry in &mut self.entries {
            let setting = entry.peer.health.setting();
            if std::mem::replace(&mut entry.setting, setting) != setting {
                entry.last = Some(now);
            } else if entry.due(checks, now).is_some_and(|at| at <= now) {
                entry.last = Some(now);
                due.push(Arc::clone(&entry.peer));
            }
        }
        due
    }

    /// How long nothing is due. Never longer than the shorter interval: requests may change the
    /// health of an address meanwhile, and with it the interval.
    pub fn pause(&self, checks: &ActiveChecks, now: Instant) -> Duration {
        let intervals = [checks.healthy_interval, checks.unhealthy_interval];
        let shortest = intervals
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Duration::MAX);
        let next = self
            .entries
            .iter()
            .filter_map(|entry| entry.due(checks, now));
        let next = next.map(|at| at.saturating_duration_since(now)).min();
        next.map_or(shortest, |next| next.min(shortest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::balancer::{
        Checks, Limits, Observation, Pool, Resolution, Target, TargetAddress,
    };
    use serde_json::json;
    use uuid::Uuid;

    const LIMITS: Limits = Limits {
        successes: 1,
        http_failures: 1,
        tcp_failures: 1,
        timeouts: 1,
    };

    fn checks(healthy: f64, unhealthy: f64) -> Checks {
        let checks = json!({"active": {
            "healthy": {"interval": healthy}, "unhealthy": {"interval": unhealthy},
        }});
        Checks::compile(&serde_json::from_value(checks).expect("checks"))
    }

    fn pool(list: &[&str], checks: &Checks, previous: Option<&Pool>) -> Pool {
        let target = |text: &&str| {
            Arc::new(Target {
                address: TargetAddress::parse(Uuid::nil(), text).expect("a target"),
                weight: 1,
                created_at: 0.0,
            })
        };
        let targets: Vec<_> = list.iter().map(target).collect();
        Pool::new(&targets, checks, |_| Resolution::Pending, previous)
    }

    fn hosts(due: &[Arc<Peer>]) -> Vec<&str> {
        due.iter().map(|peer| &*peer.host).collect()
    }

    #[test]
    fn each_health_has_its_interval() {
        let all = checks(10.0, 2.0);
        let active = all.active.as_ref().expect("probes");
        let pool = pool(&["10.0.0.1:80", "10.0.0.2:80", "a.test:80"], &all, None);
        let mut schedule = Schedule::default();
        schedule.follow(pool.peers());
        let start = Instant::now();
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut due = |seconds: f64| {
            let due = schedule.take_due(active, after(seconds));
            (
                hosts(&due).join(" "),
                schedule.pause(active, after(seconds)),
            )
        };
        let pause = Duration::from_secs(2);
        assert_eq!(due(0.0), ("10.0.0.1 10.0.0.2".into(), pause));
        assert_eq!(due(1.9).0, "");
        pool.peers()[0]
            .health
            .observe(Observation::Timeout, &LIMITS);
        assert_eq!(due(2.0), ("10.0.0.1".into(), pause));
        assert_eq!(due(3.0), (String::new(), Duration::from_secs(1)));
        assert_eq!(due(4.0).0, "10.0.0.1");
        assert_eq!(due(10.0).0, "10.0.0.1 10.0.0.2");
        pool.peers()[0]
            .health
            .observe(Observation::Success, &LIMITS);
        assert_eq!(due(13.0).0, "");
        assert_eq!(due(20.0).0, "10.0.0.1 10.0.0.2");
    }

    #[test]
    fn without_an_interval_there_is_no_probe() {
        let all = checks(0.0, 5.0);
        let active = all.active.as_ref().expect("probes");
        let pool = pool(&["10.0.0.1:80"], &all, None);
        let mut schedule = Schedule::default();
        schedule.follow(pool.peers());
        let now = Instant::now();
        assert!(schedule.take_due(active, now).is_empty());
        assert_eq!(schedule.pause(active, now), Duration::from_secs(5));
        pool.peers()[0]
            .health
            .observe(Observation::Timeout, &LIMITS);
        assert_eq!(schedule.take_due(active, now).len(), 1);
    }

    #[test]
    fn what_is_set_by_hand_stays_for_an_interval() {
        let all = checks(1.0, 1.0);
        let active = all.active.as_ref().expect("probes");
        let pool = pool(&["10.0.0.1:80"], &all, None);
        let mut schedule = Schedule::default();
        schedule.follow(pool.peers());
        let start = Instant::now();
        let half = Duration::from_millis(500);
        assert_eq!(schedule.take_due(active, start).len(), 1);
        pool.peers()[0].health.set(false);
        assert!(schedule.take_due(active, start + 2 * half).is_empty());
        assert!(schedule.take_due(active, start + 3 * half).is_empty());
        assert_eq!(schedule.take_due(active, start + 4 * half).len(), 1);
    }

    #[test]
    fn addresses_that_stay_keep_their_time() {
        let all = checks(10.0, 10.0);
        let active = all.active.as_ref().expect("probes");
        let first = pool(&["10.0.0.1:80", "10.0.0.2:80"], &all, None);
        let mut schedule = Schedule::default();
        schedule.follow(first.peers());
        let now = Instant::now();
        assert_eq!(schedule.take_due(active, now).len(), 2);
        let second = pool(&["10.0.0.3:80", "10.0.0.2:80"], &all, Some(&first));
        schedule.follow(second.peers());
        let due = schedule.take_due(active, now);
        assert_eq!(hosts(&due), ["10.0.0.3"]);
    }
}
