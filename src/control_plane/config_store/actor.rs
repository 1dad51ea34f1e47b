//! The ConfigStore actor: queues writes, follows other control planes, keeps the database tidy.

use super::measure::{Asked, WriteMetrics};
use super::read::Entities;
use super::transaction::{End, Transaction};
use super::{Batch, Commits, Committed, Declaration, Retention, Store, StoreError, Write, Written};
use crate::actor::{Guarded, Observe, Registry, RestartPolicy, Slot, guard};
use crate::model::{Op, RequestId, Revision};
use crate::telemetry::metrics::Metrics;
use actix::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Writes that may wait. Overflow: the sender gets [`StoreError::Busy`] at once and says so to
/// its client, which is to try again.
///
/// Actix lets each clone of an address send one message beyond the mailbox's capacity, so with
/// as many clones as requests it bounds nothing. The slots of [`ConfigStoreHandle`] do.
pub(super) const MAILBOX: usize = 256;
/// How long a write waits for an actor that is being restarted.
const RESTART_PATIENCE: Duration = Duration::from_secs(5);
/// Between two rounds of tidying.
const MAINTENANCE: Duration = Duration::from_secs(60);

/// The actor. Make it anew from the same [`Store`] when it has to be restarted.
pub struct ConfigStore {
    store: Store,
    retention: Retention,
    measure: Arc<WriteMetrics>,
    /// Runs beside the actor: what the actor itself spawned would stand still during a write,
    /// and with it whatever connection it holds.
    following: Option<tokio::task::JoinHandle<()>>,
    writes: u64,
}

impl ConfigStore {
    #[must_use]
    pub(super) fn new(
        store: Store,
        retention: Retention,
        measure: Arc<WriteMetrics>,
    ) -> ConfigStore {
        ConfigStore {
            store,
            retention,
            measure,
            following: None,
            writes: 0,
        }
    }
}

impl Actor for ConfigStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let store = self.store.clone();
        self.following = Some(tokio::spawn(async move { store.follow().await }));
        // Overflow: the next round does it.
        ctx.run_interval(MAINTENANCE, |_, ctx| {
            if ctx.address().try_send(Maintain).is_err() {
                tracing::debug!("maintenance is put off: writes are waiting");
            }
        });
    }
}

impl Guarded for ConfigStore {
    const MAILBOX: usize = MAILBOX;
}

impl Handler<Observe> for ConfigStore {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        MessageResult(serde_json::json!({
            "revision": *self.store.revisions().borrow(),
            "writes": self.writes,
        }))
    }
}

impl Drop for ConfigStore {
    fn drop(&mut self) {
        if let Some(following) = &self.following {
            following.abort();
        }
    }
}

/// Commits operations as one revision: see [`ConfigStoreHandle::write`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct WriteConfig {
    work: Work,
    request_id: Option<RequestId>,
    reply: oneshot::Sender<Result<Committed, StoreError>>,
    /// The place in the queue, given back when the write has been answered.
    slot: OwnedSemaphorePermit,
    taken: Instant,
}

/// What becomes a revision.
enum Work {
    Write(Batch),
    Declare(Declaration),
    RollBack(Revision),
}

impl Work {
    /// What the metrics count; of a declaration, and a rollback, only what differed.
    fn asked(&self) -> Option<Asked> {
        match self {
            Work::Write(batch) => Some(Asked::of(&batch.writes)),
            Work::Declare(_) | Work::RollBack(_) => None,
        }
    }
}

/// Opens a transaction: see [`ConfigStoreHandle::begin`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct BeginTransaction {
    request_id: Option<RequestId>,
    reply: oneshot::Sender<Result<Transaction, StoreError>>,
    slot: OwnedSemaphorePermit,
    taken: Instant,
}

/// Deletes expired entities and prunes the journal.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Maintain;

impl Handler<WriteConfig> for ConfigStore {
    type Result = ();

    fn handle(&mut self, message: WriteConfig, ctx: &mut Self::Context) {
        self.writes += 1;
        let (store, measure) = (self.store.clone(), Arc::clone(&self.measure));
        let write = async move {
            // Whoever asked has gone: what was not begun is not done.
            if message.reply.is_closed() {
                return;
            }
            let (asked, request_id) = (message.work.asked(), message.request_id);
            // Each gives itself up at its deadline, and knows whether it has told the database to
            // commit: a limit from outside would not.
            let result = match message.work {
                Work::Write(batch) => {
                    let batch = Batch {
                        request_id,
                        ..batch
                    };
                    store.write(batch).await
                }
                Work::Declare(declaration) => store.declare(declaration, request_id).await,
                Work::RollBack(to) => store.roll_back(to, request_id).await,
            };
            match &result {
                Ok(done) => {
                    let asked = asked.unwrap_or_else(|| Asked::of_declared(&done.ops));
                    measure.committed(&asked, &done.ops, message.taken.elapsed());
                    log(done, request_id);
                }
                Err(err) => measure.failed(err),
            }
            // Nobody may be waiting any more; the write counts all the same.
            let _ = message.reply.send(result);
            drop(message.slot);
        };
        // No other message is taken meanwhile: the queue is the mailbox, and it is bounded.
        ctx.wait(write.into_actor(self));
    }
}

impl Handler<BeginTransaction> for ConfigStore {
    type Result = ();

    fn handle(&mut self, message: BeginTransaction, ctx: &mut Self::Context) {
        self.writes += 1;
        let (store, measure) = (self.store.clone(), Arc::clone(&self.measure));
        let transact = async move {
            if message.reply.is_closed() {
                return;
            }
            let open = match store.open_revision().await {
                Ok(open) => open,
                Err(err) => {
                    measure.failed(&err);
                    let _ = message.reply.send(Err(err));
                    return;
                }
            };
            let (transaction, ended) = Transaction::new(store.clone(), open);
            // Whoever asked has gone, now or later: all of it is undone.
            let _ = message.reply.send(Ok(transaction));
            let Ok(End { open, made, reply }) = ended.await else {
                return;
            };
            let now = store.now();
            let sealed = store.seal(open, made.steps, message.request_id, now).await;
            let result = sealed.map(|(revision, ops)| Committed {
                revision,
                ops,
                ..Committed::default()
            });
            match &result {
                Ok(done) => {
                    measure.committed(&made.asked, &done.ops, message.taken.elapsed());
                    log(done, message.request_id);
                }
                Err(err) => measure.failed(err),
            }
            let _ = reply.send(result);
            drop(message.slot);
        };
        ctx.wait(transact.into_actor(self));
    }
}

impl Handler<Maintain> for ConfigStore {
    type Result = ();

    fn handle(&mut self, _: Maintain, ctx: &mut Self::Context) {
        let (store, retention) = (self.store.clone(), self.retention);
        let measure = Arc::clone(&self.measure);
        let tidy = async move {
            match store.delete_expired().await {
                Ok(Some((revision, ops))) => {
                    measure.deleted(&ops);
                    tracing::info!(%revision, "deleted what has expired");
                }
                Ok(None) => {}
                Err(err) => tracing::warn!(?err, "deleting what has expired failed"),
            }
            match store.prune_journal(retention).await {
                Ok(0) => {}
                Ok(rows) => tracing::debug!(rows, "pruned the journal"),
                Err(err) => tracing::warn!(?err, "pruning the journal failed"),
            }
            if let Err(err) = store.compact().await {
                tracing::warn!(?err, "the database file could not be made smaller");
            }
        };
        ctx.wait(tidy.into_actor(self));
    }
}

/// Says what was changed, never what it contains.
fn log(committed: &Committed, request_id: Option<RequestId>) {
    let entity = |op: &Op| {
        let (kind, id) = op.key();
        match op {
            Op::Put { .. } => format!("{kind}/{id}"),
            Op::Delete { .. } => format!("-{kind}/{id}"),
        }
    };
    let Some(first) = committed.ops.first() else {
        return;
    };
    tracing::info!(
        request_id = request_id.map(tracing::field::display),
        revision = committed.revision.0,
        changed = committed.ops.len(),
        first = entity(first),
        "configuration changed"
    );
}

/// The way to the actor: what AdminApi and others hold.
#[derive(Clone)]
pub struct ConfigStoreHandle {
    actor: Slot<ConfigStore>,
    store: Store,
    slots: Arc<Semaphore>,
    measure: Arc<WriteMetrics>,
    request_id: Option<RequestId>,
    /// What is read and written is read and written there.
    transaction: Option<Arc<Transaction>>,
    /// What was committed through this handle, and its clones.
    written: Arc<Written>,
}

impl ConfigStoreHandle {
    /// Starts the actor under a guardian, on the current arbiter. The one handle to it; whoever
    /// else writes gets a clone.
    pub fn start(
        store: Store,
        retention: Retention,
        metrics: &Metrics,
        actors: &Registry,
    ) -> ConfigStoreHandle {
        let measure = Arc::new(WriteMetrics::new(metrics));
        let (kept, measured) = (store.clone(), Arc::clone(&measure));
        let actor = guard(actors, "ConfigStore", RestartPolicy::default(), move || {
            ConfigStore::new(kept.clone(), retention, Arc::clone(&measured))
        });
        ConfigStoreHandle {
            actor,
            store,
            slots: Arc::new(Semaphore::new(MAILBOX)),
            measure,
            request_id: None,
            transaction: None,
            written: Arc::default(),
        }
    }

    /// The same, whose writes are known to come from this request.
    #[must_use]
    pub fn on_behalf_of(&self, request_id: RequestId) -> ConfigStoreHandle {
        ConfigStoreHandle {
            request_id: Some(request_id),
            written: Arc::default(),
            ..self.clone()
        }
    }

    /// What was committed on behalf of the request.
    #[must_use]
    pub fn written(&self) -> Commits {
        self.written.commits()
    }

    /// Commits a transaction that was begun with this handle.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub async fn commit(&self, transaction: Transaction) -> Result<Committed, StoreError> {
        let committed = transaction.commit().await?;
        self.written.note(&[], &committed);
        Ok(committed)
    }

    /// The same inside of a transaction: it reads what that has written, and what it writes
    /// becomes part of that.
    #[must_use]
    pub fn inside(&self, transaction: Arc<Transaction>) -> ConfigStoreHandle {
        ConfigStoreHandle {
            transaction: Some(transaction),
            ..self.clone()
        }
    }

    /// Whether this is [`ConfigStoreHandle::inside`] of a transaction.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.transaction.is_some()
    }

    /// The entities there are. To read needs no queue.
    #[must_use]
    pub fn entities(&self) -> Entities<'_> {
        match &self.transaction {
            Some(transaction) => transaction.entities(),
            None => self.store.entities(),
        }
    }

    /// For reads of what is no entity.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Places left in the queue.
    #[must_use]
    pub fn free_slots(&self) -> usize {
        self.slots.available_permits()
    }

    /// Writes in the queue, the one under way included.
    #[must_use]
    pub fn waiting(&self) -> usize {
        MAILBOX.saturating_sub(self.free_slots())
    }

    /// Queues a write and waits for its commit.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full or the actor is being restarted,
    /// [`StoreError::Unknown`] when it stopped in the middle; otherwise those of [`Store::write`].
    pub async fn write(&self, writes: Vec<Write>) -> Result<Committed, StoreError> {
        match &self.transaction {
            Some(transaction) => transaction.write(writes).await,
            None => {
                let kinds: Vec<_> = writes.iter().map(Write::kind).collect();
                let committed = self.submit(Work::Write(Batch::from(writes))).await?;
                self.written.note(&kinds, &committed);
                Ok(committed)
            }
        }
    }

    /// Queues for a transaction and waits for its turn. Until it is committed, rolled back or
    /// dropped, all other writes wait: its holder owes it a deadline.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full or the actor is being restarted, and when the
    /// database fails.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return Err(self.busy());
        };
        let (reply, answer) = oneshot::channel();
        let message = BeginTransaction {
            request_id: self.request_id,
            reply,
            slot,
            taken: Instant::now(),
        };
        match self.queue(message).await {
            true => answer.await.unwrap_or_else(|_| Err(self.busy())),
            false => Err(self.busy()),
        }
    }

    /// Queues a rollback and waits for its commit, which has no documents.
    ///
    /// # Errors
    /// As [`ConfigStoreHandle::write`], otherwise those of [`Store::roll_back`].
    pub async fn roll_back(&self, to: Revision) -> Result<Committed, StoreError> {
        let committed = self.submit(Work::RollBack(to)).await?;
        self.written.note(&[], &committed);
        Ok(committed)
    }

    /// The same for a declaration; its commit has no documents.
    ///
    /// # Errors
    /// As [`ConfigStoreHandle::write`].
    pub async fn declare(&self, declaration: Declaration) -> Result<Committed, StoreError> {
        let committed = self.submit(Work::Declare(declaration)).await?;
        self.written.note(&[], &committed);
        Ok(committed)
    }

    async fn submit(&self, work: Work) -> Result<Committed, StoreError> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return Err(self.busy());
        };
        let (reply, answer) = oneshot::channel();
        let message = WriteConfig {
            work,
            request_id: self.request_id,
            reply,
            slot,
            taken: Instant::now(),
        };
        match self.queue(message).await {
            true => answer.await.unwrap_or_else(|_| Err(StoreError::unknown())),
            false => Err(self.busy()),
        }
    }

    /// Puts a message into the queue. While the actor is being restarted, which takes a moment, its
    /// next life is waited for: nothing was begun.
    async fn queue<M>(&self, message: M) -> bool
    where
        M: Message<Result = ()> + Send + 'static,
        ConfigStore: Handler<M>,
    {
        let queued = self.actor.send_when_running(message);
        let queued = tokio::time::timeout(RESTART_PATIENCE, queued).await;
        matches!(queued, Ok(Ok(())))
    }

    fn busy(&self) -> StoreError {
        self.measure.failed(&StoreError::Busy);
        StoreError::Busy
    }
}
