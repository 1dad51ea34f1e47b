//! Parents: by nesting, by id, or by a unique name, always within the document.

use super::super::Kind;
use super::collect::{Collected, Item};
use super::errors::{Fault, Stage};
use crate::schema::Foreign;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// A reference, and the parent that it names.
pub(super) struct Resolved {
    /// The child's place in [`Collected::items`].
    pub item: usize,
    pub field: &'static str,
    pub id: Uuid,
}

/// The parents of all items, in their order. `ids` has the id of each item.
///
/// A reference to nothing is a problem and becomes the nil id, so that the rest of the entity
/// can be checked without a second complaint.
pub(super) fn resolve(collected: &mut Collected, ids: &[Uuid]) -> Vec<Resolved> {
    let mut resolved = Vec::new();
    let mut problems: Vec<(usize, Stage, Fault)> = Vec::new();
    let mut not_in_kong = Vec::new();
    let index = Index::new(collected, ids);
    for (at, item) in collected.items.iter().enumerate() {
        for (field, foreign) in item.entity.foreign_fields() {
            let name = &*field.name;
            let to = |id| Resolved {
                item: at,
                field: name,
                id,
            };
            let given = item.given.get(name).filter(|value| !value.is_null());
            if let Some(parent) = item.parent.filter(|parent| parent.field == name) {
                if given.is_some() {
                    // Nesting says it already.
                    let fault = Fault::field(name, "value must be null");
                    problems.push((at, Stage::Schema, fault));
                }
                resolved.push(to(ids[parent.item]));
                continue;
            }
            match given.and_then(|given| index.find(foreign, given)) {
                None => {}
                Some(Ok(id)) => {
                    let by_object = given.and_then(Value::as_object);
                    if by_object.is_some_and(|reference| !reference.contains_key("id")) {
                        let text = format!(
                            "{name}: Kong takes the name itself or an object with an id, not an object with a name"
                        );
                        not_in_kong.push((at, text));
                    }
                    resolved.push(to(id));
                }
                Some(Err(sought)) => {
                    let text = format!(
                        "invalid reference '{name}: {sought}' (no such entry in '{}')",
                        foreign.reference
                    );
                    let fault = Fault::Reference {
                        entity: shown_name(item),
                        field: name,
                        text,
                    };
                    problems.push((at, Stage::Reference, fault));
                    resolved.push(to(Uuid::nil()));
                }
            }
        }
    }
    for (at, text) in not_in_kong {
        collected.not_in_kong(at, text);
    }
    for (at, stage, fault) in problems {
        collected.problem(Some(at), stage, fault);
    }
    resolved
}

/// The unique name under which Kong lists what is wrong with an entity's references. Secrets are
/// none.
fn shown_name(item: &Item) -> Option<String> {
    let field = item.entity.field(item.entity.endpoint_key.as_deref()?)?;
    let is_name = field.unique && !field.auto && !field.encrypted;
    let name = item.given.get(&*field.name).filter(|_| is_name)?;
    name.as_str().map(str::to_owned)
}

/// Where parents are found.
struct Index<'a> {
    ids: HashSet<(Kind, Uuid)>,
    /// By the unique fields of each kind that has children.
    unique: HashMap<(Kind, &'a str, &'a str), Uuid>,
}

impl<'a> Index<'a> {
    fn new(collected: &'a Collected, ids: &[Uuid]) -> Index<'a> {
        let mut index = Index {
            ids: HashSet::with_capacity(ids.len()),
            unique: HashMap::with_capacity(ids.len()),
        };
        for (item, id) in collected.items.iter().zip(ids) {
            index.ids.insert((item.kind, *id));
            for field in item.entity.unique_fields() {
                if let Some(Value::String(value)) = item.given.get(&*field.name) {
                    let key = (item.kind, &*field.name, &**value);
                    // The second of a name is a problem elsewhere.
                    index.unique.entry(key).or_insert(*id);
                }
            }
        }
        index
    }

    /// The parent that a reference names, or the reference in words. `None` leaves it to
    /// the schema to say what is wrong.
    fn find(&self, foreign: &Foreign, given: &Value) -> Option<Result<Uuid, String>> {
        let kind = Kind::parse(&foreign.reference)?;
        let parent = crate::schema::entity(&foreign.reference)?;
        let by_id = |text: &str| {
            let id = (text.len() == 36).then(|| Uuid::try_parse(text).ok())??;
            self.ids.contains(&(kind, id)).then_some(id)
        };
        let by = |field: &str, text: &str| self.unique.get(&(kind, field, text)).copied();
        match given {
            Value::String(text) => {
                let named = || by(parent.endpoint_key.as_deref()?, text);
                Some(by_id(text).or_else(named).ok_or_else(|| text.clone()))
            }
            Value::Object(reference) => {
                let text = |field: &str| reference.get(field).and_then(Value::as_str);
                if let Some(id) = text("id") {
                    return match id.len() {
                        36 => Some(by_id(id).ok_or_else(|| given.to_string())),
                        _ => None,
                    };
                }
                let (field, value) = parent
                    .unique_fields()
                    .find_map(|field| Some((&*field.name, text(&field.name)?)))?;
                Some(by(field, value).ok_or_else(|| given.to_string()))
            }
            _ => None,
        }
    }
}
