//! Problems entity by entity, each with what the document says of the entity: what Kong's
//! clients turn into messages about their own objects.

use super::collect::child;
use super::document;
use super::errors::{DeclarativeErrors, ENTITY, Fault, Problem, Stage, Step, tree};
use crate::schema::{self, bounded, is_uuid};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

/// How many entities are listed.
const MOST_ENTITIES: usize = 1_000;
/// How large an entity may be, in bytes of JSON or about that, to be shown whole.
const LARGEST_ENTITY: usize = 64 * 1024;

/// Problems with their entities, and those that no entity has.
#[derive(Debug, PartialEq)]
pub struct Flattened {
    pub errors: Vec<Value>,
    /// Shaped like [`DeclarativeErrors::fields`].
    pub rest: Map<String, Value>,
}

/// An entity of the document with its problems.
struct Refused<'a> {
    path: &'a [Step],
    /// What the document says of it.
    entity: &'a Map<String, Value>,
    /// What it says of the entity in whose list it stands.
    parent: Option<&'a Map<String, Value>>,
    problems: Vec<&'a Problem>,
}

impl DeclarativeErrors {
    /// The problems of [`DeclarativeErrors::fields`], entity by entity. `text` is the document
    /// that was refused. As in Kong, references to nothing are not among them.
    ///
    /// Of very many, the first ones: `rest` says then how many entities more are wrong.
    pub fn flattened(&self, text: &str) -> Flattened {
        let document = document::read(text).unwrap_or_default();
        let mut entities: Vec<Refused<'_>> = Vec::new();
        let mut rest = Vec::new();
        let reported = self.reported();
        for problem in reported.iter().map(AsRef::as_ref) {
            if problem.stage == Stage::Reference {
                continue;
            }
            let last = entities.last_mut();
            if let Some(last) = last.filter(|last| last.path == problem.path) {
                last.problems.push(problem);
                continue;
            }
            match find(&document, &problem.path) {
                Some(entity) => entities.push(Refused {
                    path: &problem.path,
                    entity,
                    parent: find(&document, &problem.path[..problem.path.len() - 1]),
                    problems: vec![problem],
                }),
                None => rest.push(problem),
            }
        }
        let left_out = entities.len().saturating_sub(MOST_ENTITIES) + self.more;
        entities.truncate(MOST_ENTITIES);
        entities.sort_by(|a, b| order(a.path, b.path));
        Flattened {
            errors: entities.into_iter().flat_map(Refused::errors).collect(),
            rest: bounded::of_document(&tree(rest.into_iter()), left_out),
        }
    }
}

/// The entity at a path; none where the path is that of the document, or leads to no record.
fn find<'d>(document: &'d Value, path: &[Step]) -> Option<&'d Map<String, Value>> {
    let mut value = document;
    for step in path {
        value = value.get(step.list)?.get(step.at)?;
    }
    value.as_object().filter(|_| !path.is_empty())
}

/// Children before their parents. Kong has the order of its hash tables, which is none; a client
/// that shows the first gets the innermost.
fn order(a: &[Step], b: &[Step]) -> Ordering {
    for (depth, (a, b)) in a.iter().zip(b).enumerate() {
        let lists = match depth {
            0 => b.list.cmp(a.list),
            _ => a.list.cmp(b.list),
        };
        match lists.then(a.at.cmp(&b.at)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    b.len().cmp(&a.len())
}

impl Refused<'_> {
    /// The elements of `flattened_errors`: one for the entity, and before it one for each parent
    /// that is written out in it and wrong.
    fn errors(self) -> Vec<Value> {
        let list = self.path.last().map_or("", |step| step.list);
        let mut entity = self.entity.clone();
        self.add_ids(list, &mut entity);
        let mut wrong = Map::new();
        for problem in &self.problems {
            let fields = match &problem.fault {
                Fault::Fields(fields) => fields.clone(),
                Fault::Entry(text) => Map::from_iter([(ENTITY.to_owned(), json!([text]))]),
                Fault::Reference { field, text, .. } => {
                    Map::from_iter([((*field).to_owned(), json!(text))])
                }
            };
            super::errors::merge(&mut wrong, &fields);
        }
        let mut errors = Vec::new();
        if let Some(schema) = schema::entity(list) {
            entity.retain(|name, _| child(schema, name).is_none());
            for (field, foreign) in schema.foreign_fields() {
                let Some(Value::Object(parent)) = entity.get(&*field.name) else {
                    continue;
                };
                let parent = parent.clone();
                match key_of(&parent) {
                    Some(key) => drop(entity.insert(field.name.to_string(), key)),
                    None => drop(entity.shift_remove(&*field.name)),
                }
                errors.extend(match wrong.shift_remove(&*field.name) {
                    Some(Value::Object(wrong)) => error(&foreign.reference, parent, wrong),
                    Some(text) => {
                        let wrong = Map::from_iter([(ENTITY.to_owned(), json!([text]))]);
                        error(&foreign.reference, parent, wrong)
                    }
                    None => None,
                });
            }
        }
        errors.extend(error(list, entity, wrong));
        errors
    }

    /// Puts in the ids that Kong knows by the time it finds the problem: while it looks at fields,
    /// those that the document gives; later, those of all.
    fn add_ids(&self, list: &str, entity: &mut Map<String, Value>) {
        let later = |problem: &&&Problem| problem.stage > Stage::Schema;
        let identity = self.problems.iter().find(later).and_then(|p| p.identity);
        if let Some(identity) = identity {
            entity.insert("id".to_owned(), json!(identity.id));
            if let Some((field, parent)) = identity.parent {
                entity.insert(field.to_owned(), json!({ "id": parent }));
            }
            return;
        }
        let owner = self.path.iter().rev().nth(1);
        let owner = owner.and_then(|step| schema::entity(step.list));
        let field = owner.and_then(|owner| child(owner, list));
        if let (Some((_, field)), Some(parent)) = (field, self.parent)
            && let Some(key) = key_of(parent)
        {
            entity.entry(field).or_insert(key);
        }
    }
}

/// `{id: ...}` of an entity that has an id.
fn key_of(entity: &Map<String, Value>) -> Option<Value> {
    let id = entity.get("id")?.as_str().filter(|id| is_uuid(id))?;
    Some(json!({ "id": id }))
}

/// One element of `flattened_errors`; none when nothing is wrong.
fn error(list: &str, entity: Map<String, Value>, wrong: Map<String, Value>) -> Option<Value> {
    let messages = messages(wrong);
    if messages.is_empty() {
        return None;
    }
    let mut error = Map::new();
    let kind = list.strip_suffix('s').unwrap_or(list);
    error.insert("entity_type".to_owned(), json!(kind));
    let text = |name: &str| entity.get(name).and_then(Value::as_str);
    if let Some(id) = text("id").filter(|id| is_uuid(id)) {
        error.insert("entity_id".to_owned(), json!(id));
    }
    if let Some(name) = text("name").filter(|name| !name.is_empty()) {
        error.insert("entity_name".to_owned(), json!(name));
    }
    let tags = entity.get("tags").and_then(Value::as_array);
    if let Some(tags) = tags.filter(|tags| tags.iter().all(Value::is_string)) {
        error.insert("entity_tags".to_owned(), json!(tags));
    }
    error.insert("errors".to_owned(), Value::Array(messages));
    let entity = match is_small(&entity) {
        true => entity,
        false => entity
            .into_iter()
            .filter(|(name, value)| matches!(&**name, "id" | "name") && value.is_string())
            .filter(|(_, value)| value.as_str().is_some_and(|text| text.len() <= 1_000))
            .collect(),
    };
    error.insert("entity".to_owned(), Value::Object(entity));
    Some(Value::Object(error))
}

fn is_small(entity: &Map<String, Value>) -> bool {
    fn take(left: &mut usize, value: &Value) -> bool {
        let own = match value {
            Value::String(text) => text.len(),
            _ => 0,
        };
        match left.checked_sub(own + 8) {
            Some(rest) => *left = rest,
            None => return false,
        }
        match value {
            Value::Array(items) => items.iter().all(|item| take(left, item)),
            Value::Object(fields) => fields.iter().all(|(name, value)| {
                let rest = left.checked_sub(name.len());
                *left = rest.unwrap_or_default();
                rest.is_some() && take(left, value)
            }),
            _ => true,
        }
    }
    let mut left = LARGEST_ENTITY;
    let mut fields = entity.iter();
    fields.all(|(name, value)| {
        let rest = left.checked_sub(name.len());
        left = rest.unwrap_or_default();
        rest.is_some() && take(&mut left, value)
    })
}

/// What is wrong, message by message: of a field with its path, of a record as a whole, at any
/// depth, without. The last field comes first, as in Kong.
fn messages(wrong: Map<String, Value>) -> Vec<Value> {
    let mut found = Vec::new();
    add_messages("", Value::Object(wrong), &mut found);
    found
}

fn add_messages(path: &str, wrong: Value, found: &mut Vec<Value>) {
    let inner = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    match wrong {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
            fields.sort_by(|(a, _), (b, _)| b.cmp(a));
            for (name, value) in fields {
                match (&*name, value) {
                    (ENTITY, Value::Array(texts)) => found.extend(
                        texts
                            .iter()
                            .map(|text| json!({"type": "entity", "message": text})),
                    ),
                    (ENTITY, text) => found.push(json!({"type": "entity", "message": text})),
                    (name, value) => add_messages(&inner(name), value, found),
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.into_iter().enumerate().rev() {
                if !item.is_null() {
                    add_messages(&inner(&(at + 1).to_string()), item, found);
                }
            }
        }
        text => found.push(json!({"type": "field", "field": path, "message": text})),
    }
}
