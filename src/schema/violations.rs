//! The tree of everything that is wrong with an entity, and Kong's texts for it.

use super::bounded;
pub use super::bounded::ENTITY;
use super::lua_text;
use serde_json::{Map, Value, json};

/// Why an entity was refused: every violation at once, shaped like the entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    /// A text per field; an object per nested record; a list with nulls for elements
    /// that are fine; [`ENTITY`] holds the list of texts about the entity as a whole.
    pub fields: Map<String, Value>,
}

impl Violations {
    /// A single violation of one field.
    pub fn of(field: &str, text: impl Into<String>) -> Violations {
        let mut fields = Map::new();
        fields.insert(field.to_owned(), Value::String(text.into()));
        Violations { fields }
    }

    /// The same, with no more than are told.
    pub fn bounded(&self) -> Violations {
        Violations {
            fields: bounded::of_entity(&self.fields),
        }
    }

    /// `schema violation (...)` or `n schema violations (...; ...)`: entity texts first,
    /// then the fields sorted by name. Of very many, the first ones and how many more there are.
    pub fn message(&self) -> String {
        message(&self.bounded().fields)
    }

    /// The body of the 400 answer, which tells as much as the message.
    pub fn to_json(&self) -> Value {
        let fields = bounded::of_entity(&self.fields);
        json!({
            "code": 2,
            "name": "schema violation",
            "message": message(&fields),
            "fields": fields,
        })
    }
}

fn message(fields: &Map<String, Value>) -> String {
    let texts = texts(fields);
    let joined = texts.join("; ");
    match texts.len() {
        1 => format!("schema violation ({joined})"),
        n => format!("{n} schema violations ({joined})"),
    }
}

fn texts(fields: &Map<String, Value>) -> Vec<String> {
    let mut texts: Vec<String> = match fields.get(ENTITY) {
        Some(Value::Array(list)) => list.iter().map(text_of).collect(),
        Some(other) => vec![text_of(other)],
        None => Vec::new(),
    };
    let mut names: Vec<&String> = fields.keys().filter(|name| *name != ENTITY).collect();
    names.sort_unstable();
    for name in names {
        match &fields[name] {
            Value::Object(inner) => {
                let mut keys: Vec<&String> = inner.keys().collect();
                keys.sort_unstable();
                let text = |key| format!("{name}.{key}: {}", text_of(&inner[key]));
                texts.extend(keys.into_iter().map(text));
            }
            Value::Array(items) => {
                let wrong = items.iter().enumerate().filter(|(_, item)| !item.is_null());
                texts.extend(
                    wrong.map(|(at, item)| format!("{name}.{}: {}", at + 1, text_of(item))),
                );
            }
            other => texts.push(format!("{name}: {}", text_of(other))),
        }
    }
    texts
}

impl std::fmt::Display for Violations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Violations {}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        deeper => lua_text::pretty(deeper),
    }
}

/// Adds a text about the whole entity.
pub(super) fn add_entity_error(errors: &mut Map<String, Value>, text: String) {
    let list = errors
        .entry(ENTITY)
        .or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = list {
        list.push(Value::String(text));
    }
}

/// `'a', 'b'`.
pub(super) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("'{name}'")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let check = |fields: Value, expected: &str| {
            let Value::Object(fields) = fields else {
                panic!("a map");
            };
            assert_eq!(Violations { fields }.message(), expected);
        };
        check(
            json!({"path": "no", "@entity": ["second", "first"], "host": "missing"}),
            "4 schema violations (second; first; host: missing; path: no)",
        );
        check(
            json!({"tags": [null, "bad"], "config": {"b": "x", "a": {"c": "y"}}}),
            "3 schema violations (config.a: {\n  c = \"y\"\n}; config.b: x; tags.2: bad)",
        );
    }
}
