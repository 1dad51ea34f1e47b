//! Records, fields and rules from their definitions in the schema file.

use super::checks::Check;
use super::definition::{Field, FieldKind, Foreign, OnDelete, Path, Record, Rule};
use super::lua_pattern::Pattern;
use super::shorthand::Shorthand;
use super::validators::Validator;
use serde_json::{Map, Value};

/// What is wrong with the schema file.
pub(super) type Result<T> = std::result::Result<T, String>;

/// Builds records and fields of one entity or plugin.
pub(super) struct Loader<'a> {
    kind: &'a str,
    owner: &'a str,
}

impl<'a> Loader<'a> {
    pub fn new(kind: &'a str, owner: &'a str) -> Loader<'a> {
        Loader { kind, owner }
    }

    /// A record; `base` has the fields its checks may name beside its own.
    pub fn record(
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
        // The file has an empty table where the default is a fresh secret.
        let default = raw.get("default");
        let generated = matches!(kind, FieldKind::String) && default.is_some_and(Value::is_object);
        Ok(Field {
            name: name.into(),
            required: flag(raw, "required"),
            auto: flag(raw, "auto") || generated,
            unique: flag(raw, "unique"),
            timestamp: flag(raw, "timestamp"),
            uuid: flag(raw, "uuid"),
            referenceable: flag(raw, "referenceable"),
            encrypted: flag(raw, "encrypted"),
            transient: flag(raw, "transient"),
            is_abstract: flag(raw, "abstract"),
            default: default.filter(|_| !generated).cloned(),
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

    /// Whether the field at the path may hold a reference to a vault.
    pub fn is_referenceable(&self, path: &Path) -> bool {
        self.raw(path)
            .is_some_and(|field| flag(field, "referenceable") && field["type"] == "string")
    }

    /// Whether the field at the path has to be given: there is nothing else that it could be.
    pub fn is_never_filled_in(&self, path: &Path) -> bool {
        self.raw(path).is_some_and(|field| {
            flag(field, "required") && !field.contains_key("default") && field["type"] != "record"
        })
    }

    fn raw(&self, path: &Path) -> Option<&Map<String, Value>> {
        find_raw(self.record, &path.parts)
            .or_else(|| self.base.and_then(|base| find_raw(base, &path.parts)))?
            .as_object()
    }

    /// The field at the path with the attributes of `overlay` laid over its own.
    pub fn merged(&self, path: &Path, overlay: &Value) -> Result<Field> {
        let mut merged = self
            .raw(path)
            .ok_or_else(|| format!("a check names the unknown field {}", path.text))?
            .clone();
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

pub(super) fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
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

pub(super) fn flag(raw: &Map<String, Value>, name: &str) -> bool {
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
