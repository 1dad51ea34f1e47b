//! Writes: many entity operations, one transaction, one revision.
//!
//! The first attempt trusts the caller and leaves checking to the constraints of the database.
//! When one refuses, the transaction is rolled back and repeated step by step with a look before
//! each, which tells exactly what is wrong.

use super::filter::Filter;
use super::integrity::{explain, look};
use super::read::{id_of, revision_from};
use super::tables::{TABLES, table};
use super::{Document, Store, StoreError, cascade, journal, unix_seconds};
use crate::model::{Change, Kind, Op, RequestId, Revision, Row};
use entity::config_revision;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ConnectionTrait, DatabaseExecutor, DatabaseTransaction, DbBackend, EntityTrait, Statement,
};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::MutexGuard;
use uuid::Uuid;

/// The channel on which PostgreSQL tells control planes of a commit; the payload is the revision.
pub(super) const CHANNEL: &str = "langur_config";

/// One operation. A document is whole: fields it lacks become null. `updated_at` is always set
/// here, `created_at` where an insert or upsert has none.
#[derive(Clone)]
pub enum Write {
    Insert {
        kind: Kind,
        document: Document,
    },
    /// Inserts, or replaces the entity with this id.
    Upsert {
        kind: Kind,
        document: Document,
    },
    /// Replaces an existing entity. With `read`, the row the new document was made from, only if
    /// it still is that: otherwise [`StoreError::Conflict`], and a concurrent change is not lost.
    Update {
        kind: Kind,
        document: Document,
        read: Option<Row>,
    },
    /// Deletes the entity and, before it, those that cannot be without it. Of nothing: nothing.
    Delete {
        kind: Kind,
        id: Uuid,
    },
}

impl std::fmt::Debug for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the content: documents hold keys and secrets.
        let (name, kind, id) = match self {
            Write::Insert { kind, document } => ("Insert", kind, document.get("id").cloned()),
            Write::Upsert { kind, document } => ("Upsert", kind, document.get("id").cloned()),
            Write::Update { kind, document, .. } => ("Update", kind, document.get("id").cloned()),
            Write::Delete { kind, id } => ("Delete", kind, Some(id.to_string().into())),
        };
        write!(f, "{name}({kind} {})", id.unwrap_or_default())
    }
}

/// Operations that become one revision, and the request they came from.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub writes: Vec<Write>,
    pub request_id: Option<RequestId>,
}

impl From<Vec<Write>> for Batch {
    fn from(writes: Vec<Write>) -> Batch {
        Batch {
            writes,
            request_id: None,
        }
    }
}

/// What a write did.
#[derive(Clone)]
pub struct Committed {
    /// The revision of this write, or the latest one when there was nothing to do.
    pub revision: Revision,
    /// At most one per entity, sorted by key, cascades included; as in the journal.
    pub ops: Vec<Op>,
    /// For each operation the entity as stored; none for a delete.
    pub documents: Vec<Option<Document>>,
}

impl std::fmt::Debug for Committed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the documents, as above.
        f.debug_struct("Committed")
            .field("revision", &self.revision)
            .field("ops", &self.ops)
            .finish_non_exhaustive()
    }
}

/// Whether to look before each step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Trusting,
    Explaining,
}

impl Store {
    /// Does all of it as one revision, or nothing.
    ///
    /// # Errors
    /// See [`StoreError`]; the first operation that fails is reported.
    pub async fn write(&self, batch: impl Into<Batch>) -> Result<Committed, StoreError> {
        let mut batch = batch.into();
        let now = self.now();
        for write in &mut batch.writes {
            prepare(write, now)?;
        }
        match self.attempt(&batch, now, Attempt::Trusting).await {
            Err(StoreError::Refused(_)) => {}
            done => return done,
        }
        self.attempt(&batch, now, Attempt::Explaining).await
    }

    async fn attempt(
        &self,
        batch: &Batch,
        now: SystemTime,
        attempt: Attempt,
    ) -> Result<Committed, StoreError> {
        let open = self.open_revision().await?;
        let db = DatabaseExecutor::from(&open.transaction);
        let writes = &batch.writes;
        let mut ops = Vec::with_capacity(writes.len());
        let mut documents = Vec::with_capacity(writes.len());
        let mut rest = writes.as_slice();
        while let Some(first) = rest.first() {
            let run = match (attempt, first) {
                (Attempt::Trusting, Write::Insert { kind, .. }) => inserts_of(*kind, rest),
                _ => Vec::new(),
            };
            if let (false, Write::Insert { kind, .. }) = (run.is_empty(), first) {
                for document in table(*kind).rows.insert(&db, &run).await? {
                    ops.push(put(*kind, &document)?);
                    documents.push(Some(document));
                }
                rest = &rest[run.len()..];
                continue;
            }
            if attempt == Attempt::Explaining {
                look(&db, first).await?;
            }
            let document = step(&db, first, &mut ops)
                .await
                .map_err(|err| explain(first, err))?;
            documents.push(document);
            rest = &rest[1..];
        }
        let (revision, ops) = self.seal(open, ops, batch.request_id, now).await?;
        Ok(Committed {
            revision,
            ops,
            documents,
        })
    }

    /// Deletes what has expired, as one revision, and says what that was; none when nothing has.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn delete_expired(&self) -> Result<Option<(Revision, Vec<Op>)>, StoreError> {
        let now = self.now();
        let expired = || vec![Filter::ExpiredAt(unix_seconds(now))];
        let tables = || {
            TABLES
                .iter()
                .filter(|table| table.rows.column("ttl").is_some())
        };
        let db = DatabaseExecutor::from(self.db());
        let mut found = 0;
        for table in tables() {
            found += table.rows.count(&db, expired()).await?;
        }
        if found == 0 {
            return Ok(None);
        }
        // Looked for again where nothing can be renewed meanwhile.
        let open = self.open_revision().await?;
        let db = DatabaseExecutor::from(&open.transaction);
        let mut ops = Vec::new();
        for table in tables() {
            for id in table.rows.ids(&db, expired()).await? {
                ops.extend(cascade::delete(&db, table.kind, id).await?);
            }
        }
        let (revision, ops) = self.seal(open, ops, None, now).await?;
        Ok((!ops.is_empty()).then_some((revision, ops)))
    }

    /// Begins a transaction and takes the next revision, which no one else gets until it ends.
    async fn open_revision(&self) -> Result<OpenRevision<'_>, StoreError> {
        let (turn, transaction) = self.begin_write().await?;
        let revision = next_revision(&transaction).await?;
        Ok(OpenRevision {
            _turn: turn,
            transaction,
            revision,
        })
    }

    /// Writes the journal and commits; without ops the revision is given back.
    async fn seal(
        &self,
        open: OpenRevision<'_>,
        ops: Vec<Op>,
        request_id: Option<RequestId>,
        now: SystemTime,
    ) -> Result<(Revision, Vec<Op>), StoreError> {
        let (transaction, revision) = (open.transaction, open.revision);
        if ops.is_empty() {
            transaction.rollback().await?;
            return Ok((Revision(revision.0.saturating_sub(1)), ops));
        }
        let ops = Change::coalesce(ops);
        journal::append(&transaction, revision, &ops, request_id, unix_seconds(now)).await?;
        if self.engine() == DbBackend::Postgres {
            notify(&transaction, CHANNEL, &revision.to_string()).await?;
        }
        transaction.commit().await?;
        self.announce(revision);
        Ok((revision, ops))
    }
}

/// A transaction that holds the next revision.
struct OpenRevision<'a> {
    _turn: MutexGuard<'a, ()>,
    transaction: DatabaseTransaction,
    revision: Revision,
}

/// Sets the timestamps and refuses what no engine may be given.
fn prepare(write: &mut Write, now: SystemTime) -> Result<(), StoreError> {
    let (kind, document, is_new) = match write {
        Write::Insert { kind, document } | Write::Upsert { kind, document } => {
            (*kind, document, true)
        }
        Write::Update { kind, document, .. } => (*kind, document, false),
        Write::Delete { .. } => return Ok(()),
    };
    id_of(kind, document)?;
    if let Some(field) = document.iter().find(|(_, value)| has_nul(value)) {
        return Err(StoreError::Malformed {
            kind,
            field: field.0.clone(),
            reason: "must not contain a NUL character".to_owned(),
        });
    }
    let has = |field| table(kind).rows.column(field).is_some();
    if is_new && has("created_at") && document.get("created_at").is_none_or(Value::is_null) {
        document.insert("created_at".to_owned(), timestamp(kind, now));
    }
    if has("updated_at") {
        document.insert("updated_at".to_owned(), timestamp(kind, now));
    }
    Ok(())
}

/// Seconds; of targets with milliseconds.
fn timestamp(kind: Kind, now: SystemTime) -> Value {
    if kind != Kind::Targets {
        return unix_seconds(now).into();
    }
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = Duration::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    milliseconds.as_secs_f64().into()
}

/// Text with NUL cannot be stored by PostgreSQL, neither plain nor in JSON.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// The documents of the inserts of one kind with which `writes` begins.
fn inserts_of(kind: Kind, writes: &[Write]) -> Vec<Document> {
    let document = |write: &Write| match write {
        Write::Insert { kind: of, document } if *of == kind => Some(document.clone()),
        _ => None,
    };
    writes.iter().map_while(document).collect()
}

async fn next_revision(db: &impl ConnectionTrait) -> Result<Revision, StoreError> {
    let column = config_revision::Column::Revision;
    let rows = config_revision::Entity::update_many()
        .col_expr(column, Expr::col(column).add(1))
        .exec_with_returning(db)
        .await?;
    match rows.first() {
        Some(row) => revision_from(row.revision),
        None => Err(StoreError::Unreadable(
            "config_revision is empty".to_owned(),
        )),
    }
}

pub(super) async fn notify(
    db: &impl ConnectionTrait,
    channel: &str,
    payload: &str,
) -> Result<(), StoreError> {
    let values = [channel.into(), payload.into()];
    db.execute_raw(Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT pg_notify($1, $2)",
        values,
    ))
    .await?;
    Ok(())
}

/// Does one operation and adds its ops.
async fn step(
    db: &DatabaseExecutor<'_>,
    write: &Write,
    ops: &mut Vec<Op>,
) -> Result<Option<Document>, StoreError> {
    let (kind, stored) = match write {
        Write::Insert { kind, document } => {
            let rows = table(*kind).rows.insert(db, std::slice::from_ref(document));
            (*kind, rows.await?.pop())
        }
        Write::Upsert { kind, document } => {
            (*kind, Some(table(*kind).rows.upsert(db, document).await?))
        }
        Write::Update {
            kind,
            document,
            read,
        } => {
            let id = id_of(*kind, document)?;
            if let Some(read) = read {
                expect(db, *kind, id, read).await?;
            }
            let stored = table(*kind).rows.update(db, document).await?;
            let missing = StoreError::NotFound { kind: *kind, id };
            (*kind, Some(stored.ok_or(missing)?))
        }
        Write::Delete { kind, id } => {
            ops.extend(cascade::delete(db, *kind, *id).await?);
            return Ok(None);
        }
    };
    if let Some(document) = &stored {
        ops.push(put(kind, document)?);
    }
    Ok(stored)
}

/// The journal has what the database returned, not what it was given: the two may differ in
/// the form of a number, and the tables must equal the journal.
fn put(kind: Kind, stored: &Document) -> Result<Op, StoreError> {
    Ok(Op::Put {
        kind,
        id: id_of(kind, stored)?,
        row: Row::from_json(stored),
    })
}

async fn expect(
    db: &DatabaseExecutor<'_>,
    kind: Kind,
    id: Uuid,
    read: &Row,
) -> Result<(), StoreError> {
    let filter = Filter::In("id", vec![id]);
    let found = table(kind).rows.select(db, vec![filter], Some(1)).await?;
    let found = found.first().ok_or(StoreError::NotFound { kind, id })?;
    if Row::from_json(found) != *read {
        return Err(StoreError::Conflict { kind, id });
    }
    Ok(())
}
