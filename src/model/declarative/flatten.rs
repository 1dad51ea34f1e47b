//! Problems entity by entity, each with what the document says of the entity: what Kong's
//! clients turn into messages about their own objects.

use super::collect::child;
use super::document;
use super::errors::{DeclarativeErrors, Problem, Stage, Step, tree};
use crate::schema;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use uuid::Uuid;

/// Problems with their entities, and those that no entity has.
#[derive(Debug, PartialEq)]
pub struct Flattened {
    pub errors: Vec<Value>,
    /// Shaped like [`DeclarativeErrors::fields`].
    pub rest: Map<String, Value>,
}

/// An entity's path, what the document says of it, and its problems.
type Refused<'a> = (&'a [Step], Map<String, Value>, Vec<&'a Problem>);

impl DeclarativeErrors {
    /// The problems of [`DeclarativeErrors::fields`], entity by entity. `text` is the document
    /// that was refused. As in Kong, references to nothing are not among them.
    pub fn flattened(&self, text: &str) -> Flattened {
        let document = document::read(text).unwrap_or_default();
        let mut entities: Vec<Refused<'_>> = Vec::new();
        let mut rest = Vec::new();
        let reported = self.reported();
        for problem in reported.iter().map(AsRef::as_ref) {
            if problem.stage == Stage::Reference {
                continue;
            }
            if let Some((_, _, problems)) = entities
                .last_mut()
                .filter(|(path, ..)| *path == problem.path)
            {
                problems.push(problem);
                continue;
            }
            match find(&document, &problem.path) {
                Some(entity) => entities.push((&problem.path, entity.clone(), vec![problem])),
                None => rest.push(problem),
            }
        }
        entities.sort_by(|(a, ..), (b, ..)| order(a, b));
        let error = |(path, entity, problems): Refused<'_>| error(path, entity, &problems);
        Flattened {
            errors: entities.into_iter().map(error).collect(),
            rest: tree(rest.into_iter()),
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

/// One element of `flattened_errors`.
fn error(path: &[Step], mut entity: Map<String, Value>, problems: &[&Problem]) -> Value {
    let list = path.last().map_or("", |step| step.list);
    if let Some(schema) = schema::entity(list) {
        entity.retain(|name, _| child(schema, name).is_none());
    }
    // Before, entities have no ids but those they were given.
    let identity = problems
        .iter()
        .filter(|problem| problem.stage > Stage::Schema)
        .find_map(|problem| problem.identity);
    if let Some(identity) = identity {
        entity.insert("id".to_owned(), json!(identity.id));
        if let Some((field, parent)) = identity.parent {
            entity.insert(field.to_owned(), json!({ "id": parent }));
        }
    }
    let mut error = Map::new();
    let kind = list.strip_suffix('s').unwrap_or(list);
    error.insert("entity_type".to_owned(), json!(kind));
    let text = |name: &str| entity.get(name).and_then(Value::as_str);
    if let Some(id) = text("id").filter(|id| Uuid::try_parse(id).is_ok()) {
        error.insert("entity_id".to_owned(), json!(id));
    }
    if let Some(name) = text("name").filter(|name| !name.is_empty()) {
        error.insert("entity_name".to_owned(), json!(name));
    }
    let tags = entity.get("tags").and_then(Value::as_array);
    if let Some(tags) = tags.filter(|tags| tags.iter().all(Value::is_string)) {
        error.insert("entity_tags".to_owned(), json!(tags));
    }
    let mut messages: Vec<_> = problems.iter().flat_map(|p| p.messages()).collect();
    messages.sort_by(|(a, _), (b, _)| b.cmp(a));
    let message = |(field, text): &(String, String)| match field.is_empty() {
        true => json!({"type": "entity", "message": text}),
        false => json!({"type": "field", "field": field, "message": text}),
    };
    let messages: Vec<Value> = messages.iter().map(message).collect();
    error.insert("errors".to_owned(), Value::Array(messages));
    error.insert("entity".to_owned(), Value::Object(entity));
    Value::Object(error)
}
