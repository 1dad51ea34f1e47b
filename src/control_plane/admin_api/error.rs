//! Every way an Admin API call can fail, and the one place that turns it into an answer.

use crate::control_plane::config_store::StoreError;
use crate::schema::Violations;
use serde_json::{Map, Value, json};

/// An answer that is not a success; `status` and `body` say how it reads.
#[derive(Debug)]
pub enum ApiError {
    /// Unknown path, or an entity that is not there.
    NotFound,
    /// A 404 with a text of its own.
    NotFoundBecause(String),
    MethodNotAllowed,
    /// TRACE, which is refused before anything else is looked at.
    TraceNotAllowed,
    UnsupportedMediaType,
    /// The body is larger than the listener reads.
    TooLarge,
    /// The client paused for too long while it sent the body.
    TooSlow,
    /// A page that may not use the Admin API, or a name that it is not served under.
    Forbidden(String),
    /// A 400 that is only a message.
    BadRequest(String),
    /// Code 1: the key in the path is no UUID and the entity has no other key.
    InvalidPrimaryKey,
    /// Code 2.
    Schema(Violations),
    /// Code 3.
    PrimaryKeyViolation(Map<String, Value>),
    /// Code 4: the parent does not exist.
    ForeignKeyMissing {
        field: String,
        reference: String,
        id: String,
    },
    /// Code 4: a child still points here.
    Referenced {
        kind: String,
        by: String,
    },
    /// Code 5.
    Unique(Map<String, Value>),
    /// Code 6: PATCH of something that is not there; the fields it was looked up by.
    Missing {
        fields: Map<String, Value>,
        by_primary_key: bool,
    },
    /// Code 7.
    InvalidOffset {
        token: String,
        why: &'static str,
    },
    /// Code 9.
    InvalidSize(&'static str),
    /// Code 10: the key in the path fails its field's validator.
    InvalidUnique {
        field: String,
        why: String,
    },
    /// Code 11.
    InvalidOption {
        option: &'static str,
        why: String,
    },
    /// Code 12: on a node without a database. `by` is the field that named the entity, when that
    /// was not its id.
    ReadOnly {
        verb: &'static str,
        kind: String,
        by: Option<&'static str>,
    },
    /// A 405 that is only a message.
    NotAllowed(&'static str),
    /// Code 14: a document that is refused. What is wrong, shaped like the document and, where
    /// that was asked for, entity by entity; and every violation in words.
    Declarative {
        fields: Map<String, Value>,
        flattened: Option<Vec<Value>>,
        lines: Vec<String>,
    },
    /// Code 13: parents given by a unique field that no parent has.
    Unresolved(Map<String, Value>),
    /// Code 19: a CA certificate that services still list.
    CaCertificateReferenced {
        id: String,
        service: String,
    },
    /// Operations of a transaction: `violations` has the place, the status and the body of the
    /// first of those that were refused.
    TransactionRefused {
        asked: usize,
        refused: usize,
        violations: Vec<Value>,
    },
    /// A 409 that is only a message.
    Conflict(String),
    /// A 410: what was once there is no more known.
    Gone(String),
    /// The store's queue is full: try again.
    Busy,
    /// The database does not answer; nothing was done.
    Unavailable,
    /// The database was told to commit and was not heard of again.
    Unconfirmed,
    /// The database failed; the cause is logged, not told.
    Internal,
}

impl ApiError {
    pub fn status(&self) -> u16 {
        match self {
            ApiError::NotFound | ApiError::NotFoundBecause(_) | ApiError::Missing { .. } => 404,
            ApiError::MethodNotAllowed
            | ApiError::TraceNotAllowed
            | ApiError::ReadOnly { .. }
            | ApiError::NotAllowed(_) => 405,
            ApiError::Forbidden(_) => 403,
            ApiError::TooSlow => 408,
            ApiError::Unique(_) | ApiError::Conflict(_) => 409,
            ApiError::Gone(_) => 410,
            ApiError::TooLarge => 413,
            ApiError::UnsupportedMediaType => 415,
            ApiError::Internal => 500,
            ApiError::Busy | ApiError::Unavailable => 503,
            ApiError::Unconfirmed => 504,
            _ => 400,
        }
    }

    /// The JSON body; `None` is a page for people instead, as Kong has it where the HTTP
    /// server itself refuses a request.
    pub fn body(&self) -> Option<Value> {
        let message = |text: &str| Some(json!({ "message": text }));
        match self {
            ApiError::NotFound => message("Not found"),
            ApiError::NotFoundBecause(text)
            | ApiError::Forbidden(text)
            | ApiError::BadRequest(text)
            | ApiError::Conflict(text)
            | ApiError::Gone(text) => message(text),
            ApiError::MethodNotAllowed => message("Method not allowed"),
            ApiError::NotAllowed(text) => message(text),
            ApiError::UnsupportedMediaType | ApiError::TraceNotAllowed => None,
            ApiError::TooLarge => message("Payload too large"),
            ApiError::TooSlow => message("The request body did not arrive in time"),
            ApiError::Busy => message("The control plane is busy, please try again"),
            ApiError::Unavailable => {
                message("The database does not answer, nothing was done; please try again")
            }
            ApiError::Unconfirmed => message(
                "The database did not confirm the change: it may have been made or not. \
                 GET /revisions?request_id= with the X-Kong-Admin-Request-ID of this answer says \
                 which, once the database answers again",
            ),
            ApiError::Internal => message("An unexpected error occurred"),
            ApiError::Schema(violations) => Some(violations.to_json()),
            ApiError::TransactionRefused {
                asked,
                refused,
                violations,
            } => {
                let were = if *refused == 1 { "was" } else { "were" };
                let operations = if *asked == 1 {
                    "operation"
                } else {
                    "operations"
                };
                let listed = match violations.len() {
                    listed if listed < *refused => format!("; the first {listed} are listed"),
                    _ => String::new(),
                };
                let text = format!(
                    "{refused} of {asked} {operations} {were} refused, nothing was written{listed}"
                );
                Some(json!({"message": text, "violations": violations}))
            }
            other => Some(other.coded()),
        }
    }

    /// The bodies that carry one of Kong's error codes.
    fn coded(&self) -> Value {
        let (code, name, message, fields) = match self {
            ApiError::InvalidPrimaryKey => {
                let fields = object([("id", "expected a valid UUID".into())]);
                let key = lua(&fields);
                (
                    1,
                    "invalid primary key".into(),
                    format!("invalid primary key: '{key}'"),
                    Some(fields),
                )
            }
            ApiError::PrimaryKeyViolation(key) => {
                let text = format!("primary key violation on key '{}'", lua(key));
                (3, "primary key violation".into(), text, Some(key.clone()))
            }
            ApiError::ForeignKeyMissing {
                field,
                reference,
                id,
            } => {
                let key = object([("id", id.clone().into())]);
                let text = format!(
                    "the foreign key '{}' does not reference an existing '{reference}' entity.",
                    lua(&key)
                );
                let fields = object([(field.as_str(), key.into())]);
                (4, "foreign key violation".into(), text, Some(fields))
            }
            ApiError::Referenced { kind, by } => {
                let text = format!("an existing '{by}' entity references this '{kind}' entity");
                let fields = object([("@referenced_by", by.clone().into())]);
                (4, "foreign key violation".into(), text, Some(fields))
            }
            ApiError::Unique(fields) => {
                let text = format!("UNIQUE violation detected on '{}'", lua(fields));
                (
                    5,
                    "unique constraint violation".into(),
                    text,
                    Some(fields.clone()),
                )
            }
            ApiError::Missing {
                fields,
                by_primary_key,
            } => {
                let by = if *by_primary_key { "primary key " } else { "" };
                let text = format!("could not find the entity with {by}'{}'", lua(fields));
                (6, "not found".into(), text, Some(fields.clone()))
            }
            ApiError::InvalidOffset { token, why } => (
                7,
                "invalid offset".into(),
                format!("'{token}' is not a valid offset: {why}"),
                None,
            ),
            ApiError::InvalidSize(why) => (9, "invalid size".into(), (*why).to_owned(), None),
            ApiError::InvalidUnique { field, why } => {
                (10, format!("invalid unique {field}"), why.clone(), None)
            }
            ApiError::InvalidOption { option, why } => {
                return json!({
                    "code": 11,
                    "name": "invalid options",
                    "message": format!("invalid option ({option}: {why})"),
                    "options": { *option: why },
                });
            }
            ApiError::ReadOnly { verb, kind, by } => {
                let by = by.map(|by| format!(" by '{by}'")).unwrap_or_default();
                let text = format!("cannot {verb} '{kind}' entities{by} when not using a database");
                (12, "operation unsupported".into(), text, None)
            }
            ApiError::Declarative {
                fields,
                flattened,
                lines,
            } => {
                let mut body = json!({
                    "code": 14,
                    "name": "invalid declarative configuration",
                    "message": format!("declarative config is invalid: {}", lua(fields)),
                    "fields": fields,
                    // Kong's answer names one kind of mistakes at a time, and not every one.
                    "description": lines,
                });
                if let Some(flattened) = flattened {
                    body["flattened_errors"] = json!(flattened);
                }
                return body;
            }
            ApiError::Unresolved(fields) => (
                13,
                "foreign keys unresolved".into(),
                unresolved(fields),
                Some(fields.clone()),
            ),
            ApiError::CaCertificateReferenced { id, service } => {
                let text =
                    format!("ca certificate {id} is still referenced by services (id = {service})");
                (19, "referenced by others".into(), text, None)
            }
            // Answered by `body` before it comes here.
            _ => (
                8,
                "database error".into(),
                "An unexpected error occurred".into(),
                None,
            ),
        };
        let mut body = json!({"code": code, "name": name, "message": message});
        if let Some(fields) = fields {
            body["fields"] = Value::Object(fields);
        }
        body
    }
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn lua(fields: &Map<String, Value>) -> String {
    crate::schema::lua_text::one_line(fields)
}

/// `foreign key unresolved (service.name: …)`, or a plural with the count.
fn unresolved(fields: &Map<String, Value>) -> String {
    let mut texts: Vec<String> = fields
        .iter()
        .flat_map(|(field, inner)| {
            let inner = inner.as_object().into_iter().flatten();
            inner.map(move |(key, why)| {
                format!("{field}.{key}: {}", why.as_str().unwrap_or_default())
            })
        })
        .collect();
    texts.sort();
    match texts.len() {
        1 => format!("foreign key unresolved ({})", texts[0]),
        n => format!("{n} foreign keys unresolved ({})", texts.join("; ")),
    }
}

impl From<StoreError> for ApiError {
    fn from(err: StoreError) -> ApiError {
        match err {
            StoreError::UniqueViolation { fields, .. } => ApiError::Unique(fields),
            StoreError::ForeignKeyMissing {
                field,
                reference,
                id,
                ..
            } => ApiError::ForeignKeyMissing {
                field: field.to_owned(),
                reference: reference.to_string(),
                id: id.to_string(),
            },
            StoreError::ReferencedBy { kind, by, .. } => ApiError::Referenced {
                kind: kind.to_string(),
                by: by.to_string(),
            },
            StoreError::ListedBy { id, by_id, .. } => ApiError::CaCertificateReferenced {
                id: id.to_string(),
                service: by_id.to_string(),
            },
            StoreError::PrimaryKeyViolation { id, .. } => {
                ApiError::PrimaryKeyViolation(object([("id", json!(id))]))
            }
            StoreError::NotFound { .. } => ApiError::NotFound,
            StoreError::NoSuchRevision { .. } => ApiError::NotFoundBecause(err.to_string()),
            StoreError::OutOfReach(_) => ApiError::Gone(err.to_string()),
            StoreError::Unrestorable { .. } => ApiError::Conflict(err.to_string()),
            StoreError::Malformed { field, reason, .. } => {
                ApiError::Schema(Violations::of(&field, reason))
            }
            StoreError::Busy | StoreError::Conflict { .. } => ApiError::Busy,
            // The store says once that the database is silent; each request would say it again.
            StoreError::Unavailable(why) => {
                tracing::debug!(%why, "refused: the database does not answer");
                ApiError::Unavailable
            }
            StoreError::Unknown(why) => {
                tracing::error!(%why, "whether a write was committed is not known");
                ApiError::Unconfirmed
            }
            other => {
                tracing::error!(err = ?other, "the store failed");
                ApiError::Internal
            }
        }
    }
}
