//! Everything that is wrong with a document, each problem with the place where it is.

use crate::schema::Violations;
use serde_json::{Map, Value};
use std::fmt;

/// How many problems [`DeclarativeErrors`] prints; all are in `problems`.
const PRINTED: usize = 50;
/// The key under which messages about an entity as a whole are listed.
const ENTITY: &str = "@entity";

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
            }],
        }
    }

    /// One line per message.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.problems.iter().flat_map(Problem::lines)
    }

    /// The problems as a tree shaped like the document: lists have nulls for entries that are
    /// well, an entry that is wrong as a whole is a text.
    pub fn fields(&self) -> Map<String, Value> {
        let mut root = Map::new();
        for problem in &self.problems {
            add(&mut root, &problem.path, &problem.fault);
        }
        root
    }
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
    /// `in 'routes' entry 2 of 'services' entry 1 ('s'): paths.1: should start with: /`, once
    /// per message. Entries and elements count from one.
    pub fn lines(&self) -> Vec<String> {
        let steps: Vec<String> = self.path.iter().rev().map(Step::to_string).collect();
        let place = match steps.is_empty() {
            true => String::new(),
            false => format!("in {}: ", steps.join(" of ")),
        };
        let mut texts = Vec::new();
        match &self.fault {
            Fault::Entry(text) => texts.push(text.clone()),
            Fault::Fields(fields) => flatten("", &Value::Object(fields.clone()), &mut texts),
        }
        texts
            .into_iter()
            .map(|text| format!("{place}{text}"))
            .collect()
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

fn flatten(path: &str, value: &Value, texts: &mut Vec<String>) {
    let inner = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    ENTITY => flatten_all(path, value, texts),
                    _ => flatten(&inner(name), value, texts),
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
                flatten(&inner(&(at + 1).to_string()), item, texts);
            }
        }
        value => {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            texts.push(match path {
                "" => text,
                _ => format!("{path}: {text}"),
            });
        }
    }
}

/// The messages about a record as a whole: a list without places.
fn flatten_all(path: &str, value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(path, item, texts)),
        text => flatten(path, text, texts),
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
        assert_eq!(
            Value::Object(errors().fields()),
            json!({
                "_format_version": "v",
                "services": [null, {
                    "routes": [{"name": "n"}],
                    "@entity": ["a", "b", "u"],
                    "config": {"x": [null, "c"]},
                }],
                "routes": [{"@entity": ["w"], "service": "r"}],
                "snis": [null, "x"],
            })
        );
    }
}
