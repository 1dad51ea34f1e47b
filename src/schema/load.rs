//! From the embedded `data/schemas.json` to typed schemas, once per process.

use super::checks::Check;
use super::definition::{Field, FieldKind, Foreign, OnDelete, Path, Record, Rule};
use super::entity::{Entity, Shape, Subschema};
use super::lua_pattern::Pattern;
use super::shorthand::Shorthand;
use super::validators::Validator;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

type Result<T> = std::result::Result<T, String>;

/// The parsed file, for `describe`, beside what was made of it.
pub(super) struct Schemas {
    pub raw: Map<String, Value>,
    entities: Vec<Entity>,
}

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
    load(include_str!("data/schemas.json"))
        .unwrap_or_else(|err| panic!("the embedded schemas are damaged: {err}"))
});

/// The entity of that (internal) name, such as `keyauth_credentials`.
pub fn entity(name: &str) -> Option<&'static Entity> {
    SCHEMAS.entities.iter().find(|entity| &*entity.name == name)
}

/// Every entity.
pub fn entities() -> impl Iterator<Item = &'static Entity> {
    SCHEMAS.entities.iter()
}

pub(super) fn raw() -> &'static Map<String, Value> {
    &SCHEMAS.raw
}

fn load(text: &str) -> Result<Schemas> {
    let Value::Object(raw) = serde_json::from_str(text).map_err(|err| err.to_string())? else {
        return Err("not an object".to_owned());
    };
    let entities = object(&raw, "entities")?
        .iter()
        .map(|(name, entity)| {
            load_entity(&raw, name, entity).map_err(|err| format!("{name}: {err}"))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Schemas { raw, entities })
}

fn load_entity(raw: &Map<String, Value>, name: &str, definition: &Value) -> Result<Entity> {
    let definition = as_object(definition)?;
    let shapes = match name {
        "routes" => route_shapes(raw, definition)?,
        "plugins" => vec![plugin_shape(raw, definition)?],
        "vaults" => {
            let vaults = object(raw, "vaults")?;
            let mut subschemas = HashMap::default();
            for (vault, schema) in vaults {
                let record = Loader::new("vaults", vault).record(as_object(schema)?, None)?;
                subschemas.insert(vault.as_str().into(), Subschema::new(record));
            }
            vec![Shape {
                base: Loader::new("entities", name).record(definition, None)?,
                subschemas,
            }]
        }
        _ => vec![Shape {
            base: Loader::new("entities", name).record(definition, None)?,
            subschemas: HashMap::default(),
        }],
    };
    let texts = |key: &str| strings(definition.get(key));
    let text = |key: &str| definition.get(key).and_then(Value::as_str);
    let admin_name = text("admin_api_name").unwrap_or(name);
    Ok(Entity {
        name: name.into(),
        admin_path: format!("/{admin_name}").into(),
        nested_name: text("admin_api_nested_name").unwrap_or(admin_name).into(),
        endpoint_key: text("endpoint_key").map(Into::into),
        primary_key: texts("primary_key"),
        cache_key: texts("cache_key"),
        ttl: flag(definition, "ttl"),
        plugin: text("plugin").map(Into::into),
        has_admin_api: definition.get("generate_admin_api") != Some(&Value::Bool(false)),
        exported: definition.get("db_export") != Some(&Value::Bool(false)),
        subschema_key: text("subschema_key").map(Into::into),
        subschema_error: text("subschema_error").map(Into::into),
        transformations: list(definition.get("transformations"))
            .map(|t| super::transform::Transformation {
                input: strings(t.get("input"))
                    .iter()
                    .map(|p| Path::new(p))
                    .collect(),
                needs: strings(t.get("needs"))
                    .iter()
                    .map(|p| Path::new(p))
                    .collect(),
            })
            .collect(),
        shapes,
    })
}

/// One shape per router flavour: traditional, traditional compatible, expressions.
fn route_shapes(raw: &Map<String, Value>, compatible: &Map<String, Value>) -> Result<Vec<Shape>> {
    let expressions = object(raw, "routes_expressions")?;
    let mut traditional = compatible.clone();
    set_attribute(
        &mut traditional,
        &["snis", "elements"],
        "custom_validator",
        Value::from("@sni"),
    )?;
    [
        (&traditional, "routes_subschemas"),
        (compatible, "routes_subschemas"),
        (expressions, "routes_subschemas_expressions"),
    ]
    .into_iter()
    .map(|(base, subschemas)| {
        let loader = Loader::new("entities", "routes");
        let subschemas = object(raw, subschemas)?
            .iter()
            .map(|(protocol, schema)| {
                let record = loader.record(as_object(schema)?, Some(base))?;
                Ok((protocol.as_str().into(), Subschema::new(record)))
            })
            .collect::<Result<_>>()?;
        Ok(Shape {
            base: loader.record(base, None)?,
            subschemas,
        })
    })
    .collect()
}

fn plugin_shape(raw: &Map<String, Value>, definition: &Map<String, Value>) -> Result<Shape> {
    let differences = object(raw, "role_differences")?;
    let mut subschemas = HashMap::default();
    for (plugin, schema) in object(raw, "plugins")? {
        let with_plugin = |err| format!("{plugin}: {err}");
        let schema = as_object(schema)?;
        let loader = Loader::new("plugins", plugin);
        let mut subschema = Subschema::new(
            loader
                .record(schema, Some(definition))
                .map_err(with_plugin)?,
        );
        let mut traditional = schema.clone();
        let mut differs = false;
        for (path, difference) in differences {
            let parts: Vec<&str> = path.split('.').collect();
            let [owner, inner @ .., attribute] = parts.as_slice() else {
                return Err(format!("role difference {path}"));
            };
            if owner != plugin {
                continue;
            }
            let value = difference.get("traditional").cloned().unwrap_or_default();
            set_attribute(&mut traditional, inner, attribute, value)?;
            differs = true;
        }
        if differs {
            let record = loader
                .record(&traditional, Some(definition))
                .map_err(with_plugin)?;
            subschema.traditional = Some(record);
        }
        subschemas.insert(plugin.as_str().into(), subschema);
    }
    Ok(Shape {
        base: Loader::new("entities", "plugins").record(definition, None)?,
        subschemas,
    })
}

/// Builds records and fields of one entity or plugin.
struct Loader<'a> {
    kind: &'a str,
    owner: &'a str,
}

impl<'a> Loader<'a> {
    fn new(kind: &'a str, owner: &'a str) -> Loader<'a> {
        Loader { kind, owner }
    }

    /// A record; `base` has the fields its checks may name beside its own.
    fn record(
        &self,
        raw: &Map<String, Value>,
        base: Option<&Map<String, Value>>,
    ) -> Result<Record> {
        self.record_at(raw, base, "")
    }

    fn record_at(
        &self,
        raw: &Map<String, Value>,
        base: Option<&Map<String, Value>>,
        path: &str,
    ) -> Result<Record> {
        let mut record = Record::default();
        for (name, definition) in named(raw.get("fields")) {
            let mut field = self.field(name, definition, &join(path, name))?;
            let explicit = definition.get("required").is_some();
            if matches!(field.kind, FieldKind::Record(_)) && !explicit {
                field.required = true;
            }
            record.index.insert(name.into(), record.fields.len());
            record.fields.push(field);
        }
        for (name, definition) in named(raw.get("shorthand_fields")) {
            let field = self.field(name, definition, &join(path, name))?;
            let new_paths = strings(
                definition
                    .get("deprecation")
                    .and_then(|d| d.get("replaced_with")),
            );
            let shorthand = Shorthand::new(self.kind, self.owner, field, &new_paths)
                .ok_or_else(|| format!("nobody knows the alias {name}"))?;
            record.shorthands.push(shorthand);
        }
        for check in list(raw.get("entity_checks")) {
            let scope = Scope {
                loader: self,
                record: raw,
                base,
            };
            record.checks.push(Check::load(check, &scope, path)?);
        }
        Ok(record)
    }

    fn field(&self, name: &str, raw: &Value, path: &str) -> Result<Field> {
        let raw = as_object(raw)?;
        let required_child = |key: &str, suffix: &str| -> Result<Box<Field>> {
            let child = raw.get(key).ok_or_else(|| format!("{path}: no {key}"))?;
            let mut child = self.field("", child, &format!("{path}{suffix}"))?;
            child.required = true;
            Ok(Box::new(child))
        };
        let kind = match raw.get("type").and_then(Value::as_str).unwrap_or_default() {
            "string" => FieldKind::String,
            "number" => FieldKind::Number,
            "integer" => FieldKind::Integer,
            "boolean" => FieldKind::Boolean,
            "array" => FieldKind::Array(required_child("elements", "[]")?),
            "set" => FieldKind::Set(required_child("elements", "[]")?),
            "map" => FieldKind::Map {
                keys: required_child("keys", "{key}")?,
                values: required_child("values", "{}")?,
            },
            "record" => FieldKind::Record(Box::new(self.record_at(raw, None, path)?)),
            "foreign" => FieldKind::Foreign(Foreign {
                reference: raw
                    .get("reference")
                    .and_then(Value::as_str)
                    .ok_or_else(|| format!("{path}: no reference"))?
                    .into(),
                on_delete: match raw.get("on_delete").and_then(Value::as_str) {
                    Some("cascade") => OnDelete::Cascade,
                    _ => OnDelete::Restrict,
                },
            }),
            "json" => FieldKind::Json,
            other => return Err(format!("{path}: unknown type {other:?}")),
        };
        Ok(Field {
            name: name.into(),
            required: flag(raw, "required"),
            auto: flag(raw, "auto"),
            unique: flag(raw, "unique"),
            timestamp: flag(raw, "timestamp"),
            uuid: flag(raw, "uuid"),
            referenceable: flag(raw, "referenceable"),
            encrypted: flag(raw, "encrypted"),
            transient: flag(raw, "transient"),
            is_abstract: flag(raw, "abstract"),
            default: raw.get("default").cloned(),
            must_be_null: raw.get("eq") == Some(&Value::Null),
            rules: self.rules(raw, path)?,
            err: raw.get("err").and_then(Value::as_str).map(Into::into),
            kind,
        })
    }

    fn rules(&self, raw: &Map<String, Value>, path: &str) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        let is_string = raw.get("type").and_then(Value::as_str) == Some("string");
        if is_string && raw.get("len_min").is_none() && raw.get("one_of").is_none() {
            rules.push((rank("len_min"), Rule::LenMin(1)));
        }
        for (name, value) in raw {
            let rule = match name.as_str() {
                "eq" if !value.is_null() => Rule::Eq(value.clone()),
                "ne" => Rule::Ne(value.clone()),
                "not_one_of" => Rule::NotOneOf(values(value)),
                "one_of" => Rule::OneOf(values(value)),
                "gt" => Rule::Gt(number(value)?),
                "timestamp" if flag(raw, name) => Rule::Timestamp,
                "uuid" if flag(raw, name) => Rule::Uuid,
                "is_regex" if flag(raw, name) => Rule::IsRegex,
                "between" => match values(value).as_slice() {
                    [low, high] => Rule::Between(number(low)?, number(high)?),
                    _ => return Err(format!("{path}: between")),
                },
                "len_eq" => Rule::LenEq(length(value)?),
                "len_min" => match length(value)? {
                    0 => continue,
                    least => Rule::LenMin(least),
                },
                "len_max" => Rule::LenMax(length(value)?),
                "starts_with" => Rule::StartsWith(text(value)?.into()),
                "not_match" => Rule::NotMatch(Pattern::new(text(value)?)?),
                "match" => Rule::Match(Pattern::new(text(value)?)?),
                "match_none" => Rule::MatchNone(patterns(value)?),
                "match_all" => Rule::MatchAll(patterns(value)?),
                "match_any" => Rule::MatchAny(
                    strings(value.get("patterns"))
                        .iter()
                        .map(|p| Pattern::new(p))
                        .collect::<Result<_>>()?,
                    value.get("err").and_then(Value::as_str).map(Into::into),
                ),
                "contains" => Rule::Contains(value.clone()),
                "custom_validator" => {
                    match Validator::find(text(value)?, self.kind, self.owner, path)
                        .map_err(|name| format!("{path}: unknown validator {name}"))?
                    {
                        Some(validator) => Rule::Custom(validator),
                        None => continue,
                    }
                }
                "mutually_exclusive_subsets" => Rule::MutuallyExclusiveSubsets(
                    values(value).iter().map(|v| strings(Some(v))).collect(),
                ),
                _ => continue,
            };
            rules.push((rank(name), rule));
        }
        rules.sort_by_key(|(rank, _)| *rank);
        Ok(rules.into_iter().map(|(_, rule)| rule).collect())
    }
}

/// Where the fields that a check names are looked up while loading.
pub(super) struct Scope<'a> {
    loader: &'a Loader<'a>,
    record: &'a Map<String, Value>,
    base: Option<&'a Map<String, Value>>,
}

impl Scope<'_> {
    /// The entity or plugin that is being loaded.
    pub fn owner(&self) -> &str {
        self.loader.owner
    }

    /// The field at the path with the attributes of `overlay` laid over its own.
    pub fn merged(&self, path: &Path, overlay: &Value) -> Result<Field> {
        let raw = find_raw(self.record, &path.parts)
            .or_else(|| self.base.and_then(|base| find_raw(base, &path.parts)))
            .ok_or_else(|| format!("a check names the unknown field {}", path.text))?;
        let mut merged = as_object(raw)?.clone();
        for (name, value) in as_object(overlay)? {
            merged.insert(name.clone(), value.clone());
        }
        self.loader
            .field(&path.text, &Value::Object(merged), &path.text)
    }
}

fn find_raw<'v>(record: &'v Map<String, Value>, parts: &[Box<str>]) -> Option<&'v Value> {
    let (first, rest) = parts.split_first()?;
    let (_, field) = named(record.get("fields")).find(|(name, _)| *name == &**first)?;
    match rest {
        [] => Some(field),
        _ => find_raw(field.as_object()?, rest),
    }
}

/// Sets an attribute of a nested field; the last parts may be `elements`.
fn set_attribute(
    record: &mut Map<String, Value>,
    path: &[&str],
    attribute: &str,
    value: Value,
) -> Result<()> {
    let Some((first, rest)) = path.split_first() else {
        record.insert(attribute.to_owned(), value);
        return Ok(());
    };
    let missing = || format!("no field {first}");
    let inner = if *first == "elements" {
        record.get_mut("elements")
    } else {
        record
            .get_mut("fields")
            .and_then(Value::as_array_mut)
            .and_then(|fields| fields.iter_mut().find_map(|field| field.get_mut(*first)))
    };
    let inner = inner.and_then(Value::as_object_mut).ok_or_else(missing)?;
    set_attribute(inner, rest, attribute, value)
}

/// The order in which rules are applied.
fn rank(name: &str) -> usize {
    const ORDER: [&str; 21] = [
        "eq",
        "ne",
        "not_one_of",
        "one_of",
        "gt",
        "timestamp",
        "uuid",
        "is_regex",
        "between",
        "len_eq",
        "len_min",
        "len_max",
        "starts_with",
        "not_match",
        "match_none",
        "match",
        "match_all",
        "match_any",
        "contains",
        "custom_validator",
        "mutually_exclusive_subsets",
    ];
    ORDER
        .iter()
        .position(|rule| *rule == name)
        .unwrap_or(ORDER.len())
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

/// The `[{"name": definition}, ...]` lists of the file.
fn named(list: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .filter_map(|entry| entry.iter().next())
        .map(|(name, definition)| (name.as_str(), definition))
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// The texts of a list; an empty Lua table may have become `{}`.
pub(super) fn strings(value: Option<&Value>) -> Vec<Box<str>> {
    list(value)
        .filter_map(Value::as_str)
        .map(Into::into)
        .collect()
}

fn values(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn patterns(value: &Value) -> Result<Vec<(Pattern, Option<Box<str>>)>> {
    list(Some(value))
        .map(|entry| {
            let pattern = entry
                .get("pattern")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let err = entry.get("err").and_then(Value::as_str).map(Into::into);
            Ok((Pattern::new(pattern)?, err))
        })
        .collect()
}

fn flag(raw: &Map<String, Value>, name: &str) -> bool {
    raw.get(name) == Some(&Value::Bool(true))
}

fn number(value: &Value) -> Result<f64> {
    value
        .as_f64()
        .ok_or_else(|| format!("{value} is no number"))
}

fn length(value: &Value) -> Result<usize> {
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| format!("{value} is no length"))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}

pub(super) fn as_object(value: &Value) -> Result<&Map<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| format!("{value} is no object"))
}

fn object<'v>(raw: &'v Map<String, Value>, name: &str) -> Result<&'v Map<String, Value>> {
    raw.get(name)
        .and_then(Value::as_object)
        .ok_or_else(|| format!("no {name}"))
}
