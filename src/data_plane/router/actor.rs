//! The Router actor: the only one that changes what is in effect.
//!
//! It compiles on an arbiter of its own and swaps the snapshot that the workers read. Its one
//! client is the HeartbeatClient, which has at most one change under way, so its mailbox
//! cannot overflow.

use super::documents::target_documents;
use super::kept::{Inner, Kept};
use super::{Instead, LastGood, Outcome, Quarantined, Snapshot};
use crate::actor::{Guarded, Observe, Slot};
use crate::data_plane::cache_writer::Cached;
use crate::data_plane::heartbeat_client::{ApplyConfig, InEffect, LiveConfig};
use crate::memory;
use crate::model::{Cause, Config, Revision};
use crate::telemetry::status::TargetDocuments;
use crate::wire::{self, ChangeMessage, Limits, Position, SnapshotParts};
use actix::prelude::*;
use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::future::LocalBoxFuture;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
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
    pub kept: Kept,
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

/// What is in effect once everything that was sent before has been done; `None`: nothing is.
#[derive(Message)]
#[rtype(result = "Option<InEffect>")]
pub struct GetInEffect;

/// The targets of an upstream, by its id or name, as they are configured.
#[derive(Message)]
#[rtype(result = "Option<TargetDocuments>")]
pub struct GetTargets(pub String);

/// The current configuration and its snapshot.
pub struct Router {
    kept: Kept,
    cell: SnapshotCell,
    effect: EffectCell,
    published: Published,
    limits: Limits,
    changes: u64,
    last_compile: Duration,
}

impl Router {
    /// A router that goes on from what is kept: from nothing when it is the first, else from what is
    /// live.
    pub fn new(options: RouterOptions, cell: SnapshotCell, effect: EffectCell) -> Router {
        Router {
            kept: options.kept,
            cell,
            effect,
            published: options.published,
            limits: options.limits,
            changes: 0,
            last_compile: Duration::ZERO,
        }
    }

    /// Puts in effect what a cache or a declarative file holds.
    ///
    /// # Errors
    /// As [`Router::take_over`].
    pub fn restore(&mut self, cached: Cached) -> Result<InEffect, String> {
        let last_good = cached
            .last_good
            .into_iter()
            .map(|(kind, id, row)| LastGood { kind, id, row });
        let last_good = last_good.collect();
        let restored =
            self.publish(|kept, now| kept.restore(cached.config, last_good, cached.epoch, now));
        memory::give_back();
        restored
    }

    /// Puts a whole configuration in effect in place of the present one.
    ///
    /// # Errors
    /// It panicked, which is a bug; what was in effect still is.
    pub fn take_over(&mut self, epoch: u64, config: Config) -> Result<InEffect, String> {
        let replaced = self.publish(|kept, now| kept.replace(config, epoch, now));
        memory::give_back();
        replaced
    }

    /// Makes a change and publishes what it leads to.
    fn publish(
        &mut self,
        change: impl FnOnce(&mut Inner, f64) -> Result<Outcome, String>,
    ) -> Result<InEffect, String> {
        let (started, now) = (Instant::now(), epoch_seconds());
        let mut kept = self.kept.lock(now);
        let Outcome {
            snapshot,
            quarantined,
            routes,
            ..
        } = change(&mut kept, now)?;
        let position = Position::of(kept.epoch(), kept.state().config());
        self.cell.store(snapshot);
        self.published.send_replace(position.revision);
        self.changes += 1;
        self.last_compile = started.elapsed();
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
            routes,
            last_good: kept.last_good(),
        };
        self.effect.store(Some(Arc::new(effect.clone())));
        Ok(effect)
    }
}

fn for_the_wire(quarantined: Quarantined) -> wire::Quarantined {
    wire::Quarantined {
        entity: quarantined.kind,
        id: quarantined.id,
        name: quarantined.name,
        reason: quarantined.reason,
        since: (quarantined.since * 1000.0) as u64,
        in_effect: match quarantined.instead {
            Instead::LastGood => wire::Quarantined::PREVIOUS,
            Instead::Closed => wire::Quarantined::CLOSED,
            Instead::Nothing => wire::Quarantined::NOTHING,
        }
        .to_owned(),
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

    fn handle(&mut self, ApplyChange(message): ApplyChange, _: &mut Self::Context) -> Self::Result {
        let effect = self.publish(|kept, now| kept.apply(&message.change, message.epoch, now))?;
        // The limit is the sender's; here it keeps a strange peer from filling the log.
        for cause in message.causes.iter().take(Cause::MOST) {
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
        self.take_over(message.0.position.epoch, config)
    }
}

impl Handler<GetLive> for Router {
    type Result = MessageResult<GetLive>;

    fn handle(&mut self, _: GetLive, _: &mut Self::Context) -> Self::Result {
        let kept = self.kept.lock(epoch_seconds());
        MessageResult(LiveConfig {
            epoch: kept.epoch(),
            config: Arc::new(kept.state().config().clone()),
            last_good: kept.last_good(),
        })
    }
}

impl Handler<GetInEffect> for Router {
    type Result = MessageResult<GetInEffect>;

    fn handle(&mut self, _: GetInEffect, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.effect.load().as_deref().cloned())
    }
}

impl Handler<GetTargets> for Router {
    type Result = MessageResult<GetTargets>;

    fn handle(&mut self, message: GetTargets, _: &mut Self::Context) -> Self::Result {
        let kept = self.kept.lock(epoch_seconds());
        MessageResult(target_documents(kept.state().config(), &message.0))
    }
}

impl Handler<Observe> for Router {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let kept = self.kept.lock(epoch_seconds());
        let config = kept.state().config();
        MessageResult(json!({
            "epoch": kept.epoch(),
            "revision": config.revision(),
            "config_hash": config.digest().config_hash(),
            "entities": config.len(),
            "quarantined": kept.state().quarantined().len(),
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
        Box::pin(async move {
            let applied = router.ask_when_running(ApplyChange(change)).await;
            applied.map_err(gone)?
        })
    }

    fn replace(&self, parts: SnapshotParts) -> LocalBoxFuture<'static, Result<InEffect, String>> {
        let router = self.clone();
        Box::pin(async move {
            let applied = router.ask_when_running(ApplySnapshot(parts)).await;
            applied.map_err(gone)?
        })
    }

    fn live(&self) -> LocalBoxFuture<'static, Result<LiveConfig, String>> {
        let router = self.clone();
        Box::pin(async move { router.ask_when_running(GetLive).await.map_err(gone) })
    }

    fn in_effect(&self) -> LocalBoxFuture<'static, Result<Option<InEffect>, String>> {
        let router = self.clone();
        Box::pin(async move { router.ask_when_running(GetInEffect).await.map_err(gone) })
    }
}

fn gone(_: MailboxError) -> String {
    "the router was restarted".to_owned()
}
