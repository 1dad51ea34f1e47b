//! From a body to the document that the schema validates.

use super::error::ApiError;
use super::request::Body;
use crate::control_plane::config_store::{Entities, Key};
use crate::model::Kind;
use crate::schema::{self, Entity, Env, lua_text};
use serde_json::{Map, Value, json};

/// The body's fields; a form's types follow from the schema. `name` is the stored one of the
/// plugin or vault that a PATCH changes: its schema types the form's `config`.
pub fn document(
    entity: &Entity,
    body: Body,
    name: Option<&str>,
    env: &Env<'_>,
) -> Map<String, Value> {
    match body {
        Body::None => Map::new(),
        Body::Json(map) => map,
        Body::Form(pairs) => schema::form::decode(entity, &pairs, name, env),
    }
}

/// Replaces parents that are named by a unique field (`{"service":{"name":"s"}}`) by their ids.
///
/// # Errors
/// Code 13 for each that no parent has.
pub async fn resolve_parents(
    entities: &Entities<'_>,
    entity: &Entity,
    input: &mut Map<String, Value>,
    env: &Env<'_>,
) -> Result<(), ApiError> {
    let mut unresolved = Map::new();
    for lookup in entity.lookups(input, env) {
        let Some(parent) = Kind::parse(&lookup.reference) else {
            continue;
        };
        let by: &'static str =
            match schema::entity(&lookup.reference).and_then(|e| e.field(&lookup.by)) {
                Some(field) => &field.name,
                None => continue,
            };
        let key = Key::Unique(by, Value::String(lookup.value.clone()));
        match entities.get(parent, &key).await? {
            Some(found) => {
                let id = found.get("id").cloned().unwrap_or_default();
                input.insert(lookup.field.to_string(), json!({ "id": id }));
            }
            None => {
                let asked: Map<_, _> = [(by.to_owned(), Value::String(lookup.value))]
                    .into_iter()
                    .collect();
                let why = format!(
                    "the foreign key cannot be resolved with '{}' for an existing '{parent}' entity",
                    lua_text::one_line(&asked)
                );
                unresolved.insert(lookup.field.to_string(), json!({ by: why }));
            }
        }
    }
    if unresolved.is_empty() {
        Ok(())
    } else {
        Err(ApiError::Unresolved(unresolved))
    }
}
