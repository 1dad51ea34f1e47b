//! Weighted round-robin without a lock and without a wheel in memory.
//!
//! One turn has as many places as the weights sum up to (after division by their greatest
//! common divisor); each target owns as many consecutive places as its weight. A shared counter
//! walks over the places in strides of about the golden ratio of the turn, coprime with its
//! length: every turn visits every place once, so the shares are exact, and the picks of one
//! target are spread over the turn.

use super::TargetAddress;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// The targets of one upstream that have a weight.
#[derive(Debug)]
pub struct RoundRobin {
    targets: Box<[TargetAddress]>,
    /// The place after the last one of each target.
    ends: Box<[u64]>,
    stride: u64,
    /// Shared with the versions before and after, so that a change of the targets does not
    /// start over with the first one.
    cursor: Arc<AtomicU64>,
}

impl RoundRobin {
    /// Targets with their weights, those of weight zero left out, continuing the turn of
    /// `previous`.
    pub fn new(
        targets: impl IntoIterator<Item = (TargetAddress, u16)>,
        previous: Option<&RoundRobin>,
    ) -> RoundRobin {
        let (targets, weights): (Vec<_>, Vec<_>) = targets
            .into_iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(target, weight)| (target, u64::from(weight)))
            .unzip();
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        let ends: Box<[u64]> = weights
            .iter()
            .scan(0, |end, weight| {
                *end += weight / divisor;
                Some(*end)
            })
            .collect();
        RoundRobin {
            targets: targets.into(),
            stride: stride(ends.last().copied().unwrap_or(1)),
            ends,
            cursor: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.cursor)),
        }
    }

    pub fn targets(&self) -> &[TargetAddress] {
        &self.targets
    }

    /// The next target, or a later one if its id is in `tried`. When all were tried the turn
    /// simply goes on. `None` when there is no target.
    pub fn pick(&self, tried: &[Uuid]) -> Option<&TargetAddress> {
        let places = *self.ends.last()?;
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed) % places;
        let place = (u128::from(turn) * u128::from(self.stride) % u128::from(places)) as u64;
        let chosen = self.ends.partition_point(|end| *end <= place);
        let (before, from) = self.targets.split_at(chosen);
        from.iter()
            .chain(before)
            .find(|target| !tried.contains(&target.id))
            .or(from.first())
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

    fn balancer(weights: &[u16]) -> RoundRobin {
        let targets = weights.iter().enumerate().map(|(at, weight)| {
            let id = Uuid::from_u128(at as u128);
            (TargetAddress::new(id, "a.test", at as u16), *weight)
        });
        RoundRobin::new(targets, None)
    }

    fn picks(balancer: &RoundRobin, n: u64) -> Vec<u16> {
        (0..n)
            .filter_map(|_| balancer.pick(&[]))
            .map(|target| target.port)
            .collect()
    }

    proptest! {
        #[test]
        fn every_turn_has_the_exact_shares(weights in proptest::collection::vec(0u16..40, 0..8)) {
            let balancer = balancer(&weights);
            let divisor = weights.iter().map(|w| u64::from(*w)).fold(0, gcd).max(1);
            let places: u64 = weights.iter().map(|w| u64::from(*w) / divisor).sum();
            for _ in 0..3 {
                let mut counts = BTreeMap::new();
                for port in picks(&balancer, places) {
                    *counts.entry(port).or_insert(0u64) += 1;
                }
                let expected = weights.iter().enumerate().filter(|(_, w)| **w > 0);
                let expected: BTreeMap<u16, u64> =
                    expected.map(|(at, w)| (at as u16, u64::from(*w) / divisor)).collect();
                prop_assert_eq!(counts, expected);
            }
        }

        #[test]
        fn a_retry_goes_elsewhere_while_there_is_an_elsewhere(
            weights in proptest::collection::vec(1u16..9, 1..6), start in 0u64..50,
        ) {
            let balancer = balancer(&weights);
            picks(&balancer, start);
            let mut tried = Vec::new();
            for _ in &weights {
                let target = balancer.pick(&tried).expect("a target");
                prop_assert!(!tried.contains(&target.id));
                tried.push(target.id);
            }
            prop_assert!(balancer.pick(&tried).is_some());
        }
    }

    #[test]
    fn picks_of_a_heavy_target_are_spread() {
        let order = picks(&balancer(&[5, 1, 1]), 7);
        assert_eq!(order, [0, 0, 0, 1, 0, 2, 0]);
        assert_eq!(picks(&balancer(&[100, 100]), 4), [0, 1, 0, 1]);
    }

    #[test]
    fn without_a_weight_there_is_no_pick() {
        assert!(balancer(&[]).pick(&[]).is_none());
        assert!(balancer(&[0, 0]).pick(&[]).is_none());
    }

    #[test]
    fn a_new_version_continues_the_turn() {
        let first = balancer(&[1, 1]);
        picks(&first, 1);
        let targets = first.targets().iter().map(|target| (target.clone(), 1));
        let second = RoundRobin::new(targets.collect::<Vec<_>>(), Some(&first));
        assert_eq!(picks(&second, 1), [1]);
    }
}
