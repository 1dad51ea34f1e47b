//! Whole documents: what differs from what is stored becomes one revision.
//!
//! There may be a hundred thousand entities on either side. They are held packed, or as rows, and
//! are documents only while some of them are compared or put.

use super::database::Db;
use super::journal::Step;
use super::read::{each_page, id_of};
use super::tables::{TABLES, Table, table};
use super::write::{Attempt, perform, prepare_declared, put};
use super::{Committed, Document, Store, StoreError, Write};
use crate::model::{Kind, KindSet, Op, Packed, RequestId, Row};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;
use uuid::Uuid;

/// Entities that are put at once.
const CHUNK: usize = 500;

type Entity = (Kind, Uuid);

/// Entities of a document in their stored shape, which are to be stored as one revision. They
/// keep timestamps that they have, and one that differs from what is stored by its timestamps
/// alone changes nothing.
pub struct Declaration {
    extent: Extent,
    /// Parents before children.
    entities: Vec<(Kind, Uuid, Packed)>,
}

/// What becomes of the entities that a declaration does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// They stay.
    Part,
    /// They are deleted. The declared ones are complete in themselves: every parent is among
    /// them, and no two are in each other's way.
    Whole,
}

impl Declaration {
    /// Of entities in any order.
    #[must_use]
    pub fn new(extent: Extent, mut entities: Vec<(Kind, Uuid, Packed)>) -> Declaration {
        entities.sort_by_key(|(kind, ..)| *kind);
        Declaration { extent, entities }
    }

    fn by_key(&self) -> HashMap<Entity, &Packed> {
        let entities = self.entities.iter();
        entities
            .map(|(kind, id, document)| ((*kind, *id), document))
            .collect()
    }

    fn kinds(&self) -> KindSet {
        let kinds: Vec<Kind> = (self.entities)
            .chunk_by(|a, b| a.0 == b.0)
            .map(|of_kind| of_kind[0].0)
            .collect();
        KindSet::of(&kinds)
    }
}

impl Store {
    /// Stores what a declaration says, all of it or nothing.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn declare(
        &self,
        declaration: Declaration,
        request_id: Option<RequestId>,
    ) -> Result<Committed, StoreError> {
        if declaration.extent == Extent::Whole {
            return self.replace(declaration, request_id).await;
        }
        let trusting = self.merge(&declaration, request_id, Attempt::Trusting);
        match trusting.await {
            Err(StoreError::Refused(_)) => {}
            done => return done,
        }
        self.merge(&declaration, request_id, Attempt::Explaining)
            .await
    }

    /// Puts the declared entities beside what is stored.
    async fn merge(
        &self,
        declaration: &Declaration,
        request_id: Option<RequestId>,
        attempt: Attempt,
    ) -> Result<Committed, StoreError> {
        let now = self.now();
        let open = self.open_revision().await?;
        let db = open.transaction.db();
        let unchanged = unchanged(&db, declaration).await?;
        let differs: Vec<_> = (declaration.entities.iter())
            .filter(|(kind, id, _)| !unchanged.contains_key(&(*kind, *id)))
            .collect();
        let mut steps = Vec::with_capacity(differs.len());
        for some in differs.chunks(CHUNK) {
            let upsert = |(kind, _, declared): &&(Kind, Uuid, Packed)| {
                let document = prepared(*kind, declared, now)?;
                Ok(Write::Upsert {
                    kind: *kind,
                    document,
                })
            };
            let writes: Vec<Write> = some.iter().map(upsert).collect::<Result<_, StoreError>>()?;
            steps.extend(perform(&db, &writes, attempt, now).await?.steps);
        }
        let (revision, ops) = self.seal(open, steps, request_id, now).await?;
        Ok(Committed {
            revision,
            ops,
            documents: Vec::new(),
            unchanged,
        })
    }

    /// Makes the database hold the declared entities, and no others.
    ///
    /// No row is in the way of another: what differs goes first, with everything that points to
    /// it, and what is to be there is put where nothing is.
    async fn replace(
        &self,
        declaration: Declaration,
        request_id: Option<RequestId>,
    ) -> Result<Committed, StoreError> {
        let now = self.now();
        let open = self.open_revision().await?;
        let db = open.transaction.db();
        let mut stored = Stored::read(&db, &declaration).await?;
        for table in TABLES.iter().rev() {
            let ids = stored.moved(table.kind);
            if !ids.is_empty() {
                table.rows.delete(&db, &ids).await?;
            }
        }
        let mut steps = Vec::new();
        for of_kind in declaration.entities.chunk_by(|a, b| a.0 == b.0) {
            let kind = of_kind[0].0;
            let to_put: Vec<_> = (of_kind.iter())
                .filter(|(_, id, _)| stored.lacks(&(kind, *id)))
                .collect();
            for some in to_put.chunks(CHUNK) {
                let document = |(_, id, declared): &&(Kind, Uuid, Packed)| match stored
                    .pulled_along
                    .get(&(kind, *id))
                {
                    Some(known) => Ok(known.unpack()),
                    None => prepared(kind, declared, now),
                };
                let documents: Vec<Document> = some
                    .iter()
                    .map(document)
                    .collect::<Result<_, StoreError>>()?;
                let rows = table(kind).rows.insert(&db, &documents).await?;
                for ((_, id, _), row) in some.iter().zip(rows) {
                    if !stored.unchanged.contains_key(&(kind, *id)) {
                        steps.push(put(kind, &row, stored.others.remove(&(kind, *id)))?);
                    }
                }
            }
        }
        // What has not been replaced is gone.
        steps.extend(stored.others.into_iter().map(|((kind, id), row)| Step {
            op: Op::Delete { kind, id },
            replaced: Some(row),
        }));
        let (revision, ops) = self.seal(open, steps, request_id, now).await?;
        Ok(Committed {
            revision,
            ops,
            documents: Vec::new(),
            unchanged: stored.unchanged,
        })
    }
}

/// What is stored as it is declared.
async fn unchanged(
    db: &Db<'_>,
    declaration: &Declaration,
) -> Result<BTreeMap<Entity, Row>, StoreError> {
    let (declared, kinds) = (declaration.by_key(), declaration.kinds());
    let mut unchanged = BTreeMap::new();
    for table in TABLES.iter().filter(|table| kinds.contains(table.kind)) {
        each_page(db, table, |documents| {
            for stored in documents {
                let entity = (table.kind, id_of(table.kind, &stored)?);
                if is_same(declared.get(&entity).copied(), &stored) {
                    unchanged.insert(entity, Row::from_json(&stored));
                }
            }
            Ok::<_, StoreError>(())
        })
        .await?;
    }
    Ok(unchanged)
}

/// Everything that is stored, compared with what is to be.
#[derive(Default)]
struct Stored {
    /// As it is declared.
    unchanged: BTreeMap<Entity, Row>,
    /// The same entities as far as they point to something that goes: they go with it, and come
    /// back as they are.
    pulled_along: BTreeMap<Entity, Packed>,
    /// All else.
    others: BTreeMap<Entity, Row>,
}

impl Stored {
    async fn read(db: &Db<'_>, declaration: &Declaration) -> Result<Stored, StoreError> {
        let declared = declaration.by_key();
        let mut all = Stored::default();
        // Parents come before their children: whether they go is known when those are read.
        for table in &TABLES {
            each_page(db, table, |documents| {
                for stored in documents {
                    let entity = (table.kind, id_of(table.kind, &stored)?);
                    let row = Row::from_json(&stored);
                    if !is_same(declared.get(&entity).copied(), &stored) {
                        all.others.insert(entity, row);
                        continue;
                    }
                    all.unchanged.insert(entity, row);
                    if all.is_moved_by_parent(table, &stored) {
                        all.pulled_along.insert(entity, Packed::of(&stored));
                    }
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        }
        Ok(all)
    }

    fn is_moved_by_parent(&self, child: &Table, document: &Document) -> bool {
        child.foreign.iter().any(|foreign| {
            let parent = document
                .get(foreign.field)
                .and_then(|parent| parent.get("id"));
            let parent = parent
                .and_then(Value::as_str)
                .and_then(|id| Uuid::try_parse(id).ok());
            parent.is_some_and(|id| {
                let parent = (foreign.parent, id);
                self.others.contains_key(&parent) || self.pulled_along.contains_key(&parent)
            })
        })
    }

    /// What is to be deleted first.
    fn moved(&self, kind: Kind) -> Vec<Uuid> {
        let of_kind = (kind, Uuid::nil())..=(kind, Uuid::max());
        let others = self.others.range(of_kind.clone()).map(|((_, id), _)| *id);
        let pulled = self.pulled_along.range(of_kind).map(|((_, id), _)| *id);
        others.chain(pulled).collect()
    }

    /// Whether the entity has to be put once what is moved has gone.
    fn lacks(&self, entity: &Entity) -> bool {
        !self.unchanged.contains_key(entity) || self.pulled_along.contains_key(entity)
    }
}

/// A declared entity as it can be put.
fn prepared(kind: Kind, declared: &Packed, now: SystemTime) -> Result<Document, StoreError> {
    let mut document = declared.unpack();
    prepare_declared(kind, &mut document, now)?;
    Ok(document)
}

/// Whether what is stored is declared, and differs by nothing but its timestamps.
fn is_same(declared: Option<&Packed>, stored: &Document) -> bool {
    let content = |mut document: Document| {
        document.retain(|field, _| field != "created_at" && field != "updated_at");
        Row::from_json(&document)
    };
    declared.is_some_and(|declared| content(declared.unpack()) == content(stored.clone()))
}
