//! The probes of one upstream: a task for each of its addresses, so that one that does not answer
//! holds up no other.

use super::log::{Source, note};
use super::options::{HealthOptions, Seen};
use super::probe::Probe;
use super::schedule::Turn;
use crate::data_plane::balancer::{ActiveChecks, Health, Peer};
use crate::data_plane::router::UpstreamSpec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

/// Probes the addresses of one upstream until it is dropped.
pub struct Prober {
    common: Rc<Common>,
    tasks: HashMap<Key, Task>,
}

/// Which address, as [`Peer::is`] knows it. The task keeps it alive.
type Key = *const Health;

/// What the tasks of an upstream share.
struct Common {
    options: HealthOptions,
    seen: Rc<Seen>,
    spec: Arc<UpstreamSpec>,
    /// As many permits as probes may run at a time.
    room: Semaphore,
}

struct Task {
    abort: AbortHandle,
    turn: Rc<RefCell<Turn>>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

impl Prober {
    /// Probes these addresses as the upstream asks for; `None` when it does not. What `previous`
    /// has begun goes on unless the upstream was changed; then its addresses only keep their turn.
    pub fn follow(
        previous: Option<Prober>,
        options: &HealthOptions,
        seen: &Rc<Seen>,
        spec: &Arc<UpstreamSpec>,
        peers: &[Arc<Peer>],
        tasks: &mut JoinSet<()>,
    ) -> Option<Prober> {
        let checks = spec.checks.active.as_ref()?;
        let (common, mut before) = match previous {
            Some(previous) => (Some(previous.common), previous.tasks),
            None => (None, HashMap::new()),
        };
        let same = common.filter(|common| Arc::ptr_eq(&common.spec, spec));
        let goes_on = same.is_some();
        let common = same.unwrap_or_else(|| {
            Rc::new(Common {
                options: options.clone(),
                seen: Rc::clone(seen),
                spec: Arc::clone(spec),
                room: Semaphore::new(checks.concurrency.min(Semaphore::MAX_PERMITS)),
            })
        });
        let mut next = HashMap::new();
        for peer in peers.iter().filter(|peer| peer.ip.is_some()) {
            let key = Arc::as_ptr(&peer.health);
            let task = match before.remove(&key) {
                Some(task) if goes_on => task,
                stale => {
                    let turn = stale.map(|task| Rc::clone(&task.turn));
                    let turn =
                        turn.unwrap_or_else(|| Rc::new(RefCell::new(Turn::new(&peer.health))));
                    let work = Rc::clone(&common).run(Arc::clone(peer), Rc::clone(&turn));
                    Task {
                        abort: tasks.spawn_local(work),
                        turn,
                    }
                }
            };
            next.insert(key, task);
        }
        Some(Prober {
            common,
            tasks: next,
        })
    }
}

impl Common {
    /// Probes an address whenever it is due.
    async fn run(self: Rc<Common>, peer: Arc<Peer>, turn: Rc<RefCell<Turn>>) {
        let Some(checks) = &self.spec.checks.active else {
            return;
        };
        let pause = || {
            let mut turn = turn.borrow_mut();
            turn.pause(&peer.health, checks, Instant::now())
        };
        loop {
            sleep(pause()).await;
            if !pause().is_zero() {
                continue;
            }
            let Ok(_permit) = self.room.acquire().await else {
                return;
            };
            // It may have been set by hand while it waited.
            if pause().is_zero() {
                turn.borrow_mut().begin(Instant::now());
                // Boxed: most addresses wait most of the time, which takes little memory.
                Box::pin(self.probe(checks, &peer)).await;
            }
        }
    }

    async fn probe(&self, checks: &ActiveChecks, peer: &Peer) {
        let (options, spec) = (&self.options, &self.spec);
        let snapshot = options.snapshots.load_full();
        let Some(probe) = Probe::new(spec, checks, peer, &snapshot, &options.credentials) else {
            return;
        };
        drop(snapshot);
        let health = &peer.health;
        let setting = health.setting();
        let answer = probe.run().await;
        self.seen.probes.set(self.seen.probes.get() + 1);
        // What was set by hand meanwhile is newer than the answer.
        let seen = answer.judge(checks).filter(|_| health.setting() == setting);
        if let Some(seen) = seen {
            note(
                &spec.name,
                peer,
                health.observe(seen, &checks.limits),
                Source::Active,
            );
        }
        health.mark_probed();
        options.progress.notify_waiters();
    }
}
