//! Values in paths: the key that names an entity, a tag that filters.

use super::definition::{Field, FieldKind};
use super::entity::Entity;
use super::env::Env;
use super::validate::{self, Scope};
use serde_json::Value;

impl Entity {
    /// Checks a value of the entity's endpoint key.
    ///
    /// # Errors
    /// The text of the rule that the value breaks.
    pub fn check_key(&self, value: &Value, env: &Env<'_>) -> Result<(), String> {
        let field = self.endpoint_key.as_deref().and_then(|key| self.field(key));
        field.map_or(Ok(()), |field| check(field, value, env))
    }

    /// Checks one tag of an entity that has tags.
    ///
    /// # Errors
    /// As [`Entity::check_key`].
    pub fn check_tag(&self, tag: &Value, env: &Env<'_>) -> Result<(), String> {
        match self.field("tags").map(|field| &field.kind) {
            Some(FieldKind::Set(element) | FieldKind::Array(element)) => check(element, tag, env),
            _ => Ok(()),
        }
    }
}

fn check(field: &Field, value: &Value, env: &Env<'_>) -> Result<(), String> {
    validate::field(field, value, &Scope::new(env))
        .map_err(|violation| violation.as_str().unwrap_or_default().to_owned())
}
