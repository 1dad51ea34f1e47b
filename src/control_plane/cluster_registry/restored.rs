//! A database that was restored from a backup: data planes hold revisions that it does not have.
//!
//! A data plane that is ahead of this control plane is either ahead of what this process has read, or
//! of the database. What is committed says which: revisions are given out by the database alone, so
//! one that it does not have was part of another history.

use super::{ClusterRegistry, SessionId};
use crate::wire::Position;
use actix::prelude::*;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two histories that a control plane begins by itself: a data plane that invents revisions
/// shall not keep the whole fleet busy.
const PAUSE: Duration = Duration::from_secs(300);

/// What the database says about a position that it may have lost.
enum Found {
    /// It has that revision, or is in another epoch.
    NotLost,
    /// It does not; the latest that it has.
    Lost(crate::model::Revision),
    /// It did not, and began another history.
    Raised(u64),
}

/// The latest epoch that anybody can have begun, clocks that are a day ahead included.
fn plausible() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs().saturating_add(86_400)
}

impl ClusterRegistry {
    /// Finds out why a data plane is ahead, and does about it what the settings say.
    pub(super) fn look_for_restore(
        &mut self,
        id: SessionId,
        held: Position,
        ctx: &mut Context<Self>,
    ) {
        let Some(entry) = self.sessions.get(&id) else {
            return;
        };
        let rested = self.raised.is_none_or(|at| at.elapsed() >= PAUSE);
        let may_raise = self.options.restores_itself && entry.proved && rested;
        let (store, node) = (self.options.store.clone(), entry.presence.joined());
        let looking = async move {
            let (epoch, latest) = store.tip().await?;
            let newer = held.epoch < epoch || (held.epoch == epoch && held.revision <= latest);
            // An epoch is a time: one that is yet to come was made up.
            if newer || held.epoch > plausible() {
                return Ok(Found::NotLost);
            }
            if !may_raise {
                return Ok(Found::Lost(latest));
            }
            let raised = store.raise_epoch_without(epoch, held.order()).await?;
            Ok(raised.map_or(Found::NotLost, Found::Raised))
        };
        let looked = looking.into_actor(self);
        ctx.spawn(looked.map(
            move |found: Result<Found, super::StoreError>, registry, _| match found {
                Ok(Found::NotLost) => registry.look.notify_one(),
                Ok(Found::Lost(latest)) => tracing::warn!(
                    ?node, %latest, %held,
                    "the database was restored from a backup: it lacks revisions that data planes \
                     hold and go on serving; `langur migrations epoch --raise` takes them back"
                ),
                Ok(Found::Raised(epoch)) => {
                    registry.raised = Some(Instant::now());
                    tracing::warn!(
                        ?node, epoch, %held,
                        "the database was restored from a backup: another history begins, and all \
                         data planes are taken to it"
                    );
                    registry.look.notify_one();
                }
                Err(error) => {
                    tracing::warn!(?error, "why a data plane is ahead cannot be found out")
                }
            },
        ));
    }
}
