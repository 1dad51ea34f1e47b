//! The node's counters: a sharded map, bounded, shared by all workers and kept across
//! configuration changes.
//!
//! One entry counts all windows of one identifier, so that a request takes one look-up and
//! one short lock of one of 64 shards. An entry dies with its longest window; a full shard
//! drops its expired entries and, if that is not enough, the quarter that expires soonest:
//! those callers start anew, and a warning tells it. Clients choose keys (headers, addresses):
//! the hash is the standard library's, which resists chosen collisions.

use super::window::{PERIODS, Period};
use crate::plugins::Timestamp;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

const SHARDS: usize = 64;
/// Entries of all shards; about 20 MB when full.
const CAPACITY: usize = 128 * 1024;
/// Seconds between two removals of expired entries of a shard, whichever way the clock goes.
const SWEEP_INTERVAL: u64 = 60;

/// Whom a counter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier<'a> {
    /// A consumer, credential or service.
    Entity(Uuid),
    Ip(IpAddr),
    /// A header's value.
    Header(&'a [u8]),
    /// A path.
    Path(&'a str),
}

/// What a counter is found by: the scope of the plugin and the identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    pub route: Option<Uuid>,
    pub service: Option<Uuid>,
    pub identifier: Identifier<'a>,
}

impl Key<'_> {
    /// All of fixed size goes in at once: such a hasher takes long over each single piece.
    fn hash(&self, hasher: &RandomState) -> u64 {
        let (kind, number, text): (u8, u128, &[u8]) = match self.identifier {
            Identifier::Entity(id) => (0, id.as_u128(), b""),
            Identifier::Ip(IpAddr::V4(ip)) => (1, ip.to_bits().into(), b""),
            Identifier::Ip(IpAddr::V6(ip)) => (2, ip.to_bits(), b""),
            Identifier::Header(value) => (3, 0, value),
            Identifier::Path(path) => (4, 0, path.as_bytes()),
        };
        let id = |id: Option<Uuid>| id.map_or(0, |id| id.as_u128());
        let mut fixed = [0; 49];
        let numbers = [id(self.route), id(self.service), number];
        for (place, number) in fixed.chunks_exact_mut(16).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        fixed[48] = kind;
        let mut state = hasher.build_hasher();
        state.write(&fixed);
        if !text.is_empty() {
            state.write(text);
        }
        state.finish()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnedKey {
    route: Option<Uuid>,
    service: Option<Uuid>,
    identifier: OwnedIdentifier,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedIdentifier {
    Entity(Uuid),
    Ip(IpAddr),
    Header(Box<[u8]>),
    Path(Box<str>),
}

impl OwnedKey {
    fn borrowed(&self) -> Key<'_> {
        Key {
            route: self.route,
            service: self.service,
            identifier: match &self.identifier {
                OwnedIdentifier::Entity(id) => Identifier::Entity(*id),
                OwnedIdentifier::Ip(ip) => Identifier::Ip(*ip),
                OwnedIdentifier::Header(value) => Identifier::Header(value),
                OwnedIdentifier::Path(path) => Identifier::Path(path),
            },
        }
    }
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> OwnedKey {
        OwnedKey {
            route: key.route,
            service: key.service,
            identifier: match key.identifier {
                Identifier::Entity(id) => OwnedIdentifier::Entity(id),
                Identifier::Ip(ip) => OwnedIdentifier::Ip(ip),
                Identifier::Header(value) => OwnedIdentifier::Header(value.into()),
                Identifier::Path(path) => OwnedIdentifier::Path(path.into()),
            },
        }
    }
}

/// One window: its start in epoch seconds (enough until 2106) and the requests in it.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    start: u32,
    count: u32,
}

impl Window {
    /// Whether it counts a request at `now`. A month of 31 days or a leap year outlasts its
    /// nominal length.
    fn holds(self, period: Period, now: u64) -> bool {
        let start = u64::from(self.start);
        self.count > 0 && start <= now && now < start + period.seconds() + period.seconds() / 20
    }
}

/// The windows of one period: the one that was used last, and the one before it. A request whose
/// worker has read the clock a moment earlier still finds its own window; and whichever way the
/// clock is set, a window that is neither of the two begins empty.
#[derive(Clone, Copy, Debug, Default)]
struct Windows {
    last: Window,
    before: Window,
}

impl Windows {
    /// The window with this start, which is now the one used last.
    fn at(&mut self, start: u32) -> &mut Window {
        if self.last.start != start {
            let found = match self.before.start == start {
                true => self.before,
                false => Window { start, count: 0 },
            };
            self.before = std::mem::replace(&mut self.last, found);
        }
        &mut self.last
    }
}

#[derive(Debug, Default)]
struct Entry {
    windows: [Windows; PERIODS],
}

impl Entry {
    /// Whether any window counts a request at `now`.
    fn is_live(&self, now: u64) -> bool {
        let mut windows = Period::ALL.into_iter().zip(&self.windows);
        windows.any(|(period, windows)| {
            windows.last.holds(period, now) || windows.before.holds(period, now)
        })
    }

    /// When the last of its windows ends, in epoch seconds.
    fn ends(&self) -> u64 {
        let windows = Period::ALL.into_iter().zip(&self.windows);
        let used = windows.filter(|(_, windows)| windows.last.count > 0);
        used.map(|(period, windows)| u64::from(windows.last.start) + period.seconds())
            .max()
            .unwrap_or(0)
    }
}

/// What a request found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// What remained of each limit before this request; may be below zero.
    pub remaining: [Option<f64>; PERIODS],
    /// Whether the request was within every limit, and was therefore counted.
    pub allowed: bool,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashTable<(OwnedKey, Entry)>,
    /// The time of the last sweep, in epoch seconds.
    swept: u64,
}

/// See the module's description.
#[derive(Debug)]
pub struct Counters {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    capacity_per_shard: usize,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters::with_capacity(CAPACITY)
    }
}

impl Counters {
    fn with_capacity(capacity: usize) -> Counters {
        Counters {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            capacity_per_shard: (capacity / SHARDS).max(1),
        }
    }

    /// Checks a request against its limits and counts it unless one is reached. Windows
    /// without a limit are not counted.
    pub fn take(&self, key: Key<'_>, limits: &[Option<f64>; PERIODS], now: Timestamp) -> Usage {
        let hash = key.hash(&self.hasher);
        let shard = &self.shards[(hash >> 40) as usize % SHARDS];
        // A panic between lock and unlock leaves counters that are still counters.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shard
            .entries
            .find_mut(hash, |(known, _)| known.borrowed() == key);
        if let Some((_, entry)) = found {
            return entry.take(limits, now);
        }
        shard.make_room(now, self.capacity_per_shard);
        let mut entry = Entry::default();
        let usage = entry.take(limits, now);
        let new = (OwnedKey::from(key), entry);
        let rehash = |(known, _): &(OwnedKey, Entry)| known.borrowed().hash(&self.hasher);
        shard.entries.insert_unique(hash, new, rehash);
        usage
    }
}

impl Shard {
    fn make_room(&mut self, now: Timestamp, capacity: usize) {
        let now = now.seconds();
        let full = self.entries.len() >= capacity;
        if full || self.swept.abs_diff(now) >= SWEEP_INTERVAL {
            self.entries.retain(|(_, entry)| entry.is_live(now));
            self.swept = now;
        }
        if self.entries.len() < capacity {
            return;
        }
        let ends = self.entries.iter().map(|(_, entry)| entry.ends());
        let mut ends: Vec<u64> = ends.collect();
        let quarter = ends.len() / 4;
        let (_, end, _) = ends.select_nth_unstable(quarter);
        let (end, mut dropped) = (*end, 0);
        self.entries.retain(|(_, entry)| {
            let keep = entry.ends() > end || dropped > quarter;
            dropped += usize::from(!keep);
            keep
        });
        tracing::warn!(dropped, "too many rate limit counters, some start anew");
    }
}

impl Entry {
    fn take(&mut self, limits: &[Option<f64>; PERIODS], now: Timestamp) -> Usage {
        let mut usage = Usage {
            remaining: [None; PERIODS],
            allowed: true,
        };
        for (i, period) in Period::ALL.into_iter().enumerate() {
            let Some(limit) = limits[i] else { continue };
            let start = u32::try_from(period.start(now)).unwrap_or(u32::MAX);
            let window = self.windows[i].at(start);
            let remaining = limit - f64::from(window.count);
            usage.remaining[i] = Some(remaining);
            usage.allowed &= remaining > 0.0;
        }
        if !usage.allowed {
            return usage;
        }
        for (windows, limit) in self.windows.iter_mut().zip(limits) {
            if limit.is_some() {
                windows.last.count = windows.last.count.saturating_add(1);
            }
        }
        usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(period: Period, limit: f64) -> [Option<f64>; PERIODS] {
        Period::ALL.map(|other| (other == period).then_some(limit))
    }

    fn by_ip(last: u8) -> Key<'static> {
        Key {
            route: None,
            service: None,
            identifier: Identifier::Ip(IpAddr::from([127, 0, 0, last])),
        }
    }

    fn len(counters: &Counters) -> usize {
        let size = |shard: &Mutex<Shard>| shard.lock().expect("no panic").entries.len();
        counters.shards.iter().map(size).sum()
    }

    #[test]
    fn a_window_fills_and_the_next_starts_empty() {
        let counters = Counters::default();
        let limits = limits(Period::Minute, 2.0);
        let check = |seconds: u64, remaining: f64, allowed: bool| {
            let usage = counters.take(by_ip(1), &limits, Timestamp(seconds * 1000));
            assert_eq!(
                (usage.remaining[1], usage.allowed),
                (Some(remaining), allowed),
                "{seconds}"
            );
        };
        check(60, 2.0, true);
        check(90, 1.0, true);
        check(119, 0.0, false);
        // A refused request is not counted.
        check(119, 0.0, false);
        check(120, 2.0, true);
        // A worker that read the clock a moment earlier: each window keeps its own count.
        check(119, 0.0, false);
        check(121, 1.0, true);
        check(122, 0.0, false);
    }

    #[test]
    fn trial_30_windows_reset_whichever_way_the_clock_steps() {
        let counters = Counters::default();
        let limits = limits(Period::Minute, 1.0);
        let allowed = |seconds: u64| {
            let usage = counters.take(by_ip(1), &limits, Timestamp(seconds * 1000));
            usage.allowed
        };
        let hour = 3600;
        assert!(allowed(10 * hour));
        assert!(!allowed(10 * hour + 59));
        // An hour back: windows are limited as ever, and begin anew every minute.
        assert!(allowed(9 * hour));
        assert!(!allowed(9 * hour + 1));
        assert!(allowed(9 * hour + 60));
        assert!(!allowed(9 * hour + 61));
        assert!(allowed(9 * hour + 120));
        // And forward again.
        assert!(allowed(10 * hour));
        assert!(!allowed(10 * hour + 1));
        assert!(allowed(20 * hour));
    }

    #[test]
    fn trial_30_entries_of_a_future_that_was_none_go() {
        let counters = Counters::with_capacity(SHARDS * 4);
        let day = limits(Period::Day, 5.0);
        let key = |n: u32| Key {
            identifier: Identifier::Ip(IpAddr::from(n.to_be_bytes())),
            ..by_ip(0)
        };
        let years_ahead = Timestamp(2_000_000_000_000);
        for n in 0..2000 {
            counters.take(key(n), &day, years_ahead);
        }
        let now = Timestamp(1_700_000_000_000);
        // So many that each shard gets some, however the keys are spread.
        for n in 2000..2000 + SHARDS as u32 * 100 {
            counters.take(key(n), &day, now);
        }
        let from_the_future = |entry: &Entry| !entry.is_live(now.seconds());
        let stale: usize = counters
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().expect("no panic");
                shard
                    .entries
                    .iter()
                    .filter(|(_, entry)| from_the_future(entry))
                    .count()
            })
            .sum();
        assert_eq!(stale, 0);
    }

    proptest! {
        /// Against every window kept for ever: nobody gets more than the limit while the clock
        /// is in at most two windows, and nobody is refused who is within the limit.
        #[test]
        fn trial_30_counts_are_those_of_the_window(
            steps in prop::collection::vec((-150i64..150, any::<bool>()), 1..80),
        ) {
            let counters = Counters::default();
            let limits = limits(Period::Minute, 3.0);
            let mut all = std::collections::BTreeMap::<u64, u32>::new();
            let mut visited = [None, None];
            let mut seconds = 1_700_000_000i64;
            for (step, moves) in steps {
                if moves {
                    seconds += step;
                }
                let now = Timestamp(seconds as u64 * 1000);
                let start = Period::Minute.start(now);
                if !visited.contains(&Some(start)) {
                    // A third window: what was counted in the older of the two is forgotten.
                    if let Some(forgotten) = visited[1] {
                        all.remove(&forgotten);
                    }
                }
                if visited[0] != Some(start) {
                    visited = [Some(start), visited[0]];
                }
                let count = all.entry(start).or_default();
                let usage = counters.take(by_ip(1), &limits, now);
                prop_assert_eq!(usage.allowed, *count < 3);
                prop_assert_eq!(usage.remaining[Period::Minute as usize], Some(3.0 - f64::from(*count)));
                *count += u32::from(usage.allowed);
            }
        }
    }

    #[test]
    fn one_reached_limit_counts_nowhere() {
        let counters = Counters::default();
        let mut limits = limits(Period::Second, 1.0);
        limits[Period::Hour as usize] = Some(10.0);
        let take = |ms: u64| counters.take(by_ip(1), &limits, Timestamp(ms));
        assert!(take(0).allowed);
        assert!(!take(500).allowed);
        let usage = take(1000);
        assert_eq!(usage.remaining[Period::Hour as usize], Some(9.0));
        assert!(usage.allowed);
    }

    #[test]
    fn keys_are_apart() {
        let counters = Counters::default();
        let limits = limits(Period::Year, 1.0);
        let keys = [
            by_ip(1),
            by_ip(2),
            Key {
                route: Some(Uuid::nil()),
                ..by_ip(1)
            },
            Key {
                service: Some(Uuid::nil()),
                ..by_ip(1)
            },
            Key {
                identifier: Identifier::Header(b"127.0.0.1"),
                ..by_ip(1)
            },
            Key {
                identifier: Identifier::Path("127.0.0.1"),
                ..by_ip(1)
            },
            Key {
                identifier: Identifier::Entity(Uuid::nil()),
                ..by_ip(1)
            },
        ];
        for key in keys {
            assert!(counters.take(key, &limits, Timestamp(0)).allowed, "{key:?}");
        }
        for key in keys {
            assert!(
                !counters.take(key, &limits, Timestamp(0)).allowed,
                "{key:?}"
            );
        }
        assert_eq!(len(&counters), keys.len());
    }

    #[test]
    fn memory_is_bounded_and_expired_entries_go() {
        let counters = Counters::with_capacity(SHARDS * 4);
        let seconds = limits(Period::Second, 1.0);
        let years = limits(Period::Year, 1.0);
        let key = |n: u32| Key {
            identifier: Identifier::Ip(IpAddr::from(n.to_be_bytes())),
            ..by_ip(0)
        };
        for n in 0..2000 {
            counters.take(key(n), &years, Timestamp(1000));
        }
        let most = len(&counters);
        assert!(most <= SHARDS * 4, "{most}");
        assert!(most >= SHARDS, "{most}");

        let counters = Counters::default();
        for n in 0..2000 {
            counters.take(key(n), &seconds, Timestamp(1000));
        }
        assert_eq!(len(&counters), 2000);
        for n in 2000..4000 {
            counters.take(key(n), &seconds, Timestamp(100_000));
        }
        assert_eq!(len(&counters), 2000);
    }

    #[test]
    fn workers_together_never_pass_the_limit() {
        let counters = Counters::default();
        let limits = limits(Period::Minute, 100.0);
        let allowed = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let usage = counters.take(by_ip(1), &limits, Timestamp(0));
                        let count = u32::from(usage.allowed);
                        allowed.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(allowed.into_inner(), 100);
    }
}
