//! From the journal to the feed: whoever committed a revision, it is read from the database.

use super::{ClusterRegistry, FeedAdvanced};
use crate::control_plane::config_store::{Changes, Store, StoreError};
use crate::control_plane::session::{Feed, MOST_OPS, MemoryHistory};
use crate::memory;
use crate::model::Revision;
use actix::Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Revisions read from the journal at once.
const BATCH: u64 = 1000;
/// How far back the history of a fresh control plane reaches, so that its data planes are sent
/// differences.
const REACH: u64 = 1000;
/// The pause after the database has failed.
const RETRY: Duration = Duration::from_secs(1);
/// How often the database is looked at although nothing was announced.
const LOOK: Duration = Duration::from_secs(10);

/// The history of a control plane that starts: the configuration, and how it came about.
///
/// # Errors
/// The database fails.
pub async fn history(store: &Store) -> Result<MemoryHistory, StoreError> {
    let config = store.config().await?;
    let latest = config.revision();
    // As far back as the journal reaches, where that is less.
    let oldest = store.oldest_journal_revision().await?;
    let oldest = oldest.map_or(latest, Revision::before);
    let start = Revision(latest.0.saturating_sub(REACH)).max(oldest);
    // One import may be most of the journal, and more than is remembered of it.
    let start = store.journal_start(start, MOST_OPS as u64).await?;
    let journal = match store.changes_since(start, REACH).await? {
        Changes::Since(entries) => entries,
        Changes::OutOfReach => Vec::new(),
    };
    // Others may have committed since the configuration was read: they come by `follow`.
    let known = journal.into_iter().filter(|entry| entry.revision <= latest);
    let (epoch, _) = store.tip().await?;
    Ok(MemoryHistory::with_journal(
        epoch,
        config,
        known.map(|entry| (entry.ops, entry.request_id)),
    ))
}

/// Keeps the feed at the database's latest revision, and in its epoch, and tells the registry; never
/// returns while the store is there. Notify `look` to have the database read at
/// once.
pub async fn follow(
    store: Store,
    feed: Arc<Feed>,
    registry: Addr<ClusterRegistry>,
    look: Arc<Notify>,
) {
    let mut revisions = store.revisions();
    loop {
        match catch_up(&store, &feed).await {
            // Dropped when the mailbox is full: the next one says the same.
            Ok(true) => drop(registry.try_send(FeedAdvanced)),
            Ok(false) => tokio::select! {
                changed = revisions.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = look.notified() => {}
                // A raised epoch is no revision: nobody announces it.
                () = tokio::time::sleep(LOOK) => {}
            },
            Err(err) => {
                tracing::warn!(?err, "the journal cannot be read");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Takes over what the journal has; false when there was nothing.
async fn catch_up(store: &Store, feed: &Feed) -> Result<bool, StoreError> {
    if !feed.is_read() {
        feed.replace(history(store).await?);
        memory::give_back();
        let position = feed.position();
        tracing::info!(%position, "the configuration is read: data planes may connect");
        return Ok(true);
    }
    let position = feed.position();
    let held = position.revision;
    let (epoch, latest) = store.tip().await?;
    if epoch != position.epoch {
        tracing::warn!(
            before = position.epoch,
            epoch,
            "the database has another history: every data plane is sent the whole configuration"
        );
        feed.replace(history(store).await?);
        return Ok(true);
    }
    if latest == held {
        return Ok(false);
    }
    let entries = match store.changes_since(held, BATCH).await? {
        Changes::Since(entries) => entries,
        Changes::OutOfReach => {
            feed.replace(history(store).await?);
            return Ok(true);
        }
    };
    let any = !entries.is_empty();
    for entry in entries {
        if let Err(gap) = feed.record(entry.revision, entry.ops, entry.request_id) {
            tracing::warn!(%gap, "the configuration is read anew");
            feed.replace(history(store).await?);
            return Ok(true);
        }
    }
    Ok(any)
}
