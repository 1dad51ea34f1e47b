//! The only writer of configuration: transactions, revisions, journal.
//!
//! [`Store`] is the handle to the database, cheap to clone: reads, writes, the journal, and the
//! rows by which control planes know of each other. The [`ConfigStore`] actor queues writes and
//! looks after the database. The store keeps integrity only: what a valid entity is, `schema`
//! says. A document is an entity in its stored shape: all fields present, a reference as
//! `{"id": …}` or null.
//!
//! Every commit is one revision. Its number comes from the one row of `config_revision`, which
//! stays locked until the commit: revisions have no holes and become visible in order.

mod actor;
mod announced;
mod breaker;
mod cascade;
mod compact;
mod connection;
mod counts;
mod database;
mod declare;
mod epoch;
mod error;
mod filter;
mod follow;
mod history;
mod identities;
mod inspect;
mod integrity;
mod journal;
mod measure;
mod notice;
mod place;
mod presence;
mod read;
mod rollback;
mod rows;
mod settings;
mod slow;
mod tables;
mod transaction;
mod write;
mod written;

#[cfg(test)]
mod tests;

pub use actor::{ConfigStore, ConfigStoreHandle, Maintain, WriteConfig};
pub use counts::{BatchKey, Count, Counted, CountedBy, Dimensions, InCommon};
pub use declare::{Declaration, Extent};
pub use error::StoreError;
pub use history::{Delta, Difference, Part, RevisionSummary};
pub use inspect::{InspectError, Inspection, inspect};
pub use journal::{Changes, JournalEntry, Retention};
pub use migration::Step as MigrationStep;
pub use place::Place;
pub use presence::{ControlPlanePresence, DataPlanePresence, Elsewhere, PresenceBatch, Pulse};
pub use read::{Entities, Key, Page, PageRequest, TagFilter};
pub use settings::{
    DatabaseSettings, PostgresSettings, PostgresTls, PostgresTlsMode, SqliteSettings,
};
pub use transaction::Transaction;
pub use write::{Batch, Committed, Write};
pub use written::{Commits, Written};

use crate::model::Revision;
use announced::Announced;
use breaker::Breaker;
use database::{Db, LIMIT, Tx};
use entity::config_revision;
use sea_orm::{
    DatabaseConnection, DbBackend, EntityTrait, QuerySelect, SqliteTransactionMode,
    TransactionOptions,
};
use sqlx::postgres::PgConnectOptions;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard, broadcast, watch};
use tokio::time::timeout_at;

/// An entity in its stored shape.
pub type Document = serde_json::Map<String, serde_json::Value>;

/// Time as the store knows it; a test has its own.
#[derive(Clone)]
struct Tempo {
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// Between two looks at the latest revision.
    poll: Duration,
}

/// A handle to the database of a control plane. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    db: DatabaseConnection,
    breaker: Arc<Breaker>,
    settings: DatabaseSettings,
    listen: Option<PgConnectOptions>,
    place: Option<Place>,
    latest: watch::Sender<Revision>,
    announced: Announced,
    notices: broadcast::Sender<String>,
    /// One writer of this process at a time: on SQLite so that nobody spins on a busy file, on
    /// PostgreSQL so that waiting writers do not use up the pool.
    writing: Arc<Mutex<()>>,
    tempo: Tempo,
    /// See [`SqliteSettings::keeps_revisions`].
    keeps_revisions: Option<u64>,
}

impl Store {
    /// Connects, without touching the schema: see [`Store::migrate`]. `poll` is the time between
    /// two looks for what other processes committed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be opened or reached.
    pub async fn connect(settings: &DatabaseSettings, poll: Duration) -> Result<Store, StoreError> {
        let tempo = Tempo {
            now: Arc::new(SystemTime::now),
            poll,
        };
        Store::connect_with(settings, tempo).await
    }

    async fn connect_with(settings: &DatabaseSettings, tempo: Tempo) -> Result<Store, StoreError> {
        let connection = connection::open(settings).await?;
        Ok(Store(Arc::new(Inner {
            db: connection.db,
            breaker: connection.breaker,
            settings: settings.clone(),
            listen: connection.listen,
            place: connection.place,
            latest: watch::Sender::new(Revision::default()),
            announced: Announced::default(),
            notices: broadcast::Sender::new(notice::BACKLOG),
            writing: Arc::default(),
            tempo,
            keeps_revisions: match settings {
                DatabaseSettings::Sqlite(settings) => settings.keeps_revisions,
                DatabaseSettings::Postgres(_) => None,
            },
        })))
    }

    /// On PostgreSQL, the schema that the tables are in.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    fn schema(&self) -> Option<&str> {
        self.place().map(|place| place.schema.as_str())
    }

    /// Applies pending migrations, all or none, and names them. Control planes that start at the
    /// same time wait for one another.
    ///
    /// # Errors
    /// When the database fails, or was migrated by a later version of this program.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let _turn = self.0.writing.lock().await;
        let patient = connection::without_limits(&self.0.settings, &self.0.db).await?;
        let applied = migration::up(&patient, self.schema()).await?;
        self.refresh().await?;
        Ok(applied)
    }

    /// All migrations in order, and whether the database has them.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn migrations(&self) -> Result<Vec<MigrationStep>, StoreError> {
        Ok(migration::list(&self.0.db).await?)
    }

    /// Drops all tables with all that is in them.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn reset(&self) -> Result<(), StoreError> {
        let _turn = self.0.writing.lock().await;
        let patient = connection::without_limits(&self.0.settings, &self.0.db).await?;
        Ok(migration::reset(&patient, self.schema()).await?)
    }

    /// The latest revision this process knows of: it advances with each commit here and, while
    /// [`Store::follow`] runs, with those of other control planes.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.0.latest.subscribe()
    }

    /// Closes all connections.
    pub async fn close(&self) {
        if let Err(err) = self.0.db.clone().close().await {
            tracing::warn!(%err, "closing the database failed");
        }
    }

    /// Whether the database answers, as far as is known.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        !self.0.breaker.is_open()
    }

    fn db(&self) -> Db<'_> {
        Db::new(&self.0.db, &self.0.breaker)
    }

    fn engine(&self) -> DbBackend {
        self.0.db.get_database_backend()
    }

    fn now(&self) -> SystemTime {
        (self.0.tempo.now)()
    }

    /// Reads the latest revision and makes it known.
    async fn refresh(&self) -> Result<Revision, StoreError> {
        let revision = self.latest_revision().await?;
        self.announce(revision);
        Ok(revision)
    }

    /// When this process learned that the revision is committed: its own at the commit, that of
    /// another control plane when it was told or read of it. `None` when that is too long ago, or not yet.
    #[must_use]
    pub fn announced_at(&self, revision: Revision) -> Option<Instant> {
        self.0.announced.at(revision)
    }

    /// Never goes back: a slow reader may come after a fast one.
    fn announce(&self, revision: Revision) {
        // First, for whoever hears of the revision below and looks it up.
        self.0.announced.note(revision, Instant::now());
        self.0.latest.send_if_modified(|latest| {
            let is_newer = *latest < revision;
            *latest = revision.max(*latest);
            is_newer
        });
    }

    /// A transaction that writes configuration.
    async fn begin_write(&self) -> Result<(OwnedMutexGuard<()>, Tx), StoreError> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        let turn = timeout_at(deadline, Arc::clone(&self.0.writing).lock_owned()).await;
        let turn = turn.map_err(|_| StoreError::Busy)?;
        let transaction = self.begin(self.write_options(), Some(deadline)).await?;
        Ok((turn, transaction))
    }

    /// Without a deadline, each statement has one.
    async fn begin(
        &self,
        options: TransactionOptions,
        deadline: Option<tokio::time::Instant>,
    ) -> Result<Tx, StoreError> {
        Tx::begin(&self.0.db, &self.0.breaker, options, deadline).await
    }

    /// A transaction that begins when no write of configuration is under way, and keeps others
    /// from beginning until it ends.
    async fn begin_read_locked(&self) -> Result<(Option<MutexGuard<'_, ()>>, Tx), StoreError> {
        let locked = self.begin_bookkeeping().await?;
        if self.engine() == DbBackend::Postgres {
            let row = config_revision::Entity::find_by_id(1).lock_shared();
            row.one(&locked.1.db()).await?;
        }
        Ok(locked)
    }

    /// A transaction that writes something else: on PostgreSQL it need not wait for those.
    async fn begin_bookkeeping(&self) -> Result<(Option<MutexGuard<'_, ()>>, Tx), StoreError> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        let turn = match self.engine() {
            DbBackend::Sqlite => {
                let turn = timeout_at(deadline, self.0.writing.lock()).await;
                Some(turn.map_err(|_| StoreError::Busy)?)
            }
            _ => None,
        };
        let transaction = self.begin(self.write_options(), Some(deadline)).await?;
        Ok((turn, transaction))
    }

    fn write_options(&self) -> TransactionOptions {
        TransactionOptions {
            // Takes the write lock at once, where waiting for it is possible.
            sqlite_transaction_mode: match self.engine() {
                DbBackend::Sqlite => Some(SqliteTransactionMode::Immediate),
                _ => None,
            },
            ..TransactionOptions::default()
        }
    }
}

/// Whole seconds since the epoch.
fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
