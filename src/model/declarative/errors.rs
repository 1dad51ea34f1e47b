//! Everything that is wrong with a document, each problem with the place where it is.

use crate::schema::Violations;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use uuid::Uuid;

/// How many problems [`DeclarativeErrors`] prints; all are in `problems`.
const PRINTED: usize = 50;
/// The key under which messages about an entity as a whole are listed.
pub(super) const ENTITY: &str = "@entity";

/// Why a document was refused: every problem at once, in the order of the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DeclarativeErrors {
    pub problems: Vec<Problem>,
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
        }
    }

    /// One line per message.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.problems.iter().flat_map(Problem::lines)
    }

    /// What Kong reports, as a tree shaped like the document: lists have nulls for entries that
    /// are well, an entry that is wrong as a whole is a text.
    pub fn fields(&self) -> Map<String, Value> {
        tree(self.reported().iter().map(AsRef::as_ref))
    }

    /// The problems that Kong reports together: those of the first stage that found any. While
    /// it looks at fields it takes a parent that is not there for one without an id.
    pub(super) fn reported(&self) -> Vec<Cow<'_, Problem>> {
        let stage = self.problems.iter().map(|problem| problem.stage).min();
        let mut reported = Vec::new();
        for problem in &self.problems {
            if Some(problem.stage) == stage {
                reported.push(Cow::Borrowed(problem));
            } else if stage == Some(Stage::Schema) {
                reported.extend(problem.as_missing_key().map(Cow::Owned));
            }
        }
        reported
    }
}

/// Problems as a tree shaped like the document.
pub(super) fn tree<'a>(problems: impl Iterator<Item = &'a Problem>) -> Map<String, Value> {
    let mut root = Map::new();
    for problem in problems {
        add(&mut root, &problem.path, &problem.fault);
    }
    root
}

impl fmt::Display for DeclarativeErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid declarative configuration")?;
        let mut lines = self.lines();
        for line in lines.by_ref().take(PRINTED) {
            write!(f, "\n  {line}")?;
        }
        match lines.count() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl Problem {
    /// A reference to nothing, as a problem of the field's own.
    fn as_missing_key(&self) -> Option<Problem> {
        let (Stage::Reference, Fault::Fields(fields)) = (self.stage, &self.fault) else {
            return None;
        };
        let keyless =
            |(name, _): (&String, _)| (name.clone(), json!({"id": "missing primary key"}));
        Some(Problem {
            stage: Stage::Schema,
            fault: Fault::Fields(fields.iter().map(keyless).collect()),
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
    pub(super) fn messages(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        match &self.fault {
            Fault::Entry(text) => found.push((String::new(), text.clone())),
            Fault::Fields(fields) => messages("", &Value::Object(fields.clone()), &mut found),
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
    pub(super) fn field(name: &str, text: impl Into<String>) -> Fault {
        Fault::Fields(Violations::of(name, text).fields)
    }
}

/// Every message of a tree with the path of its field, which is empty for an entity as a whole.
pub(super) fn messages(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
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

fn merge(map: &mut Map<String, Value>, more: &Map<String, Value>) {
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
                    Fault::field("service", "r"),
                ),
                problem(
                    &[step("snis", 1)],
                    Stage::Uniqueness,
                    Fault::Entry("x".to_owned()),
                ),
            ],
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
                "routes": ["w"],
                "snis": [null, "x"],
            })
        );
        errors
            .problems
            .retain(|problem| problem.stage > Stage::Uniqueness);
        assert_eq!(
            Value::Object(errors.fields()),
            json!({"routes": [{"service": "r"}]})
        );
    }
}
