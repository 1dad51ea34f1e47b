//! The health of one address: four counters and a status, changed by what is observed of it.
//!
//! Active and passive checks feed the same counters, each with limits of its own; the rules are
//! those of Kong's health checks. Workers read and write a `Health` without a lock.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The middle two are on their way: a counter has moved, but no limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    #[default]
    Healthy,
    MostlyHealthy,
    MostlyUnhealthy,
    Unhealthy,
}

impl Status {
    pub fn is_healthy(self) -> bool {
        matches!(self, Status::Healthy | Status::MostlyHealthy)
    }
}

/// What a check saw, or what became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Connected, or answered with a status that stands for health.
    Success,
    /// Answered with a status that stands for trouble.
    HttpFailure,
    /// Refused, reset, or no TLS.
    TcpFailure,
    Timeout,
}

/// How many observations of a kind change the status; 0 lets them not count at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub successes: u8,
    pub http_failures: u8,
    pub tcp_failures: u8,
    pub timeouts: u8,
}

impl Limits {
    /// Every observation counts at once.
    #[cfg(test)]
    pub const ONE: Limits = Limits {
        successes: 1,
        http_failures: 1,
        tcp_failures: 1,
        timeouts: 1,
    };

    fn of(&self, seen: Observation) -> u8 {
        match seen {
            Observation::Success => self.successes,
            Observation::HttpFailure => self.http_failures,
            Observation::TcpFailure => self.tcp_failures,
            Observation::Timeout => self.timeouts,
        }
    }
}

/// The status and the counters that lead to the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub status: Status,
    pub successes: u8,
    pub http_failures: u8,
    pub tcp_failures: u8,
    pub timeouts: u8,
}

impl State {
    /// A status that somebody has set, with nothing counted.
    fn set(healthy: bool) -> State {
        let status = match healthy {
            true => Status::Healthy,
            false => Status::Unhealthy,
        };
        State {
            status,
            ..State::default()
        }
    }

    fn pack(self) -> u64 {
        let status = self.status as u8;
        u64::from_le_bytes([
            self.successes,
            self.http_failures,
            self.tcp_failures,
            self.timeouts,
            status,
            0,
            0,
            0,
        ])
    }

    fn unpack(bits: u64) -> State {
        let [successes, http_failures, tcp_failures, timeouts, status, ..] = bits.to_le_bytes();
        State {
            status: match status {
                0 => Status::Healthy,
                1 => Status::MostlyHealthy,
                2 => Status::MostlyUnhealthy,
                _ => Status::Unhealthy,
            },
            successes,
            http_failures,
            tcp_failures,
            timeouts,
        }
    }
}

/// The state after an observation.
///
/// What confirms a full status is not counted. A success forgets all failures, a failure all
/// successes; an observation whose limit is 0 does neither.
#[must_use]
pub fn step(state: State, seen: Observation, limits: &Limits) -> State {
    let limit = limits.of(seen);
    let success = seen == Observation::Success;
    let confirmed = match success {
        true => Status::Healthy,
        false => Status::Unhealthy,
    };
    if limit == 0 || state.status == confirmed {
        return state;
    }
    let mut next = state;
    let counter = match seen {
        Observation::Success => &mut next.successes,
        Observation::HttpFailure => &mut next.http_failures,
        Observation::TcpFailure => &mut next.tcp_failures,
        Observation::Timeout => &mut next.timeouts,
    };
    *counter = counter.saturating_add(1);
    let reached = *counter >= limit;
    match success {
        true => (next.http_failures, next.tcp_failures, next.timeouts) = (0, 0, 0),
        false => next.successes = 0,
    }
    next.status = match (reached, state.status) {
        (true, _) => confirmed,
        (false, Status::Healthy) => Status::MostlyHealthy,
        (false, Status::Unhealthy) => Status::MostlyUnhealthy,
        (false, between) => between,
    };
    next
}

/// The state of an address, shared by all workers, the checker and every version of the
/// configuration that has the address.
#[derive(Debug, Default)]
pub struct Health {
    state: AtomicU64,
    /// How often the status was set by hand.
    settings: AtomicU32,
    probed: AtomicBool,
}

impl Health {
    pub fn is_healthy(&self) -> bool {
        self.state().status.is_healthy()
    }

    pub fn state(&self) -> State {
        State::unpack(self.state.load(Ordering::Relaxed))
    }

    /// Counts an observation; the new healthiness when it has changed.
    pub fn observe(&self, seen: Observation, limits: &Limits) -> Option<bool> {
        let changed = |bits| {
            let before = State::unpack(bits);
            let after = step(before, seen, limits);
            (after != before).then(|| after.pack())
        };
        let before = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, changed);
        let before = State::unpack(before.ok()?);
        let healthy = step(before, seen, limits).status.is_healthy();
        (healthy != before.status.is_healthy()).then_some(healthy)
    }

    /// Sets the status by hand and forgets what was counted; the new healthiness when it has
    /// changed.
    pub fn set(&self, healthy: bool) -> Option<bool> {
        self.settings.fetch_add(1, Ordering::AcqRel);
        let before = self
            .state
            .swap(State::set(healthy).pack(), Ordering::AcqRel);
        let was = State::unpack(before).status.is_healthy();
        (was != healthy).then_some(healthy)
    }

    /// Changes whenever the status is set by hand: what was observed before then is old.
    pub fn setting(&self) -> u32 {
        self.settings.load(Ordering::Acquire)
    }

    /// Whether an active check has ended.
    pub fn is_probed(&self) -> bool {
        self.probed.load(Ordering::Acquire)
    }

    pub fn mark_probed(&self) {
        self.probed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::Observation::*;
    use super::*;
    use proptest::prelude::*;

    fn limits(successes: u8, http_failures: u8, tcp_failures: u8, timeouts: u8) -> Limits {
        Limits {
            successes,
            http_failures,
            tcp_failures,
            timeouts,
        }
    }

    fn after(limits: &Limits, seen: &[Observation]) -> Status {
        let step = |state, seen: &Observation| step(state, *seen, limits);
        seen.iter().fold(State::default(), step).status
    }

    #[test]
    fn statuses_by_what_was_seen() {
        use Status::*;
        let check = |limits: Limits, seen: &[Observation], expected: Status| {
            assert_eq!(after(&limits, seen), expected, "{limits:?} {seen:?}");
        };
        let each = limits(2, 2, 2, 2);
        check(each, &[], Healthy);
        check(each, &[Success, Success, Success], Healthy);
        check(each, &[HttpFailure], MostlyHealthy);
        check(each, &[HttpFailure, HttpFailure], Unhealthy);
        // Each kind of failure has a counter of its own.
        check(each, &[HttpFailure, TcpFailure, Timeout], MostlyHealthy);
        check(each, &[HttpFailure, TcpFailure, TcpFailure], Unhealthy);
        // A success forgets failures, a failure successes.
        check(each, &[HttpFailure, Success, HttpFailure], MostlyHealthy);
        let down = [TcpFailure, TcpFailure];
        check(each, &[&down[..], &[Success]].concat(), MostlyUnhealthy);
        let between = [&down[..], &[Success, Timeout, Success]].concat();
        check(each, &between, MostlyUnhealthy);
        check(each, &[&down[..], &[Success, Success]].concat(), Healthy);
        check(each, &[Timeout, Success, Success], Healthy);
        // Without a limit nothing counts, and nothing is forgotten.
        let failures_only = limits(0, 2, 0, 0);
        check(
            failures_only,
            &[HttpFailure, Success, HttpFailure],
            Unhealthy,
        );
        check(failures_only, &[TcpFailure, Timeout], Healthy);
        check(
            failures_only,
            &[HttpFailure, HttpFailure, Success],
            Unhealthy,
        );
        check(limits(1, 1, 1, 1), &[Timeout, Success], Healthy);
    }

    #[test]
    fn what_is_set_by_hand_starts_over() {
        let (health, limits) = (Health::default(), limits(2, 2, 2, 2));
        assert_eq!(health.observe(HttpFailure, &limits), None);
        assert_eq!(health.set(true), None);
        assert_eq!(health.observe(HttpFailure, &limits), None);
        assert_eq!(health.observe(HttpFailure, &limits), Some(false));
        assert_eq!(health.set(true), Some(true));
        assert_eq!((health.setting(), health.is_healthy()), (2, true));
        assert_eq!(health.set(false), Some(false));
        assert_eq!(health.observe(Success, &limits), None);
        assert_eq!(health.observe(Success, &limits), Some(true));
    }

    fn any_observation() -> impl Strategy<Value = Observation> {
        prop_oneof![
            Just(Success),
            Just(HttpFailure),
            Just(TcpFailure),
            Just(Timeout)
        ]
    }

    proptest! {
        #[test]
        fn changes_are_told_exactly_when_they_happen(
            limit in proptest::array::uniform4(0u8..4),
            seen in proptest::collection::vec(any_observation(), 0..40),
        ) {
            let limits = limits(limit[0], limit[1], limit[2], limit[3]);
            let (health, mut state) = (Health::default(), State::default());
            for seen in seen {
                let next = step(state, seen, &limits);
                let told = health.observe(seen, &limits);
                prop_assert_eq!(health.state(), next);
                let (was, is) = (state.status.is_healthy(), next.status.is_healthy());
                prop_assert_eq!(told, (was != is).then_some(is));
                // Only a success can heal, only a failure can hurt.
                if let Some(healthy) = told {
                    prop_assert_eq!(healthy, seen == Success);
                    prop_assert!(limits.of(seen) > 0);
                }
                state = next;
            }
        }

        #[test]
        fn a_limit_in_a_row_always_decides(
            limit in 1u8..=255, before in proptest::collection::vec(any_observation(), 0..20),
            seen in any_observation(),
        ) {
            let limits = limits(limit, limit, limit, limit);
            let state = before.iter().fold(State::default(), |s, seen| step(s, *seen, &limits));
            let end = (0..limit).fold(state, |state, _| step(state, seen, &limits));
            let expected = if seen == Success { Status::Healthy } else { Status::Unhealthy };
            prop_assert_eq!(end.status, expected);
        }
    }
}
