//! When and where to connect next: jitter that grows while no control plane answers.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// The shortest pause after a lost link; twice this is the longest.
const SHORTEST: Duration = Duration::from_secs(5);
/// However long the control planes stay away, the pause is at most this.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest pause before the next address of a round is tried.
const NEXT_ADDRESS: Duration = Duration::from_secs(1);
/// A hint of a control plane is honoured up to this.
const LONGEST_HINT: Duration = Duration::from_secs(300);

/// Walks through the addresses of the control planes.
#[derive(Clone, Debug)]
pub(super) struct Reconnect {
    addresses: usize,
    address: usize,
    /// Addresses tried in vain since the last pause.
    tried: usize,
    /// Rounds through all addresses in vain.
    rounds: u32,
    random: StdRng,
}

impl Reconnect {
    /// `seed` decides the jitter; nodes of a fleet must differ in it.
    pub(super) fn new(addresses: usize, seed: u64) -> Reconnect {
        Reconnect {
            addresses: addresses.max(1),
            address: 0,
            tried: 0,
            rounds: 0,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// The address to connect to.
    pub(super) fn address(&self) -> usize {
        self.address
    }

    /// A control plane has answered.
    pub(super) fn welcomed(&mut self) {
        self.tried = 0;
        self.rounds = 0;
    }

    /// The pause after an established link was lost. A hint of the control plane replaces the
    /// usual pause.
    pub(super) fn lost(&mut self, hint: Option<Duration>) -> Duration {
        self.next_address();
        match hint {
            Some(hint) => self.hinted(hint),
            None => self.between(SHORTEST, SHORTEST * 2),
        }
    }

    /// The pause after an attempt in vain.
    pub(super) fn failed(&mut self, hint: Option<Duration>) -> Duration {
        self.next_address();
        self.tried += 1;
        if self.tried < self.addresses {
            return self.between(Duration::ZERO, NEXT_ADDRESS);
        }
        self.tried = 0;
        if let Some(hint) = hint {
            return self.hinted(hint);
        }
        let longest = (SHORTEST * 2).saturating_mul(1 << self.rounds.min(8));
        self.rounds = self.rounds.saturating_add(1);
        let longest = longest.min(LONGEST);
        self.between(longest / 2, longest)
    }

    fn next_address(&mut self) {
        self.address = (self.address + 1) % self.addresses;
    }

    fn hinted(&mut self, hint: Duration) -> Duration {
        let hint = hint.min(LONGEST_HINT);
        // Those who were given the same hint do not come at the same instant.
        self.between(hint, hint + NEXT_ADDRESS + hint / 4)
    }

    fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        self.random.random_range(shortest..=longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(pause: Duration) -> f64 {
        pause.as_secs_f64()
    }

    #[test]
    fn the_pause_grows_to_a_minute_and_starts_over() {
        for seed in 0..50 {
            let mut reconnect = Reconnect::new(1, seed);
            for (from, to) in [(5., 10.), (10., 20.), (20., 40.), (30., 60.), (30., 60.)] {
                let pause = secs(reconnect.failed(None));
                assert!((from..=to).contains(&pause), "{pause} not in {from}..{to}");
            }
            for _ in 0..40 {
                assert!(secs(reconnect.failed(None)) <= 60.);
            }
            reconnect.welcomed();
            assert!((5. ..=10.).contains(&secs(reconnect.lost(None))));
            assert!((5. ..=10.).contains(&secs(reconnect.failed(None))));
        }
    }

    #[test]
    fn all_addresses_are_tried_before_a_pause() {
        let mut reconnect = Reconnect::new(3, 7);
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push(reconnect.address());
            assert!(secs(reconnect.failed(None)) <= 1.);
            seen.push(reconnect.address());
            assert!(secs(reconnect.failed(None)) <= 1.);
            seen.push(reconnect.address());
            assert!(secs(reconnect.failed(None)) >= 5.);
        }
        assert_eq!(seen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_hint_replaces_the_pause() {
        let mut reconnect = Reconnect::new(1, 1);
        assert!(secs(reconnect.lost(Some(Duration::ZERO))) <= 1.);
        let pause = secs(reconnect.failed(Some(Duration::from_secs(40))));
        assert!((40. ..=51.).contains(&pause), "{pause}");
        assert!(secs(reconnect.lost(Some(Duration::from_secs(1 << 30)))) <= 376.);
    }
}
