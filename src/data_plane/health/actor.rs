//! The HealthChecker actor: resolves the names of targets and probes their addresses.
//!
//! It follows the snapshot that the workers serve from, and runs on an arbiter of its own.
//! Nobody waits for it: without it, addresses and health stay as they are.

use super::names::TargetNames;
use super::options::{HealthOptions, Seen};
use super::prober::Prober;
use crate::actor::{Guarded, Observe};
use crate::data_plane::dns::Answer;
use crate::data_plane::router::{CompiledUpstream, Snapshot};
use actix::fut::wrap_future;
use actix::prelude::*;
use serde_json::json;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// Resolves and probes.
pub struct HealthChecker {
    options: HealthOptions,
    seen: Rc<Seen>,
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
            upstreams: HashMap::new(),
            probes: JoinSet::new(),
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
    lookups: JoinSet<(Arc<str>, Answer)>,
    upstreams: HashMap<Uuid, Followed>,
    /// One for each address that is probed.
    probes: JoinSet<()>,
    /// The snapshot whose upstreams are followed.
    served: Arc<Snapshot>,
}

/// An upstream as it is served.
struct Followed {
    upstream: Arc<CompiledUpstream>,
    prober: Option<Prober>,
}

impl Work {
    async fn run(mut self) {
        let mut published = self.options.published.subscribe();
        self.follow();
        loop {
            let now = Instant::now();
            for name in self.names.take_due(now) {
                let dns = self.options.dns.clone();
                self.lookups.spawn(async move {
                    let answer = dns.resolve(&name).await;
                    (name, answer)
                });
            }
            let due = self.names.next_due();
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
                    Err(error) => panicked(error),
                },
                // Probes end when they are aborted: only a panic is news.
                Some(Err(error)) = self.probes.join_next() => panicked(error),
                () = due => {}
            }
        }
    }

    /// Follows what is served now: names, and which addresses are probed.
    fn follow(&mut self) {
        let snapshot = self.options.snapshots.load_full();
        if snapshot.has_upstreams_of(&self.served) {
            return;
        }
        let mut before = std::mem::take(&mut self.upstreams);
        snapshot.for_each_upstream(|upstream| {
            let id = upstream.spec.id;
            let former = before.remove(&id);
            let followed = match former {
                Some(former) if Arc::ptr_eq(&former.upstream, upstream) => former,
                former => self.take_over(former, upstream),
            };
            self.upstreams.insert(id, followed);
        });
        for (id, gone) in before {
            let had = gone.upstream.names();
            self.names.follow(had, [], id, Instant::now());
        }
        self.served = snapshot;
        self.count();
    }

    /// An upstream is new, or another than before.
    fn take_over(
        &mut self,
        former: Option<Followed>,
        upstream: &Arc<CompiledUpstream>,
    ) -> Followed {
        let (former, prober) = match former {
            Some(former) => (Some(former.upstream), former.prober),
            None => (None, None),
        };
        let had = former.iter().flat_map(|former| former.names());
        let (has, id) = (upstream.names(), upstream.spec.id);
        self.names.follow(had, has, id, Instant::now());
        upstream.resolve(|name| self.names.known(name));
        Followed {
            prober: self.probe(prober, upstream),
            upstream: Arc::clone(upstream),
        }
    }

    fn probe(&mut self, previous: Option<Prober>, upstream: &CompiledUpstream) -> Option<Prober> {
        let (options, seen, spec) = (&self.options, &self.seen, &upstream.spec);
        let pool = upstream.pool();
        Prober::follow(
            previous,
            options,
            seen,
            spec,
            pool.peers(),
            &mut self.probes,
        )
    }

    fn answered(&mut self, name: &Arc<str>, answer: Answer) {
        for id in self.names.answer(name, answer) {
            let Some(mut followed) = self.upstreams.remove(&id) else {
                continue;
            };
            followed.upstream.resolve(|name| self.names.known(name));
            // Its addresses are other ones.
            followed.prober = self.probe(followed.prober, &followed.upstream);
            self.upstreams.insert(id, followed);
        }
        self.options.progress.notify_waiters();
    }

    fn count(&self) {
        let followed = self.upstreams.values();
        let probed = followed.filter(|followed| followed.prober.is_some());
        self.seen.upstreams.set(probed.count());
        self.seen.names.set(self.names.len());
    }
}

/// What has panicked was one of many, and nobody would start it again: the actor panics with it
/// and is restarted as a whole.
fn panicked(error: JoinError) {
    if let Ok(reason) = error.try_into_panic() {
        std::panic::resume_unwind(reason);
    }
}
