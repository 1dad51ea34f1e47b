//! From the tree of a document to its entities: nested ones after their parents, each without
//! its children and without what is meant for people only.

use super::super::Kind;
use super::errors::{Fault, Identity, Problem, Stage, Step};
use crate::schema::{self, Entity, bounded};
use serde_json::{Map, Value};
use uuid::Uuid;

/// An entity of the document.
pub(super) struct Item {
    pub kind: Kind,
    pub entity: &'static Entity,
    /// Its place in its list, from zero.
    pub at: usize,
    pub parent: Option<Parent>,
    /// What it is called, where it has a name that is no secret.
    pub name: Option<String>,
    /// What the document says, children excepted.
    pub given: Map<String, Value>,
}

/// Whose child an item is by being nested in it.
#[derive(Clone, Copy)]
pub(super) struct Parent {
    /// The parent's place in [`Collected::items`], always before the child's.
    pub item: usize,
    /// The child's field that points to it.
    pub field: &'static str,
}

/// A problem and where it belongs.
struct Found {
    /// How many items stand before it.
    before: usize,
    /// What it is about, unless that is no item.
    item: Option<usize>,
    problem: Problem,
}

/// How many problems of a document are kept.
const MOST_PROBLEMS: usize = 10_000;

/// What a document holds.
#[derive(Default)]
pub(super) struct Collected {
    /// In the order of the document, parents before the children nested in them.
    pub items: Vec<Item>,
    problems: Vec<Found>,
    /// How many problems there are beside those that are kept.
    pub more_problems: usize,
    /// Lists that were read and have no effect.
    pub ignored: Vec<&'static str>,
    /// What Kong would not take, in words.
    pub not_in_kong: Vec<String>,
}

impl Collected {
    /// The path to an item.
    pub fn path(&self, item: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut next = Some(item);
        while let Some(at) = next {
            let item = &self.items[at];
            steps.push(Step {
                list: item.kind.as_str(),
                at: item.at,
                name: item.name.clone(),
            });
            next = item.parent.map(|parent| parent.item);
        }
        steps.reverse();
        steps
    }

    /// What the document says of the routes at its top and in the services at its top.
    pub fn routes_of_the_top(&mut self) -> impl Iterator<Item = &mut Map<String, Value>> {
        let is_nested: Vec<bool> = self
            .items
            .iter()
            .map(|item| item.parent.is_some())
            .collect();
        let at_the_top = move |parent: Option<Parent>| {
            parent.is_none_or(|parent| is_nested.get(parent.item) == Some(&false))
        };
        self.items
            .iter_mut()
            .filter(move |item| item.kind == Kind::Routes && at_the_top(item.parent))
            .map(|item| &mut item.given)
    }

    pub fn problem(&mut self, item: Option<usize>, stage: Stage, fault: Fault) {
        if self.is_full() {
            return;
        }
        let path = item.map(|item| self.path(item)).unwrap_or_default();
        self.problems.push(Found {
            before: item.unwrap_or_default(),
            item,
            problem: Problem {
                path,
                stage,
                fault: fault.bounded(),
                identity: None,
            },
        });
    }

    /// An entry of a list that is no record, and so no item.
    fn no_record(&mut self, owner: Option<usize>, list: &'static str, at: usize) {
        if self.is_full() {
            return;
        }
        let mut path = owner.map(|item| self.path(item)).unwrap_or_default();
        path.push(Step {
            list,
            at,
            name: None,
        });
        self.problems.push(Found {
            before: self.items.len(),
            item: None,
            problem: Problem {
                path,
                stage: Stage::Schema,
                fault: Fault::Entry("expected a record".to_owned()),
                identity: None,
            },
        });
    }

    /// Whether a problem more is only counted, which is done here.
    fn is_full(&mut self) -> bool {
        let full = self.problems.len() >= MOST_PROBLEMS;
        self.more_problems += usize::from(full);
        full
    }

    /// Notes what Kong would not take of an item.
    pub fn not_in_kong(&mut self, item: usize, text: String) {
        if self.not_in_kong.len() < MOST_PROBLEMS {
            let fault = Fault::Entry(bounded::message(&text));
            let problem = Problem {
                path: self.path(item),
                stage: Stage::Reference,
                fault,
                identity: None,
            };
            self.not_in_kong.extend(problem.lines());
        }
    }

    /// Every problem in the order of the document, those of one entity in the order of stages.
    /// `ids` has the id of each item.
    pub fn problems(&mut self, ids: &[Uuid]) -> Vec<Problem> {
        let mut found = std::mem::take(&mut self.problems);
        found.sort_by_key(|found| (found.before, found.problem.stage));
        let identity = |item: usize| Identity {
            id: ids[item],
            parent: self.items[item]
                .parent
                .map(|parent| (parent.field, ids[parent.item])),
        };
        let identified = |found: Found| Problem {
            identity: found.item.map(identity),
            ..found.problem
        };
        found.into_iter().map(identified).collect()
    }
}

/// Takes the entities out of the document. `root` has lost the keys of its header.
pub(super) fn collect(root: Map<String, Value>) -> Collected {
    let mut collected = Collected::default();
    for (name, value) in root {
        let Some(entity) = schema::entity(&name).filter(|entity| &*entity.name != "tags") else {
            let fault = Fault::field(&name, "unknown field");
            collected.problem(None, Stage::Schema, fault);
            continue;
        };
        if inert(&mut collected, entity, &value) {
            continue;
        }
        list(&mut collected, entity, value, None);
    }
    collected
}

/// Every export of Kong names its one workspace and the id of its cluster. Neither is anything
/// to act upon.
fn inert(collected: &mut Collected, entity: &'static Entity, value: &Value) -> bool {
    let Value::Array(entries) = value else {
        return false;
    };
    let inert = match &*entity.name {
        "parameters" => true,
        "workspaces" => entries
            .iter()
            .all(|entry| entry.get("name").and_then(Value::as_str) == Some("default")),
        _ => false,
    };
    if inert && !entries.is_empty() {
        collected.ignored.push(&entity.name);
    }
    inert
}

/// Reads a list of entities, at the top or nested.
fn list(collected: &mut Collected, entity: &'static Entity, value: Value, parent: Option<Parent>) {
    let owner = parent.map(|parent| parent.item);
    let entries = match value {
        Value::Array(entries) => entries,
        Value::Null => return,
        // Lua has one empty table for both, so documents that it wrote have either.
        Value::Object(map) if map.is_empty() => return,
        _ => {
            let fault = Fault::field(&entity.name, "expected an array");
            return collected.problem(owner, Stage::Schema, fault);
        }
    };
    let Some(kind) = Kind::parse(&entity.name) else {
        if !entries.is_empty() {
            let text = match &*entity.name {
                "workspaces" => "there is no workspace but 'default'".to_owned(),
                name => format!("'{name}' entities are not supported by this version"),
            };
            collected.problem(owner, Stage::Schema, Fault::field(&entity.name, text));
        }
        return;
    };
    for (at, entry) in entries.into_iter().enumerate() {
        let given = match entry {
            Value::Object(given) => Some(given),
            // Lua's empty table again.
            Value::Array(items) if items.is_empty() => Some(Map::new()),
            _ => None,
        };
        let Some(given) = given else {
            collected.no_record(owner, kind.as_str(), at);
            continue;
        };
        one(
            collected,
            Item {
                kind,
                entity,
                at,
                parent,
                name: name(&given),
                given,
            },
        );
    }
}

/// What people call an entity. Never the endpoint key as such: a credential's is the secret.
fn name(given: &Map<String, Value>) -> Option<String> {
    let text = |field: &&str| given.get(*field).and_then(Value::as_str);
    let name = ["name", "username", "custom_id", "target"]
        .iter()
        .find_map(text);
    name.map(str::to_owned)
}

/// Adds an item, then the children nested in it.
fn one(collected: &mut Collected, mut item: Item) {
    let at = collected.items.len();
    let comments = take_comments(&mut item.given);
    let mut nested = Vec::new();
    let found: Vec<_> = item
        .given
        .keys()
        .filter_map(|name| child(item.entity, name))
        .collect();
    for (child, field) in found {
        if let Some(value) = item.given.shift_remove(&*child.name) {
            nested.push((child, field, value));
        }
    }
    collected.items.push(item);
    if !comments.is_empty() {
        collected.problem(Some(at), Stage::Schema, Fault::Fields(comments));
    }
    for (child, field, value) in nested {
        list(collected, child, value, Some(Parent { item: at, field }));
    }
}

/// The entity of that name, if it may be nested in one of `parent`, with the field that
/// points to it.
pub(super) fn child(parent: &Entity, name: &str) -> Option<(&'static Entity, &'static str)> {
    let child = schema::entity(name)?;
    let (field, _) = child
        .foreign_fields()
        .find(|(_, foreign)| foreign.reference == parent.name)?;
    Some((child, &*field.name))
}

/// Removes `_comment` and `_ignore`, which any record may have; what is wrong with them.
pub(super) fn take_comments(record: &mut Map<String, Value>) -> Map<String, Value> {
    let mut wrong = Map::new();
    let mut take = |name: &str, text: &str, fits: fn(&Value) -> bool| {
        let value = record.shift_remove(name).unwrap_or_default();
        if !value.is_null() && !fits(&value) {
            wrong.insert(name.to_owned(), Value::from(text));
        }
    };
    take("_comment", "expected a string", Value::is_string);
    take("_ignore", "expected an array", |value| match value {
        Value::Object(map) => map.is_empty(),
        value => value.is_array(),
    });
    wrong
}
