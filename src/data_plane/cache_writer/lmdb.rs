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

mod read;

use super::inspect::inspect;
use super::{CacheError, Cached, ConfigCache, LastGoodRow};
use crate::model::{Change, Config, Digest, Kind, Op, Revision, Row};
use crate::wire::Position;
use heed::types::Bytes;
use heed::{CommitOrAbort, Env, EnvOpenOptions, MdbError, RwTxn, WithoutTls};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Raised when the keys or values change their meaning.
const FORMAT: u32 = 1;
const META_KEY: &[u8] = b"m";
const ROW: u8 = b'r';
const LAST_GOOD: u8 = b'g';
/// Beyond this many damaged caches someone has to look.
const MOST_SET_ASIDE: u32 = 100;

/// The LMDB cache of one data plane. It has no effect on disk before [`ConfigCache::load`].
#[derive(Debug)]
pub struct LmdbCache {
    path: PathBuf,
    map_size: usize,
    moved_aside: Option<MovedAside>,
    open: Option<Open>,
}

/// A cache that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedAside {
    pub to: PathBuf,
    pub reason: String,
}

#[derive(Debug)]
struct Open {
    env: Env<WithoutTls>,
    database: heed::Database<'static, Bytes, Bytes>,
    meta: Meta,
    /// Held as long as the environment is open, so that nobody else opens it.
    _lock: File,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meta {
    format: u32,
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

/// Why what is on disk cannot be used.
struct Unfit(String);

impl From<heed::Error> for Unfit {
    fn from(err: heed::Error) -> Unfit {
        Unfit(err.to_string())
    }
}

/// Whether a process uses the cache in this directory. Nothing is made or changed; a process that
/// starts in this very moment may find the cache in use.
#[must_use]
pub fn is_cache_in_use(path: &Path) -> bool {
    let in_use = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    File::open(lock_file(path)).is_ok_and(in_use)
}

fn lock_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

impl LmdbCache {
    /// A cache in the directory `path`, usually `<prefix>/dbless.lmdb`. `map_size` in bytes
    /// bounds how large it can grow (`lmdb_map_size`).
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, map_size: usize) -> LmdbCache {
        LmdbCache {
            path: path.into(),
            map_size: map_size.max(1 << 20).next_multiple_of(64 << 10),
            moved_aside: None,
            open: None,
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

    /// Makes this process the only user. The lock file stands beside the directory, so that a
    /// damaged directory can be moved and a good one copied.
    fn lock(&self) -> Result<File, CacheError> {
        let name = lock_file(&self.path);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&name)
            .map_err(|err| self.unusable(format!("cannot open its lock file: {err}")))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(CacheError::InUse(self.path.display().to_string()))
            }
            Err(TryLockError::Error(err)) => Err(self.unusable(format!("cannot lock it: {err}"))),
        }
    }

    fn open(&self, lock: &File) -> Result<(Open, Option<Cached>), Unfit> {
        let create = DirBuilder::new().mode(0o700).create(&self.path);
        match create {
            Err(err) if err.kind() != ErrorKind::AlreadyExists => {
                return Err(Unfit(format!("cannot create it: {err}")));
            }
            _ => {}
        }
        if !self.path.is_dir() {
            return Err(Unfit("it is not a directory".into()));
        }
        check_data_file(&self.path.join("data.mdb"), self.map_size)?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(self.map_size).max_readers(8);
        // SAFETY: the map is sound as long as nobody changes the file but through LMDB's
        // locks. The lock file held in `lock` keeps other processes, and other caches of this
        // one, from opening it; `inspect` has followed every page LMDB will follow.
        let env = unsafe { options.open(&self.path)? };
        let txn = env.write_txn()?;
        let database = env
            .create_databases_and_commit(txn, |opener, txn| {
                let database = opener.create_database::<Bytes, Bytes>(txn, None)?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(database))
            })?
            .commit()
            .ok_or_else(|| Unfit("its database did not open".into()))?;
        let lock = lock.try_clone().map_err(|err| Unfit(err.to_string()))?;
        let mut open = Open {
            env,
            database,
            meta: Meta::default(),
            _lock: lock,
        };
        let cached = open.read()?;
        Ok((open, cached))
    }

    fn set_aside(&self, reason: String) -> Result<MovedAside, CacheError> {
        for n in 1..=MOST_SET_ASIDE {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".damaged-{n}"));
            let to = PathBuf::from(name);
            if to.symlink_metadata().is_ok() {
                continue;
            }
            std::fs::rename(&self.path, &to).map_err(|err| {
                self.unusable(format!("{reason}; and it cannot be moved aside: {err}"))
            })?;
            tracing::warn!(
                path = %self.path.display(), moved_to = %to.display(), reason,
                "configuration cache is not usable and was moved aside"
            );
            return Ok(MovedAside { to, reason });
        }
        Err(self.unusable(format!(
            "{reason}; and there are {MOST_SET_ASIDE} damaged ones beside it already"
        )))
    }

    fn opened(&mut self) -> Result<&mut Open, CacheError> {
        self.open.as_mut().ok_or(CacheError::NotLoaded)
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

fn check_data_file(path: &Path, map_size: usize) -> Result<(), Unfit> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(Unfit(format!("cannot open data.mdb: {err}"))),
    };
    let about = file
        .metadata()
        .map_err(|err| Unfit(format!("cannot read data.mdb: {err}")))?;
    if !about.is_file() {
        return Err(Unfit("data.mdb is not a file".into()));
    }
    // LMDB takes an empty file for a new one.
    if about.len() == 0 {
        return Ok(());
    }
    inspect(&file, map_size as u64).map_err(|damage| Unfit(format!("data.mdb: {damage}")))
}

impl ConfigCache for LmdbCache {
    fn load(&mut self) -> Result<Option<Cached>, CacheError> {
        // Close before opening again: one path is never open twice.
        self.open = None;
        let lock = self.lock()?;
        let (open, cached) = match self.open(&lock) {
            Ok(opened) => opened,
            Err(Unfit(reason)) => {
                self.moved_aside = Some(self.set_aside(reason)?);
                self.open(&lock)
                    .map_err(|Unfit(reason)| self.unusable(reason))?
            }
        };
        self.open = Some(open);
        Ok(cached)
    }

    fn commit(
        &mut self,
        epoch: u64,
        change: &Change,
        last_good: &[LastGoodRow],
    ) -> Result<Position, CacheError> {
        let open = self.opened()?;
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
        let open = self.opened()?;
        match open.replace(epoch, config, last_good) {
            Ok(meta) => {
                open.meta = meta;
                Ok(open.meta.position())
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
