//! A new revision with the configuration of an earlier one.
//!
//! The entities that differ are put and deleted as they are, past validation: they were valid
//! then, and the digest is to be the same. What a configuration once was breaks no constraint, but
//! half of the way there may: two entities may have exchanged their names. So names that change
//! are first taken out of the way.

use super::cascade::{CHUNK, ids_of, refuse_when_listed};
use super::database::Db;
use super::filter::Filter;
use super::history::{Delta, Part, difference};
use super::journal::Step;
use super::read::id_of;
use super::tables::{Table, children, table};
use super::write::put;
use super::{Committed, Document, Store, StoreError};
use crate::model::{Kind, Op, RequestId, Revision, Row};
use serde_json::Value;
use std::collections::BTreeSet;
use uuid::Uuid;

impl Store {
    /// Writes the configuration of revision `to` as a new revision, or nothing. The commit has no
    /// documents.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRevision`], [`StoreError::OutOfReach`], [`StoreError::Unrestorable`],
    /// or when the database fails.
    pub async fn roll_back(
        &self,
        to: Revision,
        request_id: Option<RequestId>,
    ) -> Result<Committed, StoreError> {
        let open = self.open_revision().await?;
        let latest = open.revision.before();
        if to > latest {
            let revision = to;
            return Err(StoreError::NoSuchRevision { revision, latest });
        }
        let undo = difference(&open.transaction.db(), latest, to, Part::WHOLE).await?;
        let db = open.transaction.db();
        let steps = restore(&db, undo.deltas).await.map_err(|err| match err {
            StoreError::Refused(_)
            | StoreError::ForeignKeyMissing { .. }
            | StoreError::ListedBy { .. }
            | StoreError::NotFound { .. }
            | StoreError::Malformed { .. } => StoreError::Unrestorable {
                revision: to,
                reason: err.to_string(),
            },
            other => other,
        })?;
        let (revision, ops) = self.seal(open, steps, request_id, self.now()).await?;
        Ok(Committed {
            revision,
            ops,
            ..Committed::default()
        })
    }
}

/// Brings every entity to what it is after its delta.
async fn restore(db: &Db<'_>, deltas: Vec<Delta>) -> Result<Vec<Step>, StoreError> {
    for delta in &deltas {
        step_aside(db, delta).await?;
    }
    let mut steps = Vec::with_capacity(deltas.len());
    // Parents come first.
    for of_kind in deltas.chunk_by(|a, b| a.kind == b.kind) {
        let back = || {
            of_kind
                .iter()
                .filter_map(|delta| Some((delta, delta.after.as_ref()?)))
        };
        let documents: Result<Vec<_>, _> = back().map(|(_, after)| document(after)).collect();
        let rows = table(of_kind[0].kind).rows;
        for ((delta, _), stored) in back().zip(rows.upsert(db, &documents?).await?) {
            steps.push(put(delta.kind, &stored, delta.before.clone())?);
        }
    }
    let gone = deltas.iter().filter(|delta| delta.after.is_none());
    let doomed: BTreeSet<(Kind, Uuid)> = gone.clone().map(|gone| (gone.kind, gone.id)).collect();
    refuse_dangling(db, &doomed).await?;
    for kind in Kind::ALL.into_iter().rev() {
        let ids = ids_of(&doomed, kind);
        for id in &ids {
            refuse_when_listed(db, kind, *id).await?;
        }
        table(kind).rows.delete(db, &ids).await?;
    }
    steps.extend(gone.map(|gone| Step {
        op: Op::Delete {
            kind: gone.kind,
            id: gone.id,
        },
        replaced: gone.before.clone(),
    }));
    Ok(steps)
}

/// Nothing that stays may point to what goes. It never does, unless something else has written to
/// the tables; then the database would delete more than the journal says.
async fn refuse_dangling(db: &Db<'_>, doomed: &BTreeSet<(Kind, Uuid)>) -> Result<(), StoreError> {
    for parent in Kind::ALL {
        let parents = ids_of(doomed, parent);
        for (child, foreign) in children(parent) {
            for some in parents.chunks(CHUNK) {
                let of_these = vec![Filter::In(foreign.field, some.to_vec())];
                for document in child.rows.select(db, of_these, None).await? {
                    if doomed.contains(&(child.kind, id_of(child.kind, &document)?)) {
                        continue;
                    }
                    let reference = document.get(foreign.field).and_then(Value::as_object);
                    return Err(StoreError::ForeignKeyMissing {
                        kind: child.kind,
                        field: foreign.field,
                        reference: parent,
                        id: id_of(parent, reference.unwrap_or(&document))?,
                    });
                }
            }
        }
    }
    Ok(())
}

/// Gives up the unique values that the entity has now and will not have then, so that another one
/// can take them.
async fn step_aside(db: &Db<'_>, delta: &Delta) -> Result<(), StoreError> {
    let Some(before) = &delta.before else {
        return Ok(());
    };
    let this = table(delta.kind);
    let mut now = document(before)?;
    let then = delta.after.as_ref().map(document).transpose()?;
    let mut moves = false;
    for unique in this.unique {
        let same = |field: &&str| {
            then.as_ref()
                .is_some_and(|then| then.get(*field) == now.get(*field))
        };
        let Some(field) = own_field(this, unique.fields) else {
            continue;
        };
        if unique.fields.iter().all(same) || now.get(field).is_none() {
            continue;
        }
        let aside = format!("rolled back: {}", delta.id);
        now.insert(field.to_owned(), Value::String(aside));
        moves = true;
    }
    if moves {
        let (kind, id) = (delta.kind, delta.id);
        let moved = this.rows.update(db, &now).await?;
        moved.ok_or(StoreError::NotFound { kind, id })?;
    }
    Ok(())
}

/// The field of a unique key that is a text of the entity's own.
fn own_field(table: &Table, fields: &[&'static str]) -> Option<&'static str> {
    let is_own =
        |field: &&&'static str| table.foreign.iter().all(|foreign| foreign.field != **field);
    fields.iter().find(is_own).copied()
}

fn document(row: &Row) -> Result<Document, StoreError> {
    row.to_json()
        .map_err(|err| StoreError::Unreadable(format!("a row of the journal: {err}")))
}
