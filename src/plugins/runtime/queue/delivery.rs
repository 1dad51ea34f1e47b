//! Moves entries from a queue to the outside.
//!
//! Everything that must outlive a panic of the plugin host stands in [`Shared`], batches under way included: the next
//! life of the host goes on with them.

use super::counters::QueueCounters;
use super::schedule::{Attempts, Failed, Gather, Gathering};
use super::waiting::Waiting;
use super::{AnyQueue, Deliver, DeliveryError, DropReason, QueueParameters, QueueState};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Failures of a queue are logged this often at most.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

static IDS: AtomicU64 = AtomicU64::new(0);

/// Becomes true when the node is about to end.
pub type Hurry = watch::Receiver<bool>;

/// A queue: what waits, what is under way, and how it is delivered.
pub struct Shared<T> {
    id: u64,
    plugin: Arc<str>,
    name: Arc<str>,
    parameters: QueueParameters,
    deliver: Box<dyn Deliver<T>>,
    counters: QueueCounters,
    pub waiting: Waiting<T>,
    /// Batches that were taken and not yet delivered or given up. Requests never take this lock.
    under_way: Mutex<BTreeMap<u64, Batch<T>>>,
    next_batch: AtomicU64,
    /// The consumer is woken when so many entries wait.
    wanted: AtomicUsize,
    wake: Notify,
    /// Told after each batch.
    settled: Arc<Notify>,
    /// Plugin instances and others that may put in entries.
    users: AtomicUsize,
    /// Entries have been dropped since the consumer last took some.
    overflowing: AtomicBool,
    delivered: AtomicU64,
    dropped: AtomicU64,
    complaints: Mutex<Complaints>,
}

struct Batch<T> {
    entries: Arc<[T]>,
    attempts: Attempts,
}

#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    suppressed: u64,
}

impl Complaints {
    /// Whether to log now; then how many were not logged since the last time.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let lately = self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < COMPLAIN_EVERY);
        if lately {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    pub fn new(
        (plugin, name): (Arc<str>, Arc<str>),
        parameters: QueueParameters,
        deliver: Box<dyn Deliver<T>>,
        counters: QueueCounters,
        settled: Arc<Notify>,
    ) -> Shared<T> {
        Shared {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            plugin,
            name,
            waiting: Waiting::new(parameters.max_entries, parameters.max_bytes),
            parameters,
            deliver,
            counters,
            under_way: Mutex::default(),
            next_batch: AtomicU64::new(0),
            wanted: AtomicUsize::new(1),
            wake: Notify::new(),
            settled,
            users: AtomicUsize::new(0),
            overflowing: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            complaints: Mutex::default(),
        }
    }

    pub fn acquire(&self) {
        self.users.fetch_add(1, Ordering::AcqRel);
    }

    pub fn release(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.wake.notify_one();
        }
    }

    /// An entry was put in: so many wait now, and so many were dropped for it.
    pub fn pushed(&self, waiting: usize, dropped: u64) {
        if dropped > 0 {
            self.drop_entries(DropReason::Full, dropped);
            if !self.overflowing.swap(true, Ordering::Relaxed) {
                let (plugin, queue) = (&*self.plugin, &*self.name);
                tracing::warn!(
                    plugin,
                    queue,
                    "queue is full: its oldest entries are dropped"
                );
            }
        }
        if waiting >= self.wanted.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    pub fn drop_entries(&self, reason: DropReason, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        self.counters.dropped(reason, count);
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<u64, Batch<T>>> {
        // No code that can panic runs under this lock.
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch out of what waits, unless all of it was dropped meanwhile.
    fn take(&self, most: usize) -> Option<u64> {
        let entries: Arc<[T]> = std::iter::from_fn(|| self.waiting.pop())
            .take(most)
            .map(|(entry, _)| entry)
            .collect();
        self.overflowing.store(false, Ordering::Relaxed);
        if entries.is_empty() {
            return None;
        }
        let id = self.next_batch.fetch_add(1, Ordering::Relaxed);
        let attempts = Attempts::begin(Instant::now());
        self.under_way().insert(id, Batch { entries, attempts });
        Some(id)
    }

    /// Delivers a batch, or gives it up in the end.
    async fn deliver(&self, id: u64, mut hurry: Hurry) {
        loop {
            // It is gone when the node has given it up.
            let batch = self
                .under_way()
                .get(&id)
                .map(|batch| Arc::clone(&batch.entries));
            let Some(batch) = batch else {
                return;
            };
            let attempt = AssertUnwindSafe(async { self.deliver.deliver(&batch).await });
            let outcome = attempt.catch_unwind().await;
            let error = match outcome {
                Ok(Ok(())) => {
                    if self.under_way().remove(&id).is_some() {
                        let count = batch.len() as u64;
                        self.delivered.fetch_add(count, Ordering::Relaxed);
                        self.counters.delivered(count);
                    }
                    self.settled.notify_one();
                    return;
                }
                Ok(Err(error)) => error,
                Err(_) => DeliveryError::from("the plugin panicked"),
            };
            let in_a_hurry = *hurry.borrow();
            let failed = match self.under_way().get_mut(&id) {
                Some(batch) => batch
                    .attempts
                    .failed(&self.parameters, in_a_hurry, Instant::now()),
                None => return,
            };
            match failed {
                Failed::RetryAfter(pause) => {
                    self.complain(&error, None);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        // The pause was made for longer lives.
                        _ = hurry.wait_for(|hurry| *hurry), if !in_a_hurry => {}
                    }
                }
                Failed::GiveUp => {
                    if self.under_way().remove(&id).is_some() {
                        let count = batch.len() as u64;
                        self.complain(&error, Some(count));
                        self.drop_entries(DropReason::Undelivered, count);
                    }
                    self.settled.notify_one();
                    return;
                }
            }
        }
    }

    /// Logs a failure, unless that was done a moment ago.
    fn complain(&self, error: &str, given_up: Option<u64>) {
        let mut complaints = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(suppressed) = complaints.admit(Instant::now()) else {
            return;
        };
        let (plugin, queue) = (&*self.plugin, &*self.name);
        match given_up {
            Some(entries) => {
                tracing::error!(
                    plugin,
                    queue,
                    entries,
                    error,
                    suppressed,
                    "entries were not delivered and are dropped"
                );
            }
            None => {
                tracing::warn!(
                    plugin,
                    queue,
                    error,
                    suppressed,
                    "entries were not delivered yet"
                );
            }
        }
    }

    /// Waits until `entries` wait, until that time, until the node is about to end, or nobody uses
    /// the queue any more.
    async fn wait(&self, entries: usize, until: Option<Instant>, hurry: &mut Hurry) {
        self.wanted.store(entries, Ordering::Release);
        // Whoever put in the last one may have looked at the old number.
        if self.waiting.len() >= entries {
            return;
        }
        let in_a_hurry = *hurry.borrow();
        let due = async {
            match until {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.wake.notified() => {}
            () = due => {}
            _ = hurry.wait_for(|hurry| *hurry), if !in_a_hurry => {}
        }
    }

    /// One batch after the other, or many beside each other where there is no order.
    async fn deliver_all(self: Arc<Self>, mut hurry: Hurry) {
        let mut gathering = Gathering::default();
        let mut deliveries = FuturesUnordered::new();
        // What an earlier life has begun comes first.
        let begun: Vec<u64> = self.under_way().keys().copied().collect();
        for id in begun {
            deliveries.push(self.deliver(id, hurry.clone()));
        }
        loop {
            if deliveries.len() >= self.parameters.most_at_once() {
                deliveries.next().await;
                continue;
            }
            let abandoned = self.users.load(Ordering::Acquire) == 0;
            if abandoned && deliveries.is_empty() && self.waiting.len() == 0 {
                return;
            }
            let hurried = *hurry.borrow() || abandoned;
            let next = gathering.next(
                &self.parameters,
                self.waiting.len(),
                hurried,
                Instant::now(),
            );
            match next {
                Gather::Take(count) => {
                    if let Some(id) = self.take(count) {
                        deliveries.push(self.deliver(id, hurry.clone()));
                    }
                }
                Gather::Wait { entries, until } => {
                    tokio::select! {
                        () = self.wait(entries, until, &mut hurry) => {}
                        Some(()) = deliveries.next() => {}
                    }
                }
            }
        }
    }
}

impl<T: Send + Sync + 'static> AnyQueue for Shared<T> {
    fn id(&self) -> u64 {
        self.id
    }

    fn state(&self) -> QueueState {
        let under_way = self.under_way();
        let batches = under_way.values();
        let (under_way, failures) = batches.fold((0, 0), |(entries, failures), batch| {
            (
                entries + batch.entries.len() as u64,
                failures + u64::from(batch.attempts.failures()),
            )
        });
        QueueState {
            plugin: Arc::clone(&self.plugin),
            name: Arc::clone(&self.name),
            waiting: self.waiting.len() as u64,
            bytes: self.waiting.bytes(),
            under_way,
            failures,
            delivered: self.delivered.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    fn is_over(&self) -> bool {
        let unused = self.users.load(Ordering::Acquire) == 0;
        unused && self.waiting.len() == 0 && self.under_way().is_empty()
    }

    fn run(self: Arc<Self>, hurry: Hurry) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(self.deliver_all(hurry))
    }

    fn abandon(&self, reason: DropReason) -> u64 {
        let begun = std::mem::take(&mut *self.under_way());
        let begun: usize = begun.values().map(|batch| batch.entries.len()).sum();
        let waiting = std::iter::from_fn(|| self.waiting.pop()).count();
        let count = (begun + waiting) as u64;
        self.drop_entries(reason, count);
        count
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
