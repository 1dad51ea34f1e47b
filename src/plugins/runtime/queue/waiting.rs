//! The entries that wait in a queue: bounded, without a lock, the oldest go first.

use crossbeam_queue::SegQueue;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Entries with their sizes, from many threads to one.
pub struct Waiting<T> {
    entries: SegQueue<(T, u64)>,
    /// Never more than there are in `entries`: whoever lowers it owns one of them.
    count: AtomicUsize,
    bytes: AtomicU64,
    most_entries: usize,
    most_bytes: u64,
}

/// What became of an entry that was pushed.
#[derive(Debug, PartialEq)]
pub enum Pushed {
    /// So many entries wait now; so many older ones were dropped for it.
    Kept { waiting: usize, dropped: u64 },
    /// It alone is larger than all that may wait.
    TooLarge,
}

impl<T> Waiting<T> {
    pub fn new(most_entries: usize, most_bytes: Option<u64>) -> Waiting<T> {
        Waiting {
            entries: SegQueue::new(),
            count: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            most_entries: most_entries.max(1),
            most_bytes: most_bytes.unwrap_or(u64::MAX),
        }
    }

    /// Adds an entry; where there are too many then, the oldest go.
    pub fn push(&self, entry: T, size: u64) -> Pushed {
        if size > self.most_bytes {
            return Pushed::TooLarge;
        }
        self.bytes.fetch_add(size, Ordering::AcqRel);
        self.entries.push((entry, size));
        self.count.fetch_add(1, Ordering::AcqRel);
        let mut dropped = 0;
        while self.pop_if_above(self.most_entries)
            || (self.bytes.load(Ordering::Acquire) > self.most_bytes && self.pop_if_above(1))
        {
            dropped += 1;
        }
        Pushed::Kept {
            waiting: self.len(),
            dropped,
        }
    }

    /// Drops the oldest entry if there are more than `most`.
    fn pop_if_above(&self, most: usize) -> bool {
        let claimed = self
            .count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count > most).then(|| count - 1)
            });
        claimed.is_ok() && self.take_claimed().is_some()
    }

    /// The oldest entry, and its size.
    pub fn pop(&self) -> Option<(T, u64)> {
        let claim = |count: usize| count.checked_sub(1);
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, claim)
            .ok()?;
        self.take_claimed()
    }

    fn take_claimed(&self) -> Option<(T, u64)> {
        let (entry, size) = self.entries.pop()?;
        self.bytes.fetch_sub(size, Ordering::AcqRel);
        Some((entry, size))
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn kept(waiting: usize, dropped: u64) -> Pushed {
        Pushed::Kept { waiting, dropped }
    }

    fn all(waiting: &Waiting<u32>) -> Vec<u32> {
        std::iter::from_fn(|| waiting.pop().map(|(entry, _)| entry)).collect()
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let waiting = Waiting::new(2, None);
        let pushed: Vec<Pushed> = (1..=4).map(|entry| waiting.push(entry, 10)).collect();
        assert_eq!(pushed, [kept(1, 0), kept(2, 0), kept(2, 1), kept(2, 1)]);
        assert_eq!(waiting.bytes(), 20);
        assert_eq!(all(&waiting), [3, 4]);
        assert_eq!((waiting.len(), waiting.bytes()), (0, 0));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let waiting = Waiting::new(100, Some(10));
        assert_eq!(waiting.push(1, 11), Pushed::TooLarge);
        assert_eq!(waiting.push(2, 4), kept(1, 0));
        assert_eq!(waiting.push(3, 4), kept(2, 0));
        assert_eq!(waiting.push(4, 10), kept(1, 2));
        assert_eq!(all(&waiting), [4]);
    }

    #[test]
    fn nothing_is_lost_or_counted_twice_between_threads() {
        let (waiting, dropped) = (&Waiting::new(50, Some(400)), &AtomicU64::new(0));
        let taken: u64 = std::thread::scope(|scope| {
            let pushing: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for entry in 0..20_000 {
                            if let Pushed::Kept { dropped: n, .. } = waiting.push(entry, 10) {
                                dropped.fetch_add(n, Ordering::Relaxed);
                            }
                        }
                    })
                })
                .collect();
            let mut taken = 0;
            while pushing.iter().any(|thread| !thread.is_finished()) {
                taken += u64::from(waiting.pop().is_some());
            }
            taken
        });
        let left = all(waiting).len() as u64;
        assert_eq!(taken + left + dropped.load(Ordering::Relaxed), 80_000);
        assert!(left <= 40, "{left}");
        assert_eq!((waiting.len(), waiting.bytes()), (0, 0));
    }
}
