//! What happens to input before it is validated: aliases, generated values, defaults.

use super::definition::{Field, FieldKind, Record};
use super::env::Env;
use super::number;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Violations found while filling; nothing else is reported beside them.
type Errors = Map<String, Value>;

/// A whole record from what was given: aliases resolved, generated values and defaults
/// put in, every field present in schema order. Unknown keys stay at the end, for
/// validation to report.
pub(super) fn whole(
    base: &Record,
    subschema: Option<&Record>,
    mut input: Map<String, Value>,
    env: &Env<'_>,
) -> Result<Map<String, Value>, Errors> {
    resolve_aliases(base, &mut input, env)?;
    let mut filled = Map::with_capacity(base.fields.len());
    for own in &base.fields {
        let field = subschema.and_then(|sub| sub.get(&own.name)).unwrap_or(own);
        if field.transient && !input.contains_key(&*field.name) {
            continue;
        }
        let given = input.remove(&*field.name);
        filled.insert(field.name.to_string(), whole_value(field, given, env)?);
    }
    filled.extend(input);
    Ok(filled)
}

/// Part of a record: only what was given, aliases resolved at every depth.
pub(super) fn part(
    base: &Record,
    subschema: Option<&Record>,
    mut input: Map<String, Value>,
    env: &Env<'_>,
) -> Result<Map<String, Value>, Errors> {
    resolve_aliases(base, &mut input, env)?;
    for (name, value) in &mut input {
        let own = base.get(name);
        let Some(field) = subschema.and_then(|sub| sub.get(name)).or(own) else {
            continue;
        };
        let given = std::mem::take(value);
        *value = match (&field.kind, given) {
            (FieldKind::Record(inner), Value::Object(map)) => {
                Value::Object(part(inner, None, map, env)?)
            }
            (_, given) => shaped(field, given, env)?,
        };
    }
    Ok(input)
}

/// Lays a part over a whole: records are merged key by key, everything else is replaced.
pub(super) fn merge(
    base: &Record,
    subschema: Option<&Record>,
    stored: &mut Map<String, Value>,
    patch: Map<String, Value>,
    env: &Env<'_>,
) -> Result<(), Errors> {
    for (name, value) in patch {
        let own = base.get(&name);
        let field = subschema.and_then(|sub| sub.get(&name)).or(own);
        let inner = field.and_then(|field| match &field.kind {
            FieldKind::Record(inner) => Some(inner),
            _ => None,
        });
        match (inner, value) {
            (Some(inner), Value::Object(patch)) => match stored.get_mut(&name) {
                Some(Value::Object(stored)) => merge(inner, None, stored, patch, env)?,
                _ => {
                    let made = whole(inner, None, patch, env)?;
                    stored.insert(name, Value::Object(made));
                }
            },
            (_, value) => {
                stored.insert(name, value);
            }
        }
    }
    Ok(())
}

/// The value of a field for an insert.
pub(super) fn whole_value(
    field: &Field,
    given: Option<Value>,
    env: &Env<'_>,
) -> Result<Value, Errors> {
    let now = |field: &Field| match field.kind {
        FieldKind::Number => number::seconds(env.now_ms),
        _ => Value::from(env.now()),
    };
    if field.auto {
        match (&*field.name, &given) {
            ("updated_at", _) => return Ok(now(field)),
            ("created_at", None | Some(Value::Null)) => return Ok(now(field)),
            (_, None | Some(Value::Null)) if field.uuid => {
                return Ok(Value::from(env.random.uuid().to_string()));
            }
            (_, None) if matches!(field.kind, FieldKind::String) => {
                return Ok(Value::from(env.random.token()));
            }
            _ => {}
        }
    }
    match given {
        Some(value) => shaped(field, value, env),
        None => missing(field, env),
    }
}

/// The value of a field that was left out.
pub(super) fn missing(field: &Field, env: &Env<'_>) -> Result<Value, Errors> {
    match (&field.default, &field.kind) {
        (Some(default), _) => shaped(field, default.clone(), env),
        (None, FieldKind::Record(inner)) if field.required => {
            Ok(Value::Object(whole(inner, None, Map::new(), env)?))
        }
        _ => Ok(Value::Null),
    }
}

/// The given value in its stored form: nested records completed, duplicates of sets
/// removed, whole numbers without fraction. A value of a wrong type stays as it is.
fn shaped(field: &Field, value: Value, env: &Env<'_>) -> Result<Value, Errors> {
    Ok(match (&field.kind, value) {
        (FieldKind::Number | FieldKind::Integer, Value::Number(number)) => {
            Value::Number(number::normalize(number))
        }
        (FieldKind::Array(element), Value::Array(items)) => {
            Value::Array(shaped_all(element, items, env)?)
        }
        (FieldKind::Set(element), Value::Array(items)) => {
            let mut items = shaped_all(element, items, env)?;
            deduplicate(&mut items);
            Value::Array(items)
        }
        // Lua knows one empty table for both, so clients send either.
        (FieldKind::Array(_) | FieldKind::Set(_), Value::Object(map)) if map.is_empty() => {
            Value::Array(Vec::new())
        }
        (FieldKind::Map { values, .. }, Value::Object(map)) => Value::Object(
            map.into_iter()
                .map(|(key, value)| Ok((key, shaped(values, value, env)?)))
                .collect::<Result<_, Errors>>()?,
        ),
        (FieldKind::Map { .. }, Value::Array(items)) if items.is_empty() => {
            Value::Object(Map::new())
        }
        (FieldKind::Record(inner), Value::Object(map)) => {
            Value::Object(whole(inner, None, map, env)?)
        }
        (FieldKind::Record(inner), Value::Array(items)) if items.is_empty() => {
            Value::Object(whole(inner, None, Map::new(), env)?)
        }
        (_, value) => value,
    })
}

fn shaped_all(element: &Field, items: Vec<Value>, env: &Env<'_>) -> Result<Vec<Value>, Errors> {
    items
        .into_iter()
        .map(|item| shaped(element, item, env))
        .collect()
}

/// Removes later duplicates of scalars.
fn deduplicate(items: &mut Vec<Value>) {
    if items.len() < 2 {
        return;
    }
    let keys: Vec<Option<String>> = items
        .iter()
        .map(|item| match item {
            Value::Object(_) | Value::Array(_) => None,
            scalar => Some(scalar.to_string()),
        })
        .collect();
    let mut seen = HashSet::with_capacity(items.len());
    let mut keys = keys.into_iter();
    items.retain(|_| match keys.next().flatten() {
        Some(key) => seen.insert(key),
        None => true,
    });
}

fn resolve_aliases(
    record: &Record,
    input: &mut Map<String, Value>,
    env: &Env<'_>,
) -> Result<(), Errors> {
    let mut errors = Errors::new();
    for shorthand in &record.shorthands {
        if let Err(violation) = shorthand.apply(input, env) {
            errors.insert(shorthand.field.name.to_string(), violation);
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors),
    }
}
