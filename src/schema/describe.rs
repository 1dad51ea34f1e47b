//! The answers of `GET /schemas/*`: the definitions as clients read them.

use super::env::{Role, RouterFlavor};
use super::load;
use serde_json::{Map, Value, json};

/// The fields and checks of an entity, by its internal name; `None` when there is none.
pub fn entity(name: &str, flavor: RouterFlavor) -> Option<Value> {
    let raw = load::raw();
    let definition = match (name, flavor) {
        ("routes", RouterFlavor::Expressions) => raw.get("routes_expressions")?,
        _ => raw.get("entities")?.get(name)?,
    };
    let writer = Writer {
        owner: name,
        lengths: Lengths::of(name),
    };
    Some(writer.schema(definition))
}

/// What a plugin adds to the fields of `plugins`: its own `config`, and what it narrows.
pub fn plugin(name: &str, role: Role) -> Option<Value> {
    let definition = load::raw_plugin(name, role)?;
    let writer = Writer {
        owner: name,
        lengths: Lengths::All,
    };
    Some(writer.schema(&definition))
}

/// The fields and checks of a plugin's `config` alone: `GET /plugins/schema/{name}`.
pub fn plugin_config(name: &str, role: Role) -> Option<Value> {
    let described = plugin(name, role)?;
    let config = described
        .get("fields")?
        .as_array()?
        .iter()
        .find_map(|field| field.get("config"))?;
    Some(json!({
        "fields": config.get("fields")?,
        "entity_checks": config.get("entity_checks").cloned().unwrap_or(json!([])),
    }))
}

/// What a vault adds to the fields of `vaults`.
pub fn vault(name: &str) -> Option<Value> {
    let definition = load::raw().get("vaults")?.get(name)?;
    let writer = Writer {
        owner: name,
        lengths: Lengths::All,
    };
    Some(writer.schema(definition))
}

/// Which texts say `len_min: 1`, and which elements `required`. Both always hold; Kong
/// notes them on a field of an entity (not of a record in it) when it first validates a
/// value of it, so that entities which are not written through the API lack them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    All,
    /// Written by the cluster, with empty collections.
    OwnFields,
    /// Only ever asked for a tag.
    Tag,
    None,
}

impl Lengths {
    fn of(entity: &str) -> Lengths {
        match entity {
            "clustering_data_planes" => Lengths::OwnFields,
            "tags" => Lengths::Tag,
            "parameters" | "filter_chains" => Lengths::None,
            _ => Lengths::All,
        }
    }
}

/// Where a definition stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A field of the entity, or of what refines it.
    Field,
    /// An element, key or value of such a field.
    Element,
    /// Inside a record.
    Inner,
}

struct Writer<'a> {
    owner: &'a str,
    lengths: Lengths,
}

impl Writer<'_> {
    fn schema(&self, definition: &Value) -> Value {
        json!({
            "fields": self.fields(definition.get("fields"), "", Place::Field),
            "entity_checks": checks(definition.get("entity_checks")),
        })
    }

    fn fields(&self, fields: Option<&Value>, path: &str, place: Place) -> Value {
        let describe = |entry: &Value| -> Value {
            let entry = entry.as_object().into_iter().flatten();
            let described = entry.map(|(name, definition)| {
                let path = match path {
                    "" => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                (name.clone(), self.field(name, definition, &path, place))
            });
            Value::Object(described.collect())
        };
        let entries = fields.and_then(Value::as_array).into_iter().flatten();
        Value::Array(entries.map(describe).collect())
    }

    fn field(&self, name: &str, definition: &Value, path: &str, place: Place) -> Value {
        let Some(definition) = definition.as_object() else {
            return definition.clone();
        };
        let kind = definition
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let below = match place {
            Place::Field => Place::Element,
            other => other,
        };
        let mut out = Map::new();
        for (attribute, value) in definition {
            let described = match attribute.as_str() {
                "custom_validator" => continue,
                "default" => match (kind, value) {
                    // A secret made up for each entity is not told.
                    ("string", Value::Object(_)) => continue,
                    ("array" | "set", Value::Object(empty)) if empty.is_empty() => json!([]),
                    _ => value.clone(),
                },
                "one_of" if value.is_object() => json!([]),
                "fields" => self.fields(Some(value), path, Place::Inner),
                "shorthand_fields" => self.fields(Some(value), path, Place::Inner),
                "elements" | "keys" | "values" => self.field("", value, path, below),
                "entity_checks" => checks(Some(value)),
                "deprecation" => self.deprecation(value, path),
                "json_schema" => json_schema(value),
                _ => value.clone(),
            };
            out.insert(attribute.clone(), described);
        }
        // A record that does not say otherwise is always there; one that a subschema replaces
        // leaves that to it.
        if kind == "record" && !name.is_empty() && !out.contains_key("abstract") {
            out.entry("required").or_insert(json!(true));
        }
        let noted = match (self.lengths, place) {
            (Lengths::All, Place::Field | Place::Element) => true,
            (Lengths::OwnFields, Place::Field) => true,
            (Lengths::Tag, Place::Field) => name == "tag",
            _ => false,
        };
        if noted && kind == "string" {
            out.entry("len_min").or_insert(json!(1));
        }
        let element_noted = matches!(self.lengths, Lengths::All | Lengths::OwnFields);
        if place == Place::Element && element_noted {
            out.entry("required").or_insert(json!(true));
        }
        Value::Object(out)
    }

    fn deprecation(&self, deprecation: &Value, path: &str) -> Value {
        let mut out = deprecation.as_object().cloned().unwrap_or_default();
        let texts = |value: &Value| -> Vec<String> {
            let list = value.as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let replacements = out.get("replaced_with").map(texts).unwrap_or_default();
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let mut message = format!("{}: {path} is deprecated", self.owner);
        if let Some(first) = replacements.first() {
            message = format!("{message}, please use {parent}.{first} instead");
        }
        out.insert("message".to_owned(), Value::String(message));
        if !replacements.is_empty() {
            let paths = replacements
                .iter()
                .map(|path| json!({ "path": path.split('.').collect::<Vec<_>>() }));
            out.insert("replaced_with".to_owned(), paths.collect());
        }
        Value::Object(out)
    }
}

/// The checks without what is code.
fn checks(checks: Option<&Value>) -> Value {
    fn without_code(value: &Value) -> Value {
        match value {
            Value::Object(map) => Value::Object(
                map.iter()
                    .filter(|(name, value)| *value != "<fn>" && *name != "custom_validator")
                    .map(|(name, value)| (name.clone(), without_code(value)))
                    .collect(),
            ),
            Value::Array(items) => items.iter().map(without_code).collect(),
            other => other.clone(),
        }
    }
    checks.map_or(json!([]), without_code)
}

fn json_schema(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(draft) = schema.pointer_mut("/default/$schema") {
        *draft = json!("http://json-schema.org/draft-04/schema#");
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::super::{PLUGINS, entities};
    use super::*;

    fn field<'v>(schema: &'v Value, path: &[&str]) -> &'v Value {
        path.iter().fold(schema, |at, name| {
            at["fields"]
                .as_array()
                .expect("fields")
                .iter()
                .find_map(|field| field.get(name))
                .expect("a field")
        })
    }

    #[test]
    fn nothing_internal_is_shown() {
        let mut shown: Vec<Value> = entities()
            .filter_map(|e| entity(&e.name, RouterFlavor::Expressions))
            .collect();
        shown.extend(
            PLUGINS
                .iter()
                .filter_map(|p| plugin(p.name, Role::ControlPlane)),
        );
        shown.extend(vault("env"));
        assert_eq!(shown.len(), entities().count() + PLUGINS.len() + 1);
        for schema in shown {
            let text = schema.to_string();
            assert!(
                !text.contains("custom_validator") && !text.contains("<fn>"),
                "{text}"
            );
        }
        assert_eq!(entity("nope", RouterFlavor::default()), None);
        assert_eq!(plugin("nope", Role::Traditional), None);
        assert_eq!(vault("nope"), None);
    }

    #[test]
    fn definitions_as_clients_read_them() {
        let services = entity("services", RouterFlavor::default()).expect("services");
        assert_eq!(
            *field(&services, &["retries"]),
            json!({"type": "integer", "default": 5, "between": [0, 32767]})
        );
        assert_eq!(
            *field(&services, &["client_certificate"]),
            json!({"type": "foreign", "reference": "certificates"})
        );
        assert_eq!(
            *field(&services, &["ca_certificates"]),
            json!({"type": "array", "elements": {"type": "string", "uuid": true, "len_min": 1, "required": true}})
        );
        let limits = plugin("rate-limiting", Role::ControlPlane).expect("a plugin");
        let config = field(&limits, &["config"]);
        assert_eq!(
            config["shorthand_fields"][0]["redis_host"]["deprecation"]["replaced_with"],
            json!([{"path": ["redis", "host"]}])
        );
        let policies = |role| {
            let schema = plugin("rate-limiting", role).expect("a plugin");
            field(&schema, &["config", "policy"])["one_of"].clone()
        };
        assert_eq!(policies(Role::ControlPlane), json!(["local", "redis"]));
        assert_eq!(
            policies(Role::Traditional),
            json!(["local", "cluster", "redis"])
        );
        let config = plugin_config("bot-detection", Role::ControlPlane).expect("a config");
        assert_eq!(field(&config, &["allow"])["default"], json!([]));
    }
}
