//! From the stored form of an entity to the shown one, and to a complete one.

use super::definition::{Field, FieldKind, Record};
use super::env::Env;
use super::{fill, number};
use serde_json::{Map, Value};

/// How stored values are completed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Without aliases: what a change is merged with.
    Stored,
    /// With the aliases that responses show.
    Shown,
}

/// Every field in schema order: absent is null, null of a required field its default.
/// Keys that the schema does not know are left out.
pub(super) fn record(
    base: &Record,
    subschema: Option<&Record>,
    mut stored: Map<String, Value>,
    form: Form,
    env: &Env<'_>,
) -> Map<String, Value> {
    if base.shorthands.iter().any(|alias| alias.applies_on_read()) {
        for alias in base.shorthands.iter().filter(|a| a.applies_on_read()) {
            // A stored value passed this very rule when it was written.
            let _ = alias.apply(&mut stored, env);
        }
    }
    let mut complete = Map::with_capacity(base.fields.len() + base.shorthands.len());
    for own in &base.fields {
        let field = subschema.and_then(|sub| sub.get(&own.name)).unwrap_or(own);
        let value = stored.remove(&*field.name).unwrap_or(Value::Null);
        complete.insert(field.name.to_string(), value_of(field, value, form, env));
    }
    if form == Form::Shown {
        for alias in &base.shorthands {
            if let Some(value) = alias.shown(&complete).cloned() {
                complete.insert(alias.field.name.to_string(), value);
            }
        }
    }
    complete
}

fn value_of(field: &Field, value: Value, form: Form, env: &Env<'_>) -> Value {
    match (&field.kind, value) {
        (_, Value::Null) if field.required => {
            let default = fill::missing(field, env).unwrap_or(Value::Null);
            match (&field.kind, default) {
                (FieldKind::Record(inner), Value::Object(map)) => {
                    Value::Object(record(inner, None, map, form, env))
                }
                (_, default) => default,
            }
        }
        // The base schema's `config` of a plugin that is not known here.
        (_, value) if field.is_abstract => value,
        (FieldKind::Record(inner), Value::Object(map)) => {
            Value::Object(record(inner, None, map, form, env))
        }
        (FieldKind::Array(element) | FieldKind::Set(element), Value::Array(items)) => Value::Array(
            items
                .into_iter()
                .map(|item| value_of(element, item, form, env))
                .collect(),
        ),
        (FieldKind::Map { values, .. }, Value::Object(map)) => Value::Object(
            map.into_iter()
                .map(|(key, item)| (key, value_of(values, item, form, env)))
                .collect(),
        ),
        // Databases and files have times as floats.
        (_, Value::Number(number)) if form == Form::Shown => number::normalize(number).into(),
        (_, value) => value,
    }
}
