//! The health checks of an upstream, as its configuration asks for them.

use super::health::{Limits, Observation};
use crate::model;
use std::sync::Arc;
use std::time::Duration;

/// A probe with a timeout of 0 may take this long, as with any socket that names no limit.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// The shortest pause between two probes of an address.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// What is checked, and what follows.
#[derive(Debug, Default)]
pub struct Checks {
    /// `None` when no probe has an interval.
    pub active: Option<ActiveChecks>,
    pub passive: PassiveChecks,
    /// Percent of the weight that must be more than available for the upstream to be used.
    pub threshold: f64,
    /// Whether anything can take an address out.
    pub on: bool,
}

/// Probes that the node sends by itself.
#[derive(Debug)]
pub struct ActiveChecks {
    pub probe: ProbeKind,
    /// For connecting, and again for the answer.
    pub timeout: Duration,
    /// Probes at a time.
    pub concurrency: usize,
    pub path: Box<str>,
    /// Names and values, beside Host.
    pub headers: Box<[(Box<str>, Box<str>)]>,
    /// The TLS server name instead of the Host.
    pub sni: Option<Arc<str>>,
    pub verify_certificate: bool,
    /// Between two probes of an address while it is healthy; `None` sends none then.
    pub healthy_interval: Option<Duration>,
    pub unhealthy_interval: Option<Duration>,
    pub statuses: Statuses,
    pub limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A connection is enough.
    Tcp,
    Http,
    Https,
}

/// What the node learns from the requests it proxies.
#[derive(Debug, Default)]
pub struct PassiveChecks {
    pub statuses: Statuses,
    pub limits: Limits,
}

/// Which response statuses stand for health and which for trouble; others say nothing.
#[derive(Debug, Default)]
pub struct Statuses {
    healthy: Box<[u16]>,
    unhealthy: Box<[u16]>,
}

impl Statuses {
    pub fn judge(&self, status: u16) -> Option<Observation> {
        match status {
            _ if self.healthy.contains(&status) => Some(Observation::Success),
            _ if self.unhealthy.contains(&status) => Some(Observation::HttpFailure),
            _ => None,
        }
    }
}

impl PassiveChecks {
    /// Whether any request can change anything.
    pub fn are_on(&self) -> bool {
        self.limits != Limits::default()
    }
}

impl ActiveChecks {
    /// The pause between two probes of an address in this state; `None` when it gets none.
    pub fn interval(&self, healthy: bool) -> Option<Duration> {
        match healthy {
            true => self.healthy_interval,
            false => self.unhealthy_interval,
        }
    }

    fn compile(active: &model::ActiveHealthcheck) -> Option<ActiveChecks> {
        let healthy_interval = interval(active.healthy.interval);
        let unhealthy_interval = interval(active.unhealthy.interval);
        if healthy_interval.is_none() && unhealthy_interval.is_none() {
            return None;
        }
        let headers = active.headers.iter().flat_map(|(name, values)| {
            let header = |value: &String| (name.as_str().into(), value.as_str().into());
            values.iter().map(header)
        });
        Some(ActiveChecks {
            // There is no probe of gRPC's own: its port is asked as HTTP, as Kong does.
            probe: match active.kind.as_str() {
                "tcp" => ProbeKind::Tcp,
                "https" | "grpcs" => ProbeKind::Https,
                _ => ProbeKind::Http,
            },
            timeout: seconds(active.timeout).unwrap_or(DEFAULT_TIMEOUT),
            concurrency: usize::try_from(active.concurrency).unwrap_or(1).max(1),
            path: active.http_path.as_str().into(),
            headers: headers.collect(),
            sni: active.https_sni.as_deref().map(Arc::from),
            verify_certificate: active.https_verify_certificate,
            healthy_interval,
            unhealthy_interval,
            statuses: Statuses {
                healthy: active.healthy.http_statuses.as_slice().into(),
                unhealthy: active.unhealthy.http_statuses.as_slice().into(),
            },
            limits: limits(active.healthy.successes, &active.unhealthy.counts),
        })
    }
}

impl Checks {
    pub fn compile(checks: &model::Healthchecks) -> Checks {
        let (active, passive) = (&checks.active, &checks.passive);
        let failures = &passive.unhealthy.counts;
        let tcp_only = passive.kind == "tcp";
        let statuses = |listed: &[u16]| match tcp_only {
            true => Box::default(),
            false => listed.into(),
        };
        Checks {
            active: ActiveChecks::compile(active),
            passive: PassiveChecks {
                statuses: Statuses {
                    healthy: statuses(&passive.healthy.http_statuses),
                    unhealthy: statuses(&passive.unhealthy.http_statuses),
                },
                limits: limits(passive.healthy.successes, failures),
            },
            threshold: checks.threshold,
            // Passive successes alone take nothing out.
            on: active.healthy.interval > 0.0
                || active.unhealthy.interval > 0.0
                || (
                    failures.tcp_failures,
                    failures.timeouts,
                    failures.http_failures,
                ) != (0, 0, 0),
        }
    }
}

fn limits(successes: u8, failures: &model::FailureCounts) -> Limits {
    Limits {
        successes,
        http_failures: failures.http_failures,
        tcp_failures: failures.tcp_failures,
        timeouts: failures.timeouts,
    }
}

/// A duration above zero.
fn seconds(seconds: f64) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (!duration.is_zero()).then_some(duration)
}

fn interval(interval: f64) -> Option<Duration> {
    Some(seconds(interval)?.max(SHORTEST_INTERVAL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn compile(checks: Value) -> Checks {
        Checks::compile(&serde_json::from_value(checks).expect("checks"))
    }

    #[test]
    fn checks_are_on_when_they_can_take_an_address_out() {
        for (checks, on, probes) in [
            (json!({}), false, false),
            (json!({"threshold": 50}), false, false),
            (
                json!({"active": {"healthy": {"successes": 1}}}),
                false,
                false,
            ),
            (
                json!({"passive": {"healthy": {"successes": 1}}}),
                false,
                false,
            ),
            (
                json!({"active": {"healthy": {"interval": 0.5}}}),
                true,
                true,
            ),
            (
                json!({"active": {"unhealthy": {"interval": 1}}}),
                true,
                true,
            ),
            (
                json!({"passive": {"unhealthy": {"timeouts": 1}}}),
                true,
                false,
            ),
            (
                json!({"passive": {"unhealthy": {"tcp_failures": 1}}}),
                true,
                false,
            ),
            (
                json!({"passive": {"unhealthy": {"http_failures": 1}}}),
                true,
                false,
            ),
        ] {
            let compiled = compile(checks.clone());
            let found = (compiled.on, compiled.active.is_some());
            assert_eq!(found, (on, probes), "{checks}");
        }
    }

    #[test]
    fn statuses_are_judged() {
        let checks = compile(json!({"passive": {
            "healthy": {"http_statuses": [200, 500]},
            "unhealthy": {"http_statuses": [500, 503]},
        }}));
        let judge = |status| checks.passive.statuses.judge(status);
        assert_eq!(judge(200), Some(Observation::Success));
        assert_eq!(judge(500), Some(Observation::Success), "health goes first");
        assert_eq!(judge(503), Some(Observation::HttpFailure));
        assert_eq!(judge(404), None);
        let tcp = compile(json!({"passive": {
            "type": "tcp", "unhealthy": {"http_statuses": [503], "http_failures": 1},
        }}));
        assert_eq!(tcp.passive.statuses.judge(503), None);
    }

    #[test]
    fn probes_are_as_configured() {
        let checks = compile(json!({"active": {
            "type": "grpcs", "timeout": 0, "concurrency": 3, "http_path": "/up",
            "headers": {"x-a": ["1", "2"]}, "https_sni": "b.test",
            "https_verify_certificate": false,
            "healthy": {"interval": 0.000_1, "successes": 2},
        }}));
        let active = checks.active.expect("probes");
        assert_eq!(active.probe, ProbeKind::Https);
        assert_eq!(active.timeout, DEFAULT_TIMEOUT);
        assert_eq!(active.interval(true), Some(SHORTEST_INTERVAL));
        assert_eq!(active.interval(false), None);
        assert_eq!(active.headers.len(), 2);
        assert_eq!((active.concurrency, &*active.path), (3, "/up"));
        assert_eq!(active.limits.successes, 2);
        assert!(!active.verify_certificate);
    }
}
