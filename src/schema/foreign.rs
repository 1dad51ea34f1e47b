//! References to parents.

use super::definition::{FieldKind, Foreign};
use super::entity::Entity;
use super::env::Env;
use super::load;
use super::validate::{self, Scope, Violation};
use serde_json::{Map, Value, json};

const MISSING_PRIMARY_KEY: &str = "missing primary key";

/// A parent that has to be found by a unique field before validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The field of the child: `service`.
    pub field: Box<str>,
    /// The parent's entity: `services`.
    pub reference: Box<str>,
    /// The parent's unique field: `name`.
    pub by: Box<str>,
    pub value: String,
}

/// Checks a reference: the parent's primary key, anything beside it ignored.
pub(super) fn validate(
    parent: &Foreign,
    value: &Value,
    scope: &Scope<'_>,
) -> Result<(), Violation> {
    let missing = || json!({ "id": MISSING_PRIMARY_KEY });
    let Some(entity) = load::entity(&parent.reference) else {
        return Err(missing());
    };
    let given = value.as_object().ok_or_else(missing)?;
    let errors = key_errors(entity, given, scope);
    if errors.is_empty() {
        return Ok(());
    }
    // What else was given may be wrong in itself, which says more.
    let base = entity.base(scope.env.router_flavor);
    let own = validate::fields(base, None, given, scope);
    Err(Value::Object(if own.is_empty() { errors } else { own }))
}

/// Drops everything but the primary key.
pub(super) fn keep_primary_key(parent: &Foreign, key: &mut Map<String, Value>) {
    let Some(entity) = load::entity(&parent.reference) else {
        return;
    };
    key.retain(|name, _| entity.primary_key.iter().any(|part| **part == **name));
    for value in key.values_mut() {
        if let Value::String(id) = value {
            id.make_ascii_lowercase();
        }
    }
}

/// The references without a valid primary key that another unique field may resolve.
pub(super) fn lookups(entity: &Entity, input: &Map<String, Value>, env: &Env<'_>) -> Vec<Lookup> {
    let scope = Scope::new(env);
    entity
        .foreign_fields()
        .filter_map(|(field, foreign)| {
            let given = input.get(&*field.name)?.as_object()?;
            let parent = load::entity(&foreign.reference)?;
            if key_errors(parent, given, &scope).is_empty() {
                return None;
            }
            parent.unique_fields().find_map(|unique| {
                let value = given.get(&*unique.name).filter(|value| !value.is_null())?;
                validate::field(unique, value, &scope).ok()?;
                // Unique references need a lookup of their own first; no parent has one.
                let text = match unique.kind {
                    FieldKind::String => value.as_str()?.to_owned(),
                    _ => return None,
                };
                Some(Lookup {
                    field: field.name.clone(),
                    reference: foreign.reference.clone(),
                    by: unique.name.clone(),
                    value: text,
                })
            })
        })
        .collect()
}

fn key_errors(
    entity: &Entity,
    given: &Map<String, Value>,
    scope: &Scope<'_>,
) -> Map<String, Value> {
    let mut errors = Map::new();
    for name in &entity.primary_key {
        let violation = match (given.get(&**name), entity.field(name)) {
            (None | Some(Value::Null), _) => Some(Value::from(MISSING_PRIMARY_KEY)),
            (Some(value), Some(field)) => validate::field(field, value, scope).err(),
            (Some(_), None) => None,
        };
        if let Some(violation) = violation {
            errors.insert(name.to_string(), violation);
        }
    }
    errors
}
