//! What plugins have on the node beside requests: queues, which outlive the actor that runs them.
//!
//! [`Host`] is the part that plugins and the actor share; the actor itself belongs to the data plane.

use super::queue::{
    AnyQueue, Deliver, DropReason, Queue, QueueCounters, QueueParameters, QueueState, Shared,
};
use crate::telemetry::metrics::Metrics;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};

/// The queues of a node. Clones share everything.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    queues: Mutex<HashMap<Key, Arc<dyn AnyQueue>>>,
    /// There is a new queue.
    changed: Notify,
    /// A batch was delivered or given up.
    settled: Arc<Notify>,
    /// The node is about to end: nothing waits for company any more.
    hurry: watch::Sender<bool>,
    metrics: Option<Arc<Metrics>>,
    /// Plugins whose metrics are there from the start.
    exported: Mutex<Vec<Arc<str>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    entries: TypeId,
    plugin: Arc<str>,
    name: Arc<str>,
}

impl Default for Host {
    fn default() -> Host {
        Host::new(None)
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Host").field(&self.queues()).finish()
    }
}

/// The name of a queue: equal for equal settings, and nobody can read the settings out of it.
pub fn queue_name(settings: &impl Serialize) -> Arc<str> {
    // What cannot be written as JSON shares a queue with nobody that can.
    let text = serde_json::to_vec(settings).unwrap_or_default();
    let digest = Sha256::digest(&text);
    let hex = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
    hex.collect::<String>().into()
}

impl Host {
    pub fn new(metrics: Option<Arc<Metrics>>) -> Host {
        Host(Arc::new(Inner {
            queues: Mutex::default(),
            changed: Notify::new(),
            settled: Arc::default(),
            hurry: watch::channel(false).0,
            metrics,
            exported: Mutex::default(),
        }))
    }

    /// Exports the metrics of the queues of these plugins from the start.
    pub fn export<'a>(&self, plugins: impl Iterator<Item = &'a str>) {
        let mut exported = self
            .0
            .exported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for plugin in plugins {
            QueueCounters::of(self.0.metrics.as_deref(), plugin);
            exported.push(plugin.into());
        }
    }

    /// How many entries there are, by plugin.
    pub fn entries(&self) -> Vec<(Arc<str>, u64)> {
        let exported = self
            .0
            .exported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut sums: BTreeMap<Arc<str>, u64> =
            exported.iter().map(|name| (name.clone(), 0)).collect();
        drop(exported);
        for queue in self.queues() {
            *sums.entry(queue.plugin).or_default() += queue.waiting + queue.under_way;
        }
        sums.into_iter().collect()
    }

    /// The queue of this name among those of a plugin; made if there is none. Ask while a plugin is built.
    /// Whoever asks with the same name must mean the same parameters and the same delivery:
    /// see [`queue_name`].
    pub fn queue<T: Send + Sync + 'static>(
        &self,
        plugin: &str,
        name: Arc<str>,
        parameters: &QueueParameters,
        deliver: impl Deliver<T>,
    ) -> Queue<T> {
        let key = Key {
            entries: TypeId::of::<T>(),
            plugin: plugin.into(),
            name,
        };
        let mut queues = self.lock();
        let known = queues.get(&key).cloned().map(AnyQueue::as_any);
        if let Some(Ok(shared)) = known.map(|known| known.downcast::<Shared<T>>()) {
            return Queue::new(shared);
        }
        let shared = Arc::new(Shared::new(
            (Arc::clone(&key.plugin), Arc::clone(&key.name)),
            parameters.clone(),
            Box::new(deliver),
            QueueCounters::of(self.0.metrics.as_deref(), plugin),
            Arc::clone(&self.0.settled),
        ));
        // A queue that nobody uses yet would be over: it is used before it can be seen.
        let queue = Queue::new(Arc::clone(&shared));
        queues.insert(key, shared);
        drop(queues);
        self.0.changed.notify_one();
        queue
    }

    /// Delivers what is put into any queue, until it is dropped. A panic in it loses nothing: the next
    /// run goes on.
    pub async fn run(self) {
        let mut running: HashMap<u64, Key> = HashMap::new();
        let mut tasks: JoinSet<u64> = JoinSet::new();
        loop {
            let new: Vec<_> = {
                let queues = self.lock();
                let new = queues
                    .iter()
                    .filter(|(_, queue)| !running.contains_key(&queue.id()));
                new.map(|(key, queue)| (key.clone(), Arc::clone(queue)))
                    .collect()
            };
            for (key, queue) in new {
                let (id, hurry) = (queue.id(), self.0.hurry.subscribe());
                running.insert(id, key);
                tasks.spawn_local(async move {
                    queue.run(hurry).await;
                    id
                });
            }
            tokio::select! {
                () = self.0.changed.notified() => {}
                Some(ended) = tasks.join_next() => match ended {
                    Ok(id) => {
                        if let Some(key) = running.remove(&id) {
                            self.forget_if_over(&key, id);
                        }
                    }
                    Err(error) => panicked(error),
                },
            }
        }
    }

    /// Forgets a queue, unless somebody has begun to use it again: then it is run again.
    fn forget_if_over(&self, key: &Key, id: u64) {
        let mut queues = self.lock();
        let over = queues
            .get(key)
            .is_some_and(|queue| queue.id() == id && queue.is_over());
        if over {
            queues.remove(key);
        }
    }

    /// Delivers what is there without waiting for more, for so long. What could not be delivered by then is
    /// dropped, counted and logged; the answer says how many entries those were, by plugin.
    pub async fn flush(&self, within: Duration) -> BTreeMap<Arc<str>, u64> {
        self.0.hurry.send_replace(true);
        let all = async {
            while self
                .queues()
                .iter()
                .any(|queue| queue.waiting + queue.under_way > 0)
            {
                self.0.settled.notified().await;
            }
        };
        let _ = tokio::time::timeout(within, all).await;
        self.abandon()
    }

    /// Drops everything that is left.
    pub fn abandon(&self) -> BTreeMap<Arc<str>, u64> {
        let mut lost: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (key, queue) in self.lock().iter() {
            let count = queue.abandon(DropReason::Shutdown);
            if count > 0 {
                *lost.entry(Arc::clone(&key.plugin)).or_default() += count;
            }
        }
        for (plugin, entries) in &lost {
            tracing::error!(
                plugin = &**plugin,
                entries,
                "entries were lost: the node ends"
            );
        }
        lost
    }

    /// All queues, sorted by plugin and name.
    pub fn queues(&self) -> Vec<QueueState> {
        let mut found: Vec<_> = self.lock().values().map(|queue| queue.state()).collect();
        found.sort_by(|a, b| (&a.plugin, &a.name).cmp(&(&b.plugin, &b.name)));
        found
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<dyn AnyQueue>>> {
        // No code that can panic runs under this lock.
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue's own task does not panic: its plugin is isolated. If it does, the actor panics with it and is
/// started again as a whole.
fn panicked(error: JoinError) {
    if let Ok(reason) = error.try_into_panic() {
        std::panic::resume_unwind(reason);
    }
}
