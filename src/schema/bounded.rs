//! How much is told of what is wrong: a body with a million mistakes is not answered with a
//! million messages.

use serde_json::{Map, Value};

/// The key of the messages that belong to no single field.
pub const ENTITY: &str = "@entity";

/// What is told of one entity: that many messages, in so many bytes.
const OF_AN_ENTITY: Bounds = Bounds {
    messages: 100,
    bytes: 64 * 1024,
};
/// What is told of a whole document.
const OF_A_DOCUMENT: Bounds = Bounds {
    messages: 1_000,
    bytes: 1024 * 1024,
};
/// The longest message, which may quote what it is about.
const LONGEST_MESSAGE: usize = 4 * 1024;
/// A list with more places than that is shown as an object of those that are wrong.
const LONGEST_LIST: usize = 10_000;

#[derive(Clone, Copy)]
struct Bounds {
    messages: usize,
    bytes: usize,
}

/// The violations of an entity that are told; the last of the whole entity says how many more
/// there are.
pub(super) fn of_entity(fields: &Map<String, Value>) -> Map<String, Value> {
    bounded(fields, 0, OF_AN_ENTITY)
}

/// The same of a document, in which `more` violations were not even looked at.
pub fn of_document(fields: &Map<String, Value>, more: usize) -> Map<String, Value> {
    bounded(fields, more, OF_A_DOCUMENT)
}

/// A message, or as much of it as is told.
pub fn message(text: &str) -> String {
    if text.len() <= LONGEST_MESSAGE {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(LONGEST_MESSAGE);
    let left = text.len() - end;
    format!("{}... ({left} bytes more)", &text[..end])
}

/// What stands in place of the violations that are not told.
pub fn and_more(count: usize) -> String {
    match count {
        1 => "and 1 more violation".to_owned(),
        count => format!("and {count} more violations"),
    }
}

fn bounded(fields: &Map<String, Value>, more: usize, bounds: Bounds) -> Map<String, Value> {
    let mut telling = Telling {
        left: bounds,
        untold: more,
    };
    let mut told = telling.fields(fields);
    if telling.untold > 0 {
        let text = Value::String(and_more(telling.untold));
        match told
            .entry(ENTITY)
            .or_insert_with(|| Value::Array(Vec::new()))
        {
            Value::Array(texts) => texts.push(text),
            other => *other = Value::Array(vec![other.take(), text]),
        }
    }
    told
}

struct Telling {
    left: Bounds,
    untold: usize,
}

impl Telling {
    fn fields(&mut self, fields: &Map<String, Value>) -> Map<String, Value> {
        let mut told = Map::new();
        for (name, value) in fields {
            if let Some(value) = self.value(name.len(), value) {
                told.insert(name.clone(), value);
            }
        }
        told
    }

    /// A value under a name of that length, as far as it is told.
    fn value(&mut self, name: usize, value: &Value) -> Option<Value> {
        if self.left.messages == 0 || self.left.bytes < name {
            self.untold += count(value);
            return None;
        }
        match value {
            Value::Object(fields) => {
                self.left.bytes -= name;
                let told = self.fields(fields);
                (!told.is_empty()).then_some(Value::Object(told))
            }
            Value::Array(items) => {
                self.left.bytes -= name;
                self.list(items)
            }
            Value::String(text) => {
                let text = message(text);
                if self.left.bytes < name + text.len() {
                    self.untold += 1;
                    return None;
                }
                self.left.messages -= 1;
                self.left.bytes -= name + text.len();
                Some(Value::String(text))
            }
            other => {
                self.left.messages -= 1;
                Some(other.clone())
            }
        }
    }

    /// Nulls are the places of elements that are well.
    fn list(&mut self, items: &[Value]) -> Option<Value> {
        let mut told = Vec::new();
        for (at, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
            if let Some(value) = self.value(0, item) {
                told.push((at, value));
            }
        }
        let (last, _) = told.last()?;
        if *last >= LONGEST_LIST {
            let entries = told
                .into_iter()
                .map(|(at, item)| ((at + 1).to_string(), item));
            return Some(Value::Object(entries.collect()));
        }
        let mut list = vec![Value::Null; last + 1];
        for (at, item) in told {
            list[at] = item;
        }
        Some(Value::Array(list))
    }
}

/// How many messages there are.
fn count(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Object(fields) => fields.values().map(count).sum(),
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(fields: Value, more: usize, messages: usize, bytes: usize) -> Value {
        let fields = fields.as_object().cloned().unwrap_or_default();
        Value::Object(bounded(&fields, more, Bounds { messages, bytes }))
    }

    #[test]
    fn trial_27_violations_are_told_up_to_a_number() {
        let all = json!({"a": "x", "b": {"c": ["y", null, "z"]}, "@entity": ["v", "w"]});
        assert_eq!(told(all.clone(), 0, 5, 100), all);
        assert_eq!(
            told(all.clone(), 0, 2, 100),
            json!({"a": "x", "b": {"c": ["y"]}, "@entity": ["and 3 more violations"]})
        );
        assert_eq!(
            told(all.clone(), 2, 4, 100),
            json!({"a": "x", "b": {"c": ["y", null, "z"]},
                "@entity": ["v", "and 3 more violations"]})
        );
        assert_eq!(
            told(json!({}), 1, 5, 100),
            json!({"@entity": ["and 1 more violation"]})
        );
    }

    #[test]
    fn trial_27_violations_are_told_up_to_a_size() {
        let long = "n".repeat(100);
        let fields = json!({"a": "x", long: "y", "b": "z"});
        assert_eq!(
            told(fields, 0, 5, 50),
            json!({"a": "x", "b": "z", "@entity": ["and 1 more violation"]})
        );
        let text = message(&"é".repeat(10_000));
        assert!(text.ends_with("é... (15904 bytes more)"), "{text}");
        assert_eq!(message("short"), "short");
    }

    #[test]
    fn trial_27_a_mistake_far_down_a_list_costs_one_entry() {
        let mut items = vec![Value::Null; 1_000_000];
        items.push(json!({"host": "required field missing"}));
        assert_eq!(
            told(json!({"services": items}), 0, 5, 1_000),
            json!({"services": {"1000001": {"host": "required field missing"}}})
        );
    }
}
