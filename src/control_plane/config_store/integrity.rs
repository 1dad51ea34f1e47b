//! Why a write fails: looking before a step, and reading the database's refusal after it.

use super::cascade;
use super::database::Db;
use super::filter::Filter;
use super::journal::Step;
use super::read::id_of;
use super::tables::{Table, Unique, table};
use super::{Document, StoreError, Write};
use crate::model::Kind;
use serde_json::Value;
use uuid::Uuid;

/// The longest text that is unique, in bytes: an index of PostgreSQL takes no row of more than 2704,
/// and some hold ids beside the text.
pub(super) const MOST_UNIQUE_BYTES: usize = 2500;

/// Looks for what would make the operation fail: first the id, then unique values, then parents.
pub(super) async fn look(db: &Db<'_>, write: &Write) -> Result<(), StoreError> {
    let (kind, document) = match write {
        Write::Insert { kind, document }
        | Write::Upsert { kind, document }
        | Write::Update { kind, document, .. } => (*kind, document),
        Write::Delete { .. } => return Ok(()),
    };
    let (id, this) = (id_of(kind, document)?, table(kind));
    if matches!(write, Write::Insert { .. }) {
        let same = vec![Filter::In("id", vec![id])];
        if this.rows.count(db, same).await? > 0 {
            return Err(StoreError::PrimaryKeyViolation { kind, id });
        }
    }
    for (unique, fields) in occupied(this, document) {
        if this.rows.count(db, same(unique, &fields, id)).await? > 0 {
            return Err(StoreError::UniqueViolation { kind, fields });
        }
    }
    for foreign in this.foreign {
        let reference = document
            .get(foreign.field)
            .filter(|value| value.is_object());
        let Some(reference) = reference.and_then(Value::as_object) else {
            continue;
        };
        let id = id_of(kind, reference)?;
        let parent = vec![Filter::In("id", vec![id])];
        if table(foreign.parent).rows.count(db, parent).await? == 0 {
            return Err(StoreError::ForeignKeyMissing {
                kind,
                field: foreign.field,
                reference: foreign.parent,
                id,
            });
        }
    }
    Ok(())
}

/// Deletes what has expired and has the id or a unique value that the operation wants to give:
/// nobody sees it any more, so it cannot be in anybody's way.
pub(super) async fn make_way(
    db: &Db<'_>,
    write: &Write,
    now: i64,
) -> Result<Vec<Step>, StoreError> {
    let (Write::Insert { kind, document }
    | Write::Upsert { kind, document }
    | Write::Update { kind, document, .. }) = write
    else {
        return Ok(Vec::new());
    };
    let (id, this) = (id_of(*kind, document)?, table(*kind));
    let mut steps = Vec::new();
    if this.rows.column("ttl").is_none() {
        return Ok(steps);
    }
    let is_new = matches!(write, Write::Insert { .. });
    let by_id = is_new.then(|| vec![Filter::In("id", vec![id])]);
    let by_values = occupied(this, document).map(|(unique, fields)| same(unique, &fields, id));
    for mut filters in by_id.into_iter().chain(by_values) {
        filters.push(Filter::ExpiredAt(now));
        for expired in this.rows.ids(db, filters).await? {
            steps.extend(cascade::delete(db, *kind, expired).await?);
        }
    }
    Ok(steps)
}

/// The unique keys of a document, with its values.
fn occupied<'a>(
    table: &'a Table,
    document: &'a Document,
) -> impl Iterator<Item = (&'a Unique, Document)> {
    let keys = table
        .unique
        .iter()
        .map(|unique| (unique, values(unique, document)));
    keys.filter(|(unique, fields)| unique.nulls_equal || !fields.values().any(Value::is_null))
}

/// Rows other than this one that have the values of a unique key.
fn same(unique: &Unique, fields: &Document, id: Uuid) -> Vec<Filter> {
    let values = unique.fields.iter().zip(fields.values().cloned());
    let is = values.map(|(field, value)| Filter::Is(field, value));
    [Filter::Not(id)].into_iter().chain(is).collect()
}

/// Refuses a unique text that PostgreSQL could not index.
///
/// # Errors
/// [`StoreError::Malformed`], with the field.
pub(super) fn check_unique(kind: Kind, document: &Document) -> Result<(), StoreError> {
    let mut fields = table(kind).unique.iter().flat_map(|unique| unique.fields);
    let is_long = |field: &&&str| {
        let text = document.get(**field).and_then(Value::as_str);
        text.is_some_and(|text| text.len() > MOST_UNIQUE_BYTES)
    };
    match fields.find(is_long) {
        None => Ok(()),
        Some(field) => Err(StoreError::Malformed {
            kind,
            field: (*field).to_owned(),
            reason: format!("length must be at most {MOST_UNIQUE_BYTES}"),
        }),
    }
}

/// Holds what the tables say of two fields together, which the schema leaves open as soon as one
/// of them is kept in a vault.
///
/// # Errors
/// [`StoreError::Malformed`], with the second field.
pub(super) fn check_pairs(kind: Kind, document: &Document) -> Result<(), StoreError> {
    let is_set = |field: &str| document.get(field).is_some_and(|value| !value.is_null());
    let (field, holds, reason) = match kind {
        Kind::Certificates => (
            "key_alt",
            is_set("cert_alt") == is_set("key_alt"),
            "must be set together with 'cert_alt'",
        ),
        Kind::Keys => (
            "pem",
            is_set("jwk") != is_set("pem"),
            "one of 'jwk' and 'pem' must be set, and not both",
        ),
        _ => return Ok(()),
    };
    match holds {
        true => Ok(()),
        false => Err(StoreError::Malformed {
            kind,
            field: field.to_owned(),
            reason: reason.to_owned(),
        }),
    }
}

/// The values of a unique key, null for fields the document lacks, in the key's order.
fn values(unique: &Unique, document: &Document) -> Document {
    let value = |field: &&str| {
        let value = document.get(*field).cloned().unwrap_or_default();
        ((*field).to_owned(), value)
    };
    unique.fields.iter().map(value).collect()
}

/// Says which unique key a constraint of the database stands for. Reached only when something
/// else than this program writes to the tables between the look and the step.
pub(super) fn explain(write: &Write, err: StoreError) -> StoreError {
    let (
        StoreError::Refused(constraint),
        Write::Insert { kind, document }
        | Write::Upsert { kind, document }
        | Write::Update { kind, document, .. },
    ) = (&err, write)
    else {
        return err;
    };
    let this = table(*kind);
    let stands_for = |unique: &&Unique| {
        let columns: Option<Vec<_>> = unique
            .fields
            .iter()
            .map(|field| Some(format!("{kind}.{}", this.rows.column(field)?)))
            .collect();
        // PostgreSQL names the constraint, SQLite the columns, or the index when it has expressions.
        let by_columns = columns.map(|columns| columns.join(", "));
        constraint == unique.constraint
            || constraint.ends_with(&format!("index '{}'", unique.constraint))
            || by_columns.is_some_and(|columns| {
                *constraint == format!("UNIQUE constraint failed: {columns}")
            })
    };
    match this.unique.iter().find(stands_for) {
        Some(unique) => StoreError::UniqueViolation {
            kind: *kind,
            fields: values(unique, document),
        },
        None => err,
    }
}
