//! Everything that is wrong with a document, each problem with the place where it is.

use crate::schema::{Violations, bounded};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use uuid::Uuid;

/// How many problems [`DeclarativeErrors`] prints.
const PRINTED: usize = 50;
/// How many problems an answer has in words.
const LISTED: usize = 1_000;
/// The key under which messages about an entity as a whole are listed.
pub(super) const ENTITY: &str = "@entity";

/// Why a document was refused: every problem at once, in the order of the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DeclarativeErrors {
    pub problems: Vec<Problem>,
    /// How many there are beside these, when there are very many.
    pub more: usize,
}

/// One entity that is wrong, or the document itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The lists that lead to the entity, outermost first; empty for the document.
    pub path: Vec<Step>,
    pub stage: Stage,
    pub fault: Fault,
    /// Of the entity, given or derived; none for what is no entity.
    pub identity: Option<Identity>,
}

/// Which entity a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub id: Uuid,
    /// The parent it is nested in, by the field that points to it.
    pub parent: Option<(&'static str, Uuid)>,
}

/// An entry of a list of entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The name of the list: `routes`.
    pub list: &'static str,
    /// From zero.
    pub at: usize,
    /// What the entry is called, where it has a name.
    pub name: Option<String>,
}

/// What was checked. Kong checks a stage only when all before it passed; here the problems of
/// all but the first are found together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The text is no document. Nothing else can be said about it.
    Text,
    /// Fields are unknown, missing or break their rules.
    Schema,
    /// A value that has to be unique stands there twice.
    Uniqueness,
    /// A parent is not in the document.
    Reference,
}

/// What is wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The entry as a whole.
    Entry(String),
    /// Some of its fields, shaped as [`Violations::fields`].
    Fields(Map<String, Value>),
    /// A field that points to nothing.
    Reference {
        /// The unique name of the entity, where it has one.
        entity: Option<String>,
        field: &'static str,
        text: String,
    },
}

impl DeclarativeErrors {
    pub(super) fn text(reason: &str) -> DeclarativeErrors {
        let text = format!("failed parsing declarative configuration: {reason}");
        DeclarativeErrors {
            problems: vec![Problem {
                path: Vec::new(),
                stage: Stage::Text,
                fault: Fault::field("error", text),
                identity: None,
            }],
            more: 0,
        }
    }

    /// One line per message.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.problems.iter().flat_map(Problem::lines)
    }

    /// The first lines, and how many more there are.
    pub fn listed(&self) -> Vec<String> {
        let mut lines = self.lines();
        let mut listed: Vec<String> = lines.by_ref().take(LISTED).collect();
        match lines.count() + self.more {
            0 => {}
            more => listed.push(bounded::and_more(more)),
        }
        listed
    }

    /// What Kong reports, as a tree shaped like the document: lists have nulls for entries that
    /// are well, an entry that is wrong as a whole is a text.
    pub fn fields(&self) -> Map<String, Value> {
        let fields = tree(self.reported().iter().map(AsRef::as_ref));
        bounded::of_document(&fields, self.more)
    }

    /// The problems that Kong reports together: those of its first pass that found any. It looks
    /// at fields first, among them at those of nested entities that point to nothing, and takes
    /// a parent that is not there for one without an id; then at what is there twice and at the
    /// other references.
    pub(super) fn reported(&self) -> Vec<Cow<'_, Problem>> {
        let seen: Vec<_> = self.problems.iter().map(Problem::as_kong_sees_it).collect();
        let first = seen.iter().map(|problem| problem.stage).min();
        let fields = first <= Some(Stage::Schema);
        let mut reported = Vec::with_capacity(seen.len());
        for problem in seen {
            match fields {
                true if Some(problem.stage) > first => {
                    reported.extend(problem.as_missing_key().map(Cow::Owned));
                }
                _ => reported.push(problem),
            }
        }
        reported
    }
}

/// Problems as a tree shaped like the document; what points to nothing is listed by the name or
/// id of the entity instead.
pub(super) fn tree<'a>(problems: impl Iterator<Item = &'a Problem>) -> Map<String, Value> {
    let mut root = Map::new();
    let mut references = Vec::new();
    for problem in problems {
        match problem.fault {
            Fault::Reference { .. } => references.push(problem),
            _ => add(&mut root, &problem.path, &problem.fault),
        }
    }
    for problem in references {
        add_reference(&mut root, problem);
    }
    root
}

fn add_reference(root: &mut Map<String, Value>, problem: &Problem) {
    let (Some(step), Fault::Reference { entity, text, .. }) = (problem.path.last(), &problem.fault)
    else {
        return;
    };
    let id = || problem.identity.map(|identity| identity.id.to_string());
    let key = entity.clone().or_else(id).unwrap_or_default();
    let list = root.entry(step.list).or_insert_with(|| json!({}));
    if let Value::Array(items) = list {
        // Lua has one table for both, which JSON shows as an object: places count from one.
        let places = items.iter_mut().map(Value::take).enumerate();
        let entries = places.filter(|(_, item)| !item.is_null());
        *list = entries
            .map(|(at, item)| ((at + 1).to_string(), item))
            .collect();
    }
    let entries = list.as_object_mut();
    let texts = entries.map(|entries| entries.entry(key).or_insert_with(|| json!([])));
    if let Some(Value::Array(texts)) = texts {
        texts.push(json!(text));
    }
}

impl fmt::Display for DeclarativeErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid declarative configuration")?;
        let mut lines = self.lines();
        for line in lines.by_ref().take(PRINTED) {
            write!(f, "\n  {line}")?;
        }
        match lines.count() + self.more {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl Problem {
    /// In Kong a nested entity may only point to the one it is nested in.
    fn as_kong_sees_it(&self) -> Cow<'_, Problem> {
        match self.fault {
            Fault::Reference { field, .. } if self.path.len() > 1 => Cow::Owned(Problem {
                stage: Stage::Schema,
                fault: Fault::field(field, "value must be null"),
                ..self.clone()
            }),
            _ => Cow::Borrowed(self),
        }
    }

    /// A reference to nothing, as a problem of the field's own.
    fn as_missing_key(&self) -> Option<Problem> {
        let Fault::Reference { field, .. } = self.fault else {
            return None;
        };
        let keyless = Map::from_iter([(field.to_owned(), json!({"id": "missing primary key"}))]);
        Some(Problem {
            stage: Stage::Schema,
            fault: Fault::Fields(keyless),
            ..self.clone()
        })
    }

    /// `in 'routes' entry 2 of 'services' entry 1 ('s'): paths.1: should start with: /`, once
    /// per message. Entries and elements count from one.
    pub fn lines(&self) -> Vec<String> {
        let steps: Vec<String> = self.path.iter().rev().map(Step::to_string).collect();
        let place = match steps.is_empty() {
            true => String::new(),
            false => format!("in {}: ", steps.join(" of ")),
        };
        let line = |(field, text): (String, String)| match field.is_empty() {
            true => format!("{place}{text}"),
            false => format!("{place}{field}: {text}"),
        };
        self.messages().into_iter().map(line).collect()
    }

    /// Each message with the path of its field, which is empty for the entity as a whole.
    fn messages(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        match &self.fault {
            Fault::Entry(text) => found.push((String::new(), text.clone())),
            Fault::Fields(fields) => messages("", &Value::Object(fields.clone()), &mut found),
            Fault::Reference { field, text, .. } => {
                found.push(((*field).to_owned(), text.clone()));
            }
        }
        found
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' entry {}", self.list, self.at + 1)?;
        match &self.name {
            Some(name) => write!(f, " ('{name}')"),
            None => Ok(()),
        }
    }
}

impl Fault {
    /// As much of it as is told.
    pub(super) fn bounded(self) -> Fault {
        match self {
            Fault::Entry(text) => Fault::Entry(bounded::message(&text)),
            Fault::Fields(fields) => Fault::Fields(Violations { fields }.bounded().fields),
            Fault::Reference {
                entity,
                field,
                text,
            } => Fault::Reference {
                entity,
                field,
                text: bounded::message(&text),
            },
        }
    }

    pub(super) fn field(name: &str, text: impl Into<String>) -> Fault {
        Fault::Fields(Violations::of(name, text).fields)
    }
}

/// Every message of a tree with the path of its field, which is empty for an entity as a whole.
fn messages(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    let inner = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    // The messages about a record as a whole: a list without places.
                    (ENTITY, Value::Array(items)) => {
                        items.iter().for_each(|item| messages(path, item, found));
                    }
                    (ENTITY, text) => messages(path, text, found),
                    _ => messages(&inner(name), value, found),
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
                messages(&inner(&(at + 1).to_string()), item, found);
            }
        }
        value => {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            found.push((path.to_owned(), text));
        }
    }
}

/// Puts a fault where its path leads. What is already there on the way stays.
fn add(map: &mut Map<String, Value>, path: &[Step], fault: &Fault) {
    let Some((step, rest)) = path.split_first() else {
        match fault {
            Fault::Fields(fields) => merge(map, fields),
            Fault::Entry(text) => {
                merge(map, &Violations::of(ENTITY, text.as_str()).fields);
            }
            Fault::Reference { field, text, .. } => {
                merge(map, &Violations::of(field, text.as_str()).fields);
            }
        }
        return;
    };
    let list = map
        .entry(step.list)
        .or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(items) = list else { return };
    if items.len() <= step.at {
        items.resize(step.at + 1, Value::Null);
    }
    let entry = &mut items[step.at];
    match (rest, fault, &mut *entry) {
        ([], Fault::Entry(text), Value::Null) => *entry = Value::String(text.clone()),
        (_, _, Value::Object(fields)) => add(fields, rest, fault),
        (_, _, other) => {
            let mut fields = Map::new();
            if let Value::String(text) = other {
                fields.insert(ENTITY.to_owned(), Value::from(vec![std::mem::take(text)]));
            }
            add(&mut fields, rest, fault);
            *entry = Value::Object(fields);
        }
    }
}

pub(super) fn merge(map: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match (map.get_mut(name), value) {
            (Some(Value::Array(old)), text) if name == ENTITY => match text {
                Value::Array(new) => old.extend(new.iter().cloned()),
                text => old.push(text.clone()),
            },
            (None, Value::String(text)) if name == ENTITY => {
                map.insert(name.clone(), Value::from(vec![text.clone()]));
            }
            _ => {
                map.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn step(list: &'static str, at: usize) -> Step {
        Step {
            list,
            at,
            name: None,
        }
    }

    fn errors() -> DeclarativeErrors {
        let problem = |path: &[Step], stage, fault| Problem {
            path: path.to_vec(),
            stage,
            fault,
            identity: None,
        };
        let Value::Object(service) = json!({"@entity": ["a", "b"], "config": {"x": [null, "c"]}})
        else {
            panic!("an object");
        };
        DeclarativeErrors {
            problems: vec![
                problem(&[], Stage::Schema, Fault::field("_format_version", "v")),
                problem(
                    &[step("services", 1), step("routes", 0)],
                    Stage::Schema,
                    Fault::field("name", "n"),
                ),
                problem(
                    &[step("services", 1)],
                    Stage::Schema,
                    Fault::Fields(service),
                ),
                problem(
                    &[step("services", 1)],
                    Stage::Uniqueness,
                    Fault::Entry("u".to_owned()),
                ),
                problem(
                    &[step("routes", 0)],
                    Stage::Uniqueness,
                    Fault::Entry("w".to_owned()),
                ),
                problem(
                    &[step("routes", 0)],
                    Stage::Reference,
                    Fault::Reference {
                        entity: Some("a".to_owned()),
                        field: "service",
                        text: "r".to_owned(),
                    },
                ),
                problem(
                    &[step("snis", 1)],
                    Stage::Uniqueness,
                    Fault::Entry("x".to_owned()),
                ),
            ],
            more: 0,
        }
    }

    #[test]
    fn as_lines() {
        let lines: Vec<String> = errors().lines().collect();
        assert_eq!(
            lines,
            [
                "_format_version: v",
                "in 'routes' entry 1 of 'services' entry 2: name: n",
                "in 'services' entry 2: a",
                "in 'services' entry 2: b",
                "in 'services' entry 2: config.x.2: c",
                "in 'services' entry 2: u",
                "in 'routes' entry 1: w",
                "in 'routes' entry 1: service: r",
                "in 'snis' entry 2: x",
            ]
        );
        let many = DeclarativeErrors {
            problems: vec![errors().problems[0].clone(); PRINTED + 3],
            more: 0,
        };
        assert!(many.to_string().ends_with("\n  and 3 more"));
    }

    #[test]
    fn as_a_tree() {
        let mut errors = errors();
        assert_eq!(
            Value::Object(errors.fields()),
            json!({
                "_format_version": "v",
                "services": [null, {
                    "routes": [{"name": "n"}],
                    "@entity": ["a", "b"],
                    "config": {"x": [null, "c"]},
                }],
                "routes": [{"service": {"id": "missing primary key"}}],
            })
        );
        errors
            .problems
            .retain(|problem| problem.stage > Stage::Schema);
        assert_eq!(
            Value::Object(errors.fields()),
            json!({
                "services": [null, "u"],
                "routes": {"1": "w", "a": ["r"]},
                "snis": [null, "x"],
            })
        );
        errors
            .problems
            .retain(|problem| problem.stage > Stage::Uniqueness);
        assert_eq!(
            Value::Object(errors.fields()),
            json!({"routes": {"a": ["r"]}})
        );
    }
}
