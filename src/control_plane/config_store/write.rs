//! Writes: many entity operations, one transaction, one revision.
//!
//! The first attempt trusts the caller and leaves checking to the constraints of the database.
//! When one refuses, the transaction is rolled back and repeated step by step with a look before
//! each, which tells exactly what is wrong. Declarations go through `declare`.

use super::database::{Db, Tx};
use super::filter::Filter;
use super::integrity::{check_pairs, check_unique, explain, look, make_way};
use super::journal::Step;
use super::read::{id_of, revision_from};
use super::tables::{TABLES, table};
use super::{Document, Store, StoreError, cascade, journal, unix_seconds};
use crate::model::{Kind, Op, RequestId, Revision, Row};
use entity::config_revision;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, Statement};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::OwnedMutexGuard;
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

impl Write {
    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Write::Insert { kind, .. }
            | Write::Upsert { kind, .. }
            | Write::Update { kind, .. }
            | Write::Delete { kind, .. } => *kind,
        }
    }
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
            ..Batch::default()
        }
    }
}

/// What a write did.
#[derive(Clone, Default)]
pub struct Committed {
    /// The revision of this write, or the latest one when there was nothing to do.
    pub revision: Revision,
    /// At most one per entity, sorted by key, cascades included; as in the journal.
    pub ops: Vec<Op>,
    /// For each operation of a batch the entity as stored; none for a delete.
    pub documents: Vec<Option<Document>>,
    /// Of a declaration, what was stored as it says already.
    pub unchanged: BTreeMap<(Kind, Uuid), Row>,
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
pub(super) enum Attempt {
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
        let db = open.transaction.db();
        let Done { steps, documents } = perform(&db, &batch.writes, attempt, now).await?;
        let (revision, ops) = self.seal(open, steps, batch.request_id, now).await?;
        Ok(Committed {
            revision,
            ops,
            documents,
            ..Committed::default()
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
        let db = self.db();
        let mut found = 0;
        for table in tables() {
            found += table.rows.count(&db, expired()).await?;
        }
        if found == 0 {
            return Ok(None);
        }
        // Looked for again where nothing can be renewed meanwhile.
        let open = self.open_revision().await?;
        let db = open.transaction.db();
        let mut steps = Vec::new();
        for table in tables() {
            for id in table.rows.ids(&db, expired()).await? {
                steps.extend(cascade::delete(&db, table.kind, id).await?);
            }
        }
        let (revision, ops) = self.seal(open, steps, None, now).await?;
        Ok((!ops.is_empty()).then_some((revision, ops)))
    }

    /// Begins a transaction and takes the next revision, which no one else gets until it ends.
    pub(super) async fn open_revision(&self) -> Result<OpenRevision, StoreError> {
        let (turn, transaction) = self.begin_write().await?;
        let revision = next_revision(&transaction.db()).await?;
        Ok(OpenRevision {
            _turn: turn,
            transaction,
            revision,
        })
    }

    /// Writes the journal and commits, and returns what was done as the journal has it; if that is
    /// nothing the revision is given back.
    pub(super) async fn seal(
        &self,
        open: OpenRevision,
        steps: Vec<Step>,
        request_id: Option<RequestId>,
        now: SystemTime,
    ) -> Result<(Revision, Vec<Op>), StoreError> {
        let (transaction, revision) = (open.transaction, open.revision);
        let steps = Step::coalesce(steps);
        if steps.is_empty() {
            transaction.rollback().await?;
            return Ok((revision.before(), Vec::new()));
        }
        let committed_at = unix_seconds(now);
        journal::append(
            &transaction.db(),
            revision,
            &steps,
            request_id,
            committed_at,
        )
        .await?;
        if let Some(kept) = self.0.keeps_revisions {
            let last = Revision(revision.0.saturating_sub(kept));
            journal::forget(&transaction.db(), last).await?;
        }
        if self.engine() == DbBackend::Postgres {
            notify(&transaction.db(), CHANNEL, &revision.to_string()).await?;
        }
        transaction.commit().await?;
        self.announce(revision);
        let ops = steps.into_iter().map(|step| step.op).collect();
        Ok((revision, ops))
    }
}

/// A transaction that holds the next revision.
pub(super) struct OpenRevision {
    _turn: OwnedMutexGuard<()>,
    pub transaction: Tx,
    pub revision: Revision,
}

/// What came of operations, inside their transaction.
#[derive(Default)]
pub(super) struct Done {
    pub steps: Vec<Step>,
    pub documents: Vec<Option<Document>>,
}

/// Does the operations one after the other, inserts and upserts of one kind that stand together at
/// once.
pub(super) async fn perform(
    db: &Db<'_>,
    writes: &[Write],
    attempt: Attempt,
    now: SystemTime,
) -> Result<Done, StoreError> {
    let mut done = Done::default();
    let mut rest = writes;
    while let Some(first) = rest.first() {
        if attempt == Attempt::Trusting
            && let Some(run) = Run::at_the_beginning_of(rest)
        {
            rest = &rest[run.documents.len()..];
            let rows = table(run.kind).rows;
            let (stored, mut replaced) = match run.replaces {
                false => (rows.insert(db, &run.documents).await?, HashMap::new()),
                true => {
                    let replaced = current(db, run.kind, &run.ids()?).await?;
                    (rows.upsert(db, &run.documents).await?, replaced)
                }
            };
            for document in stored {
                let replaced = replaced.remove(&id_of(run.kind, &document)?);
                done.steps.push(put(run.kind, &document, replaced)?);
                done.documents.push(Some(document));
            }
            continue;
        }
        if attempt == Attempt::Explaining {
            done.steps
                .extend(make_way(db, first, unix_seconds(now)).await?);
            look(db, first).await?;
        }
        let document = step(db, first, &mut done.steps)
            .await
            .map_err(|err| explain(first, err))?;
        done.documents.push(document);
        rest = &rest[1..];
    }
    Ok(done)
}

/// Sets the timestamps and refuses what no engine may be given.
pub(super) fn prepare(write: &mut Write, now: SystemTime) -> Result<(), StoreError> {
    let (kind, document) = match write {
        Write::Insert { kind, document } | Write::Upsert { kind, document } => {
            stamp_if_missing(*kind, document, "created_at", now);
            (*kind, document)
        }
        Write::Update { kind, document, .. } => (*kind, document),
        Write::Delete { .. } => return Ok(()),
    };
    stamp(kind, document, "updated_at", now);
    check(kind, document)
}

/// The same for a declared entity, which keeps the timestamps that it has.
pub(super) fn prepare_declared(
    kind: Kind,
    document: &mut Document,
    now: SystemTime,
) -> Result<(), StoreError> {
    stamp_if_missing(kind, document, "created_at", now);
    stamp_if_missing(kind, document, "updated_at", now);
    check(kind, document)
}

fn stamp_if_missing(kind: Kind, document: &mut Document, field: &str, now: SystemTime) {
    if document.get(field).is_none_or(Value::is_null) {
        stamp(kind, document, field, now);
    }
}

/// Sets the field, where the table has it.
fn stamp(kind: Kind, document: &mut Document, field: &str, now: SystemTime) {
    if table(kind).rows.column(field).is_some() {
        document.insert(field.to_owned(), timestamp(kind, now));
    }
}

fn check(kind: Kind, document: &Document) -> Result<(), StoreError> {
    id_of(kind, document)?;
    if let Some(field) = document.iter().find(|(_, value)| has_nul(value)) {
        return Err(StoreError::Malformed {
            kind,
            field: field.0.clone(),
            reason: "must not contain a NUL character".to_owned(),
        });
    }
    check_pairs(kind, document)?;
    check_unique(kind, document)
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

/// Inserts, or upserts, of one kind that are done together.
struct Run {
    kind: Kind,
    replaces: bool,
    documents: Vec<Document>,
}

impl Run {
    /// The run with which `writes` begins; none when they begin with something else.
    fn at_the_beginning_of(writes: &[Write]) -> Option<Run> {
        let put = |write: &Write| match write {
            Write::Insert { kind, document } => Some((*kind, false, document.clone())),
            Write::Upsert { kind, document } => Some((*kind, true, document.clone())),
            Write::Update { .. } | Write::Delete { .. } => None,
        };
        let (kind, replaces, first) = put(writes.first()?)?;
        // No statement can replace a row twice.
        let mut ids = BTreeSet::from([first.get("id").map(Value::to_string)]);
        let mut documents = vec![first];
        for write in &writes[1..] {
            match put(write) {
                Some((of, same, document))
                    if of == kind
                        && same == replaces
                        && ids.insert(document.get("id").map(Value::to_string)) =>
                {
                    documents.push(document);
                }
                _ => break,
            }
        }
        Some(Run {
            kind,
            replaces,
            documents,
        })
    }

    fn ids(&self) -> Result<Vec<Uuid>, StoreError> {
        let documents = self.documents.iter();
        documents
            .map(|document| id_of(self.kind, document))
            .collect()
    }
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

/// Does one operation and adds its steps.
async fn step(
    db: &Db<'_>,
    write: &Write,
    steps: &mut Vec<Step>,
) -> Result<Option<Document>, StoreError> {
    let (kind, stored, replaced) = match write {
        Write::Insert { kind, document } => {
            let rows = table(*kind).rows.insert(db, std::slice::from_ref(document));
            (*kind, rows.await?.pop(), None)
        }
        Write::Upsert { kind, document } => {
            let id = id_of(*kind, document)?;
            let replaced = current(db, *kind, &[id]).await?.remove(&id);
            let rows = table(*kind).rows.upsert(db, std::slice::from_ref(document));
            (*kind, rows.await?.pop(), replaced)
        }
        Write::Update {
            kind,
            document,
            read,
        } => {
            let (kind, id) = (*kind, id_of(*kind, document)?);
            let found = current(db, kind, &[id]).await?.remove(&id);
            let found = found.ok_or(StoreError::NotFound { kind, id })?;
            if read.as_ref().is_some_and(|read| *read != found) {
                return Err(StoreError::Conflict { kind, id });
            }
            let stored = table(kind).rows.update(db, document).await?;
            let stored = stored.ok_or(StoreError::NotFound { kind, id })?;
            (kind, Some(stored), Some(found))
        }
        Write::Delete { kind, id } => {
            steps.extend(cascade::delete(db, *kind, *id).await?);
            return Ok(None);
        }
    };
    if let Some(document) = &stored {
        steps.push(put(kind, document, replaced)?);
    }
    Ok(stored)
}

/// The journal has what the database returned, not what it was given: the two may differ in
/// the form of a number, and the tables must equal the journal.
pub(super) fn put(
    kind: Kind,
    stored: &Document,
    replaced: Option<Row>,
) -> Result<Step, StoreError> {
    let op = Op::Put {
        kind,
        id: id_of(kind, stored)?,
        row: Row::from_json(stored),
    };
    Ok(Step { op, replaced })
}

/// The entities with these ids as they are before a step.
async fn current(db: &Db<'_>, kind: Kind, ids: &[Uuid]) -> Result<HashMap<Uuid, Row>, StoreError> {
    let mut found = HashMap::new();
    for some in ids.chunks(cascade::CHUNK) {
        let these = vec![Filter::In("id", some.to_vec())];
        for document in table(kind).rows.select(db, these, None).await? {
            found.insert(id_of(kind, &document)?, Row::from_json(&document));
        }
    }
    Ok(found)
}
