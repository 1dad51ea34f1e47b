//! Deleting an entity with those that cannot be without it.
//!
//! The database would cascade by itself; here it is done in the open, so that the journal names
//! every entity that went.

use super::StoreError;
use super::database::Db;
use super::filter::Filter;
use super::journal::Step;
use super::read::id_of;
use super::tables::{OnDelete, TABLES, children, table};
use crate::model::{Kind, Op, Row};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Parents in one question to the database.
pub(super) const CHUNK: usize = 500;

/// Deletes the entity and its dependants and returns their steps; none when there is no such
/// entity.
pub(super) async fn delete(db: &Db<'_>, kind: Kind, id: Uuid) -> Result<Vec<Step>, StoreError> {
    let exists = vec![Filter::In("id", vec![id])];
    if table(kind).rows.count(db, exists).await? == 0 {
        return Ok(Vec::new());
    }
    let doomed = with_dependants(db, kind, id).await?;
    refuse_when_needed(db, &doomed).await?;
    refuse_when_listed(db, kind, id).await?;
    let mut steps = Vec::with_capacity(doomed.len());
    // `Kind` orders parents before children.
    for kind in Kind::ALL.into_iter().rev() {
        let ids = ids_of(&doomed, kind);
        for some in ids.chunks(CHUNK) {
            let these = vec![Filter::In("id", some.to_vec())];
            for document in table(kind).rows.select(db, these, None).await? {
                let id = id_of(kind, &document)?;
                steps.push(Step {
                    op: Op::Delete { kind, id },
                    replaced: Some(Row::from_json(&document)),
                });
            }
            table(kind).rows.delete(db, some).await?;
        }
    }
    Ok(steps)
}

/// The entity and all that would cascade, at any depth.
async fn with_dependants(
    db: &Db<'_>,
    kind: Kind,
    id: Uuid,
) -> Result<BTreeSet<(Kind, Uuid)>, StoreError> {
    let mut doomed = BTreeSet::from([(kind, id)]);
    // In the order of kinds, so that all doomed parents are known when their children are sought.
    for parent in Kind::ALL.into_iter().skip_while(|other| *other != kind) {
        let parents = ids_of(&doomed, parent);
        for (child, foreign) in children(parent) {
            if foreign.on_delete != OnDelete::Cascade {
                continue;
            }
            for some in parents.chunks(CHUNK) {
                let of_these = vec![Filter::In(foreign.field, some.to_vec())];
                let ids = child.rows.ids(db, of_these).await?;
                doomed.extend(ids.into_iter().map(|id| (child.kind, id)));
            }
        }
    }
    Ok(doomed)
}

/// An entity that stays must not point to one that goes.
async fn refuse_when_needed(
    db: &Db<'_>,
    doomed: &BTreeSet<(Kind, Uuid)>,
) -> Result<(), StoreError> {
    for (kind, id) in doomed {
        for (child, foreign) in children(*kind) {
            if foreign.on_delete != OnDelete::Restrict {
                continue;
            }
            let of_this = vec![Filter::In(foreign.field, vec![*id])];
            let ids = child.rows.ids(db, of_this).await?;
            if ids.iter().any(|id| !doomed.contains(&(child.kind, *id))) {
                return Err(StoreError::ReferencedBy {
                    kind: *kind,
                    id: *id,
                    by: child.kind,
                });
            }
        }
    }
    Ok(())
}

/// Ids in arrays have no foreign key: this check is all that guards them.
pub(super) async fn refuse_when_listed(
    db: &Db<'_>,
    kind: Kind,
    id: Uuid,
) -> Result<(), StoreError> {
    for other in &TABLES {
        for (field, _) in other.lists.iter().filter(|(_, listed)| *listed == kind) {
            let holding = vec![Filter::Contains(field, id.to_string())];
            if let Some(by) = other.rows.select(db, holding, Some(1)).await?.first() {
                return Err(StoreError::ListedBy {
                    kind,
                    id,
                    by: other.kind,
                    by_id: id_of(other.kind, by)?,
                });
            }
        }
    }
    Ok(())
}

/// Those of one kind.
pub(super) fn ids_of(doomed: &BTreeSet<(Kind, Uuid)>, kind: Kind) -> Vec<Uuid> {
    doomed
        .range((kind, Uuid::nil())..=(kind, Uuid::max()))
        .map(|(_, id)| *id)
        .collect()
}
