//! The CacheWriter actor: disk writes on a thread of their own.
//!
//! Its one client, the HeartbeatClient, has at most one write under way and coalesces what
//! comes meanwhile (`heartbeat_client::Persist`), so the mailbox never overflows; if it did,
//! `send` would wait.

use super::{CacheError, ConfigCache, LastGood};
use crate::actor::{Guarded, Observe};
use crate::model::{Change, Config};
use crate::wire::Position;
use actix::{Actor, Context, Handler, Message, MessageResult};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One transaction on the cache; the answer is the position it holds then.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Position, CacheError>")]
pub enum Write {
    Change {
        epoch: u64,
        change: Arc<Change>,
        last_good: LastGood,
    },
    Whole {
        epoch: u64,
        config: Arc<Config>,
        last_good: LastGood,
    },
}

/// The position of what need not be written, once every write that was asked for before has been made.
/// Overflow: the sender waits for room.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Position")]
pub struct GetHolds;

/// What is known of the cache's content, over all lives of its writer.
#[derive(Clone, Debug)]
pub struct Holds(Arc<Mutex<Known>>);

#[derive(Clone, Copy, Debug)]
struct Known {
    on_disk: Position,
    /// What a restart would begin with: what is on disk, or instead of it a declarative file, which is
    /// not copied. The default when what is on disk is of another source, and is to be replaced.
    counts: Position,
}

impl Holds {
    /// As it is at the start.
    #[must_use]
    pub fn new(on_disk: Position, counts: Position) -> Holds {
        Holds(Arc::new(Mutex::new(Known { on_disk, counts })))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_written(&self, position: Position) {
        *self.known() = Known {
            on_disk: position,
            counts: position,
        };
    }

    /// A new life has read what is on disk. When that is not what the life before had left there, it
    /// is what counts.
    pub fn is_read_again(&self, on_disk: Position) {
        let mut known = self.known();
        if known.on_disk != on_disk {
            *known = Known {
                on_disk,
                counts: on_disk,
            };
        }
    }
}

/// Owns the cache. Its handlers block on the disk: start it on an arbiter of its own.
pub struct CacheWriter {
    cache: Box<dyn ConfigCache + Send>,
    holds: Holds,
    writes: u64,
    failures: u64,
}

impl CacheWriter {
    /// A writer to a cache that is loaded and holds this.
    #[must_use]
    pub fn new(cache: Box<dyn ConfigCache + Send>, holds: Holds) -> CacheWriter {
        CacheWriter {
            cache,
            holds,
            writes: 0,
            failures: 0,
        }
    }
}

impl Actor for CacheWriter {
    type Context = Context<CacheWriter>;
}

impl Guarded for CacheWriter {
    const MAILBOX: usize = 4;
}

impl Handler<Observe> for CacheWriter {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        MessageResult(serde_json::json!({
            "holds": self.holds.known().on_disk.to_string(),
            "writes": self.writes,
            "failures": self.failures,
        }))
    }
}

impl Handler<GetHolds> for CacheWriter {
    type Result = MessageResult<GetHolds>;

    fn handle(&mut self, _: GetHolds, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.holds.known().counts)
    }
}

impl Handler<Write> for CacheWriter {
    type Result = Result<Position, CacheError>;

    fn handle(&mut self, write: Write, _: &mut Self::Context) -> Self::Result {
        let written = match write {
            Write::Change {
                epoch,
                change,
                last_good,
            } => self.cache.commit(epoch, &change, &last_good),
            Write::Whole {
                epoch,
                config,
                last_good,
            } => self.cache.replace(epoch, &config, &last_good),
        };
        match &written {
            Ok(position) => {
                self.holds.is_written(*position);
                self.writes += 1;
            }
            Err(_) => self.failures += 1,
        }
        written
    }
}
