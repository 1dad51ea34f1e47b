//! Many writes, each of which sees the earlier ones, as one revision.
//!
//! A [`Transaction`] is one of the database: what it writes can be read through it, and by nobody
//! else, until it is committed. It holds the next revision, so nobody else commits meanwhile.
//! Every write is a savepoint, and leaves no trace when it is refused.

use super::history::Delta;
use super::journal::Step;
use super::measure::Asked;
use super::read::Entities;
use super::write::{Attempt, Done, OpenRevision, perform, prepare};
use super::{Committed, Store, StoreError, Write, unix_seconds};
use crate::model::{Op, Revision};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::oneshot;

/// An open transaction. Dropped, it leaves no trace.
pub struct Transaction {
    store: Store,
    open: OpenRevision,
    made: Mutex<Made>,
    end: oneshot::Sender<End>,
}

/// What has been done so far.
#[derive(Default)]
pub(super) struct Made {
    pub steps: Vec<Step>,
    pub asked: Asked,
}

/// The wish to commit, for whoever opened the transaction.
pub(super) struct End {
    pub open: OpenRevision,
    pub made: Made,
    pub reply: oneshot::Sender<Result<Committed, StoreError>>,
}

impl Transaction {
    /// Whoever waits for the end commits it; dropped without one, the transaction is over.
    pub(super) fn new(store: Store, open: OpenRevision) -> (Transaction, oneshot::Receiver<End>) {
        let (end, ended) = oneshot::channel();
        let transaction = Transaction {
            store,
            open,
            made: Mutex::default(),
            end,
        };
        (transaction, ended)
    }

    /// The entities as the transaction has left them so far.
    #[must_use]
    pub fn entities(&self) -> Entities<'_> {
        Entities::new(self.open.transaction.db(), unix_seconds(self.store.now()))
    }

    /// Does all of it, or nothing. The revision is the one that a commit would have.
    ///
    /// # Errors
    /// As [`Store::write`]; the transaction goes on without these writes.
    pub async fn write(&self, mut writes: Vec<Write>) -> Result<Committed, StoreError> {
        let now = self.store.now();
        for write in &mut writes {
            prepare(write, now)?;
        }
        let done = match self.attempt(&writes, Attempt::Trusting, now).await {
            Err(StoreError::Refused(_)) => self.attempt(&writes, Attempt::Explaining, now).await?,
            done => done?,
        };
        let ops = done.steps.iter().map(|step| step.op.clone()).collect();
        // No code that can panic runs under this lock.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.steps.extend(done.steps);
        made.asked.add(Asked::of(&writes));
        Ok(Committed {
            revision: self.open.revision,
            ops,
            documents: done.documents,
            ..Committed::default()
        })
    }

    async fn attempt(
        &self,
        writes: &[Write],
        attempt: Attempt,
        now: SystemTime,
    ) -> Result<Done, StoreError> {
        let savepoint = self.open.transaction.savepoint().await?;
        match perform(&savepoint.db(), writes, attempt, now).await {
            Ok(done) => {
                savepoint.release().await?;
                Ok(done)
            }
            Err(err) => {
                savepoint.rollback().await?;
                Err(err)
            }
        }
    }

    /// The revision that it started from.
    #[must_use]
    pub fn base(&self) -> Revision {
        self.open.revision.before()
    }

    /// What a commit would change.
    #[must_use]
    pub fn difference(&self) -> Vec<Delta> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let delta = |step: Step| {
            let (kind, id) = step.op.key();
            let after = match step.op {
                Op::Put { row, .. } => Some(row),
                Op::Delete { .. } => None,
            };
            Delta {
                kind,
                id,
                before: step.replaced,
                after,
            }
        };
        let steps = Step::coalesce(made.steps.iter().cloned());
        steps.into_iter().map(delta).collect()
    }

    /// Makes it a revision. If it has come to nothing there is none, and the latest is named.
    ///
    /// # Errors
    /// As [`super::ConfigStoreHandle::write`].
    pub async fn commit(self) -> Result<Committed, StoreError> {
        let (reply, answer) = oneshot::channel();
        let made = self.made.into_inner();
        let end = End {
            open: self.open,
            made: made.unwrap_or_else(PoisonError::into_inner),
            reply,
        };
        // Whoever opened it is gone: then nothing is committed.
        self.end.send(end).map_err(|_| StoreError::Busy)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::unknown()))
    }

    /// Undoes all of it.
    ///
    /// # Errors
    /// When the database fails; then it is undone when the connection ends.
    pub async fn roll_back(self) -> Result<(), StoreError> {
        self.open.transaction.rollback().await
    }
}
