//! The CacheWriter actor: disk writes on a thread of their own.
//!
//! Its one client, the HeartbeatClient, has at most one write under way and coalesces what
//! comes meanwhile (`heartbeat_client::Persist`), so the mailbox never overflows; if it did,
//! `send` would wait.

use super::{CacheError, ConfigCache, LastGood};
use crate::model::{Change, Config};
use crate::wire::Position;
use actix::{Actor, Context, Handler, Message};
use std::sync::Arc;

const MAILBOX: usize = 4;

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
}

impl CacheWriter {
    /// A writer to a cache that is loaded.
    #[must_use]
    pub fn new(cache: Box<dyn ConfigCache + Send>) -> CacheWriter {
        CacheWriter { cache }
    }
}

impl Actor for CacheWriter {
    type Context = Context<CacheWriter>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Write> for CacheWriter {
    type Result = Result<Position, CacheError>;

    fn handle(&mut self, write: Write, _: &mut Self::Context) -> Self::Result {
        match write {
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
        }
    }
}
