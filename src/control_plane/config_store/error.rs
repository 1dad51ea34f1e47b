//! What a store answers when it does not do what it was asked.

use super::Document;
use crate::model::{Kind, Revision};
use sea_orm::{DbErr, RuntimeErr};
use sqlx::error::ErrorKind;
use std::sync::Arc;
use uuid::Uuid;

/// Nothing was written in any of these cases but [`StoreError::Unknown`].
#[derive(Clone, thiserror::Error)]
pub enum StoreError {
    /// Another entity has these values; plugins count null as a value.
    #[error("another entity of {kind} has the same {}", names(fields))]
    UniqueViolation { kind: Kind, fields: Document },
    /// The parent that `field` names does not exist.
    #[error("{field} of {kind} names {reference} {id}, which does not exist")]
    ForeignKeyMissing {
        kind: Kind,
        field: &'static str,
        reference: Kind,
        id: Uuid,
    },
    /// The entity cannot be deleted while entities of `by` point to it.
    #[error("{kind} {id} is referenced by {by}")]
    ReferencedBy { kind: Kind, id: Uuid, by: Kind },
    /// The entity cannot be deleted while `by_id` lists it in an array.
    #[error("{kind} {id} is listed by {by} {by_id}")]
    ListedBy {
        kind: Kind,
        id: Uuid,
        by: Kind,
        by_id: Uuid,
    },
    /// An entity with this id exists already.
    #[error("{kind} {id} exists already")]
    PrimaryKeyViolation { kind: Kind, id: Uuid },
    /// The entity to update does not exist.
    #[error("{kind} {id} does not exist")]
    NotFound { kind: Kind, id: Uuid },
    /// The entity was changed after the caller read it: read again and retry.
    #[error("{kind} {id} was changed by someone else")]
    Conflict { kind: Kind, id: Uuid },
    /// The document has not the shape of a stored entity. The schema should have said so before.
    #[error("{kind}.{field}: {reason}")]
    Malformed {
        kind: Kind,
        field: String,
        reason: String,
    },
    /// A constraint of the database that has no case of its own here, such as a range.
    #[error("the database refused a row: {0}")]
    Refused(String),
    /// There is no such revision yet.
    #[error("revision {revision} does not exist, the latest is {latest}")]
    NoSuchRevision {
        revision: Revision,
        latest: Revision,
    },
    /// The journal does not say enough to know the configuration at this revision.
    #[error("revision {0} is out of reach: the journal does not go back so far")]
    OutOfReach(Revision),
    /// The constraints of the database do not allow the configuration of this revision.
    #[error("revision {revision} cannot be restored: {reason}")]
    Unrestorable { revision: Revision, reason: String },
    /// Too much is waiting already: try again later.
    #[error("the store is busy")]
    Busy,
    /// The database cannot be reached, or did not answer in time.
    #[error("the database is unavailable")]
    Unavailable(#[source] Arc<DbErr>),
    /// The database was told to commit and was not heard of again: whether it did is not known.
    #[error("the database did not confirm a commit")]
    Unknown(#[source] Arc<DbErr>),
    /// The database answered with an error that is none of the above.
    #[error("the database failed")]
    Database(#[source] Arc<DbErr>),
    /// What was read back is not what this program writes.
    #[error("the database holds what this version cannot read: {0}")]
    Unreadable(String),
}

impl StoreError {
    /// It took too long, and was given up before it was committed.
    pub(super) fn unanswered() -> StoreError {
        let reason = "no answer in time".to_owned();
        StoreError::Unavailable(Arc::new(DbErr::Custom(reason)))
    }

    /// Nothing was heard of a write.
    pub(super) fn unknown() -> StoreError {
        let reason = "whoever wrote is gone".to_owned();
        StoreError::Unknown(Arc::new(DbErr::Custom(reason)))
    }
}

impl std::fmt::Debug for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // As displayed, with the causes: fields and the details of database errors can hold secrets.
        write!(f, "{self}")?;
        match self {
            StoreError::Unavailable(source)
            | StoreError::Unknown(source)
            | StoreError::Database(source) => write!(f, ": {source}"),
            _ => Ok(()),
        }
    }
}

fn names(fields: &Document) -> String {
    let names: Vec<_> = fields.keys().map(String::as_str).collect();
    names.join(", ")
}

impl From<DbErr> for StoreError {
    fn from(err: DbErr) -> StoreError {
        let Some(cause) = sqlx_error(&err) else {
            return match err {
                // The store's own: see `breaker`.
                DbErr::ConnectionAcquire(_) | DbErr::Conn(RuntimeErr::Internal(_)) => {
                    StoreError::Unavailable(Arc::new(err))
                }
                DbErr::Type(reason) | DbErr::Json(reason) => StoreError::Unreadable(reason),
                other => StoreError::Database(Arc::new(other)),
            };
        };
        let Some(database) = cause.as_database_error() else {
            return match cause {
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                    StoreError::Unreadable(cause.to_string())
                }
                _ => StoreError::Unavailable(Arc::new(err)),
            };
        };
        let code = database.code();
        let code = code.as_deref().unwrap_or_default();
        if database.kind() != ErrorKind::Other || is_constraint(code) {
            let constraint = database.constraint().unwrap_or(database.message());
            return StoreError::Refused(constraint.to_owned());
        }
        if is_busy(code) {
            return StoreError::Busy;
        }
        match is_unavailable(code) {
            true => StoreError::Unavailable(Arc::new(err)),
            false => StoreError::Database(Arc::new(err)),
        }
    }
}

/// Whether the error says that nobody answers, rather than what somebody answered.
pub(super) fn is_lost(err: &DbErr) -> bool {
    let Some(cause) = sqlx_error(err) else {
        return matches!(err, DbErr::ConnectionAcquire(_));
    };
    match cause.as_database_error() {
        Some(answer) => is_unavailable(&answer.code().unwrap_or_default()),
        None => !matches!(
            cause,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)
        ),
    }
}

fn sqlx_error(err: &DbErr) -> Option<&sqlx::Error> {
    match err {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

/// SQLite's CONSTRAINT and its extended codes, of which the driver knows only some.
fn is_constraint(code: &str) -> bool {
    sqlite_code(code) == Some(19)
}

/// PostgreSQL's serialization failure, deadlock and lock timeout; SQLite's BUSY and LOCKED,
/// whose extended codes have them in the low byte (sqlite.org/rescode.html).
fn is_busy(code: &str) -> bool {
    matches!(code, "40001" | "40P01" | "55P03") || matches!(sqlite_code(code), Some(5 | 6))
}

/// PostgreSQL's classes of connection trouble, missing resources and shutdown (08, 53, 57);
/// SQLite's IOERR, FULL and CANTOPEN.
fn is_unavailable(code: &str) -> bool {
    let class = |class| code.len() == 5 && code.starts_with(class);
    class("08") || class("53") || class("57") || matches!(sqlite_code(code), Some(10 | 13 | 14))
}

/// SQLite's codes are short decimal numbers, PostgreSQL's have five characters.
fn sqlite_code(code: &str) -> Option<u32> {
    if code.len() == 5 {
        return None;
    }
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn codes_of_both_engines_are_sorted() {
        let check = |code: &str, busy: bool, unavailable: bool| {
            assert_eq!(
                (is_busy(code), is_unavailable(code)),
                (busy, unavailable),
                "{code}"
            );
        };
        check("5", true, false);
        check("517", true, false); // SQLITE_BUSY_SNAPSHOT
        check("40P01", true, false);
        check("3338", false, true); // SQLITE_IOERR_…
        check("13", false, true);
        check("57P01", false, true);
        check("53300", false, true);
        check("42P01", false, false);
        check("1", false, false);
    }

    #[test]
    fn an_error_never_shows_values() {
        let fields = json!({"key": "s3cret"}).as_object().cloned().unwrap();
        let err = StoreError::UniqueViolation {
            kind: Kind::KeyauthCredentials,
            fields,
        };
        assert_eq!(
            format!("{err} {err:?}"),
            "another entity of keyauth_credentials has the same key \
             another entity of keyauth_credentials has the same key"
        );
    }
}
