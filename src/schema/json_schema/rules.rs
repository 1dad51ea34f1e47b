//! The rules on single values as keywords of JSON Schema.

use crate::schema::definition::{FieldKind, Rule};
use crate::schema::lua_pattern::Pattern;
use serde_json::{Value, json};

/// What a rule says about a value by itself, as keywords.
pub fn add(rule: &Rule, kind: &FieldKind, schema: &mut Value) {
    let text = |pattern: &Pattern| json!({"pattern": pattern.ecma()});
    // A pattern says nothing about null, which its opposite would refuse.
    let other_text =
        |pattern: &Pattern| json!({"not": {"type": "string", "pattern": pattern.ecma()}});
    match rule {
        Rule::Eq(wanted) => schema["const"] = wanted.clone(),
        Rule::Ne(unwanted) if !unwanted.is_null() => {
            also(schema, json!({"not": {"const": unwanted}}))
        }
        Rule::NotOneOf(list) => also(schema, json!({"not": {"enum": list}})),
        // An empty list of choices refuses everything, and no schema may have one.
        Rule::OneOf(list) if list.is_empty() => also(schema, json!({"not": {}})),
        Rule::OneOf(list) => schema["enum"] = Value::Array(list.clone()),
        Rule::Gt(limit) => schema["exclusiveMinimum"] = number(*limit),
        Rule::Timestamp => schema["exclusiveMinimum"] = json!(0),
        Rule::Uuid => schema["format"] = json!("uuid"),
        Rule::IsRegex => schema["format"] = json!("regex"),
        Rule::Between(low, high) => {
            schema["minimum"] = number(*low);
            schema["maximum"] = number(*high);
        }
        Rule::LenEq(length) => {
            least(schema, kind, *length);
            most(schema, kind, *length);
        }
        Rule::LenMin(length) => least(schema, kind, *length),
        Rule::LenMax(length) => most(schema, kind, *length),
        Rule::StartsWith(prefix) => {
            also(
                schema,
                json!({"pattern": format!("^{}", regex::escape(prefix))}),
            );
        }
        Rule::Match(pattern) => also(schema, text(pattern)),
        Rule::NotMatch(pattern) => also(schema, other_text(pattern)),
        Rule::MatchAll(patterns) => {
            for (pattern, _) in patterns {
                also(schema, text(pattern));
            }
        }
        Rule::MatchNone(patterns) => {
            for (pattern, _) in patterns {
                also(schema, other_text(pattern));
            }
        }
        Rule::MatchAny(patterns, _) => {
            let any: Vec<Value> = patterns.iter().map(text).collect();
            also(schema, json!({"anyOf": any}));
        }
        Rule::Contains(wanted) => schema["contains"] = json!({"const": wanted}),
        Rule::Ne(_) | Rule::Custom(_) | Rule::MutuallyExclusiveSubsets(_) => {}
    }
}

/// A further condition, of one keyword, which may be there already.
fn also(schema: &mut Value, condition: Value) {
    let (Some(schema), Value::Object(condition)) = (schema.as_object_mut(), condition) else {
        return;
    };
    if condition
        .keys()
        .all(|keyword| !schema.contains_key(keyword))
    {
        schema.extend(condition);
        return;
    }
    let all = schema.entry("allOf").or_insert_with(|| json!([]));
    if let Value::Array(all) = all {
        all.push(Value::Object(condition));
    }
}

/// Texts are measured in bytes, of which a character has up to four: JSON Schema counts those.
fn least(schema: &mut Value, kind: &FieldKind, length: usize) {
    let (keyword, length) = match kind {
        FieldKind::Array(_) | FieldKind::Set(_) => ("minItems", length),
        FieldKind::Map { .. } => ("minProperties", length),
        _ => ("minLength", length.div_ceil(4)),
    };
    schema[keyword] = json!(length);
}

fn most(schema: &mut Value, kind: &FieldKind, length: usize) {
    let keyword = match kind {
        FieldKind::Array(_) | FieldKind::Set(_) => "maxItems",
        FieldKind::Map { .. } => "maxProperties",
        _ => "maxLength",
    };
    schema[keyword] = json!(length);
}

/// Whole numbers without a fraction.
fn number(value: f64) -> Value {
    match value.fract() == 0.0 {
        true => json!(value as i64),
        false => json!(value),
    }
}
