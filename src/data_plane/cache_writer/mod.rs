//! The data plane's configuration cache: what it starts with while no control plane answers.
//!
//! `lmdb` is the cache on disk, `inspect` makes sure that damaged files never reach LMDB,
//! `writer` is the actor that keeps disk writes off everybody's way.

mod inspect;
mod lmdb;
#[cfg(test)]
mod memory;
mod writer;

pub use inspect::Damage;
pub use lmdb::{LmdbCache, MovedAside, is_cache_in_use};
#[cfg(test)]
pub use memory::{Disk, MemoryCache};
pub use writer::{CacheWriter, GetHolds, Holds, Write};

use crate::model::{Change, Config, Digest, Kind, Revision, Row};
use crate::wire::Position;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// What is in effect instead of the configured row; `None`: nothing is.
pub type LastGoodRow = (Kind, Uuid, Option<Row>);

/// All rows that are in effect instead of the configured ones; usually none.
pub type LastGood = Arc<[LastGoodRow]>;

/// Whose configuration a cache holds. A node that gets its configuration from elsewhere now must not
/// serve what it once had of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheSource {
    /// That of the control planes of a cluster, over the network.
    Cluster,
    /// That of the control plane in the same process: of the database or file that the node has.
    Own,
}

/// What a cache holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cached {
    /// `None` when a version wrote it that did not say so.
    pub source: Option<CacheSource>,
    pub epoch: u64,
    pub config: Config,
    /// The last good versions of what was quarantined.
    pub last_good: Vec<LastGoodRow>,
}

impl Cached {
    #[must_use]
    pub fn position(&self) -> Position {
        Position::of(self.epoch, &self.config)
    }
}

/// Why a cache did not do what it was asked. It holds what it held before.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("the cache holds {held}, the change starts from revision {base} of epoch {epoch}")]
    WrongBase {
        held: Position,
        epoch: u64,
        base: Revision,
    },
    #[error("the cache would hash to {found} after the change, expected {expected}")]
    DigestMismatch { expected: Digest, found: Digest },
    #[error("the cache is full: raise lmdb_map_size, now {map_size} bytes")]
    Full { map_size: usize },
    #[error("another process uses the cache at {0}")]
    InUse(String),
    #[error("the cache was not loaded")]
    NotLoaded,
    /// It was loaded from where nothing can be written; each attempt to write tries again.
    #[error("the cache cannot be written: {0}")]
    ReadOnly(String),
    /// This process may not use it. Who owns what is said for the person who mends it.
    #[error(
        "{path} belongs to {owner} and has mode {mode:04o}, this process runs as {user}: {reason}"
    )]
    Forbidden {
        path: String,
        owner: String,
        mode: u32,
        user: String,
        reason: String,
    },
    /// Something else stands in the place of a file or directory.
    #[error("{path} is a {found}, where the configuration cache has a {expected}")]
    NotTheKind {
        path: String,
        found: &'static str,
        expected: &'static str,
    },
    #[error("the cache at {path}: {reason}")]
    Unusable { path: String, reason: String },
}

/// A place that survives the process. Every call is one transaction: done or not done.
pub trait ConfigCache {
    /// What the cache holds; `None` when it is new, or was damaged and set aside. To be called
    /// before anything is written.
    ///
    /// # Errors
    /// Whether there is a sound cache cannot be told, or another process has it; nothing was
    /// changed.
    fn load(&mut self) -> Result<Option<Cached>, CacheError>;

    /// Moves the cache along a change. `last_good` is the complete list.
    ///
    /// # Errors
    /// Also when the change does not lead from what the cache holds to what it says.
    fn commit(
        &mut self,
        epoch: u64,
        change: &Change,
        last_good: &[LastGoodRow],
    ) -> Result<Position, CacheError>;

    /// Replaces everything.
    ///
    /// # Errors
    /// See [`CacheError`].
    fn replace(
        &mut self,
        epoch: u64,
        config: &Config,
        last_good: &[LastGoodRow],
    ) -> Result<Position, CacheError>;
}
