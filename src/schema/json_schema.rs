//! Entities as JSON Schema (draft 2020-12): what clients may send and what they are shown.
//!
//! A description says what a field may be by itself: types, nulls, ranges, choices, patterns.
//! Rules between fields and those that are code are not in it, so that a document may fit
//! its description and still be refused; what clients are shown always fits.

mod rules;

use super::definition::{Field, FieldKind, Foreign, Record, Rule};
use super::entity::Entity;
use super::env::{Env, RouterFlavor};
use super::load;
use super::ttl::LONGEST;
use serde_json::{Map, Value, json};

/// What a document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An answer: every field is there.
    Shown,
    /// The body of a `POST` or `PUT`.
    Whole,
    /// The body of a `PATCH`: nothing is needed.
    Part,
}

/// The description of an entity, or of the entities with one value of the field that chooses
/// their refinement: a plugin's by its name.
#[derive(Debug)]
pub struct Variant {
    /// `None` for an entity without refinements by name.
    pub name: Option<&'static str>,
    pub schema: Value,
}

/// The descriptions of an entity, sorted by name. Requests have only enabled plugins.
///
/// What [`given_by_paths`] names is never required: whether it is depends on the path.
pub fn entity(entity: &'static Entity, purpose: Purpose, env: &Env<'_>) -> Vec<Variant> {
    let shape = entity.shape(env.router_flavor);
    let by_name = chooser(entity);
    let Some(key) = by_name else {
        let schema = Value::Object(entity_object(entity, &shape.base, None, purpose));
        return vec![Variant { name: None, schema }];
    };
    let is_served = |name: &str| {
        purpose == Purpose::Shown || &*entity.name != "plugins" || env.plugin_enabled(name)
    };
    let mut variants: Vec<Variant> = shape
        .subschemas
        .iter()
        .filter(|(name, _)| is_served(name))
        .map(|(name, subschema)| {
            let record = subschema.record(env.role);
            let mut schema = entity_object(entity, &shape.base, Some(record), purpose);
            schema["properties"][key] = json!({"type": "string", "const": name});
            Variant {
                name: Some(name),
                schema: Value::Object(schema),
            }
        })
        .collect();
    variants.sort_by_key(|variant| variant.name);
    variants
}

/// The text field whose value chooses what refines the entity.
pub fn chooser(entity: &'static Entity) -> Option<&'static str> {
    let key = entity.subschema_key.as_deref()?;
    // A route's is a set, and only narrows what its fields may be together.
    let field = entity.field(key)?;
    matches!(field.kind, FieldKind::String).then_some(key)
}

/// The fields that a new entity needs and that some paths give in place of the body: its key,
/// its parents.
pub fn given_by_paths(entity: &'static Entity) -> Vec<&'static str> {
    let needed = entity.fields().iter().filter(|field| is_needed(field));
    let may_be_given = |field: &&Field| {
        matches!(field.kind, FieldKind::Foreign(_))
            || entity.endpoint_key.as_deref() == Some(&*field.name)
    };
    needed
        .filter(may_be_given)
        .map(|field| &*field.name)
        .collect()
}

/// The fields that a new entity needs and that a form gives as one argument.
pub fn needed_arguments(entity: &'static Entity) -> Vec<&'static str> {
    let base = entity.base(RouterFlavor::default());
    let needed = base.fields.iter().filter(|field| {
        is_needed(field) && is_scalar(field) && !is_filled_by_alias(base, &field.name)
    });
    needed.map(|field| &*field.name).collect()
}

/// The arguments of a form about an entity. Its fields are arguments; what is inside of them has
/// names that begin with theirs.
pub fn form(entity: &'static Entity, env: &Env<'_>) -> Value {
    let base = &entity.shape(env.router_flavor).base;
    let mut arguments = Map::new();
    let mut nested = Vec::new();
    let aliases = base.shorthands.iter().map(|alias| &alias.field);
    for field in base.fields.iter().chain(aliases) {
        match &field.kind {
            FieldKind::Array(element) | FieldKind::Set(element) if is_scalar(element) => {
                let items = typed(element, Purpose::Whole);
                let list = json!({"type": "array", "items": items});
                arguments.insert(field.name.to_string(), list);
                nested.push(&*field.name);
            }
            _ if is_scalar(field) => {
                arguments.insert(field.name.to_string(), typed(field, Purpose::Whole));
            }
            _ => nested.push(&*field.name),
        }
    }
    if entity.ttl {
        let seconds = json!({"type": "integer", "minimum": 0, "maximum": LONGEST});
        arguments.insert("ttl".to_owned(), seconds);
    }
    let mut form = json!({"type": "object", "properties": arguments});
    if !nested.is_empty() {
        let names = format!(r"^({})[.\[][\s\S]*$", nested.join("|"));
        form["patternProperties"] = json!({names: {"type": "string"}});
    }
    form["additionalProperties"] = json!(false);
    form
}

fn is_scalar(field: &Field) -> bool {
    matches!(
        field.kind,
        FieldKind::String | FieldKind::Number | FieldKind::Integer | FieldKind::Boolean
    )
}

fn entity_object(
    entity: &'static Entity,
    base: &Record,
    subschema: Option<&Record>,
    purpose: Purpose,
) -> Map<String, Value> {
    let mut object = record(base, subschema, purpose);
    if purpose == Purpose::Whole {
        let elsewhere = given_by_paths(entity);
        if let Some(Value::Array(required)) = object.get_mut("required") {
            required.retain(|name| !elsewhere.iter().any(|given| name == given));
        }
    }
    if entity.ttl {
        let most = match purpose {
            // A row's end may be further away by now than a request may ask for.
            Purpose::Shown => json!({"type": ["integer", "null"], "minimum": 0}),
            _ => json!({"type": ["integer", "null"], "minimum": 0, "maximum": LONGEST}),
        };
        object["properties"]["ttl"] = most;
        if let (Purpose::Shown, Some(Value::Array(required))) =
            (purpose, object.get_mut("required"))
        {
            required.push(json!("ttl"));
        }
    }
    object
}

/// A closed object. `subschema` replaces fields of `base`.
fn record(base: &Record, subschema: Option<&Record>, purpose: Purpose) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for own in &base.fields {
        let field = subschema.and_then(|sub| sub.get(&own.name)).unwrap_or(own);
        properties.insert(field.name.to_string(), value(field, purpose));
        let is_required = match purpose {
            Purpose::Shown => true,
            Purpose::Whole => is_needed(field) && !is_filled_by_alias(base, &field.name),
            Purpose::Part => false,
        };
        if is_required {
            required.push(json!(field.name));
        }
    }
    for alias in &base.shorthands {
        let is_there = purpose != Purpose::Shown || alias.is_shown();
        if !is_there || properties.contains_key(&*alias.field.name) {
            continue;
        }
        let mut schema = nullable(typed(&alias.field, purpose));
        if alias.is_deprecated() {
            schema["deprecated"] = json!(true);
        }
        properties.insert(alias.field.name.to_string(), schema);
    }
    let mut object = Map::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        object.insert("required".to_owned(), Value::Array(required));
    }
    object.insert("additionalProperties".to_owned(), json!(false));
    object
}

/// Whether a new entity cannot be without a value from the client.
fn is_needed(field: &Field) -> bool {
    if !field.required || field.auto || field.default.is_some() {
        return false;
    }
    match &field.kind {
        // It is made of its fields' defaults.
        FieldKind::Record(inner) => inner
            .fields
            .iter()
            .any(|field| is_needed(field) && !is_filled_by_alias(inner, &field.name)),
        _ => true,
    }
}

fn is_filled_by_alias(record: &Record, name: &str) -> bool {
    record
        .shorthands
        .iter()
        .any(|alias| alias.fills().contains(&name))
}

fn value(field: &Field, purpose: Purpose) -> Value {
    if field.must_be_null {
        return json!({"type": "null"});
    }
    let mut schema = typed(field, purpose);
    if field.referenceable {
        schema = json!({"anyOf": [schema, {
            "type": "string",
            "pattern": r"^\{vault://[\s\S]*\}$",
            "description": "where a vault keeps the value",
        }]});
    }
    if may_be_null(field, purpose) {
        schema = nullable(schema);
    }
    if let (Purpose::Whole, Some(default)) = (purpose, &field.default)
        && !default.is_null()
    {
        let is_list = matches!(field.kind, FieldKind::Array(_) | FieldKind::Set(_));
        // Lua has one empty table for both.
        let default = match is_list && default.is_object() {
            true => json!([]),
            false => default.clone(),
        };
        schema["default"] = default;
    }
    schema
}

fn may_be_null(field: &Field, purpose: Purpose) -> bool {
    let refused = |rule: &Rule| matches!(rule, Rule::Eq(_) | Rule::Ne(Value::Null));
    if field.required || field.rules.iter().any(refused) {
        return false;
    }
    match purpose {
        Purpose::Shown => !(field.transient || is_always_made(field)),
        _ => true,
    }
}

/// Never left without a value, whatever the client sends.
fn is_always_made(field: &Field) -> bool {
    field.auto && matches!(&*field.name, "id" | "updated_at")
}

/// The same, or null.
fn nullable(mut schema: Value) -> Value {
    let plain = schema.get("const").is_none() && schema["type"].is_string();
    if !plain {
        return json!({"anyOf": [schema, {"type": "null"}]});
    }
    let kind = schema["type"].take();
    schema["type"] = json!([kind, "null"]);
    if let Some(Value::Array(choices)) = schema.get_mut("enum") {
        choices.push(Value::Null);
    }
    schema
}

/// A value that is not null.
fn typed(field: &Field, purpose: Purpose) -> Value {
    // Elements are replaced as a whole, in a `PATCH` too.
    let inner = match purpose {
        Purpose::Shown => Purpose::Shown,
        _ => Purpose::Whole,
    };
    let mut schema = match &field.kind {
        FieldKind::String | FieldKind::Json => json!({"type": "string"}),
        FieldKind::Number => json!({"type": "number"}),
        FieldKind::Integer => json!({"type": "integer"}),
        FieldKind::Boolean => json!({"type": "boolean"}),
        FieldKind::Array(element) => json!({"type": "array", "items": value(element, inner)}),
        FieldKind::Set(element) => {
            let mut schema = json!({"type": "array", "items": value(element, inner)});
            // A request may repeat an element: the first one stays.
            if purpose == Purpose::Shown && is_scalar(element) {
                schema["uniqueItems"] = json!(true);
            }
            schema
        }
        FieldKind::Map { keys, values } => json!({
            "type": "object",
            "propertyNames": value(keys, inner),
            "additionalProperties": value(values, inner),
        }),
        FieldKind::Record(inner) => Value::Object(record(inner, None, purpose)),
        FieldKind::Foreign(parent) => reference(parent, purpose),
    };
    for rule in &field.rules {
        rules::add(rule, &field.kind, &mut schema);
    }
    schema
}

/// A parent by its id, or in a request by another unique field.
fn reference(parent: &Foreign, purpose: Purpose) -> Value {
    let mut properties = json!({"id": {"type": "string", "format": "uuid"}});
    if purpose == Purpose::Shown {
        return json!({
            "type": "object",
            "properties": properties,
            "required": ["id"],
            "additionalProperties": false,
        });
    }
    let unique = load::entity(&parent.reference)
        .into_iter()
        .flat_map(Entity::unique_fields)
        .filter(|field| matches!(field.kind, FieldKind::String));
    for field in unique {
        properties[&*field.name] = json!({"type": "string", "minLength": 1});
    }
    json!({
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "additionalProperties": false,
    })
}
