//! Typed schemas: what `data/schemas.json` says, resolved once at start.

use super::checks::Check;
use super::lua_pattern::Pattern;
use super::shorthand::Shorthand;
use super::validators::Validator;
use serde_json::Value;
use std::collections::HashMap;

/// One field of an entity, a record, or the element of a collection (with an empty name).
#[derive(Debug)]
pub struct Field {
    pub name: Box<str>,
    pub kind: FieldKind,
    /// Null is refused; a stored null reads as the default.
    pub required: bool,
    /// Filled by the engine when the client leaves it out.
    pub auto: bool,
    pub unique: bool,
    /// Seconds since the epoch.
    pub timestamp: bool,
    pub uuid: bool,
    /// May hold a `{vault://...}` reference instead of a value.
    pub referenceable: bool,
    /// A secret.
    pub encrypted: bool,
    /// Part of requests and responses, never stored.
    pub transient: bool,
    /// Replaced by the subschema's field of the same name.
    pub is_abstract: bool,
    pub default: Option<Value>,
    /// The only allowed value is null.
    pub(super) must_be_null: bool,
    /// In the order in which they are applied; the first failure wins.
    pub(super) rules: Vec<Rule>,
    /// Replaces the message of any failing rule.
    pub(super) err: Option<Box<str>>,
}

/// The type of a field.
#[derive(Debug)]
pub enum FieldKind {
    String,
    Number,
    Integer,
    Boolean,
    Array(Box<Field>),
    /// An array without duplicates; the first occurrence stays.
    Set(Box<Field>),
    Map {
        keys: Box<Field>,
        values: Box<Field>,
    },
    Record(Box<Record>),
    Foreign(Foreign),
    Json,
}

/// A reference to a parent entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The parent's entity name.
    pub reference: Box<str>,
    pub on_delete: OnDelete,
}

/// What deleting the parent does to the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    Restrict,
    Cascade,
}

/// Fields with the rules between them.
#[derive(Debug, Default)]
pub struct Record {
    pub fields: Vec<Field>,
    pub(super) index: HashMap<Box<str>, usize, foldhash::fast::FixedState>,
    pub(super) checks: Vec<Check>,
    pub(super) shorthands: Vec<Shorthand>,
}

impl Record {
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.index.get(name).map(|at| &self.fields[*at])
    }

    pub(super) fn shorthand(&self, name: &str) -> Option<&Shorthand> {
        self.shorthands.iter().find(|s| &*s.field.name == name)
    }
}

/// One rule on a value.
#[derive(Debug)]
pub(super) enum Rule {
    Eq(Value),
    Ne(Value),
    NotOneOf(Vec<Value>),
    OneOf(Vec<Value>),
    Gt(f64),
    Timestamp,
    Uuid,
    IsRegex,
    Between(f64, f64),
    LenEq(usize),
    LenMin(usize),
    LenMax(usize),
    StartsWith(Box<str>),
    NotMatch(Pattern),
    MatchNone(Vec<(Pattern, Option<Box<str>>)>),
    Match(Pattern),
    MatchAll(Vec<(Pattern, Option<Box<str>>)>),
    MatchAny(Vec<Pattern>, Option<Box<str>>),
    Contains(Value),
    Custom(Validator),
    MutuallyExclusiveSubsets(Vec<Vec<Box<str>>>),
}

/// A dotted path to a field, such as `config.redis.host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub text: Box<str>,
    pub parts: Box<[Box<str>]>,
}

impl Path {
    pub fn new(text: &str) -> Path {
        Path {
            text: text.into(),
            parts: text.split('.').map(Into::into).collect(),
        }
    }

    /// The value at the path; `None` when a parent is null or absent.
    pub fn get<'v>(&self, data: &'v serde_json::Map<String, Value>) -> Option<&'v Value> {
        let (first, rest) = self.parts.split_first()?;
        let mut value = data.get(&**first)?;
        for part in rest {
            value = value.as_object()?.get(&**part)?;
        }
        Some(value)
    }

    /// Puts an error at the path; a message already there on a parent stays.
    pub fn set(&self, errors: &mut serde_json::Map<String, Value>, error: Value) {
        let Some((last, parents)) = self.parts.split_last() else {
            return;
        };
        let mut at = errors;
        for part in parents {
            let next = at
                .entry(&**part)
                .or_insert_with(|| Value::Object(serde_json::Map::new()));
            if !next.is_object() {
                *next = Value::Object(serde_json::Map::new());
            }
            match next {
                Value::Object(map) => at = map,
                _ => return,
            }
        }
        at.insert(last.to_string(), error);
    }
}
