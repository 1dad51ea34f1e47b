//! From a worker to the telemetry buffer: one bounded ring per worker.
//!
//! A push is a few tens of nanoseconds, takes no lock and never waits. A full ring drops its
//! oldest record and counts it.

use crate::telemetry::record::Record;
use crossbeam_queue::ArrayQueue;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Records one ring holds: at ten drains a second enough for 160 000 requests a second and
/// worker.
pub const RING_CAPACITY: usize = 16_384;

#[derive(Debug)]
struct Ring {
    records: ArrayQueue<Record>,
    /// Records dropped since the last drain.
    dropped: AtomicU64,
}

/// A worker's end of its ring. Not `Clone`: each worker takes its own, so that workers do
/// not contend.
#[derive(Debug)]
pub struct Recorder(Arc<Ring>);

impl Recorder {
    /// Remembers a finished request.
    #[inline]
    pub fn push(&self, record: Record) {
        if self.0.records.force_push(record).is_some() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All rings of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Rings {
    capacity: usize,
    rings: Arc<Mutex<Vec<Arc<Ring>>>>,
}

impl Default for Rings {
    fn default() -> Self {
        Rings::with_capacity(RING_CAPACITY)
    }
}

impl Rings {
    /// Rings of `capacity` records each, at least one.
    pub fn with_capacity(capacity: usize) -> Rings {
        Rings {
            capacity: capacity.max(1),
            rings: Arc::default(),
        }
    }

    /// A ring for one worker, once when the worker starts.
    pub fn recorder(&self) -> Recorder {
        let ring = Arc::new(Ring {
            records: ArrayQueue::new(self.capacity),
            dropped: AtomicU64::new(0),
        });
        self.lock().push(ring.clone());
        Recorder(ring)
    }

    /// Takes what the rings hold, at most one capacity each so that a busy worker cannot keep
    /// the drain from ending. Returns how many records were dropped since the last drain.
    /// Only the telemetry buffer drains.
    pub fn drain(&self, mut take: impl FnMut(Record)) -> u64 {
        let rings = self.lock().clone();
        let mut dropped = 0;
        for ring in &rings {
            for _ in 0..self.capacity {
                let Some(record) = ring.records.pop() else {
                    break;
                };
                take(record);
            }
            dropped += ring.dropped.swap(0, Ordering::Relaxed);
        }
        drop(rings);
        // A ring whose worker has ended and that is empty is not needed any more.
        self.lock()
            .retain(|ring| Arc::strong_count(ring) > 1 || !ring.records.is_empty());
        dropped
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Ring>>> {
        // Nothing that can panic runs under this lock; workers take it only when they start.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u64) -> Record {
        Record {
            started_at: n,
            ..Record::default()
        }
    }

    fn drained(rings: &Rings) -> (Vec<u64>, u64) {
        let mut seen = Vec::new();
        let dropped = rings.drain(|record| seen.push(record.started_at));
        (seen, dropped)
    }

    #[test]
    fn a_full_ring_drops_the_oldest_and_counts() {
        let rings = Rings::with_capacity(3);
        let recorder = rings.recorder();
        (0..5).for_each(|n| recorder.push(record(n)));
        assert_eq!(drained(&rings), (vec![2, 3, 4], 2));
        assert_eq!(drained(&rings), (vec![], 0));
    }

    #[test]
    fn what_a_worker_leaves_behind_is_still_drained() {
        let rings = Rings::with_capacity(3);
        let (stays, leaves) = (rings.recorder(), rings.recorder());
        leaves.push(record(1));
        drop(leaves);
        assert_eq!(drained(&rings), (vec![1], 0));
        assert_eq!(rings.lock().len(), 1);
        stays.push(record(2));
        assert_eq!(drained(&rings), (vec![2], 0));
    }

    #[test]
    fn under_threads_every_record_is_drained_or_counted() {
        let rings = Rings::with_capacity(64);
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let recorder = rings.recorder();
                std::thread::spawn(move || (0..20_000).for_each(|n| recorder.push(record(n))))
            })
            .collect();
        let (mut taken, mut dropped) = (0, 0);
        while !workers.iter().all(std::thread::JoinHandle::is_finished) {
            dropped += rings.drain(|_| taken += 1);
        }
        for worker in workers {
            worker.join().expect("a worker");
        }
        dropped += rings.drain(|_| taken += 1);
        assert_eq!(taken + dropped, 60_000);
    }
}
