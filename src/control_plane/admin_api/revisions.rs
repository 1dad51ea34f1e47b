//! `/revisions`: what was written when, what it changed, and the way back.

use super::api::Api;
use super::error::ApiError;
use super::paging;
use super::reply::Answer;
use crate::control_plane::config_store::{Delta, Part, RevisionSummary};
use crate::model::{Kind, RequestId, Revision, Row};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    One(Revision),
    /// The difference of two.
    Between(Revision, Revision),
}

/// The connected data planes by what is in effect on them.
type Live = BTreeMap<i64, Vec<Uuid>>;

impl Api {
    /// `GET /revisions`, newest first.
    ///
    /// # Errors
    /// Codes 7 and 9.
    pub async fn revisions(&self, arguments: &[(String, String)]) -> Result<Answer, ApiError> {
        if let Some(request_id) = paging::argument(arguments, "request_id")? {
            return self.revisions_of(request_id).await;
        }
        let (size, suffix) = paging::asked_size(arguments)?;
        let before = match paging::argument(arguments, "offset")? {
            Some(token) => Some(Revision(place(token)?.0)),
            None => None,
        };
        // One more than asked for tells whether there is a next page.
        let store = self.store.store();
        let mut found = store.revisions_before(before, size as u64 + 1).await?;
        let is_last = found.len() <= size;
        found.truncate(size);
        let next = found.last().filter(|_| !is_last);
        let next = next.map(|last| paging::token_of(&json!([last.revision])));
        let live = self.live().await?;
        let data = found.iter().map(|found| summary(found, &live)).collect();
        Ok(Answer::Json(
            200,
            paging::page("/revisions", data, next, &suffix),
        ))
    }

    /// `GET /revisions?request_id=…`: what a request wrote. Nothing, if it wrote nothing and will not
    /// any more.
    async fn revisions_of(&self, request_id: &str) -> Result<Answer, ApiError> {
        let id = Uuid::try_parse(request_id).map_err(|_| {
            let why = "request_id: expected the X-Kong-Admin-Request-ID of an answer";
            ApiError::BadRequest(why.to_owned())
        })?;
        let found = self.store.store().revisions_of(RequestId(id)).await?;
        let live = self.live().await?;
        let data = found.iter().map(|found| summary(found, &live)).collect();
        Ok(Answer::Json(
            200,
            paging::page("/revisions", data, None, ""),
        ))
    }

    /// `GET /revisions/{n}` and `GET /revisions/{a}..{b}`.
    ///
    /// # Errors
    /// 404 for what is not yet, 410 for what is no more known; codes 7 and 9.
    pub async fn changes(
        &self,
        name: &str,
        arguments: &[(String, String)],
    ) -> Result<Answer, ApiError> {
        let (size, suffix) = paging::asked_size(arguments)?;
        let after = match paging::argument(arguments, "offset")? {
            Some(token) => Some(place(token)?.1),
            None => None,
        };
        let named = named(name)?;
        let (from, to) = match named {
            Named::One(revision) => (revision.before(), revision),
            Named::Between(from, to) => (from, to),
        };
        let mut body = match named {
            Named::One(revision) => {
                let found = self.store.store().revision(revision).await?;
                summary(&found, &self.live().await?)
            }
            Named::Between(from, to) => json!({"from": from, "to": to}),
        };
        let part = Part { after, size };
        let found = self.store.store().difference(from, to, part).await?;
        let deltas = found.deltas.iter().map(|delta| self.delta(delta));
        let deltas = deltas.collect::<Result<_, _>>()?;
        let next = found.next;
        let next = next.map(|(kind, id)| paging::token_of(&json!([kind, id])));
        let page = paging::page(&format!("/revisions/{name}"), deltas, next, &suffix);
        if let (Value::Object(body), Value::Object(page)) = (&mut body, page) {
            body.extend(page);
        }
        Ok(Answer::Json(200, body))
    }

    /// `POST /revisions/{n}/rollback`.
    ///
    /// # Errors
    /// As [`Api::changes`]; 409 when the old configuration breaks a constraint, 405 on a node
    /// without a database.
    pub async fn roll_back(&self, name: &str) -> Result<Answer, ApiError> {
        let Named::One(to) = named(name)? else {
            return Err(not_a_revision(name));
        };
        if self.document.is_some() {
            let why = "cannot roll back when not using a database";
            return Err(ApiError::NotAllowed(why));
        }
        let done = self.store.roll_back(to).await?;
        Ok(Answer::Json(
            200,
            json!({"revision": done.revision, "restored": to, "changed": done.ops.len()}),
        ))
    }

    /// A change of an entity, which is shown as the Admin API shows it.
    ///
    /// # Errors
    /// The journal holds what this version cannot read.
    pub fn delta(&self, delta: &Delta) -> Result<Value, ApiError> {
        let shown = |row: &Option<Row>| match row {
            Some(row) => self.held(delta.kind, row).map(Value::Object),
            None => Ok(Value::Null),
        };
        let op = match (&delta.before, &delta.after) {
            (None, _) => "create",
            (_, None) => "delete",
            _ => "update",
        };
        Ok(json!({
            "entity": delta.kind,
            "id": delta.id,
            "op": op,
            "before": shown(&delta.before)?,
            "after": shown(&delta.after)?,
        }))
    }

    /// What the store holds of an entity, as answers show it.
    ///
    /// # Errors
    /// It is what this version cannot read.
    pub fn held(&self, kind: Kind, row: &Row) -> Result<Map<String, Value>, ApiError> {
        let document = row.to_json().map_err(|err| {
            tracing::error!(%err, %kind, "a stored entity cannot be read");
            ApiError::Internal
        })?;
        self.shown(kind, document)
    }

    async fn live(&self) -> Result<Live, ApiError> {
        let mut live = Live::new();
        for row in self.fleet.data_planes().await? {
            if let (true, Some(revision)) = (row.connected, row.revision) {
                live.entry(revision).or_default().push(row.id);
            }
        }
        Ok(live)
    }
}

fn summary(found: &RevisionSummary, live: &Live) -> Value {
    let data_planes = i64::try_from(found.revision.0)
        .ok()
        .and_then(|revision| live.get(&revision));
    json!({
        "revision": found.revision,
        "committed_at": found.committed_at,
        "request_id": found.request_id.map(|id| id.to_string()),
        "changed": found.changed,
        "data_planes": data_planes.map_or(&[][..], Vec::as_slice),
    })
}

/// `7`, or `5..7`.
fn named(text: &str) -> Result<Named, ApiError> {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).map(Revision)
    };
    let named = match text.split_once("..") {
        None => number(text).map(Named::One),
        Some((from, to)) => {
            let from = number(from);
            from.and_then(|from| Some(Named::Between(from, number(to)?)))
        }
    };
    named.ok_or_else(|| not_a_revision(text))
}

fn not_a_revision(text: &str) -> ApiError {
    ApiError::BadRequest(format!(
        "'{text}' is not the number of a revision; the difference of two is named as 5..7"
    ))
}

/// What an offset token holds: the number of a revision, or a kind and an id. Of another shape it
/// points behind everything, as the tokens of other lists do.
///
/// # Errors
/// Code 7.
fn place(token: &str) -> Result<(u64, (Kind, Uuid)), ApiError> {
    let place = paging::token_json(token)?;
    let first = place.get(0);
    let kind = first.and_then(Value::as_str).and_then(Kind::parse);
    let id = place.get(1).and_then(Value::as_str);
    let id = id.and_then(|id| Uuid::parse_str(id).ok());
    let entity = kind.zip(id).unwrap_or((Kind::Plugins, Uuid::max()));
    Ok((first.and_then(Value::as_u64).unwrap_or(0), entity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_revisions() {
        for (text, expected) in [
            ("7", Some(Named::One(Revision(7)))),
            ("0..7", Some(Named::Between(Revision(0), Revision(7)))),
            ("7..5", Some(Named::Between(Revision(7), Revision(5)))),
            ("", None),
            ("+7", None),
            ("-7", None),
            ("7..", None),
            ("..7", None),
            ("5...7", None),
            ("latest", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(named(text).ok(), expected, "{text}");
        }
    }
}
