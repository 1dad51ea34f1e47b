//! Who is connected, at which revision; fan-out of changes to the sessions.
//!
//! `presence` is what is known of one data plane and how the fleet's rows say it, `rows` writes
//! those, `fleet` is what is known of all, also of other control planes, `follow`
//! brings new revisions from the journal, `server` takes links and `doors` counts them, `identity`
//! says who a data plane is and `admission` which link speaks for it, `restored` notices that the
//! database has lost what data planes hold, `propagation` measures.

mod admission;
mod doors;
mod fleet;
mod follow;
mod identity;
mod presence;
mod propagation;
mod restored;
mod rows;
mod server;

#[cfg(test)]
mod tests;

pub use doors::Doors;
pub use fleet::{Fleet, Key, Sight, Standing, Withheld};
pub use follow::history;
pub use identity::{Identities, Vouched};
pub use server::{ClusterListeners, LinkAcceptor, TelemetryAcceptor};

use super::config_store::{Store, StoreError};
use super::session::{
    ConfigAdvanced, Feed, Identity, Report, Session, SessionEvent, SessionId, SessionNews,
    StopSession, Supersede, SyncStatus,
};
use crate::actor::{Guarded, Observe};
use crate::telemetry::metrics::Metrics;
use crate::wire::{RefusalCode, WINDOW};
use actix::prelude::*;
use admission::Waiting;
use presence::Presence;
use propagation::Propagation;
use rows::Rows;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use uuid::Uuid;

/// How often this control plane says that it is alive, and looks for others that are not.
const PULSE: Duration = Duration::from_secs(10);
/// Seconds after which a data plane should come back when this control plane stops.
const RECONNECT_AFTER: u32 = 1;

/// What the registry works with. It outlives a restart of the actor.
#[derive(Clone)]
pub struct RegistryOptions {
    pub store: Store,
    pub feed: Arc<Feed>,
    pub identity: Identity,
    pub hostname: String,
    pub fleet: Arc<Fleet>,
    pub metrics: Arc<Metrics>,
    /// Whether a restored database begins another history by itself (`cluster_restore`).
    pub restores_itself: bool,
    pub identities: Arc<Identities>,
    pub doors: Arc<Doors>,
}

/// Owns what is known of the data planes that this control plane serves.
pub struct ClusterRegistry {
    options: RegistryOptions,
    sessions: BTreeMap<SessionId, Entry>,
    by_node: BTreeMap<Uuid, SessionId>,
    /// Links that wait for a sign of life of an earlier one of the same node.
    waiting: BTreeMap<Uuid, Waiting>,
    rows: Rows,
    /// Wakes who follows the database.
    look: Arc<Notify>,
    /// When this control plane last began another history.
    raised: Option<Instant>,
}

struct Entry {
    session: Addr<Session>,
    vouched: Vouched,
    /// Whether its peer has proved who it is.
    proved: bool,
    presence: Presence,
    /// Once its hello was accepted.
    propagation: Option<Propagation>,
}

/// A session that has just begun. Overflow: the sender waits for room.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionStarted {
    pub id: SessionId,
    pub session: Addr<Session>,
    pub ip: IpAddr,
    /// Epoch seconds at which the peer's certificate expires.
    pub certificate_expiry: Option<i64>,
    /// Who vouches for the id that the peer will name.
    pub vouched: Vouched,
}

/// The feed has grown. Overflow: may be dropped, a later one says the same.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct FeedAdvanced;

/// Asks how many sessions are in each state: every state with its name. Overflow: the sender
/// waits for room.
#[derive(Clone, Copy, Message)]
#[rtype(result = "Vec<(&'static str, u64)>")]
pub struct CountSessions;

/// The control plane stops: every data plane is told when to come back.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopSessions;

impl ClusterRegistry {
    pub fn new(options: RegistryOptions) -> ClusterRegistry {
        ClusterRegistry {
            options,
            sessions: BTreeMap::new(),
            by_node: BTreeMap::new(),
            waiting: BTreeMap::new(),
            rows: Rows::default(),
            look: Arc::default(),
            raised: None,
        }
    }

    fn report(&mut self, id: SessionId, news: &Report, ctx: &mut Context<Self>) {
        match news {
            Report::Greeted(hello) => return self.greeted(id, hello, ctx),
            Report::Alive => return self.alive(id),
            _ => {}
        }
        let Some(entry) = self.sessions.get_mut(&id) else {
            return;
        };
        match (news, &mut entry.propagation) {
            (Report::Joined(hello), measured) => {
                let metrics = &self.options.metrics;
                *measured = Some(Propagation::new(
                    metrics,
                    hello.node_id,
                    hello.held.revision,
                ));
            }
            (Report::Applied(applied), Some(measured)) => {
                measured.acknowledge(applied.position.revision, &self.options.store);
            }
            _ => {}
        }
        let tells = entry.presence.learn(news);
        match news {
            Report::Status(SyncStatus::Ahead) => {
                let held = entry.presence.held();
                self.look_for_restore(id, held, ctx);
            }
            Report::Refused { hello, refused } if refused.code == RefusalCode::OlderHistory => {
                self.look_for_restore(id, hello.held, ctx);
            }
            _ => {}
        }
        let Some(entry) = self.sessions.get(&id).filter(|_| tells) else {
            return;
        };
        self.rows.dirty.insert(id);
        let Some(node) = entry.presence.joined() else {
            return;
        };
        // A superseded session does not speak for the node any more.
        let speaks = self.by_node.get(&node).is_none_or(|speaks| *speaks == id);
        if !speaks && !matches!(news, Report::Joined(_)) {
            self.rows.dirty.remove(&id);
            return;
        }
        self.options.fleet.learn(node, &entry.presence);
        let before = self.by_node.insert(node, id);
        self.rows.left.remove(&node);
        if let Some(older) = before.filter(|older| *older != id)
            && let Some(entry) = self.sessions.get(&older)
        {
            // A session whose mailbox is full ends by its own deadline.
            let _ = entry.session.try_send(Supersede);
        }
    }

    fn closed(&mut self, id: SessionId, ctx: &mut Context<Self>) {
        let Some(entry) = self.sessions.remove(&id) else {
            return;
        };
        self.let_go(id, ctx);
        let was_dirty = self.rows.dirty.remove(&id);
        let node = entry.presence.joined();
        if let Some(node) = node.filter(|node| self.by_node.get(node) == Some(&id)) {
            self.by_node.remove(&node);
            propagation::forget(&self.options.metrics, node);
            self.options.fleet.leave(node);
            self.leaves(&entry.presence);
        } else if node.is_none() && was_dirty {
            // It was refused, and its row says so.
            self.leaves(&entry.presence);
        }
    }

    /// Forgets sessions that ended without a word: they panicked.
    fn forget_the_dead(&mut self, ctx: &mut Context<Self>) {
        let dead = self.sessions.iter();
        let dead = dead.filter(|(_, entry)| !entry.session.connected());
        let dead: Vec<SessionId> = dead.map(|(id, _)| *id).collect();
        for id in dead {
            tracing::warn!(session = id.0, "a session has ended without a word");
            self.closed(id, ctx);
        }
    }

    fn pulse(&mut self, ctx: &mut Context<Self>) {
        self.forget_the_dead(ctx);
        self.options.fleet.pulse();
        self.rows.pulse = true;
        self.write_soon(ctx);
        if self.options.restores_itself {
            let ahead = self
                .sessions
                .iter()
                .find(|(_, entry)| entry.presence.status() == SyncStatus::Ahead && entry.proved);
            if let Some((id, entry)) = ahead {
                let (id, held) = (*id, entry.presence.held());
                self.look_for_restore(id, held, ctx);
            }
        }
    }

    fn fan_out(&self) {
        for entry in self.sessions.values() {
            // A session that is busy catches up with its next message.
            let _ = entry.session.try_send(ConfigAdvanced);
        }
    }
}

impl Actor for ClusterRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.options.fleet.another_life();
        self.pulse(ctx);
        ctx.run_interval(PULSE, |registry, ctx| registry.pulse(ctx));
        let (store, feed) = (self.options.store.clone(), Arc::clone(&self.options.feed));
        let registry = ctx.address();
        let look = Arc::clone(&self.look);
        ctx.spawn(follow::follow(store, feed, registry, look).into_actor(self));
    }
}

impl Guarded for ClusterRegistry {
    const MAILBOX: usize = 1024;
}

impl Handler<SessionStarted> for ClusterRegistry {
    type Result = ();

    fn handle(&mut self, started: SessionStarted, _: &mut Self::Context) {
        let presence = Presence::new(started.ip, started.certificate_expiry);
        let entry = Entry {
            session: started.session,
            vouched: started.vouched,
            proved: false,
            presence,
            propagation: None,
        };
        self.sessions.insert(started.id, entry);
    }
}

impl Handler<SessionEvent> for ClusterRegistry {
    type Result = ();

    fn handle(&mut self, message: SessionEvent, ctx: &mut Self::Context) {
        match message.event {
            SessionNews::Report(report) => self.report(message.session, &report, ctx),
            SessionNews::Closed(reason) => {
                tracing::debug!(session = message.session.0, %reason, "session closed");
                self.closed(message.session, ctx);
            }
        }
        self.write_soon(ctx);
    }
}

impl Handler<FeedAdvanced> for ClusterRegistry {
    type Result = ();

    fn handle(&mut self, _: FeedAdvanced, _: &mut Self::Context) {
        self.fan_out();
    }
}

impl Handler<CountSessions> for ClusterRegistry {
    type Result = MessageResult<CountSessions>;

    fn handle(&mut self, _: CountSessions, _: &mut Self::Context) -> Self::Result {
        let in_state = |state| {
            let sessions = self.sessions.values();
            sessions
                .filter(|entry| entry.presence.status() == state)
                .count() as u64
        };
        MessageResult(
            SyncStatus::ALL
                .map(|state| (state.as_str(), in_state(state)))
                .to_vec(),
        )
    }
}

impl Handler<StopSessions> for ClusterRegistry {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopSessions, _: &mut Self::Context) -> Self::Result {
        let stop = StopSession {
            reconnect_after: Some(RECONNECT_AFTER),
        };
        let told: Vec<_> = self
            .sessions
            .values()
            .map(|entry| entry.session.send(stop))
            .collect();
        let last = self.last_batch();
        let store = self.options.store.clone();
        Box::pin(async move {
            // Sessions that are gone need not be told.
            let _ = futures_util::future::join_all(told).await;
            rows::write_last(&store, &last).await;
        })
    }
}

impl Handler<Observe> for ClusterRegistry {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let sessions: Vec<_> = self
            .sessions
            .values()
            .map(|entry| entry.presence.about())
            .collect();
        MessageResult(json!({
            "position": self.options.feed.position().to_string(),
            "frames_encoded": self.options.feed.encoded(),
            "window": WINDOW,
            "writing": self.rows.is_busy(),
            "unwritten": self.rows.unwritten(),
            "batches": self.rows.batches,
            "looks_at_others": self.options.fleet.looks(),
            "Session": sessions,
        }))
    }
}

/// Kills all sessions, as a bug in them would.
#[cfg(test)]
#[derive(Clone, Copy, Message)]
#[rtype(result = "usize")]
pub struct KillSessions;

#[cfg(test)]
impl Handler<KillSessions> for ClusterRegistry {
    type Result = usize;

    fn handle(&mut self, _: KillSessions, _: &mut Self::Context) -> Self::Result {
        for entry in self.sessions.values() {
            // A dead one is dead.
            let _ = entry.session.try_send(super::session::Die);
        }
        self.sessions.len()
    }
}
