//! The cache on disk: one LMDB environment, `dbless.lmdb`.
//!
//! | key | value |
//! |---|---|
//! | `m` | format, epoch, revision, digest, number of rows, digest of the last good rows |
//! | `r` kind `0` id | a row, byte for byte as it was sent |
//! | `g` kind `0` id | the last good version of a quarantined row |
//!
//! Rows and meta change in the same transaction. Nothing in it is bound to the node: a copied
//! directory starts another one.

mod files;
mod open;
mod read;
mod unfit;

pub use open::is_cache_in_use;

use super::{CacheError, CacheSource, Cached, ConfigCache, LastGoodRow};
use crate::memory;
use crate::model::{Change, Config, Digest, Kind, Op, Revision, Row};
use crate::wire::Position;
use heed::types::Bytes;
use heed::{Env, MdbError, RwTxn, WithoutTls};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::ops::Bound;
use std::path::PathBuf;
use unfit::OpenError;
use uuid::Uuid;

/// Raised when the keys or values change their meaning.
const FORMAT: u32 = 1;
const META_KEY: &[u8] = b"m";
const ROW: u8 = b'r';
const LAST_GOOD: u8 = b'g';

/// The LMDB cache of one data plane. It has no effect on disk before [`ConfigCache::load`].
#[derive(Debug)]
pub struct LmdbCache {
    path: PathBuf,
    map_size: usize,
    source: Option<CacheSource>,
    moved_aside: Option<MovedAside>,
    open: Option<Open>,
    /// Why the cache that was loaded is not open for writing.
    read_only: Option<String>,
}

/// A cache that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedAside {
    pub to: PathBuf,
    pub reason: String,
}

type Database = heed::Database<'static, Bytes, Bytes>;

#[derive(Debug)]
struct Open {
    env: Env<WithoutTls>,
    database: Database,
    meta: Meta,
    source: Option<CacheSource>,
    /// Held as long as the environment is open, so that nobody else opens it.
    _lock: File,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meta {
    format: u32,
    /// Caches of earlier versions do not say.
    #[serde(default)]
    source: Option<CacheSource>,
    epoch: u64,
    revision: Revision,
    digest: Digest,
    rows: u64,
    last_good: Digest,
}

impl Default for Meta {
    fn default() -> Meta {
        Meta {
            format: FORMAT,
            source: None,
            epoch: 0,
            revision: Revision(0),
            digest: Digest::default(),
            rows: 0,
            last_good: Digest::default(),
        }
    }
}

impl Meta {
    fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            revision: self.revision,
            digest: self.digest,
        }
    }
}

impl LmdbCache {
    /// A cache in the directory `path`, usually `<prefix>/dbless.lmdb`. `map_size` in bytes
    /// bounds how large it can grow (`lmdb_map_size`).
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, map_size: usize) -> LmdbCache {
        LmdbCache {
            path: path.into(),
            map_size: map_size.max(1 << 20).next_multiple_of(64 << 10),
            source: None,
            moved_aside: None,
            open: None,
            read_only: None,
        }
    }

    /// The same, for the configuration of this source: what is written says so.
    #[must_use]
    pub fn of(self, source: CacheSource) -> LmdbCache {
        LmdbCache {
            source: Some(source),
            ..self
        }
    }

    /// The damaged cache that loading has set aside, if any.
    #[must_use]
    pub fn moved_aside(&self) -> Option<&MovedAside> {
        self.moved_aside.as_ref()
    }

    fn unusable(&self, reason: impl ToString) -> CacheError {
        CacheError::Unusable {
            path: self.path.display().to_string(),
            reason: reason.to_string(),
        }
    }

    /// The cache, open for writing. What could not be written when it was loaded is tried again: a
    /// disk may have room by now.
    fn writable(&mut self) -> Result<&mut Open, CacheError> {
        if self.open.is_none() && self.read_only.is_some() {
            self.load()?;
        }
        match &mut self.open {
            Some(open) => Ok(open),
            None => Err(match &self.read_only {
                Some(reason) => CacheError::ReadOnly(reason.clone()),
                None => CacheError::NotLoaded,
            }),
        }
    }

    /// Closes and opens again what is open. An environment keeps the memory of its largest transaction
    /// for the next one, and maps every page that it has touched; both are as much as the cache holds.
    fn reopen(&mut self) {
        let Some(Open {
            env,
            meta,
            source,
            _lock,
            ..
        }) = self.open.take()
        else {
            return;
        };
        drop(env);
        memory::give_back();
        match self.environment() {
            Ok((env, database)) => {
                self.open = Some(Open {
                    env,
                    database,
                    meta,
                    source,
                    _lock,
                });
            }
            // The next write tries again.
            Err(unfit) => match self.unopened(unfit) {
                OpenError::ReadOnly(reason) => self.is_read_only(reason),
                OpenError::Fatal(err) => self.is_read_only(err.to_string()),
            },
        }
    }

    /// Said once, not at each attempt to write.
    fn is_read_only(&mut self, reason: String) {
        if self.read_only.is_none() {
            tracing::warn!(
                path = %self.path.display(), reason,
                "the configuration cache is read-only: it is served from, and what changes is lost \
                 with the process"
            );
        }
        self.read_only = Some(reason);
    }

    /// Turns what LMDB says into what the operator must know.
    fn failed(&self, err: heed::Error) -> CacheError {
        match err {
            heed::Error::Mdb(MdbError::MapFull) => CacheError::Full {
                map_size: self.map_size,
            },
            err => self.unusable(err),
        }
    }
}

impl ConfigCache for LmdbCache {
    fn load(&mut self) -> Result<Option<Cached>, CacheError> {
        // Close before opening again: one path is never open twice.
        self.open = None;
        let (open, cached) = match self.open_for_writing() {
            Ok(opened) => opened,
            Err(OpenError::Fatal(err)) => return Err(err),
            Err(OpenError::ReadOnly(reason)) => {
                let cached = self.read_only()?;
                self.is_read_only(reason);
                return Ok(cached);
            }
        };
        self.open = Some(open);
        self.read_only = None;
        if cached.is_some() {
            self.reopen();
        }
        Ok(cached)
    }

    fn commit(
        &mut self,
        epoch: u64,
        change: &Change,
        last_good: &[LastGoodRow],
    ) -> Result<Position, CacheError> {
        let open = self.writable()?;
        let held = open.meta.position();
        if held.order() != (epoch, change.base) {
            return Err(CacheError::WrongBase {
                held,
                epoch,
                base: change.base,
            });
        }
        let result = open.commit(epoch, change, last_good);
        match result {
            Ok(Ok(meta)) => {
                open.meta = meta;
                Ok(open.meta.position())
            }
            Ok(Err(found)) => Err(CacheError::DigestMismatch {
                expected: change.digest,
                found,
            }),
            Err(err) => Err(self.failed(err)),
        }
    }

    fn replace(
        &mut self,
        epoch: u64,
        config: &Config,
        last_good: &[LastGoodRow],
    ) -> Result<Position, CacheError> {
        let open = self.writable()?;
        match open.replace(epoch, config, last_good) {
            Ok(meta) => {
                let position = meta.position();
                open.meta = meta;
                self.reopen();
                Ok(position)
            }
            Err(err) => Err(self.failed(err)),
        }
    }
}

impl Open {
    /// `Ok(Err(digest))` when the outcome would not have the digest it should.
    fn commit(
        &self,
        epoch: u64,
        change: &Change,
        last_good: &[LastGoodRow],
    ) -> Result<Result<Meta, Digest>, heed::Error> {
        let mut txn = self.env.write_txn()?;
        let mut digest = self.meta.digest;
        let mut rows = self.meta.rows;
        for op in &change.ops {
            let (kind, id) = op.key();
            let key = key(ROW, kind, id);
            if let Some(old) = self.database.get(&txn, &key)? {
                digest = digest.minus(Digest::of(kind, id, &Row::from_bytes(old)));
                rows = rows.saturating_sub(1);
            }
            match op {
                Op::Put { row, .. } => {
                    self.database.put(&mut txn, &key, row.as_bytes())?;
                    digest = digest.plus(Digest::of(kind, id, row));
                    rows += 1;
                }
                Op::Delete { .. } => {
                    self.database.delete(&mut txn, &key)?;
                }
            }
        }
        if digest != change.digest {
            return Ok(Err(digest));
        }
        let meta = Meta {
            format: FORMAT,
            source: self.source,
            epoch,
            revision: change.revision,
            digest,
            rows,
            last_good: digest_of(last_good),
        };
        self.finish(txn, meta, self.meta.last_good, last_good)
            .map(Ok)
    }

    fn replace(
        &self,
        epoch: u64,
        config: &Config,
        last_good: &[LastGoodRow],
    ) -> Result<Meta, heed::Error> {
        let mut txn = self.env.write_txn()?;
        self.database.clear(&mut txn)?;
        for (kind, id, row) in config.iter() {
            let key = key(ROW, kind, id);
            self.database.put(&mut txn, &key, row.as_bytes())?;
        }
        let meta = Meta {
            format: FORMAT,
            source: self.source,
            epoch,
            revision: config.revision(),
            digest: config.digest(),
            rows: config.len() as u64,
            last_good: digest_of(last_good),
        };
        // Whatever was there is cleared.
        self.finish(txn, meta, Digest::default(), last_good)
    }

    /// Writes the last good rows, if they changed, and the meta; then commits.
    fn finish(
        &self,
        mut txn: RwTxn<'_>,
        meta: Meta,
        before: Digest,
        last_good: &[LastGoodRow],
    ) -> Result<Meta, heed::Error> {
        if meta.last_good != before {
            let all = (
                Bound::Included(&[LAST_GOOD][..]),
                Bound::Excluded(&[LAST_GOOD + 1][..]),
            );
            self.database.delete_range(&mut txn, &all)?;
            for (kind, id, row) in last_good {
                let key = key(LAST_GOOD, *kind, *id);
                // A row is never empty, so that no bytes say that there is none.
                let bytes = row.as_ref().map_or(&[][..], Row::as_bytes);
                self.database.put(&mut txn, &key, bytes)?;
            }
        }
        let bytes =
            rmp_serde::to_vec_named(&meta).map_err(|err| heed::Error::Encoding(err.into()))?;
        self.database.put(&mut txn, META_KEY, &bytes)?;
        txn.commit()?;
        Ok(meta)
    }
}

fn digest_of(rows: &[LastGoodRow]) -> Digest {
    let none = Row::from_bytes(&[]);
    rows.iter().fold(Digest::default(), |sum, (kind, id, row)| {
        sum.plus(Digest::of(*kind, *id, row.as_ref().unwrap_or(&none)))
    })
}

fn key(table: u8, kind: Kind, id: Uuid) -> Vec<u8> {
    let mut key = Vec::with_capacity(40);
    key.push(table);
    key.extend_from_slice(kind.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(id.as_bytes());
    key
}

#[cfg(test)]
mod tests;
