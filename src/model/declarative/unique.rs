//! What no two entities of a document may share: the same as the constraints of a database.

use super::super::Kind;
use crate::schema::Entity;
use serde_json::{Map, Value};
use std::collections::HashSet;
use uuid::Uuid;

/// What entities so far have taken.
#[derive(Default)]
pub(super) struct Taken {
    ids: HashSet<(Kind, Uuid)>,
    values: HashSet<(Kind, String)>,
}

impl Taken {
    /// Takes what an entity occupies. The text says what another one has already.
    pub fn take(
        &mut self,
        kind: Kind,
        entity: &Entity,
        id: Uuid,
        fields: &Map<String, Value>,
    ) -> Result<(), String> {
        for field in entity.unique_fields() {
            let Some(value) = fields.get(&*field.name).and_then(Value::as_str) else {
                continue;
            };
            if !self
                .values
                .insert((kind, format!("{}\0{value}", field.name)))
            {
                // A generated value is a secret.
                let which = match field.auto || field.encrypted {
                    true => format!("the same {}", field.name),
                    false => format!("{} set to '{value}'", field.name),
                };
                return Err(already_declared(kind, &which));
            }
        }
        if !self.ids.insert((kind, id)) {
            let which = format!("primary key set to '{id}'");
            return Err(already_declared(kind, &which));
        }
        self.take_together(kind, entity, fields)
    }

    /// Takes the fields that are unique together; null is a value like any other.
    fn take_together(
        &mut self,
        kind: Kind,
        entity: &Entity,
        fields: &Map<String, Value>,
    ) -> Result<(), String> {
        if entity.cache_key.len() < 2 {
            return Ok(());
        }
        let value = |name: &str| {
            let value = fields.get(name);
            let id = value.and_then(|value| value.get("id"));
            id.or(value).and_then(Value::as_str)
        };
        let parts: Vec<(&str, Option<&str>)> = entity
            .cache_key
            .iter()
            .map(|name| (&**name, value(name)))
            .collect();
        if self.values.insert((kind, format!("{parts:?}"))) {
            return Ok(());
        }
        let set: Vec<String> = parts
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} set to '{}'", value?)))
            .collect();
        Err(already_declared(kind, &set.join(", ")))
    }
}

fn already_declared(kind: Kind, which: &str) -> String {
    format!("uniqueness violation: '{kind}' entity with {which} already declared")
}
