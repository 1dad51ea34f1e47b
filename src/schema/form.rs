//! Forms: names like `config.redis.host` or `hosts[]` become nested values, and texts
//! become what the schema says they are.

use super::definition::{Field, FieldKind, Record};
use super::entity::Entity;
use super::env::Env;
use super::load;
use serde_json::{Map, Number, Value};

/// The most arguments of a form or a query.
pub const MAX_ARGUMENTS: usize = 1000;

/// The most steps of a name; what follows them is taken as one.
const MAX_DEPTH: usize = 32;

/// More than [`MAX_ARGUMENTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Too many arguments")]
pub struct TooManyArguments;

/// Splits `application/x-www-form-urlencoded` text; an argument without `=` is `true`.
///
/// # Errors
/// When there are too many arguments.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, TooManyArguments> {
    let mut pairs = Vec::new();
    for argument in text.split('&').filter(|argument| !argument.is_empty()) {
        if pairs.len() == MAX_ARGUMENTS {
            return Err(TooManyArguments);
        }
        let (name, value) = argument.split_once('=').unwrap_or((argument, "true"));
        pairs.push((unescape(name), unescape(value)));
    }
    Ok(pairs)
}

fn unescape(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8_lossy()
        .into_owned()
}

/// The input that a form stands for. The configuration of a plugin or vault is understood by
/// the form's `name`, or by `stored_name` when a `PATCH` leaves it out.
pub fn decode(
    entity: &Entity,
    pairs: &[(String, String)],
    stored_name: Option<&str>,
    env: &Env<'_>,
) -> Map<String, Value> {
    let mut root = Node::Branch(Vec::new());
    for (name, value) in pairs {
        root.put(&keys(name), value);
    }
    let mut input = match root.into_value() {
        Value::Object(input) => input,
        _ => Map::new(),
    };
    let shape = entity.shape(env.router_flavor);
    let mut chooser = input.clone();
    if let (Some(key), Some(name)) = (&entity.subschema_key, stored_name) {
        chooser.entry(&**key).or_insert_with(|| Value::from(name));
    }
    let subschema = entity.subschema(shape, &chooser, env);
    infer_record(&shape.base, subschema, &mut input, env);
    if entity.ttl
        && let Some(ttl) = input.get_mut("ttl")
    {
        *ttl = infer_number(std::mem::take(ttl));
    }
    input
}

/// One step of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Name(String),
    /// Counted from one.
    Index(usize),
    Append,
}

/// `a.b[c][]` is `a`, `b`, `c`, append. Dots inside brackets do not split.
fn keys(name: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = name;
    loop {
        if keys.len() >= MAX_DEPTH {
            keys.push(Key::Name(rest.to_owned()));
            return keys;
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        if end > 0 || keys.is_empty() {
            keys.push(Key::Name(rest[..end].to_owned()));
        }
        rest = &rest[end..];
        while let Some(inner) = rest.strip_prefix('[') {
            let closed = inner.split_once(']').filter(|_| keys.len() < MAX_DEPTH);
            let Some((key, after)) = closed else {
                // Not closed, or too deep: the bracket is part of the name.
                keys.push(Key::Name(rest.to_owned()));
                return keys;
            };
            keys.push(match (key, key.parse::<usize>()) {
                ("", _) => Key::Append,
                // A place far beyond what a request can fill is a name.
                (_, Ok(index)) if (1..=MAX_ARGUMENTS).contains(&index) => Key::Index(index),
                _ => Key::Name(key.to_owned()),
            });
            rest = after;
        }
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None if rest.is_empty() => return keys,
            None => {}
        }
    }
}

/// A value under construction.
enum Node {
    Leaf(String),
    Branch(Vec<(Key, Node)>),
}

impl Node {
    fn put(&mut self, keys: &[Key], value: &str) {
        let Some((key, rest)) = keys.split_first() else {
            match self {
                // The same name again: a list.
                Node::Leaf(first) => {
                    let first = Node::Leaf(std::mem::take(first));
                    let second = Node::Leaf(value.to_owned());
                    *self = Node::Branch(vec![(Key::Append, first), (Key::Append, second)]);
                }
                Node::Branch(entries) if entries.is_empty() => {
                    *self = Node::Leaf(value.to_owned());
                }
                Node::Branch(entries) => {
                    entries.push((Key::Append, Node::Leaf(value.to_owned())));
                }
            }
            return;
        };
        if let Node::Leaf(first) = self {
            let first = Node::Leaf(std::mem::take(first));
            *self = Node::Branch(vec![(Key::Append, first)]);
        }
        let Node::Branch(entries) = self else { return };
        let at = match key {
            Key::Append => None,
            key => entries.iter().position(|(known, _)| known == key),
        };
        let at = at.unwrap_or_else(|| {
            entries.push((key.clone(), Node::Branch(Vec::new())));
            entries.len() - 1
        });
        entries[at].1.put(rest, value);
    }

    /// A list when every key is a place in it, else an object.
    fn into_value(self) -> Value {
        let entries = match self {
            Node::Leaf(text) => return Value::String(text),
            Node::Branch(entries) => entries,
        };
        let is_list =
            !entries.is_empty() && entries.iter().all(|(key, _)| !matches!(key, Key::Name(_)));
        if !is_list {
            let mut next = 1;
            let name = |(key, node): (Key, Node)| {
                let key = match key {
                    Key::Name(name) => name,
                    Key::Index(index) => index.to_string(),
                    Key::Append => {
                        next += 1;
                        (next - 1).to_string()
                    }
                };
                (key, node.into_value())
            };
            return Value::Object(entries.into_iter().map(name).collect());
        }
        let mut items: Vec<Value> = Vec::new();
        for (key, node) in entries {
            match key {
                Key::Index(index) => {
                    if items.len() < index {
                        items.resize(index, Value::Null);
                    }
                    items[index - 1] = node.into_value();
                }
                _ => items.push(node.into_value()),
            }
        }
        Value::Array(items)
    }
}

fn infer_record(
    base: &Record,
    subschema: Option<&Record>,
    input: &mut Map<String, Value>,
    env: &Env<'_>,
) {
    for (name, value) in input.iter_mut() {
        let refined = subschema.and_then(|sub| sub.get(name));
        let field = base
            .shorthand(name)
            .map(|alias| &alias.field)
            .or(refined)
            .or_else(|| base.get(name));
        if let Some(field) = field {
            *value = infer(field, std::mem::take(value), env);
        }
    }
}

fn infer(field: &Field, value: Value, env: &Env<'_>) -> Value {
    if value == "" {
        return Value::Null;
    }
    match (&field.kind, value) {
        (FieldKind::Number | FieldKind::Integer, value) => infer_number(value),
        (FieldKind::Boolean, Value::String(text)) => match text.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::String(text),
        },
        (FieldKind::Array(element) | FieldKind::Set(element), value) => {
            let items = match value {
                Value::Array(items) => items,
                object @ Value::Object(_) => return object,
                scalar => vec![scalar],
            };
            Value::Array(
                items
                    .into_iter()
                    .map(|item| infer(element, item, env))
                    .collect(),
            )
        }
        (FieldKind::Map { values, .. }, value) => {
            let entries = match value {
                Value::Object(entries) => entries,
                // Keys that look like places in a list.
                Value::Array(items) => items
                    .into_iter()
                    .enumerate()
                    .map(|(at, item)| ((at + 1).to_string(), item))
                    .collect(),
                scalar => return scalar,
            };
            let inferred = entries
                .into_iter()
                .map(|(key, item)| (key, infer(values, item, env)));
            Value::Object(inferred.collect())
        }
        (FieldKind::Record(inner), Value::Object(mut map)) => {
            infer_record(inner, None, &mut map, env);
            Value::Object(map)
        }
        (FieldKind::Foreign(parent), Value::Object(mut map)) => {
            if let Some(parent) = load::entity(&parent.reference) {
                infer_record(parent.base(env.router_flavor), None, &mut map, env);
            }
            Value::Object(map)
        }
        (_, value) => value,
    }
}

/// A number when the text is one, else the text, whose type is then the violation.
fn infer_number(value: Value) -> Value {
    let Some(text) = value.as_str().map(str::trim) else {
        return value;
    };
    if let Ok(integer) = text.parse::<i64>() {
        return Value::from(integer);
    }
    let digits = text.trim_start_matches(['-', '+']);
    if let Some(hex) = digits.strip_prefix("0x").or(digits.strip_prefix("0X"))
        && let Ok(number) = i64::from_str_radix(hex, 16)
    {
        return Value::from(if text.starts_with('-') {
            -number
        } else {
            number
        });
    }
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let float = text.parse::<f64>().ok().filter(|_| numeric);
    match float.and_then(Number::from_f64) {
        Some(number) => Value::Number(super::number::normalize(number)),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::super::entity;
    use super::super::vectors::env;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_the_recordings_leave_open() {
        let check = |name: &str, form: &str, stored: Option<&str>, expected: Value| {
            let entity = entity(name).expect("an entity");
            let pairs = pairs(form).expect("short");
            assert_eq!(
                Value::Object(decode(entity, &pairs, stored, &env())),
                expected,
                "{form}"
            );
        };
        check(
            "plugins",
            "config.minute=5",
            Some("rate-limiting"),
            json!({"config": {"minute": 5}}),
        );
        check(
            "plugins",
            "config.minute=5",
            None,
            json!({"config": {"minute": "5"}}),
        );
        check(
            "services",
            "port=0x50&retries=1e1",
            None,
            json!({"port": 80, "retries": 10}),
        );
        check(
            "services",
            "port=inf&retries=nan",
            None,
            json!({"port": "inf", "retries": "nan"}),
        );
        check(
            "services",
            "tags[2]=b&tags[1]=a",
            None,
            json!({"tags": ["a", "b"]}),
        );
        check("services", "tags[a=1", None, json!({"tags": {"[a": "1"}}));
        check(
            "upstreams",
            "healthchecks.active.headers[x-a][]=1",
            None,
            json!({"healthchecks": {"active": {"headers": {"x-a": ["1"]}}}}),
        );
        assert_eq!(super::pairs(&"a=1&".repeat(1001)), Err(TooManyArguments));
        for step in ["[a]", ".a", "[]"] {
            let deep = format!("a{}=1", step.repeat(100_000));
            let pairs = super::pairs(&deep).expect("short");
            let services = entity("services").expect("an entity");
            assert_eq!(decode(services, &pairs, None, &env()).len(), 1);
        }
    }

    proptest! {
        #[test]
        fn any_form_decodes(text in "[a-c.\\[\\]=&1-3%+]{0,60}") {
            for name in ["services", "routes", "plugins", "upstreams"] {
                let entity = entity(name).expect("an entity");
                let pairs = pairs(&text).expect("short");
                decode(entity, &pairs, Some("cors"), &env());
            }
        }
    }
}
