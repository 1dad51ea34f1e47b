//! The Router actor: the only one that changes what is in effect.
//!
//! It compiles on an arbiter of its own and swaps the snapshot that the workers read. Its one
//! client is the HeartbeatClient, which has at most one change under way, so its mailbox
//! cannot overflow.

use super::documents::target_documents;
use super::{LastGood, Options, PluginFactory, Quarantined, RouterState, Snapshot};
use crate::actor::{Guarded, Observe, Slot};
use crate::data_plane::cache_writer::{Cached, LastGood as CachedLastGood};
use crate::data_plane::heartbeat_client::{ApplyConfig, InEffect, LiveConfig};
use crate::model::{Cause, Config, Revision};
use crate::telemetry::status::TargetDocuments;
use crate::wire::{self, ChangeMessage, Limits, Position, SnapshotParts};
use actix::prelude::*;
use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::future::LocalBoxFuture;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What is in effect now: swapped by the Router, read by every worker.
pub type SnapshotCell = Arc<ArcSwap<Snapshot>>;

/// What is in effect now, in words: for a client that had to be restarted, and for people.
pub type EffectCell = Arc<ArcSwapOption<InEffect>>;

/// Which revision is in effect, for those who wait for one. Sent after the snapshot is swapped.
pub type Published = Arc<watch::Sender<Revision>>;

/// What the Router builds with.
#[derive(Clone)]
pub struct RouterOptions {
    pub published: Published,
    pub factory: Arc<dyn PluginFactory>,
    pub order: Options,
    pub limits: Limits,
}

/// Puts a change in effect. The error says why nothing of it is.
#[derive(Message)]
#[rtype(result = "Result<InEffect, String>")]
pub struct ApplyChange(pub Arc<ChangeMessage>);

/// Puts a whole configuration in effect. The error says why nothing of it is.
#[derive(Message)]
#[rtype(result = "Result<InEffect, String>")]
pub struct ApplySnapshot(pub SnapshotParts);

/// The whole configuration as it is in effect, for a cache that starts over.
#[derive(Message)]
#[rtype(result = "LiveConfig")]
pub struct GetLive;

/// The targets of an upstream, by its id or name, as they are configured.
#[derive(Message)]
#[rtype(result = "Option<TargetDocuments>")]
pub struct GetTargets(pub String);

/// The current configuration and its snapshot.
pub struct Router {
    state: RouterState,
    epoch: u64,
    cell: SnapshotCell,
    effect: EffectCell,
    published: Published,
    limits: Limits,
    changes: u64,
    last_compile: Duration,
}

impl Router {
    /// A router with nothing in effect. `cell` keeps what it holds until the first change:
    /// a router that had to be restarted does not take away what is being served.
    pub fn new(options: RouterOptions, cell: SnapshotCell, effect: EffectCell) -> Router {
        Router {
            state: RouterState::new(options.factory, options.order),
            epoch: 0,
            cell,
            effect,
            published: options.published,
            limits: options.limits,
            changes: 0,
            last_compile: Duration::ZERO,
        }
    }

    /// Puts in effect what a cache or a declarative file holds.
    pub fn restore(&mut self, cached: Cached) -> InEffect {
        let last_good = cached
            .last_good
            .into_iter()
            .map(|(kind, id, row)| LastGood { kind, id, row });
        let started = std::time::Instant::now();
        let outcome = self
            .state
            .restore(cached.config, last_good, epoch_seconds());
        self.epoch = cached.epoch;
        self.publish(outcome.snapshot, outcome.quarantined, started)
    }

    /// Puts a whole configuration in effect in place of the present one.
    pub fn take_over(&mut self, epoch: u64, config: Config) -> InEffect {
        let started = std::time::Instant::now();
        let outcome = self.state.replace(config, epoch_seconds());
        self.epoch = epoch;
        self.publish(outcome.snapshot, outcome.quarantined, started)
    }

    fn publish(
        &mut self,
        snapshot: Arc<Snapshot>,
        quarantined: Vec<Quarantined>,
        started: std::time::Instant,
    ) -> InEffect {
        self.cell.store(snapshot);
        self.published.send_replace(self.state.config().revision());
        self.changes += 1;
        self.last_compile = started.elapsed();
        let position = Position::of(self.epoch, self.state.config());
        tracing::debug!(
            %position,
            compile_us = self.last_compile.as_micros() as u64,
            quarantined = quarantined.len(),
            "configuration in effect"
        );
        let effect = InEffect {
            position,
            at: epoch_milliseconds(),
            quarantined: quarantined.into_iter().map(for_the_wire).collect(),
            last_good: self.last_good(),
        };
        self.effect.store(Some(Arc::new(effect.clone())));
        effect
    }

    fn last_good(&self) -> CachedLastGood {
        let rows = self.state.last_good();
        rows.map(|good| (good.kind, good.id, good.row)).collect()
    }
}

fn for_the_wire(quarantined: Quarantined) -> wire::Quarantined {
    wire::Quarantined {
        entity: quarantined.kind,
        id: quarantined.id,
        name: quarantined.name,
        reason: quarantined.reason,
        since: (quarantined.since * 1000.0) as u64,
    }
}

fn epoch_milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn epoch_seconds() -> f64 {
    epoch_milliseconds() as f64 / 1000.0
}

impl Actor for Router {
    type Context = Context<Self>;
}

impl Guarded for Router {
    const MAILBOX: usize = 16;
}

impl Handler<ApplyChange> for Router {
    type Result = Result<InEffect, String>;

    fn handle(&mut self, message: ApplyChange, _: &mut Self::Context) -> Self::Result {
        let started = std::time::Instant::now();
        let change = &message.0.change;
        let outcome = self
            .state
            .apply(change, epoch_seconds())
            .map_err(|err| err.to_string())?;
        self.epoch = message.0.epoch;
        let effect = self.publish(outcome.snapshot, outcome.quarantined, started);
        // The limit is the sender's; here it keeps a strange peer from filling the log.
        for cause in message.0.causes.iter().take(Cause::MOST) {
            tracing::info!(
                request_id = %cause.request_id,
                revision = cause.revision.0,
                quarantined = effect.quarantined.len(),
                "configuration change in effect"
            );
        }
        Ok(effect)
    }
}

impl Handler<ApplySnapshot> for Router {
    type Result = Result<InEffect, String>;

    fn handle(&mut self, message: ApplySnapshot, _: &mut Self::Context) -> Self::Result {
        let config = message
            .0
            .decode(&self.limits)
            .map_err(|err| err.to_string())?;
        Ok(self.take_over(message.0.position.epoch, config))
    }
}

impl Handler<GetLive> for Router {
    type Result = MessageResult<GetLive>;

    fn handle(&mut self, _: GetLive, _: &mut Self::Context) -> Self::Result {
        MessageResult(LiveConfig {
            epoch: self.epoch,
            config: Arc::new(self.state.config().clone()),
            last_good: self.last_good(),
        })
    }
}

impl Handler<GetTargets> for Router {
    type Result = MessageResult<GetTargets>;

    fn handle(&mut self, message: GetTargets, _: &mut Self::Context) -> Self::Result {
        MessageResult(target_documents(self.state.config(), &message.0))
    }
}

impl Handler<Observe> for Router {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let config = self.state.config();
        MessageResult(json!({
            "epoch": self.epoch,
            "revision": config.revision(),
            "config_hash": config.digest().config_hash(),
            "entities": config.len(),
            "quarantined": self.state.quarantined().len(),
            "changes": self.changes,
            "last_compile_ms": self.last_compile.as_secs_f64() * 1000.0,
        }))
    }
}

impl ApplyConfig for Slot<Router> {
    fn apply(
        &self,
        change: Arc<ChangeMessage>,
    ) -> LocalBoxFuture<'static, Result<InEffect, String>> {
        let router = self.clone();
        Box::pin(async move { router.ask(ApplyChange(change)).await.map_err(gone)? })
    }

    fn replace(&self, parts: SnapshotParts) -> LocalBoxFuture<'static, Result<InEffect, String>> {
        let router = self.clone();
        Box::pin(async move { router.ask(ApplySnapshot(parts)).await.map_err(gone)? })
    }

    fn live(&self) -> LocalBoxFuture<'static, Result<LiveConfig, String>> {
        let router = self.clone();
        Box::pin(async move { router.ask(GetLive).await.map_err(gone) })
    }
}

fn gone(_: MailboxError) -> String {
    "the router was restarted".to_owned()
}
