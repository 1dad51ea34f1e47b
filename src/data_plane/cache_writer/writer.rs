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
use std::sync::Arc;

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

/// Owns the cache. Its handlers block on the disk: start it on an arbiter of its own.
pub struct CacheWriter {
    cache: Box<dyn ConfigCache + Send>,
    holds: Position,
    writes: u64,
    failures: u64,
}

impl CacheWriter {
    /// A writer to a cache that is loaded and holds this.
    #[must_use]
    pub fn new(cache: Box<dyn ConfigCache + Send>, holds: Position) -> CacheWriter {
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
            "holds": self.holds.to_string(),
            "writes": self.writes,
            "failures": self.failures,
        }))
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
            Ok(position) => (self.holds, self.writes) = (*position, self.writes + 1),
            Err(_) => self.failures += 1,
        }
        written
    }
}
