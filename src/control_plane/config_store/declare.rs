//! Whole documents: what differs from what is stored becomes one revision.

use super::cascade::{CHUNK, ids_of};
use super::filter::Filter;
use super::journal::Step;
use super::tables::{TABLES, Table};
use super::write::put;
use super::{Batch, Committed, Document, Store, StoreError, Write};
use crate::model::{Kind, Op, Row};
use sea_orm::DatabaseExecutor;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;
use uuid::Uuid;

type Entity = (Kind, Uuid);

impl Store {
    /// Makes the database hold the entities of a batch of upserts, and no others.
    ///
    /// No row is in the way of another: what differs goes first, with everything that points to
    /// it, and what is to be there is put where nothing is.
    pub(super) async fn replace(
        &self,
        batch: Batch,
        now: SystemTime,
    ) -> Result<Committed, StoreError> {
        let open = self.open_revision().await?;
        let db = DatabaseExecutor::from(&open.transaction);
        let mut stored = stored(&db).await?;
        let mut declared = Vec::with_capacity(batch.writes.len());
        for write in batch.writes {
            if let (Some(entity), Write::Upsert { document, .. }) = (entity_of(&write), write) {
                declared.push((entity, document));
            }
        }

        let named: BTreeSet<Entity> = declared.iter().map(|(entity, _)| *entity).collect();
        let gone: BTreeSet<Entity> = (stored.keys().copied())
            .filter(|entity| !named.contains(entity))
            .collect();
        let is_unchanged = |(entity, document): &(Entity, Document)| {
            let known = stored.get(entity);
            known.is_some_and(|known| is_same(document, known))
        };
        let unchanged: BTreeSet<Entity> = (declared.iter())
            .filter(|declared| is_unchanged(declared))
            .map(|(entity, _)| *entity)
            .collect();
        let differs = stored.keys().filter(|entity| !unchanged.contains(entity));
        let moved = with_dependants(differs.copied().collect(), &stored);

        for table in TABLES.iter().rev() {
            let ids = ids_of(&moved, table.kind);
            if !ids.is_empty() {
                table.rows.delete(&db, &ids).await?;
            }
        }
        let mut steps: Vec<Step> = (gone.iter())
            .map(|entity| Step {
                op: Op::Delete {
                    kind: entity.0,
                    id: entity.1,
                },
                replaced: stored.get(entity).map(Row::from_json),
            })
            .collect();
        let mut replaced = HashMap::new();
        for (entity, document) in &declared {
            if !unchanged.contains(entity)
                && let Some(before) = stored.insert(*entity, document.clone())
            {
                replaced.insert(*entity, Row::from_json(&before));
            }
        }
        for table in &TABLES {
            let (of_kind, documents) = to_put(table, &declared, &unchanged, &moved, &stored);
            let rows = table.rows.insert(&db, &documents).await?;
            for (entity, row) in of_kind.into_iter().zip(rows) {
                if !unchanged.contains(&entity) {
                    steps.push(put(table.kind, &row, replaced.remove(&entity))?);
                    stored.insert(entity, row);
                }
            }
        }
        let (revision, ops) = self.seal(open, steps, batch.request_id, now).await?;
        let documents = declared.iter().map(|(entity, _)| stored.remove(entity));
        Ok(Committed {
            revision,
            ops,
            documents: documents.collect(),
        })
    }
}

/// The upserts that are not what is stored already.
pub(super) async fn changed(
    db: &DatabaseExecutor<'_>,
    writes: &[Write],
) -> Result<Vec<Write>, StoreError> {
    let declared = BTreeSet::from_iter(writes.iter().filter_map(entity_of));
    let mut stored = HashMap::new();
    for table in &TABLES {
        for some in ids_of(&declared, table.kind).chunks(CHUNK) {
            let these = vec![Filter::In("id", some.to_vec())];
            let documents = table.rows.select(db, these, None).await?;
            stored.extend(by_entity(table.kind, documents));
        }
    }
    let is_stored = |write: &Write| match (write, entity_of(write)) {
        (Write::Upsert { document, .. }, Some(entity)) => stored
            .get(&entity)
            .is_some_and(|known| is_same(document, known)),
        _ => false,
    };
    let changed = writes.iter().filter(|write| !is_stored(write));
    Ok(changed.cloned().collect())
}

/// The rows of a kind that are to be put: those that differ, and those that had to go with them.
fn to_put(
    table: &Table,
    declared: &[(Entity, Document)],
    unchanged: &BTreeSet<Entity>,
    moved: &BTreeSet<Entity>,
    stored: &HashMap<Entity, Document>,
) -> (Vec<Entity>, Vec<Document>) {
    let entities = declared.iter().map(|(entity, _)| *entity);
    let entities: Vec<Entity> = entities
        .filter(|entity| entity.0 == table.kind)
        .filter(|entity| !unchanged.contains(entity) || moved.contains(entity))
        .collect();
    let documents = entities.iter().filter_map(|entity| stored.get(entity));
    let documents = documents.cloned().collect();
    (entities, documents)
}

/// Everything that is stored.
async fn stored(db: &DatabaseExecutor<'_>) -> Result<HashMap<Entity, Document>, StoreError> {
    let mut stored = HashMap::new();
    for table in &TABLES {
        let documents = table.rows.select(db, Vec::new(), None).await?;
        stored.extend(by_entity(table.kind, documents));
    }
    Ok(stored)
}

/// The entities and all that point to them, at any depth.
fn with_dependants(
    mut entities: BTreeSet<Entity>,
    stored: &HashMap<Entity, Document>,
) -> BTreeSet<Entity> {
    let mut of_kind: HashMap<Kind, Vec<(Uuid, &Document)>> = HashMap::new();
    for ((kind, id), document) in stored {
        of_kind.entry(*kind).or_default().push((*id, document));
    }
    // Parents come before their children.
    for child in TABLES.iter().filter(|table| !table.foreign.is_empty()) {
        for (id, document) in of_kind.get(&child.kind).into_iter().flatten() {
            let points = child.foreign.iter().any(|foreign| {
                let parent = document
                    .get(foreign.field)
                    .and_then(|parent| parent.as_object());
                let parent = parent.and_then(id_in);
                parent.is_some_and(|parent| entities.contains(&(foreign.parent, parent)))
            });
            if points {
                entities.insert((child.kind, *id));
            }
        }
    }
    entities
}

fn by_entity(kind: Kind, documents: Vec<Document>) -> impl Iterator<Item = (Entity, Document)> {
    let with_id = move |document: Document| Some(((kind, id_in(&document)?), document));
    documents.into_iter().filter_map(with_id)
}

/// What an upsert is about.
fn entity_of(write: &Write) -> Option<Entity> {
    match write {
        Write::Upsert { kind, document } => Some((*kind, id_in(document)?)),
        _ => None,
    }
}

fn id_in(document: &Document) -> Option<Uuid> {
    let id = document.get("id").and_then(Value::as_str)?;
    Uuid::try_parse(id).ok()
}

/// Whether two entities differ by nothing but their timestamps.
fn is_same(a: &Document, b: &Document) -> bool {
    let content = |document: &Document| {
        let mut content = document.clone();
        content.retain(|field, _| field != "created_at" && field != "updated_at");
        Row::from_json(&content)
    };
    content(a) == content(b)
}
