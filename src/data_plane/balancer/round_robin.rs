//! Weighted round-robin without a lock and without a wheel in memory.
//!
//! One turn has as many places as the weights sum up to (after division by their greatest
//! common divisor); each address owns as many consecutive places as its weight. A shared counter
//! walks over the places in strides of about the golden ratio of the turn, coprime with its
//! length: every turn visits every place once, so the shares are exact, and the picks of one
//! address are spread over the turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Turns that are passed over before the rest is looked at in order. Passing over keeps the
/// shares of those that remain as their weights are.
const MOST_PASSED_OVER: usize = 16;

/// The order of things that have weights.
#[derive(Debug, Default)]
pub struct RoundRobin {
    /// The place after the last one of each.
    ends: Box<[u64]>,
    stride: u64,
    /// Shared with the versions before and after, so that a change does not start over with the
    /// first one.
    cursor: Arc<AtomicU64>,
}

impl RoundRobin {
    /// Things with these weights, none of them zero, continuing the turn of `previous`.
    pub fn new(weights: &[u16], previous: Option<&RoundRobin>) -> RoundRobin {
        let weights = weights.iter().map(|weight| u64::from(*weight));
        let divisor = weights.clone().fold(0, gcd).max(1);
        let ends: Box<[u64]> = weights
            .scan(0, |end, weight| {
                *end += weight / divisor;
                Some(*end)
            })
            .collect();
        RoundRobin {
            stride: stride(ends.last().copied().unwrap_or(1)),
            ends,
            cursor: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.cursor)),
        }
    }

    /// The index of the next one that is usable; `None` when none is.
    pub fn pick(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let mut chosen = self.next()?;
        let len = self.ends.len();
        for _ in 0..len.min(MOST_PASSED_OVER) {
            if usable(chosen) {
                return Some(chosen);
            }
            chosen = self.next()?;
        }
        (chosen..len).chain(0..chosen).find(|index| usable(*index))
    }

    /// The one whose turn it is; `None` when there is nothing.
    fn next(&self) -> Option<usize> {
        let places = *self.ends.last()?;
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed) % places;
        let place = (u128::from(turn) * u128::from(self.stride) % u128::from(places)) as u64;
        Some(self.ends.partition_point(|end| *end <= place))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A number near the golden section of `places` that shares no divisor with it.
fn stride(places: u64) -> u64 {
    let near = (places as f64 * 0.618_033_988_75) as u64;
    (near.max(1)..)
        .find(|stride| gcd(*stride, places) == 1)
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn picks(ring: &RoundRobin, n: u64) -> Vec<usize> {
        (0..n).filter_map(|_| ring.pick(|_| true)).collect()
    }

    proptest! {
        #[test]
        fn every_turn_has_the_exact_shares(weights in proptest::collection::vec(1u16..40, 0..8)) {
            let ring = RoundRobin::new(&weights, None);
            let divisor = weights.iter().map(|w| u64::from(*w)).fold(0, gcd).max(1);
            let places: u64 = weights.iter().map(|w| u64::from(*w) / divisor).sum();
            for _ in 0..3 {
                let mut counts = BTreeMap::new();
                for index in picks(&ring, places) {
                    *counts.entry(index).or_insert(0u64) += 1;
                }
                let expected = weights.iter().enumerate();
                let expected: BTreeMap<usize, u64> =
                    expected.map(|(at, w)| (at, u64::from(*w) / divisor)).collect();
                prop_assert_eq!(counts, expected);
            }
        }

        #[test]
        fn a_usable_one_is_always_found(
            weights in proptest::collection::vec(1u16..=u16::MAX, 1..60),
            usable in proptest::collection::vec(any::<bool>(), 60), start in 0u64..50,
        ) {
            let ring = RoundRobin::new(&weights, None);
            picks(&ring, start);
            let found = ring.pick(|index| usable[index]);
            let any = usable[..weights.len()].contains(&true);
            prop_assert_eq!(found.is_some(), any);
            prop_assert!(found.is_none_or(|index| usable[index]));
        }
    }

    #[test]
    fn picks_of_a_heavy_one_are_spread() {
        let ring = |weights: &[u16]| RoundRobin::new(weights, None);
        assert_eq!(picks(&ring(&[5, 1, 1]), 7), [0, 0, 0, 1, 0, 2, 0]);
        assert_eq!(picks(&ring(&[100, 100]), 4), [0, 1, 0, 1]);
        assert!(picks(&ring(&[]), 1).is_empty());
    }

    #[test]
    fn the_share_of_one_that_is_out_is_shared_by_weight() {
        let ring = RoundRobin::new(&[10, 20, 30, 10], None);
        let mut counts = [0u32; 4];
        for _ in 0..7000 {
            let index = ring.pick(|index| index != 1).expect("one");
            counts[index] += 1;
        }
        let [a, none, b, c] = counts;
        assert_eq!(none, 0);
        for (found, expected) in [(a, 1400), (b, 4200), (c, 1400)] {
            assert!(found.abs_diff(expected) < 20, "{counts:?}");
        }
    }

    #[test]
    fn a_new_version_continues_the_turn() {
        let first = RoundRobin::new(&[1, 1], None);
        picks(&first, 1);
        let second = RoundRobin::new(&[1, 1], Some(&first));
        assert_eq!(picks(&second, 1), [1]);
    }
}
