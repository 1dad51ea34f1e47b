//! The database as the rest of the store asks it: every statement has a deadline, and none is asked of
//! a database that does not answer.

use super::StoreError;
use super::breaker::Breaker;
use super::slow;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseExecutor, DatabaseTransaction, DbBackend, DbErr,
    ExecResult, QueryResult, Statement, TransactionOptions, TransactionTrait,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// After which a statement, or a transaction, is given up. PostgreSQL gives its statements up itself,
/// so that nothing lingers there whose asker is gone.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Whom to ask: the database, or a transaction of it.
pub(super) struct Db<'a> {
    to: DatabaseExecutor<'a>,
    breaker: &'a Breaker,
    /// That of the transaction; a statement alone has one of its own.
    deadline: Option<Instant>,
}

impl<'a> Db<'a> {
    pub fn new(database: &'a DatabaseConnection, breaker: &'a Breaker) -> Db<'a> {
        Db {
            to: DatabaseExecutor::from(database),
            breaker,
            deadline: None,
        }
    }

    /// What the database answers to a statement before the deadline.
    async fn answer<T>(
        &self,
        sql: &str,
        asked: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let begun = Instant::now();
        let answer = self.breaker.answer(until(self.deadline), asked).await;
        slow::tell(sql, begun.elapsed());
        answer
    }
}

/// The deadline of a statement.
fn until(deadline: Option<Instant>) -> Instant {
    deadline.unwrap_or_else(|| Instant::now() + LIMIT)
}

#[async_trait::async_trait]
impl ConnectionTrait for Db<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.to.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let sql = statement.sql.clone();
        self.answer(&sql, self.to.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.answer(sql, self.to.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let sql = statement.sql.clone();
        self.answer(&sql, self.to.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let sql = statement.sql.clone();
        self.answer(&sql, self.to.query_all_raw(statement)).await
    }
}

/// A transaction with a deadline. Dropped, it leaves no trace.
pub(super) struct Tx {
    transaction: DatabaseTransaction,
    breaker: Arc<Breaker>,
    /// Of all of it; otherwise each statement has one.
    deadline: Option<Instant>,
}

impl Tx {
    /// Begins one. Its commit has a time of its own.
    pub async fn begin(
        database: &DatabaseConnection,
        breaker: &Arc<Breaker>,
        options: TransactionOptions,
        deadline: Option<Instant>,
    ) -> Result<Tx, StoreError> {
        let begun = database.begin_with_options(options);
        let begun = breaker.answer(until(deadline), begun);
        Ok(Tx {
            transaction: begun.await?,
            breaker: Arc::clone(breaker),
            deadline,
        })
    }

    /// Whom to ask within it.
    pub fn db(&self) -> Db<'_> {
        Db {
            to: DatabaseExecutor::from(&self.transaction),
            breaker: &self.breaker,
            deadline: self.deadline,
        }
    }

    /// A part of it that can be undone alone.
    pub async fn savepoint(&self) -> Result<Tx, StoreError> {
        let begun = self.transaction.begin();
        let begun = self.breaker.answer(until(self.deadline), begun);
        Ok(Tx {
            transaction: begun.await?,
            breaker: Arc::clone(&self.breaker),
            deadline: self.deadline,
        })
    }

    /// Makes a savepoint part of its transaction.
    pub async fn release(self) -> Result<(), StoreError> {
        let released = self.transaction.commit();
        Ok(self.breaker.answer(until(self.deadline), released).await?)
    }

    /// Undoes all of it.
    pub async fn rollback(self) -> Result<(), StoreError> {
        let undone = self.transaction.rollback();
        Ok(self.breaker.answer(until(self.deadline), undone).await?)
    }

    /// # Errors
    /// [`StoreError::Unknown`] when the server was told to commit and was not heard of again; in
    /// all other cases nothing is written.
    pub async fn commit(self) -> Result<(), StoreError> {
        // Before it is told anything.
        let is_late = |deadline| Instant::now() >= deadline;
        if self.breaker.is_open() || self.deadline.is_some_and(is_late) {
            return Err(StoreError::unanswered());
        }
        let is_server = self.transaction.get_database_backend() == DbBackend::Postgres;
        let begun = Instant::now();
        let committed = self.transaction.commit();
        let answer = self.breaker.answer(begun + LIMIT, committed).await;
        slow::tell("COMMIT", begun.elapsed());
        answer.map_err(|err| match StoreError::from(err) {
            StoreError::Unavailable(why) if is_server => StoreError::Unknown(why),
            other => other,
        })
    }
}
