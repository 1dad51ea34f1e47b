//! What can be asked of the store.

use super::database::Db;
use super::filter::Filter;
use super::tables::{TABLES, Table, table};
use super::{Document, Store, StoreError, unix_seconds};
use crate::model::{Config, Kind, KindSet, Revision, Row};
use entity::config_revision;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, EntityTrait, IsolationLevel, TransactionOptions,
};
use serde_json::Value;
use uuid::Uuid;

/// Rows in one answer of the database when all of them are asked for.
const PAGE: u64 = 500;

/// What names one entity.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    Id(Uuid),
    /// A unique field and its value, such as a service's name.
    Unique(&'static str, Value),
}

impl From<Uuid> for Key {
    fn from(id: Uuid) -> Key {
        Key::Id(id)
    }
}

/// One page of a collection, ordered by ascending id.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// The last id of the page before.
    pub after: Option<Uuid>,
    /// Entities on the page; at least one is returned where there is one.
    pub size: u64,
    pub tags: Option<TagFilter>,
    /// Only children of this parent: the field that points to it, and its id.
    pub filter: Option<(&'static str, Uuid)>,
}

/// Which tags an entity must have. A kind without tags ignores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagFilter {
    /// Every one.
    All(Vec<String>),
    /// At least one.
    Any(Vec<String>),
    /// One at all.
    AnyTag,
}

/// A page and where the next one starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub documents: Vec<Document>,
    /// The `after` of the next page; none on the last.
    pub next: Option<Uuid>,
}

/// The entities there are: those that are committed or, inside a transaction, as it has left them
/// so far.
pub struct Entities<'a> {
    db: Db<'a>,
    /// Epoch seconds: what has expired by then is gone already.
    now: i64,
}

impl<'a> Entities<'a> {
    pub(super) fn new(db: Db<'a>, now: i64) -> Entities<'a> {
        Entities { db, now }
    }

    /// The entity with this key, or none. One that has expired is gone already.
    ///
    /// # Errors
    /// When the database fails, or the key's field is unknown to the kind.
    pub async fn get(&self, kind: Kind, key: &Key) -> Result<Option<Document>, StoreError> {
        match key {
            Key::Id(id) => {
                let id = Value::String(id.to_string());
                self.find(kind, &[("id", id)]).await
            }
            Key::Unique(field, value) => self.find(kind, &[(field, value.clone())]).await,
        }
    }

    /// The first entity with all of these values, or none: for keys of several fields, such as
    /// a target's upstream and address. Null asks for null; a reference is `{"id": …}` or an id.
    ///
    /// # Errors
    /// As [`Entities::get`].
    pub async fn find(
        &self,
        kind: Kind,
        values: &[(&'static str, Value)],
    ) -> Result<Option<Document>, StoreError> {
        let mut filters = vec![self.live()];
        filters.extend(
            values
                .iter()
                .map(|(field, value)| Filter::Is(field, value.clone())),
        );
        let found = table(kind).rows.select(&self.db, filters, Some(1)).await?;
        Ok(found.into_iter().next())
    }

    /// One page of a kind, or of a parent's children.
    ///
    /// # Errors
    /// As [`Entities::get`].
    pub async fn page(&self, kind: Kind, request: &PageRequest) -> Result<Page, StoreError> {
        let size = request.size.max(1);
        let mut filters = vec![self.live()];
        filters.extend(request.after.map(Filter::After));
        filters.extend(request.tags.clone().map(Filter::Tags));
        filters.extend(
            request
                .filter
                .map(|(field, id)| Filter::In(field, vec![id])),
        );
        // One more than asked for tells whether there is a next page.
        let mut documents = table(kind)
            .rows
            .select(&self.db, filters, Some(size + 1))
            .await?;
        let is_last = documents.len() as u64 <= size;
        documents.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        let next = documents.last().filter(|_| !is_last);
        Ok(Page {
            next: next.map(|last| id_of(kind, last)).transpose()?,
            documents,
        })
    }

    /// How many entities of a kind there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
        table(kind).rows.count(&self.db, vec![self.live()]).await
    }

    /// Hides what has expired.
    fn live(&self) -> Filter {
        Filter::LiveAt(self.now)
    }
}

impl Store {
    /// The committed entities.
    #[must_use]
    pub fn entities(&self) -> Entities<'_> {
        Entities::new(self.db(), unix_seconds(self.now()))
    }

    /// The whole configuration at its latest revision, read in one snapshot of the database.
    ///
    /// # Errors
    /// When the database fails or holds what this version cannot read.
    pub async fn config(&self) -> Result<Config, StoreError> {
        let mut rows = Vec::new();
        let revision = self
            .each_kind(KindSet::ALL, |kind, documents| {
                for document in documents {
                    rows.push((kind, id_of(kind, &document)?, Row::from_json(&document)));
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        // The digest of very many takes a while, in which the event loop goes on.
        tokio::task::spawn_blocking(move || Config::from_rows(revision, rows))
            .await
            .map_err(|err| StoreError::Unreadable(format!("the configuration: {err}")))
    }

    /// Gives every entity of these kinds to `take`, some at a time, kind by kind with parents
    /// before children, read in one snapshot of the database; and says at which revision that was.
    ///
    /// # Errors
    /// As [`Store::config`], and what `take` says.
    pub async fn each_kind<E: From<StoreError>>(
        &self,
        kinds: KindSet,
        mut take: impl FnMut(Kind, Vec<Document>) -> Result<(), E>,
    ) -> Result<Revision, E> {
        let options = match self.engine() {
            DbBackend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                sqlite_transaction_mode: None,
            },
            // In WAL mode a transaction reads the snapshot its first statement saw.
            _ => TransactionOptions::default(),
        };
        // As long as every one of its statements is answered: there may be very many.
        let transaction = self.begin(options, None).await?;
        let db = transaction.db();
        let revision = read_revision(&db).await?;
        for table in TABLES.iter().filter(|table| kinds.contains(table.kind)) {
            each_page(&db, table, |documents| take(table.kind, documents)).await?;
        }
        transaction.rollback().await?;
        Ok(revision)
    }

    /// The latest revision in the database, whoever committed it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_revision(&self) -> Result<Revision, StoreError> {
        read_revision(&self.db()).await
    }
}

/// Gives every row of a table to `take`, some at a time by ascending id.
pub(super) async fn each_page<E: From<StoreError>>(
    db: &Db<'_>,
    table: &Table,
    mut take: impl FnMut(Vec<Document>) -> Result<(), E>,
) -> Result<(), E> {
    let mut after = None;
    loop {
        let rest = after.map(Filter::After).into_iter().collect();
        let documents = table.rows.select(db, rest, Some(PAGE)).await?;
        let Some(last) = documents.last() else {
            return Ok(());
        };
        after = Some(id_of(table.kind, last)?);
        let is_last = (documents.len() as u64) < PAGE;
        take(documents)?;
        if is_last {
            return Ok(());
        }
    }
}

async fn read_revision(db: &impl ConnectionTrait) -> Result<Revision, StoreError> {
    let row = config_revision::Entity::find_by_id(1).one(db).await?;
    let row = row.ok_or_else(|| StoreError::Unreadable("config_revision is empty".to_owned()))?;
    revision_from(row.revision)
}

/// A revision as the database holds it.
pub(super) fn revision_from(stored: i64) -> Result<Revision, StoreError> {
    u64::try_from(stored)
        .map(Revision)
        .map_err(|_| StoreError::Unreadable(format!("revision {stored}")))
}

/// The id in a document.
pub(super) fn id_of(kind: Kind, document: &Document) -> Result<Uuid, StoreError> {
    document
        .get("id")
        .and_then(Value::as_str)
        .and_then(|id| Uuid::try_parse(id).ok())
        .ok_or_else(|| StoreError::Malformed {
            kind,
            field: "id".to_owned(),
            reason: "expected an id".to_owned(),
        })
}
