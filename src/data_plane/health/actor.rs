//! The HealthChecker actor: resolves the names of targets and probes their addresses.
//!
//! It follows the snapshot that the workers serve from, and runs on an arbiter of its own.
//! Nobody waits for it: without it, addresses and health stay as they are.

use super::names::TargetNames;
use super::probe::{Credentials, Probe};
use super::schedule::Schedule;
use super::{Source, note};
use crate::actor::{Guarded, Observe};
use crate::data_plane::balancer::{ActiveChecks, Peer};
use crate::data_plane::router::{CompiledUpstream, Published, Snapshot, SnapshotCell};
use crate::data_plane::upstream::lookup;
use actix::fut::wrap_future;
use actix::prelude::*;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// What a checker works with; the same for every life of the actor.
#[derive(Clone)]
pub struct HealthOptions {
    pub snapshots: SnapshotCell,
    pub published: Published,
    pub progress: Progress,
    pub credentials: Credentials,
}

/// Wakes those who wait for an answer of a name or a probe.
pub type Progress = Arc<Notify>;

/// Resolves and probes.
pub struct HealthChecker {
    options: HealthOptions,
    seen: Rc<Seen>,
}

/// Counts for people.
#[derive(Default)]
struct Seen {
    upstreams: Cell<usize>,
    names: Cell<usize>,
    probes: Cell<u64>,
}

impl HealthChecker {
    pub fn new(options: HealthOptions) -> HealthChecker {
        HealthChecker {
            options,
            seen: Rc::default(),
        }
    }
}

impl Actor for HealthChecker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let work = Work {
            options: self.options.clone(),
            seen: Rc::clone(&self.seen),
            names: TargetNames::default(),
            lookups: JoinSet::new(),
            probing: HashMap::new(),
            probers: JoinSet::new(),
            served: Arc::default(),
        };
        context.spawn(wrap_future(work.run()));
    }
}

impl Guarded for HealthChecker {
    const MAILBOX: usize = 16;
}

impl Handler<Observe> for HealthChecker {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        MessageResult(json!({
            "upstreams_probed": self.seen.upstreams.get(),
            "names": self.seen.names.get(),
            "probes": self.seen.probes.get(),
        }))
    }
}

/// The work of one life; dropping it ends everything it has started.
struct Work {
    options: HealthOptions,
    seen: Rc<Seen>,
    names: TargetNames,
    lookups: JoinSet<(Arc<str>, std::io::Result<Vec<std::net::IpAddr>>)>,
    probing: HashMap<Uuid, Probing>,
    probers: JoinSet<()>,
    /// The snapshot whose upstreams are followed.
    served: Arc<Snapshot>,
}

/// An upstream that is probed.
struct Probing {
    upstream: watch::Sender<Arc<CompiledUpstream>>,
    task: AbortHandle,
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Work {
    async fn run(mut self) {
        let mut published = self.options.published.subscribe();
        self.follow();
        loop {
            let now = Instant::now();
            for name in self.names.take_due(now) {
                self.lookups.spawn(async move {
                    let answer = lookup(&name).await;
                    (name, answer)
                });
            }
            let due = self.names.next_due(now);
            let due = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = published.changed() => match changed {
                    Ok(()) => self.follow(),
                    // The node is ending.
                    Err(_) => return,
                },
                Some(done) = self.lookups.join_next() => match done {
                    Ok((name, answer)) => self.answered(&name, answer),
                    Err(error) => tracing::error!(%error, "a lookup broke off"),
                },
                // Tasks of probers end when they are aborted: only a panic is news.
                Some(Err(error)) = self.probers.join_next() => {
                    if error.is_panic() {
                        tracing::error!(%error, "a prober broke off");
                    }
                }
                () = due => {}
            }
        }
    }

    /// Follows what is served now: names, and which upstreams are probed.
    fn follow(&mut self) {
        let snapshot = self.options.snapshots.load_full();
        if snapshot.has_upstreams_of(&self.served) {
            return;
        }
        let mut upstreams = Vec::new();
        snapshot.for_each_upstream(|upstream| upstreams.push(Arc::clone(upstream)));
        let used = upstreams.iter().flat_map(|upstream| {
            let names = upstream.names();
            names.map(|name| (name, &upstream.spec.name))
        });
        self.names.follow(used);
        let mut before = std::mem::take(&mut self.probing);
        for upstream in upstreams {
            upstream.resolve(|name| self.names.known(name));
            if upstream.spec.checks.active.is_none() {
                continue;
            }
            let id = upstream.spec.id;
            let probing = match before.remove(&id) {
                Some(probing) => {
                    probing.upstream.send_replace(upstream);
                    probing
                }
                None => self.probe(upstream),
            };
            self.probing.insert(id, probing);
        }
        self.served = snapshot;
        self.seen.upstreams.set(self.probing.len());
        self.seen.names.set(self.names.len());
    }

    fn answered(&mut self, name: &str, answer: std::io::Result<Vec<std::net::IpAddr>>) {
        for upstream in self.names.answer(name, answer, Instant::now()) {
            let Some(upstream) = self.served.upstream(&upstream) else {
                continue;
            };
            upstream.resolve(|name| self.names.known(name));
            if let Some(probing) = self.probing.get(&upstream.spec.id) {
                // Its addresses are other ones.
                probing.upstream.send_modify(|_| {});
            }
        }
        self.options.progress.notify_waiters();
    }

    fn probe(&mut self, upstream: Arc<CompiledUpstream>) -> Probing {
        let (sender, receiver) = watch::channel(upstream);
        let prober = Prober {
            options: self.options.clone(),
            seen: Rc::clone(&self.seen),
            upstream: receiver,
            schedule: RefCell::default(),
        };
        Probing {
            upstream: sender,
            task: self.probers.spawn_local(prober.run()),
        }
    }
}

/// Probes one upstream for as long as it is there.
struct Prober {
    options: HealthOptions,
    seen: Rc<Seen>,
    upstream: watch::Receiver<Arc<CompiledUpstream>>,
    schedule: RefCell<Schedule>,
}

impl Prober {
    async fn run(mut self) {
        loop {
            let upstream = Arc::clone(&self.upstream.borrow_and_update());
            let Some(checks) = &upstream.spec.checks.active else {
                return;
            };
            let pause = self.round(&upstream, checks).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = self.upstream.changed() => if changed.is_err() {
                    return;
                }
            }
        }
    }

    /// Probes what is due and says how long nothing more is.
    async fn round(&self, upstream: &CompiledUpstream, checks: &ActiveChecks) -> Duration {
        let due = {
            let mut schedule = self.schedule.borrow_mut();
            schedule.follow(upstream.pool().peers());
            schedule.take_due(checks, Instant::now())
        };
        stream::iter(due)
            .for_each_concurrent(checks.concurrency, |peer| async move {
                self.probe(upstream, checks, &peer).await;
            })
            .await;
        self.schedule.borrow().pause(checks, Instant::now())
    }

    async fn probe(&self, upstream: &CompiledUpstream, checks: &ActiveChecks, peer: &Peer) {
        let (options, spec) = (&self.options, &upstream.spec);
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
