//! Who is connected, at which revision; fan-out of changes to the sessions.
//!
//! `presence` is what is known of one data plane and how the fleet's rows say it, `follow`
//! brings new revisions from the journal, `server` takes links and `doors` counts them, `identity`
//! says who a data plane is and `admission` which link speaks for it, `restored` notices that the
//! database has lost what data planes hold, `propagation` measures.

mod admission;
mod doors;
mod follow;
mod identity;
mod presence;
mod propagation;
mod restored;
mod server;

#[cfg(test)]
mod tests;

pub use doors::Doors;
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
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use uuid::Uuid;

/// How often this control plane says that it is alive, and looks for others that are not.
const PULSE: Duration = Duration::from_secs(10);
/// A control plane that was not seen for so long holds no data planes.
const CONTROL_PLANE_GONE: Duration = Duration::from_secs(60);
/// Seconds after which a data plane should come back when this control plane stops.
const RECONNECT_AFTER: u32 = 1;

/// What the registry works with. It outlives a restart of the actor.
#[derive(Clone)]
pub struct RegistryOptions {
    pub store: Store,
    pub feed: Arc<Feed>,
    pub identity: Identity,
    pub hostname: String,
    /// How long a data plane is listed after it was last seen.
    pub purge_delay: Duration,
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
    /// Rows that the database does not have yet.
    dirty: BTreeSet<SessionId>,
    /// Data planes whose row is to say that they are gone.
    gone: BTreeSet<Uuid>,
    writing: bool,
    /// Nothing has been written yet in this life.
    is_new: bool,
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
            dirty: BTreeSet::new(),
            gone: BTreeSet::new(),
            writing: false,
            is_new: true,
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
        self.dirty.insert(id);
        let Some(node) = entry.presence.joined() else {
            return;
        };
        let before = self.by_node.insert(node, id);
        self.gone.remove(&node);
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
        self.dirty.remove(&id);
        let node = entry.presence.joined();
        if let Some(node) = node.filter(|node| self.by_node.get(node) == Some(&id)) {
            self.by_node.remove(&node);
            propagation::forget(&self.options.metrics, node);
            self.gone.insert(node);
        }
    }

    /// Brings the database up to date: one write at a time, which takes all that has come
    /// together meanwhile.
    fn write_rows(&mut self, ctx: &mut Context<Self>) {
        let nothing = self.dirty.is_empty() && self.gone.is_empty() && !self.is_new;
        if self.writing || nothing {
            return;
        }
        self.writing = true;
        let rows: Vec<_> = std::mem::take(&mut self.dirty)
            .into_iter()
            .filter_map(|id| self.sessions.get(&id)?.presence.row(&self.options))
            .collect();
        let gone = std::mem::take(&mut self.gone);
        let (leaving, is_new) = (gone.clone(), self.is_new);
        let (store, own) = (
            self.options.store.clone(),
            self.options.identity.control_plane,
        );
        let writing = async move {
            // What an earlier life of this control plane held is gone with it.
            if is_new {
                store.disconnect_data_planes_of(own).await?;
            }
            for row in rows {
                store.upsert_data_plane(row).await?;
            }
            for node in leaving {
                store.disconnect_data_plane(node, own).await?;
            }
            Ok(())
        };
        let written = writing.into_actor(self);
        ctx.spawn(written.map(|result, registry, ctx| registry.written(result, gone, ctx)));
    }

    fn written(
        &mut self,
        result: Result<(), StoreError>,
        gone: BTreeSet<Uuid>,
        ctx: &mut Context<Self>,
    ) {
        self.writing = false;
        match result {
            Ok(()) => {
                self.is_new = false;
                self.write_rows(ctx);
            }
            Err(err) => {
                tracing::warn!(?err, "presence of data planes was not written");
                // The next pulse tries again; who has come back meanwhile is not gone.
                self.dirty.extend(self.sessions.keys());
                let back = |node: &Uuid| self.by_node.contains_key(node);
                self.gone
                    .extend(gone.into_iter().filter(|node| !back(node)));
            }
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
        let store = self.options.store.clone();
        let own = self.options.identity.control_plane;
        let hostname = self.options.hostname.clone();
        let alive = async move {
            store.touch_control_plane(own, &hostname).await?;
            store.expire_presence(CONTROL_PLANE_GONE).await
        };
        ctx.spawn(alive.into_actor(self).map(|result, _, _| {
            if let Err(err) = result {
                tracing::warn!(?err, "the fleet's presence could not be kept");
            }
        }));
        self.write_rows(ctx);
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
        self.write_rows(ctx);
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
        Box::pin(async move {
            // Sessions that are gone need not be told.
            let _ = futures_util::future::join_all(told).await;
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
            "writing": self.writing,
            "unwritten": self.dirty.len() + self.gone.len(),
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
