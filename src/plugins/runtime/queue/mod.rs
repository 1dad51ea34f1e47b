//! Queues: what plugins send to the outside without any request waiting for it.
//!
//! A request puts an entry into a [`Queue`] and goes on. The thread of the node's plugin host takes entries
//! out, in batches, and gives them to the plugin's [`Deliver`]; a batch that fails is tried again. What waits is
//! bounded: the oldest entries are dropped, and counted by plugin and reason.
//!
//! Instances of a plugin with the same settings share one queue, also across changes of the
//! configuration; instances that differ in any setting never do. (Kong names a queue after some of the
//! settings only, so that one instance may send with another's headers.)
//!
//! The parts: `parameters` are Kong's settings, `schedule` decides when (pure), `waiting` holds entries without
//! a lock, `delivery` moves them.

mod counters;
mod delivery;
mod parameters;
mod schedule;
mod waiting;

pub use counters::QueueCounters;
pub use parameters::{OldQueueNames, QueueParameters};

pub(super) use delivery::{Hurry, Shared};

use std::any::Any;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use waiting::Pushed;

/// Why entries were dropped, as the metric tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The queue was full, and newer entries came.
    Full,
    /// One entry was larger than the whole queue may be.
    TooLarge,
    /// Every attempt failed until `max_retry_time` was over.
    Undelivered,
    /// The node stopped before they were delivered.
    Shutdown,
}

impl DropReason {
    pub const ALL: [DropReason; 4] = [
        DropReason::Full,
        DropReason::TooLarge,
        DropReason::Undelivered,
        DropReason::Shutdown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            DropReason::Full => "full",
            DropReason::TooLarge => "too_large",
            DropReason::Undelivered => "undelivered",
            DropReason::Shutdown => "shutdown",
        }
    }
}

/// Why a delivery failed; the text goes to the log and must not contain secrets.
pub type DeliveryError = Cow<'static, str>;

/// An attempt to deliver. It runs on the thread of the plugin host and need not be `Send`.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Result<(), DeliveryError>> + 'a>>;

/// Sends batches to their destination.
pub trait Deliver<T>: Send + Sync + 'static {
    /// One attempt for one batch; it ends by itself in reasonable time. A batch comes again after a failure,
    /// and may come again after a panic of the plugin host.
    fn deliver<'a>(&'a self, batch: &'a [T]) -> Delivery<'a>;
}

/// The sending end of a queue. When the last one is gone, the queue delivers what it holds and ends.
pub struct Queue<T: Send + Sync + 'static>(Arc<Shared<T>>);

impl<T: Send + Sync + 'static> Queue<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Queue<T> {
        shared.acquire();
        Queue(shared)
    }

    /// Puts in an entry that counts as `size` bytes. Never waits, and takes no lock that anybody holds while it
    /// works: where the queue is full, the oldest entry goes.
    pub fn try_enqueue(&self, entry: T, size: usize) {
        match self.0.waiting.push(entry, size as u64) {
            Pushed::Kept { waiting, dropped } => self.0.pushed(waiting, dropped),
            Pushed::TooLarge => self.0.drop_entries(DropReason::TooLarge, 1),
        }
    }
}

impl<T: Send + Sync + 'static> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue::new(Arc::clone(&self.0))
    }
}

impl<T: Send + Sync + 'static> Drop for Queue<T> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl<T: Send + Sync + 'static> std::fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = AnyQueue::state(&*self.0);
        f.debug_tuple("Queue").field(&state).finish()
    }
}

/// What a queue holds, as `/debug/actors` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueState {
    pub plugin: Arc<str>,
    pub name: Arc<str>,
    /// Entries that wait.
    pub waiting: u64,
    pub bytes: u64,
    /// Entries that are being delivered.
    pub under_way: u64,
    /// Failed attempts for what is being delivered.
    pub failures: u64,
    pub delivered: u64,
    pub dropped: u64,
}

/// A queue of any type, as the host knows it.
pub(super) trait AnyQueue: Send + Sync + 'static {
    /// Unique among the queues of the process.
    fn id(&self) -> u64;
    fn state(&self) -> QueueState;
    /// Nobody can put in anything, and nothing is left.
    fn is_over(&self) -> bool;
    /// Delivers until the queue is over.
    fn run(self: Arc<Self>, hurry: Hurry) -> Pin<Box<dyn Future<Output = ()>>>;
    /// Drops everything for this reason, and says how many entries that were.
    fn abandon(&self, reason: DropReason) -> u64;
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}
