//! Whether a completed value fits its field or record.

use super::checks;
use super::definition::{Field, FieldKind, Record, Rule};
use super::env::Env;
use super::foreign;
use super::lua_pattern::Pattern;
use super::number;
use super::pcre;
use super::violations::quoted;
use serde_json::{Map, Value};

pub(super) const REQUIRED: &str = "required field missing";
pub(super) const UNKNOWN: &str = "unknown field";

/// The surroundings of one validation.
pub(super) struct Scope<'a> {
    pub env: &'a Env<'a>,
    /// Some messages tell an update from an insert.
    pub updating: bool,
}

impl<'a> Scope<'a> {
    pub fn new(env: &'a Env<'a>) -> Scope<'a> {
        Scope {
            env,
            updating: false,
        }
    }
}

/// A violation: a text, a list with nulls for good elements, or an object.
pub(super) type Violation = Value;

/// Checks one value.
///
/// # Errors
/// The first violation; collections and records report one per element and field.
pub(super) fn field(field: &Field, value: &Value, scope: &Scope<'_>) -> Result<(), Violation> {
    if value.is_null() {
        return null(field);
    }
    if field.must_be_null {
        return Err(with_err(field, "value must be null".to_owned()));
    }
    if field.referenceable && is_reference(value) {
        return Ok(());
    }
    match &field.kind {
        FieldKind::String => expect(value.is_string(), "a string")?,
        FieldKind::Number => expect(value.is_number(), "a number")?,
        FieldKind::Integer => expect(
            matches!(value, Value::Number(n) if number::is_integer(n)),
            "an integer",
        )?,
        FieldKind::Boolean => expect(value.is_boolean(), "a boolean")?,
        FieldKind::Array(element) => elements(element, value, "an array", scope)?,
        FieldKind::Set(element) => elements(element, value, "a set", scope)?,
        FieldKind::Map { keys, values } => {
            let map = value.as_object().ok_or_else(|| expected("a map"))?;
            for (key, item) in map {
                self::field(keys, &Value::String(key.clone()), scope)?;
                self::field(values, item, scope)?;
            }
        }
        FieldKind::Record(inner) => {
            let map = value.as_object().ok_or_else(|| expected("a record"))?;
            let errors = record(inner, None, map, scope);
            if !errors.is_empty() {
                return Err(Value::Object(errors));
            }
        }
        FieldKind::Foreign(parent) => foreign::validate(parent, value, scope)?,
        // Filters take their configuration as text.
        FieldKind::Json => expect(value.is_string(), "a string")?,
    }
    for rule in &field.rules {
        if let Err(text) = apply(rule, value, scope) {
            return Err(with_err(field, text));
        }
    }
    Ok(())
}

/// Checks every given field and the rules between them; empty when all is well.
/// `subschema` overrides fields of `base` and adds checks.
pub(super) fn record(
    base: &Record,
    subschema: Option<&Record>,
    data: &Map<String, Value>,
    scope: &Scope<'_>,
) -> Map<String, Value> {
    let mut errors = fields(base, subschema, data, scope);
    for record in std::iter::once(base).chain(subschema) {
        for check in &record.checks {
            checks::run(check, data, scope, &mut errors);
        }
    }
    errors
}

/// Checks the given fields alone.
pub(super) fn fields(
    base: &Record,
    subschema: Option<&Record>,
    data: &Map<String, Value>,
    scope: &Scope<'_>,
) -> Map<String, Value> {
    let mut errors = Map::new();
    for (name, value) in data {
        let found = base
            .get(name)
            .map(|own| subschema.and_then(|sub| sub.get(name)).unwrap_or(own));
        let result = match found {
            Some(found) => field(found, value, scope),
            None => Err(Value::from(UNKNOWN)),
        };
        if let Err(violation) = result {
            errors.insert(name.clone(), violation);
        }
    }
    errors
}

/// Whether a value stands for one that is kept in a vault.
pub(super) fn is_reference(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.starts_with("{vault://") && text.ends_with('}'))
}

fn null(field: &Field) -> Result<(), Violation> {
    for rule in &field.rules {
        match rule {
            Rule::Ne(Value::Null) => {
                return Err(with_err(field, "value must not be null".to_owned()));
            }
            Rule::Eq(wanted) => return Err(Value::String(equal_text(wanted))),
            _ => {}
        }
    }
    match field.required {
        true => Err(Value::from(REQUIRED)),
        false => Ok(()),
    }
}

fn elements(
    element: &Field,
    value: &Value,
    what: &str,
    scope: &Scope<'_>,
) -> Result<(), Violation> {
    let items = value.as_array().ok_or_else(|| expected(what))?;
    let mut errors = Vec::new();
    for (at, item) in items.iter().enumerate() {
        if let Err(violation) = field(element, item, scope) {
            errors.resize(at, Value::Null);
            errors.push(violation);
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Value::Array(errors)),
    }
}

fn expect(holds: bool, what: &str) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(expected(what)) }
}

fn expected(what: &str) -> Violation {
    Value::String(format!("expected {what}"))
}

fn with_err(field: &Field, text: String) -> Violation {
    match &field.err {
        Some(err) => Value::String(err.to_string()),
        None => Value::String(text),
    }
}

fn equal_text(wanted: &Value) -> String {
    format!("value must be {}", number::to_text(wanted))
}

fn apply(rule: &Rule, value: &Value, scope: &Scope<'_>) -> Result<(), String> {
    let text = value.as_str();
    let require = |holds: bool, message: &dyn Fn() -> String| match holds {
        true => Ok(()),
        false => Err(message()),
    };
    let invalid = || format!("invalid value: {}", number::to_text(value));
    // Rules about text or numbers are only ever on fields of that type.
    let matches = |pattern: &Pattern| text.is_none_or(|text| pattern.is_match(text));
    let float = value.as_f64();
    match rule {
        Rule::Eq(wanted) => require(same(value, wanted), &|| equal_text(wanted)),
        Rule::Ne(unwanted) => require(!same(value, unwanted), &|| {
            format!("value must not be {}", number::to_text(unwanted))
        }),
        Rule::NotOneOf(list) => require(!list.iter().any(|item| same(value, item)), &|| {
            format!("must not be one of: {}", listed(list))
        }),
        Rule::OneOf(list) => require(list.iter().any(|item| same(value, item)), &|| {
            format!("expected one of: {}", listed(list))
        }),
        Rule::Gt(limit) => require(float.is_none_or(|n| n > *limit), &|| {
            format!("value must be greater than {}", number::display(*limit))
        }),
        Rule::Timestamp => require(float.is_some_and(|n| n > 0.0), &|| {
            "expected a valid timestamp".to_owned()
        }),
        Rule::Uuid => require(text.is_some_and(is_uuid), &|| {
            "expected a valid UUID".to_owned()
        }),
        Rule::IsRegex => require(text.is_none_or(pcre::is_valid), &|| {
            format!("not a valid regex: {}", number::to_text(value))
        }),
        Rule::Between(low, high) => require(float.is_none_or(|n| n >= *low && n <= *high), &|| {
            // Kong prints whole numbers, whatever the limits are.
            let (low, high) = (low.trunc(), high.trunc());
            format!("value should be between {low} and {high}")
        }),
        Rule::LenEq(length) => require(size(value) == *length, &|| {
            format!("length must be {length}")
        }),
        Rule::LenMin(least) => require(size(value) >= *least, &|| {
            format!("length must be at least {least}")
        }),
        Rule::LenMax(most) => require(size(value) <= *most, &|| {
            format!("length must be at most {most}")
        }),
        Rule::StartsWith(prefix) => {
            require(text.is_none_or(|text| text.starts_with(&**prefix)), &|| {
                format!("should start with: {prefix}")
            })
        }
        Rule::NotMatch(pattern) => {
            require(text.is_none_or(|text| !pattern.is_match(text)), &invalid)
        }
        Rule::Match(pattern) => require(matches(pattern), &invalid),
        Rule::MatchNone(patterns) => {
            let hit = text.and_then(|text| patterns.iter().find(|(p, _)| p.is_match(text)));
            match hit {
                None => Ok(()),
                Some((_, err)) => Err(own_or(err.as_deref(), invalid)),
            }
        }
        Rule::MatchAll(patterns) => match patterns.iter().find(|(p, _)| !matches(p)) {
            None => Ok(()),
            Some((_, err)) => Err(own_or(err.as_deref(), invalid)),
        },
        Rule::MatchAny(patterns, err) => match patterns.iter().any(matches) {
            true => Ok(()),
            false => Err(own_or(err.as_deref(), invalid)),
        },
        Rule::Contains(wanted) => {
            let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
            require(items.iter().any(|item| same(item, wanted)), &|| {
                format!("expected to contain: {}", number::to_text(wanted))
            })
        }
        Rule::Custom(validator) => validator.check(value, scope),
        Rule::MutuallyExclusiveSubsets(subsets) => exclusive(value, subsets),
    }
}

fn own_or(err: Option<&str>, default: impl Fn() -> String) -> String {
    err.map_or_else(default, str::to_owned)
}

/// Bytes of a text, elements of a collection.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    }
}

/// Equality of scalars; `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn listed(list: &[Value]) -> String {
    let texts: Vec<String> = list.iter().map(number::to_text).collect();
    texts.join(", ")
}

/// 8-4-4-4-12 hexadecimal digits.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn exclusive(value: &Value, subsets: &[Vec<Box<str>>]) -> Result<(), String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |name: &str| items.iter().any(|item| item == name);
    let touched: Vec<String> = subsets
        .iter()
        .filter(|subset| subset.iter().any(|name| has(name)))
        .map(|subset| format!("({})", quoted(subset.iter().map(|name| &**name))))
        .collect();
    match touched.len() {
        0 | 1 => Ok(()),
        _ => Err(format!(
            "these sets are mutually exclusive: {}",
            touched.join(", ")
        )),
    }
}
