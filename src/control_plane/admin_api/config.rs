//! `/config`: the configuration of a node without a database, as one declarative document.

use super::api::{Api, schema_of};
use super::error::ApiError;
use super::paging;
use super::reply::Answer;
use super::request::{self, Body};
use crate::control_plane::CurrentDocument;
use crate::control_plane::config_store::{Declaration, Extent};
use crate::model::declarative::{self, Declared, Dump};
use crate::model::{Kind, Op, Row};
use actix_web::web;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use uuid::Uuid;

/// A document that is to become the configuration, and how.
#[derive(Debug, PartialEq, Eq)]
pub struct Submission {
    text: String,
    /// The same text again is not to be loaded. In Kong `1` asks for it, and nothing else.
    check_hash: bool,
    /// Problems are to be told entity by entity.
    flatten_errors: bool,
}

/// A JSON body, as far as it is not the document.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "_format_version")]
    format_version: Option<IgnoredAny>,
    config: Option<Value>,
    check_hash: Option<Value>,
    flatten_errors: Option<Value>,
}

impl Submission {
    /// What a body submits: the document itself as YAML or JSON, or as the text `config` in JSON
    /// or a form.
    ///
    /// # Errors
    /// 415 for another type, 400 for a body that is not of its type or holds no document.
    pub fn of(
        content_type: Option<&str>,
        bytes: &[u8],
        arguments: &[(String, String)],
    ) -> Result<Submission, ApiError> {
        let none = || ApiError::BadRequest("expected a declarative configuration".to_owned());
        let text = || {
            let text = str::from_utf8(bytes).map(str::to_owned);
            text.map_err(|_| ApiError::BadRequest("expected UTF-8".to_owned()))
        };
        let mut submission = Submission {
            text: String::new(),
            check_hash: paging::argument(arguments, "check_hash")? == Some("1"),
            flatten_errors: is_on(paging::argument(arguments, "flatten_errors")?),
        };
        match content_type {
            Some(kind) if request::is_yaml(kind) => submission.text = text()?,
            Some(kind) if kind.starts_with("application/json") => {
                let unreadable = || ApiError::BadRequest("Cannot parse JSON body".to_owned());
                if !bytes.trim_ascii_start().starts_with(b"{") {
                    return Err(unreadable());
                }
                let envelope: Envelope = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
                let flag = |value: Option<Value>| match value {
                    Some(Value::String(text)) => is_on(Some(&text)),
                    Some(value) => is_on(Some(&value.to_string())),
                    None => false,
                };
                submission.text = match (envelope.format_version, envelope.config) {
                    (None, Some(Value::String(config))) => {
                        submission.check_hash |= is_one(envelope.check_hash.as_ref());
                        submission.flatten_errors |= flag(envelope.flatten_errors);
                        config
                    }
                    (None, Some(_)) => return Err(none()),
                    _ => {
                        // The document is the body, not a text: there is no hash of it.
                        submission.check_hash = false;
                        text()?
                    }
                };
            }
            kind => match request::body(kind, bytes)? {
                Body::Form(pairs) => {
                    let value = |name: &str| paging::argument(&pairs, name);
                    submission.check_hash |= value("check_hash")? == Some("1");
                    submission.flatten_errors |= is_on(value("flatten_errors")?);
                    submission.text = value("config")?.ok_or_else(none)?.to_owned();
                }
                Body::Json(_) | Body::None => return Err(none()),
            },
        }
        match submission.text.is_empty() && bytes.is_empty() {
            true => Err(none()),
            false => Ok(submission),
        }
    }
}

fn is_one(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value == "1" || value == 1)
}

fn is_on(value: Option<&str>) -> bool {
    value.is_some_and(|value| matches!(value, "1" | "true" | "on" | "yes"))
}

impl Api {
    /// What this node lives from.
    ///
    /// # Errors
    /// It has a database.
    fn current_document(&self) -> Result<&Arc<CurrentDocument>, ApiError> {
        let why = "this endpoint is only available when Kong is configured to not use a database";
        let refused = || ApiError::BadRequest(why.to_owned());
        self.document.as_ref().ok_or_else(refused)
    }

    /// `GET /config`: the configuration as a document. With a database, any method is refused.
    pub async fn show_config(&self) -> Result<Answer, ApiError> {
        self.current_document()?;
        let mut dump = Dump::new(Vec::new()).map_err(unwritten)?;
        let store = self.store.store();
        let env = self.env();
        store
            .each_kind(Dump::<Vec<u8>>::KINDS, |kind, documents| {
                let schema = schema_of(kind)?;
                for document in documents {
                    if let Some(entity) = schema.exported(document, &env) {
                        dump.entity(kind, entity).map_err(unwritten)?;
                    }
                }
                Ok::<_, ApiError>(())
            })
            .await?;
        let text = dump.finish().map_err(unwritten)?;
        let text = String::from_utf8(text).map_err(|err| unwritten(io::Error::other(err)))?;
        Ok(Answer::Json(200, json!({ "config": text })))
    }

    /// `POST /config`: what the document declares becomes the configuration, as one revision, or
    /// nothing changes.
    pub async fn load_config(&self, submission: Submission) -> Result<Answer, ApiError> {
        let current = Arc::clone(self.current_document()?);
        if submission.check_hash && current.is(&submission.text) {
            return Ok(Answer::NotModified);
        }
        let api = self.clone();
        let (declared, text) = web::block(move || {
            let declared = api.declared(&submission);
            declared.map(|declared| (declared, submission.text))
        })
        .await
        .map_err(|_| ApiError::Busy)??;
        for entity in declared.ignored {
            tracing::warn!(entity, "not used by this node, skipped");
        }
        let declaration = Declaration::new(Extent::Whole, declared.entities);
        let done = self.store.declare(declaration).await?;
        current.set(&text, done.revision);
        let mut stored = done.unchanged;
        stored.extend(done.ops.into_iter().filter_map(|op| match op {
            Op::Put { kind, id, row } => Some(((kind, id), row)),
            Op::Delete { .. } => None,
        }));
        Ok(Answer::JsonText(201, self.by_kind_and_id(stored)?))
    }

    /// `{kind: {id: entity}}`, written one after the other.
    fn by_kind_and_id(&self, stored: BTreeMap<(Kind, Uuid), Row>) -> Result<String, ApiError> {
        let mut text = "{".to_owned();
        let mut last = None;
        for ((kind, id), row) in stored {
            match last.replace(kind) {
                Some(last) if last == kind => text.push(','),
                Some(_) => text.push_str(&format!("}},\"{kind}\":{{")),
                None => text.push_str(&format!("\"{kind}\":{{")),
            }
            let entity = Value::Object(self.held(kind, &row)?);
            text.push_str(&format!("\"{id}\":{entity}"));
        }
        text.push_str(if last.is_some() { "}}" } else { "}" });
        Ok(text)
    }

    fn declared(&self, submission: &Submission) -> Result<Declared, ApiError> {
        declarative::parse(&submission.text, &self.env()).map_err(|errors| {
            let lines = errors.listed();
            match submission.flatten_errors {
                false => ApiError::Declarative {
                    fields: errors.fields(),
                    flattened: None,
                    lines,
                },
                true => {
                    let flattened = errors.flattened(&submission.text);
                    ApiError::Declarative {
                        fields: flattened.rest,
                        flattened: Some(flattened.errors),
                        lines,
                    }
                }
            }
        })
    }
}

fn unwritten(err: io::Error) -> ApiError {
    tracing::error!(%err, "the configuration cannot be written as a document");
    ApiError::Internal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str, bytes: &str, query: &str) -> Result<Submission, u16> {
        let arguments = request::arguments(query).expect("arguments");
        let found = Submission::of(Some(content_type), bytes.as_bytes(), &arguments);
        found.map_err(|err| err.status())
    }

    #[test]
    fn documents_come_in_many_bodies() {
        let text = |content_type, bytes| of(content_type, bytes, "").map(|found| found.text);
        let (json, form) = ("application/json", "application/x-www-form-urlencoded");
        let direct = r#"{"_format_version": "3.0"}"#;
        assert_eq!(text(json, direct), Ok(direct.to_owned()));
        assert_eq!(text(json, "{}"), Ok("{}".to_owned()));
        assert_eq!(text(json, r#"{"config": "a: 1"}"#), Ok("a: 1".to_owned()));
        assert_eq!(text(json, r#"{"config": ""}"#), Ok(String::new()));
        assert_eq!(text("text/yaml", "a: 1"), Ok("a: 1".to_owned()));
        assert_eq!(text("application/yaml", "a: 1"), Ok("a: 1".to_owned()));
        assert_eq!(text(form, "config=a%3A+1"), Ok("a: 1".to_owned()));
        let multipart = "--X\r\nContent-Disposition: form-data; name=\"config\"; \
                         filename=\"kong.yml\"\r\n\r\na: 1\r\n--X--\r\n";
        let kind = "multipart/form-data; boundary=X";
        assert_eq!(text(kind, multipart), Ok("a: 1".to_owned()));
        assert_eq!(text("application/x-yaml", "a: 1"), Err(415));
        assert_eq!(text("text/yaml", ""), Err(400));
        let latin = Submission::of(Some("text/yaml"), b"a: \xfc", &[]);
        assert_eq!(latin.map_err(|err| err.status()), Err(400));
        assert_eq!(text(form, "a=1"), Err(400));
        assert_eq!(text(json, r#"{"config": {}}"#), Err(400));
        assert_eq!(text(json, r#"["a", "b"]"#), Err(400));
        assert_eq!(text(json, "{"), Err(400));
    }

    #[test]
    fn options_stand_in_the_query_or_beside_the_text() {
        let options = |bytes, query| {
            let found = of("application/json", bytes, query).expect("a submission");
            (found.check_hash, found.flatten_errors)
        };
        let config = r#"{"config": "a: 1"}"#;
        assert_eq!(options(config, ""), (false, false));
        assert_eq!(options(config, "check_hash=1"), (true, false));
        assert_eq!(options(config, "flatten_errors=true"), (false, true));
        assert_eq!(
            options(config, "flatten_errors=0&check_hash=no"),
            (false, false)
        );
        let both = r#"{"config": "a: 1", "check_hash": 1, "flatten_errors": "yes"}"#;
        assert_eq!(options(both, ""), (true, true));
    }

    #[test]
    fn beside_16_a_document_as_the_body_has_no_hash() {
        let asks = |content_type, bytes, query| {
            let found = of(content_type, bytes, query).expect("a submission");
            found.check_hash
        };
        let (json, one) = ("application/json", "check_hash=1");
        assert!(!asks(json, r#"{"_format_version": "3.0"}"#, one));
        assert!(!asks(json, r#"{"services": []}"#, one));
        assert!(asks(json, r#"{"config": "a: 1"}"#, one));
        assert!(asks("text/yaml", "a: 1", one));
        assert!(!asks("text/yaml", "a: 1", "check_hash=true"));
        let form = "application/x-www-form-urlencoded";
        assert!(asks(form, "config=a&check_hash=1", ""));
        assert!(!asks(form, "config=a&check_hash=on", ""));
    }
}
