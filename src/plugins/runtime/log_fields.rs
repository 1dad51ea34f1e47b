//! What plugins add to the log record of a request.

use super::Shared;
use serde_json::{Map, Value};

/// Whether the field is written, depending on whether the record has it already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFieldMode {
    /// Always.
    #[default]
    Set,
    /// Only if the record lacks the field.
    Add,
    /// Only if the record has the field.
    Replace,
}

/// Fields for the log record, in the order in which plugins gave them; in [`Shared`](super::Shared), for all log
/// plugins of the request.
#[derive(Clone, Debug, Default)]
pub struct LogFields(Vec<(String, Option<Value>, LogFieldMode)>);

impl LogFields {
    /// Adds a field to the record of the request that `shared` is of; see [`LogFields::put`].
    pub fn add(
        shared: &mut Shared,
        path: impl Into<String>,
        value: Option<Value>,
        mode: LogFieldMode,
    ) {
        match shared.get_mut::<LogFields>() {
            Some(fields) => fields.put(path, value, mode),
            None => {
                let mut fields = LogFields::default();
                fields.put(path, value, mode);
                shared.put(fields);
            }
        }
    }

    /// `path` has the names of the fields from the outside to the inside, with dots between them. `None` takes the
    /// field away.
    pub fn put(&mut self, path: impl Into<String>, value: Option<Value>, mode: LogFieldMode) {
        self.0.push((path.into(), value, mode));
    }

    /// Makes the changes in a record.
    pub fn apply(&self, record: &mut Map<String, Value>) {
        for (path, value, mode) in &self.0 {
            put_field(record, path, value.clone(), *mode);
        }
    }
}

/// Makes one change in a record; see [`LogFields::put`].
pub fn put_field(
    record: &mut Map<String, Value>,
    path: &str,
    value: Option<Value>,
    mode: LogFieldMode,
) {
    let (outer, rest) = match path.split_once('.') {
        Some((outer, rest)) => (outer, Some(rest)),
        None => (path, None),
    };
    if let Some(rest) = rest {
        let makes = value.is_some() && mode != LogFieldMode::Replace;
        match record.get_mut(outer) {
            Some(Value::Object(inner)) => put_field(inner, rest, value, mode),
            // A value that is no object has no inner fields; only `set` replaces it by an object.
            Some(_) if mode != LogFieldMode::Set => {}
            _ if makes => {
                let mut inner = Map::new();
                put_field(&mut inner, rest, value, mode);
                record.insert(outer.to_owned(), inner.into());
            }
            _ => {}
        }
        return;
    }
    let wanted = match mode {
        LogFieldMode::Set => true,
        LogFieldMode::Add => !record.contains_key(outer),
        LogFieldMode::Replace => record.contains_key(outer),
    };
    match value {
        _ if !wanted => {}
        Some(value) => {
            record.insert(outer.to_owned(), value);
        }
        None => {
            record.remove(outer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LogFieldMode::{Add, Replace, Set};
    use serde_json::json;

    #[test]
    fn fields_are_set_added_and_replaced_by_path() {
        let check = |path: &str, value: Option<Value>, mode, expected: Value| {
            let mut fields = LogFields::default();
            fields.put(path, value, mode);
            let mut record = json!({"a": {"b": 1}, "c": 2});
            fields.apply(record.as_object_mut().expect("an object"));
            assert_eq!(record, expected, "{path} {mode:?}");
        };
        let nine = || Some(json!(9));
        check("c", nine(), Set, json!({"a": {"b": 1}, "c": 9}));
        check("a.b", nine(), Set, json!({"a": {"b": 9}, "c": 2}));
        check("a.x", nine(), Set, json!({"a": {"b": 1, "x": 9}, "c": 2}));
        check("c.x", nine(), Set, json!({"a": {"b": 1}, "c": {"x": 9}}));
        check(
            "d.e.f",
            nine(),
            Set,
            json!({"a": {"b": 1}, "c": 2, "d": {"e": {"f": 9}}}),
        );
        check(
            "my\\.x",
            nine(),
            Set,
            json!({"a": {"b": 1}, "c": 2, "my\\": {"x": 9}}),
        );
        check("c", nine(), Add, json!({"a": {"b": 1}, "c": 2}));
        check("c.x", nine(), Add, json!({"a": {"b": 1}, "c": 2}));
        check("d", nine(), Add, json!({"a": {"b": 1}, "c": 2, "d": 9}));
        check("d", nine(), Replace, json!({"a": {"b": 1}, "c": 2}));
        check("d.e", nine(), Replace, json!({"a": {"b": 1}, "c": 2}));
        check("a.b", nine(), Replace, json!({"a": {"b": 9}, "c": 2}));
        check("c", None, Set, json!({"a": {"b": 1}}));
        check("a.b", None, Set, json!({"a": {}, "c": 2}));
        check("d.e", None, Set, json!({"a": {"b": 1}, "c": 2}));
    }
}
