//! What is done to a JSON body.
//!
//! Only the fields of the outermost object are looked at. Everything else keeps its text, so that
//! numbers of any size and the order of fields stay what they were.

use super::config::{Config, Fields, JsonType, split};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Number, Value};
use std::fmt;

/// The verbs, in the order in which they are applied.
#[derive(Debug, Default)]
pub struct JsonChanges {
    remove: Vec<String>,
    /// Old and new names.
    rename: Vec<(String, String)>,
    replace: Vec<(String, Value)>,
    add: Vec<(String, Value)>,
    append: Vec<(String, Value)>,
}

impl JsonChanges {
    /// Also gives the items that have no effect, because their value is not of their type.
    pub fn new(config: &Config) -> (JsonChanges, Vec<String>) {
        let mut bad = Vec::new();
        let changes = JsonChanges {
            remove: config.remove.json.clone(),
            rename: config
                .rename
                .json
                .iter()
                .map(|item| split(item))
                .map(|(old, new)| (old.to_owned(), new.to_owned()))
                .collect(),
            replace: values(&config.replace, "replace", &mut bad),
            add: values(&config.add, "add", &mut bad),
            append: values(&config.append, "append", &mut bad),
        };
        (changes, bad)
    }

    pub fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.replace.is_empty()
            && self.add.is_empty()
            && self.append.is_empty()
    }

    /// The changed body; `None` when it is no JSON object.
    pub fn apply(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut object: Object = serde_json::from_slice(body).ok()?;
        for name in &self.remove {
            object.take(name);
        }
        for (old, new) in &self.rename {
            if let Some(value) = object.take(old) {
                object.set(new, value);
            }
        }
        for (name, value) in &self.replace {
            if object.get(name).is_some() {
                object.set(name, raw(value)?);
            }
        }
        for (name, value) in &self.add {
            if object.get(name).is_none() {
                object.set(name, raw(value)?);
            }
        }
        for (name, value) in &self.append {
            let appended = appended(object.get(name), value);
            object.set(name, raw(&appended)?);
        }
        serde_json::to_vec(&object).ok()
    }
}

/// Names and values of a verb.
fn values(fields: &Fields, verb: &str, bad: &mut Vec<String>) -> Vec<(String, Value)> {
    let items = fields.json.iter().enumerate();
    let typed = items.filter_map(|(at, item)| {
        let (name, text) = split(item);
        let value = match fields.json_types.get(at) {
            None | Some(JsonType::String) => Some(Value::from(text)),
            Some(JsonType::Boolean) => boolean(text).map(Value::Bool),
            Some(JsonType::Number) => number(text).map(Value::Number),
        };
        if value.is_none() {
            bad.push(format!("{verb}.json: '{item}'"));
        }
        Some((name.to_owned(), value?))
    });
    typed.collect()
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A decimal or, after `0x`, hexadecimal number; whole ones are written without a fraction.
fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    if let Some(digits) = hexadecimal {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    let value = text.parse::<f64>().ok()?;
    // Every whole number of this size is exact.
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => Some((value as i64).into()),
        false => Number::from_f64(value),
    }
}

/// A text and what is appended are a list; anything but a list gives way, as in Kong.
fn appended(old: Option<&RawValue>, value: &Value) -> Value {
    let old = old.and_then(|old| serde_json::from_str(old.get()).ok());
    match old {
        Some(Value::Array(mut list)) => {
            list.push(value.clone());
            Value::Array(list)
        }
        Some(Value::String(text)) => Value::Array(vec![text.into(), value.clone()]),
        _ => Value::Array(vec![value.clone()]),
    }
}

fn raw(value: &Value) -> Option<Box<RawValue>> {
    to_raw_value(value).ok()
}

/// An object whose values are text. Of fields with one name the last one counts.
#[derive(Debug, Default)]
struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(found, _)| found == name)
    }

    fn get(&self, name: &str) -> Option<&RawValue> {
        let (_, value) = self.0.get(self.position(name)?)?;
        Some(value)
    }

    fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        let at = self.position(name)?;
        Some(self.0.remove(at).1)
    }

    fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                let mut places = std::collections::HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    match places.get(&name) {
                        Some(at) => {
                            let at: usize = *at;
                            if let Some(field) = fields.get_mut(at) {
                                field.1 = value;
                            }
                        }
                        None => {
                            places.insert(name.clone(), fields.len());
                            fields.push((name, value));
                        }
                    }
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changes(config: Value) -> (JsonChanges, Vec<String>) {
        let config: Config = serde_json::from_value(config).expect("a configuration");
        JsonChanges::new(&config)
    }

    #[test]
    fn fields_are_changed() {
        let check = |config: Value, body: &str, expected: Option<&str>| {
            let (changes, bad) = changes(config.clone());
            assert!(bad.is_empty(), "{bad:?}");
            let changed = changes.apply(body.as_bytes());
            let changed = changed.map(|body| String::from_utf8(body).expect("text"));
            assert_eq!(changed.as_deref(), expected, "{config} {body}");
        };
        let remove = json!({"remove": {"json": ["a", "none"]}});
        check(
            remove.clone(),
            r#"{"a":1,"b":{"a": 2}}"#,
            Some(r#"{"b":{"a": 2}}"#),
        );
        check(remove.clone(), r#"{"a":1,"a":2}"#, Some("{}"));
        // What is no object stays what it is.
        for body in ["", "{bad", "[1,2]", "7", "\"a\"", "{} x", "null"] {
            check(remove.clone(), body, None);
        }
        let rename = json!({"rename": {"json": ["a:z", "none:x"]}});
        check(rename.clone(), r#"{"a":1,"b":2}"#, Some(r#"{"b":2,"z":1}"#));
        check(rename, r#"{"z":0,"a":1}"#, Some(r#"{"z":1}"#));
        let replace = json!({"replace": {"json": ["a:7", "n:x"], "json_types": ["number"]}});
        check(replace.clone(), r#"{"a":"q"}"#, Some(r#"{"a":7}"#));
        check(
            replace,
            r#"{"a":false,"n":null}"#,
            Some(r#"{"a":7,"n":"x"}"#),
        );
        let add = json!({"add": {
            "json": ["n:5", "t:true", "s:x:y", "u:1", "f:1.50", "h:0x10"],
            "json_types": ["number", "boolean", "string", "string", "number", "number"],
        }});
        let all = r#"{"n":5,"t":true,"s":"x:y","u":"1","f":1.5,"h":16}"#;
        check(add.clone(), "{}", Some(all));
        check(
            add,
            r#"{"n":false,"t":1,"s":1,"u":1,"f":1,"h":1}"#,
            Some(r#"{"n":false,"t":1,"s":1,"u":1,"f":1,"h":1}"#),
        );
        let append = json!({"append": {"json": ["a:v"]}});
        check(append.clone(), r#"{"a":"1"}"#, Some(r#"{"a":["1","v"]}"#));
        check(
            append.clone(),
            r#"{"a":[1,{}]}"#,
            Some(r#"{"a":[1,{},"v"]}"#),
        );
        check(append.clone(), r#"{"a":1}"#, Some(r#"{"a":["v"]}"#));
        check(append, "{}", Some(r#"{"a":["v"]}"#));
        // In the order of the verbs.
        let all = json!({
            "remove": {"json": ["a"]}, "rename": {"json": ["b:a"]},
            "add": {"json": ["a:no", "c:1"]}, "append": {"json": ["c:2"]},
        });
        check(
            all,
            r#"{"a":0,"b":"b"}"#,
            Some(r#"{"a":"b","c":["1","2"]}"#),
        );
    }

    #[test]
    fn what_is_not_changed_keeps_its_text() {
        let (changes, _) = changes(json!({"add": {"json": ["x:1"]}}));
        let body = r#"{"big":123456789012345678901234567890,"f":1.0e2,"k\u00e4":"\u00e4\/"}"#;
        let changed = changes.apply(body.as_bytes()).expect("an object");
        assert_eq!(
            String::from_utf8(changed).expect("text"),
            r#"{"big":123456789012345678901234567890,"f":1.0e2,"kä":"\u00e4\/","x":"1"}"#
        );
    }

    #[test]
    fn a_value_that_is_not_of_its_type_is_told() {
        let (changes, bad) = changes(json!({
            "add": {"json": ["n:x", "t:yes"], "json_types": ["number", "boolean"]},
        }));
        assert!(changes.is_empty());
        assert_eq!(bad, ["add.json: 'n:x'", "add.json: 't:yes'"]);
    }
}
