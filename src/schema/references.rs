//! Where an entity refers to vaults.

use super::definition::{Field, FieldKind};
use super::entity::Entity;
use super::env::{Role, RouterFlavor};
use super::validate::is_reference;
use serde_json::{Map, Value};

impl Entity {
    /// Puts what `replace` says in the place of every reference that is in a field which may have one.
    /// It is given the path of the field, such as `config.redis.password`, and the reference.
    pub fn replace_references(
        &self,
        values: &mut Map<String, Value>,
        replace: &mut impl FnMut(&str, &str) -> String,
    ) {
        let shape = self.shape(RouterFlavor::default());
        let name = self
            .subschema_key
            .as_ref()
            .and_then(|key| values.get(&**key));
        let name = name.and_then(Value::as_str).unwrap_or_default();
        // Both variants of a plugin have the same fields for secrets.
        let refined = shape.subschemas.get(name);
        let refined = refined.map(|refined| refined.record(Role::ControlPlane));
        let fields = shape.base.fields.iter().map(|own| {
            let refined = refined.and_then(|record| record.get(&own.name));
            refined.unwrap_or(own)
        });
        in_fields(fields, values, "", replace);
    }
}

fn in_fields<'f>(
    fields: impl IntoIterator<Item = &'f Field>,
    values: &mut Map<String, Value>,
    path: &str,
    replace: &mut impl FnMut(&str, &str) -> String,
) {
    for field in fields {
        if let Some(value) = values.get_mut(&*field.name) {
            let path = match path {
                "" => field.name.to_string(),
                parent => format!("{parent}.{}", field.name),
            };
            in_value(field, value, &path, replace);
        }
    }
}

fn in_value(
    field: &Field,
    value: &mut Value,
    path: &str,
    replace: &mut impl FnMut(&str, &str) -> String,
) {
    match (&field.kind, value) {
        (FieldKind::String, value) if field.referenceable && is_reference(value) => {
            let text = value.as_str().unwrap_or_default();
            *value = Value::String(replace(path, text));
        }
        (FieldKind::Array(element) | FieldKind::Set(element), Value::Array(items)) => {
            for (item, number) in items.iter_mut().zip(1..) {
                in_value(element, item, &format!("{path}[{number}]"), replace);
            }
        }
        (FieldKind::Map { values, .. }, Value::Object(entries)) => {
            for (name, entry) in entries {
                in_value(values, entry, &format!("{path}.{name}"), replace);
            }
        }
        (FieldKind::Record(record), Value::Object(values)) => {
            in_fields(&record.fields, values, path, replace);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::schema;
    use serde_json::json;

    #[test]
    fn trial_11_references_are_found_where_the_schema_allows_them() {
        let check = |entity: &str, mut given: serde_json::Value, expected: serde_json::Value| {
            let values = given.as_object_mut().expect("an object");
            let schema = schema::entity(entity).expect("a schema");
            schema.replace_references(values, &mut |path, text| format!("{path} {text}"));
            assert_eq!(given, expected);
        };
        let r = "{vault://env/x}";
        check(
            "certificates",
            json!({"cert": r, "key": "plain", "key_alt": r, "tags": [r]}),
            json!({"cert": format!("cert {r}"), "key": "plain", "key_alt": format!("key_alt {r}"), "tags": [r]}),
        );
        check(
            "plugins",
            json!({"name": "rate-limiting", "instance_name": r, "config": {
                "redis": {"password": r, "host": r, "username": null}, "header_name": r,
            }}),
            json!({"name": "rate-limiting", "instance_name": r, "config": {
                "redis": {"password": format!("config.redis.password {r}"), "host": r, "username": null},
                "header_name": r,
            }}),
        );
        check(
            "plugins",
            json!({"name": "http-log", "config": {"headers": {"a": r, "b": "c"}}}),
            json!({"name": "http-log", "config": {"headers": {"a": format!("config.headers.a {r}"), "b": "c"}}}),
        );
        check(
            "plugins",
            json!({"name": "unknown", "config": {"secret": r}}),
            json!({"name": "unknown", "config": {"secret": r}}),
        );
    }
}
