//! A cache in memory with the crash semantics of one on disk, for the simulation.

use super::{CacheError, Cached, ConfigCache, LastGoodRow};
use crate::model::{Change, Config};
use crate::wire::Position;
use std::sync::{Arc, Mutex};

/// What survives a crash of the process.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Option<Cached>>>);

impl Disk {
    /// What is committed.
    pub fn committed(&self) -> Option<Cached> {
        self.0.lock().expect("not poisoned").clone()
    }

    /// The position of what is committed.
    pub fn position(&self) -> Position {
        let cached = self.0.lock().expect("not poisoned");
        cached.as_ref().map(Cached::position).unwrap_or_default()
    }
}

/// One process's view of a disk.
#[derive(Clone, Debug)]
pub struct MemoryCache {
    disk: Disk,
    loaded: bool,
}

impl MemoryCache {
    pub fn new(disk: &Disk) -> MemoryCache {
        MemoryCache {
            disk: disk.clone(),
            loaded: false,
        }
    }

    fn swap(&self, next: Cached) -> Position {
        let position = next.position();
        *self.disk.0.lock().expect("not poisoned") = Some(next);
        position
    }
}

impl ConfigCache for MemoryCache {
    fn load(&mut self) -> Result<Option<Cached>, CacheError> {
        self.loaded = true;
        Ok(self.disk.committed())
    }

    fn commit(
        &mut self,
        epoch: u64,
        change: &Change,
        last_good: &[LastGoodRow],
    ) -> Result<Position, CacheError> {
        if !self.loaded {
            return Err(CacheError::NotLoaded);
        }
        let mut next = self.disk.committed().unwrap_or_default();
        let held = next.position();
        if held.order() != (epoch, change.base) {
            return Err(CacheError::WrongBase {
                held,
                epoch,
                base: change.base,
            });
        }
        next.config
            .apply(change)
            .map_err(|_| CacheError::DigestMismatch {
                expected: change.digest,
                found: held.digest,
            })?;
        next.last_good = last_good.to_vec();
        Ok(self.swap(next))
    }

    fn replace(
        &mut self,
        epoch: u64,
        config: &Config,
        last_good: &[LastGoodRow],
    ) -> Result<Position, CacheError> {
        if !self.loaded {
            return Err(CacheError::NotLoaded);
        }
        Ok(self.swap(Cached {
            source: None,
            epoch,
            config: config.clone(),
            last_good: last_good.to_vec(),
        }))
    }
}
