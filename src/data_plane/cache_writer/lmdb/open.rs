//! Opening a cache: for writing where that can be, only for reading where nothing can be written.
//!
//! Three things are kept apart. *Damage* is proved by the content: such a cache is moved aside. That it
//! *cannot be written* on this file system says nothing against it: it is served from. Everything else,
//! such as a missing permission, is for a person to mend: the cache is left as it is.

use super::files::{self, Access};
use super::read::{Content, read};
use super::unfit::{OpenError, Unfit};
use super::{CacheError, Cached, Database, LmdbCache, Meta, MovedAside, Open};
use crate::data_plane::cache_writer::inspect::inspect;
use heed::types::Bytes;
use heed::{CommitOrAbort, Env, EnvFlags, EnvOpenOptions, WithoutTls};
use std::fs::{DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const DATA_FILE: &str = "data.mdb";
const READERS_FILE: &str = "lock.mdb";
/// Beyond this many damaged caches someone has to look.
const MOST_SET_ASIDE: u32 = 100;

/// Whether a process uses the cache in this directory. Nothing is made or changed; a process that
/// starts in this very moment may find the cache in use.
#[must_use]
pub fn is_cache_in_use(path: &Path) -> bool {
    let in_use = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    let opened = files::open(&lock_file(path), Access::Read);
    opened.is_ok_and(|file| file.is_some_and(in_use))
}

fn lock_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

impl LmdbCache {
    /// Opens the cache, makes it when it is missing, and moves it aside first when it is damaged.
    pub(super) fn open_for_writing(&mut self) -> Result<(Open, Option<Cached>), OpenError> {
        let lock = self.lock()?;
        let reason = match self.open(&lock) {
            Ok(opened) => return Ok(opened),
            Err(Unfit::Damaged(reason)) => reason,
            Err(other) => return Err(self.unopened(other)),
        };
        self.moved_aside = Some(self.set_aside(reason)?);
        self.open(&lock).map_err(|unfit| self.unopened(unfit))
    }

    /// Makes this process the only user. The lock file stands beside the directory, so that a
    /// damaged directory can be moved and a good one copied.
    fn lock(&self) -> Result<File, OpenError> {
        let name = lock_file(&self.path);
        let file = files::open(&name, Access::Create)?;
        let file = file.ok_or_else(|| self.unusable("its lock file is gone"))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(CacheError::InUse(self.path.display().to_string()).into())
            }
            Err(TryLockError::Error(err)) => Err(OpenError::of(&name, &err)),
        }
    }

    fn open(&self, lock: &File) -> Result<(Open, Option<Cached>), Unfit> {
        let create = DirBuilder::new().mode(0o700).create(&self.path);
        match create {
            Err(err) if err.kind() != ErrorKind::AlreadyExists => {
                return Err(OpenError::of(&self.path, &err).into());
            }
            _ => {}
        }
        self.check_directory()?;
        self.check_data_file(Access::Write)?;
        files::open(&self.path.join(READERS_FILE), Access::Write)?;
        let (env, database) = self.environment()?;
        let lock = lock.try_clone().map_err(Unfit::System)?;
        let mut open = Open {
            env,
            database,
            meta: Meta::default(),
            source: self.source,
            _lock: lock,
        };
        let content = read(&open.env, open.database)?;
        let cached = match content {
            Some(content) => Some(open.take_over(content)?),
            None => None,
        };
        Ok((open, cached))
    }

    /// The environment and its one database. The lock is held, and the data file was inspected or is
    /// this process's own.
    pub(super) fn environment(&self) -> Result<(Env<WithoutTls>, Database), Unfit> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(self.map_size).max_readers(8);
        // SAFETY: the map is sound as long as nobody changes the file but through LMDB's
        // locks. The lock file that is held keeps other processes, and other caches of this
        // one, from opening it; `inspect` has followed every page LMDB will follow.
        let env = unsafe { options.open(&self.path)? };
        let txn = env.write_txn()?;
        let database = env
            .create_databases_and_commit(txn, |opener, txn| {
                let database = opener.create_database::<Bytes, Bytes>(txn, None)?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(database))
            })?
            .commit()
            .ok_or_else(|| Unfit::Damaged("its database did not open".into()))?;
        Ok((env, database))
    }

    /// What the cache holds, where nothing can be written.
    pub(super) fn read_only(&self) -> Result<Option<Cached>, CacheError> {
        let lock = match files::open(&lock_file(&self.path), Access::Read) {
            Ok(lock) => lock,
            Err(err) => return Err(self.fatal(err)),
        };
        // Whoever can write there holds it.
        if let Some(Err(TryLockError::WouldBlock)) = lock.as_ref().map(File::try_lock_shared) {
            return Err(CacheError::InUse(self.path.display().to_string()));
        }
        match self.read_unlocked() {
            Ok(content) => Ok(content.map(|content| content.cached)),
            Err(Unfit::Damaged(reason)) => {
                tracing::warn!(
                    path = %self.path.display(), reason,
                    "configuration cache is not usable, and nothing can be written: it stays"
                );
                Ok(None)
            }
            Err(other) => {
                let err = self.unopened(other);
                Err(self.fatal(err))
            }
        }
    }

    fn read_unlocked(&self) -> Result<Option<Content>, Unfit> {
        if !self.path.try_exists().unwrap_or(true) {
            return Ok(None);
        }
        self.check_directory()?;
        if self.check_data_file(Access::Read)?.is_none() {
            return Ok(None);
        }
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(self.map_size).max_readers(8);
        // SAFETY: the lock file is held or there is none, so that no process writes: then LMDB's own
        // locks, which it could not write, are not needed. `inspect` has followed every page.
        let env: Env<WithoutTls> = unsafe {
            options.flags(EnvFlags::READ_ONLY | EnvFlags::NO_LOCK);
            options.open(&self.path)?
        };
        let txn = env.read_txn()?;
        let database = env
            .open_databases_and_commit(txn, |opener, txn| {
                let database = opener.open_database::<Bytes, Bytes>(txn, None)?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(database))
            })?
            .commit()
            .flatten()
            .ok_or_else(|| Unfit::Damaged("its database did not open".into()))?;
        read(&env, database)
    }

    fn check_directory(&self) -> Result<(), Unfit> {
        match self.path.metadata() {
            Ok(about) if about.is_dir() => Ok(()),
            // Nothing else is known to be lost with it than a pipe that somebody reads.
            Ok(about) if !about.is_file() => {
                let err = files::not_the_kind(&self.path, &about, "directory");
                Err(OpenError::from(err).into())
            }
            Ok(_) => Err(Unfit::Damaged("it is not a directory".into())),
            Err(err) if err.kind() == ErrorKind::NotFound => {
                Err(Unfit::Damaged("it is not a directory".into()))
            }
            Err(err) => Err(OpenError::of(&self.path, &err).into()),
        }
    }

    /// The data file, if there is one and LMDB may be given it.
    fn check_data_file(&self, access: Access) -> Result<Option<File>, Unfit> {
        let Some(file) = files::open(&self.path.join(DATA_FILE), access)? else {
            return Ok(None);
        };
        match file.metadata() {
            // LMDB would take it for a new one.
            Ok(about) if about.len() == 0 => {
                return Err(Unfit::Damaged(format!("{DATA_FILE} is empty")));
            }
            Ok(_) => {}
            Err(err) => return Err(Unfit::System(err)),
        }
        match inspect(&file, self.map_size as u64) {
            Ok(()) => Ok(Some(file)),
            Err(super::super::Damage::Io(err)) if err.kind() != ErrorKind::UnexpectedEof => {
                Err(Unfit::System(err))
            }
            Err(damage) => Err(Unfit::Damaged(format!("{DATA_FILE}: {damage}"))),
        }
    }

    fn set_aside(&self, reason: String) -> Result<MovedAside, OpenError> {
        for n in 1..=MOST_SET_ASIDE {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".damaged-{n}"));
            let to = PathBuf::from(name);
            if to.symlink_metadata().is_ok() {
                continue;
            }
            if let Err(err) = std::fs::rename(&self.path, &to) {
                tracing::warn!(
                    path = %self.path.display(), reason,
                    "configuration cache is not usable and cannot be moved aside"
                );
                // Moving it takes the right to write to the directory that it is in.
                return Err(OpenError::of(
                    self.path.parent().unwrap_or(&self.path),
                    &err,
                ));
            }
            tracing::warn!(
                path = %self.path.display(), moved_to = %to.display(), reason,
                "configuration cache is not usable and was moved aside"
            );
            return Ok(MovedAside { to, reason });
        }
        let reason =
            format!("{reason}; and there are {MOST_SET_ASIDE} damaged ones beside it already");
        Err(self.unusable(reason).into())
    }

    pub(super) fn unopened(&self, unfit: Unfit) -> OpenError {
        match unfit {
            Unfit::Damaged(reason) => self.unusable(reason).into(),
            Unfit::Unopened(err) => err,
            Unfit::System(err) => OpenError::of(&self.path, &err),
        }
    }

    fn fatal(&self, err: OpenError) -> CacheError {
        match err {
            OpenError::Fatal(err) => err,
            OpenError::ReadOnly(reason) => self.unusable(reason),
        }
    }
}
