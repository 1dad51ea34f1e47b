//! Conditions on rows, as each engine wants them.

use super::{StoreError, TagFilter};
use crate::model::Kind;
use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{ColumnTrait, ColumnType, Condition, DbBackend, EntityTrait};
use serde_json::Value;
use std::str::FromStr;
use uuid::Uuid;

/// One condition on a row; several are joined by AND.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    /// The field has this value; null is IS NULL. A reference is `{"id": …}`.
    Is(&'static str, Value),
    /// The field, a uuid, is one of these.
    In(&'static str, Vec<Uuid>),
    /// The array of strings contains this one.
    Contains(&'static str, String),
    Tags(TagFilter),
    /// The id is greater.
    After(Uuid),
    /// The id is another.
    Not(Uuid),
    /// Not expired at this epoch second; true where nothing expires.
    LiveAt(i64),
    /// Expired at this epoch second.
    ExpiredAt(i64),
}

/// All filters joined.
pub(super) fn condition<E: EntityTrait>(
    kind: Kind,
    engine: DbBackend,
    filters: Vec<Filter>,
) -> Result<Condition, StoreError> {
    let mut all = Condition::all();
    for filter in filters {
        all = match filter {
            Filter::Is(field, value) => all.add(equals::<E>(kind, field, &value)?),
            Filter::In(field, ids) => all.add(column::<E>(kind, field)?.is_in(ids)),
            Filter::Contains(field, value) => {
                all.add(contains::<E>(engine, column::<E>(kind, field)?, value))
            }
            Filter::Tags(tags) => match E::Column::from_str("tags") {
                Ok(column) => all.add(tagged::<E>(engine, column, tags)),
                Err(_) => all,
            },
            Filter::After(id) => all.add(column::<E>(kind, "id")?.gt(id)),
            Filter::Not(id) => all.add(column::<E>(kind, "id")?.ne(id)),
            Filter::LiveAt(now) => match E::Column::from_str("ttl") {
                Ok(ttl) => all.add(ttl.is_null().or(ttl.gt(now))),
                Err(_) => all,
            },
            Filter::ExpiredAt(now) => all.add(column::<E>(kind, "ttl")?.lte(now)),
        };
    }
    Ok(all)
}

fn equals<E: EntityTrait>(
    kind: Kind,
    field: &str,
    value: &Value,
) -> Result<SimpleExpr, StoreError> {
    let column = column::<E>(kind, field)?;
    let is_id = matches!(column.def().get_column_type(), ColumnType::Uuid);
    let malformed = |reason: &str| StoreError::Malformed {
        kind,
        field: field.to_owned(),
        reason: reason.to_owned(),
    };
    Ok(match value {
        Value::Null => column.is_null(),
        Value::String(text) if text.contains('\0') => never(),
        Value::String(_) | Value::Object(_) if is_id => {
            let id = value.get("id").unwrap_or(value);
            let id = id.as_str().and_then(|id| Uuid::try_parse(id).ok());
            column.eq(id.ok_or_else(|| malformed("expected an id"))?)
        }
        Value::String(text) => column.eq(text.as_str()),
        Value::Bool(flag) => column.eq(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(number) => column.eq(number),
            None => return Err(malformed("expected an integer")),
        },
        Value::Array(_) | Value::Object(_) => return Err(malformed("expected a scalar")),
    })
}

/// The column that holds a field of the document.
pub(super) fn column<E: EntityTrait>(kind: Kind, field: &str) -> Result<E::Column, StoreError> {
    E::Column::from_str(field).map_err(|_| StoreError::Malformed {
        kind,
        field: field.to_owned(),
        reason: "unknown field".to_owned(),
    })
}

/// PostgreSQL has no text with NUL in it and refuses to be asked for it.
fn never() -> SimpleExpr {
    Expr::cust("1 = 0")
}

fn contains<E: EntityTrait>(engine: DbBackend, column: E::Column, value: String) -> SimpleExpr {
    if value.contains('\0') {
        return never();
    }
    let column = Expr::col((E::default(), column));
    match engine {
        DbBackend::Sqlite => Expr::cust_with_exprs(
            "EXISTS (SELECT 1 FROM json_each(?) WHERE value = ?)",
            [column, Expr::val(value)],
        ),
        // The index on tags serves this operator.
        _ => Expr::cust_with_exprs("$1 @> $2", [column, Expr::val(serde_json::json!([value]))]),
    }
}

fn tagged<E: EntityTrait>(engine: DbBackend, column: E::Column, tags: TagFilter) -> Condition {
    let (mut condition, tags) = match tags {
        TagFilter::All(tags) => (Condition::all(), tags),
        TagFilter::Any(tags) => (Condition::any(), tags),
        TagFilter::AnyTag => return Condition::all().add(column.is_not_null()),
    };
    for tag in tags {
        condition = condition.add(contains::<E>(engine, column, tag));
    }
    condition
}
