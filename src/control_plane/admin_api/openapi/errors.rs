//! The bodies of answers that refuse: one for each of Kong's error codes, as `ApiError` prints
//! them.

use serde_json::{Map, Value, json};

/// A union of error bodies by the name of its component.
const UNIONS: [(&str, &[&str]); 5] = [
    (
        "refused-key",
        &["message", "invalid-primary-key", "invalid-unique"],
    ),
    (
        "refused-list",
        &[
            "message",
            "invalid-primary-key",
            "invalid-unique",
            "invalid-offset",
            "invalid-size",
            "invalid-options",
        ],
    ),
    (
        "refused-write",
        &[
            "message",
            "invalid-primary-key",
            "schema-violation",
            "primary-key-violation",
            "foreign-key-violation",
            "invalid-unique",
            "invalid-options",
            "foreign-keys-unresolved",
        ],
    ),
    (
        "refused-delete",
        &[
            "message",
            "invalid-primary-key",
            "schema-violation",
            "invalid-unique",
            "foreign-key-violation",
            "referenced-by-others",
        ],
    ),
    ("missing", &["message", "not-found"]),
];

/// The schemas of all errors, by component.
pub fn schemas() -> Map<String, Value> {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let key = json!({
        "type": "object",
        "additionalProperties": {"$ref": "#/components/schemas/key-value"},
    });
    let mut schemas = Map::new();
    let mut put = |name: &str, schema: Value| schemas.insert(name.to_owned(), schema);
    put(
        "message",
        json!({
            "type": "object",
            "properties": {"message": {"type": "string"}},
            "required": ["message"],
            "additionalProperties": false,
        }),
    );
    put(
        "violation",
        json!({
            "description": "What is wrong with a field: a text, a list with nulls for elements \
                that are fine, or an object of what is wrong with the fields below. `@entity` \
                has what is wrong between fields.",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"anyOf": [
                    {"type": "null"},
                    {"$ref": "#/components/schemas/violation"},
                ]}},
                {
                    "type": "object",
                    "additionalProperties": {"$ref": "#/components/schemas/violation"},
                },
            ],
        }),
    );
    put(
        "key-value",
        json!({
            "description": "A part of a key: a text, or the id of a parent.",
            "anyOf": [
                {"type": "string"},
                {"type": "null"},
                {
                    "type": "object",
                    "properties": {"id": {"type": "string"}},
                    "required": ["id"],
                    "additionalProperties": false,
                },
            ],
        }),
    );
    let violations = json!({
        "type": "object",
        "additionalProperties": {"$ref": "#/components/schemas/violation"},
    });
    let fields = |schema: &Value| Some(("fields", schema.clone()));
    put("invalid-primary-key", coded(1, fields(&texts)));
    put("schema-violation", coded(2, fields(&violations)));
    put("primary-key-violation", coded(3, fields(&key)));
    put("foreign-key-violation", coded(4, fields(&key)));
    put("unique-violation", coded(5, fields(&key)));
    put("not-found", coded(6, fields(&key)));
    put("invalid-offset", coded(7, None));
    put("invalid-size", coded(9, None));
    put("invalid-unique", coded(10, None));
    put("invalid-options", coded(11, Some(("options", texts))));
    put("foreign-keys-unresolved", coded(13, fields(&violations)));
    put("referenced-by-others", coded(19, None));
    for (name, members) in UNIONS {
        let members: Vec<Value> = members
            .iter()
            .map(|member| super::operation::reference(member))
            .collect();
        put(name, json!({ "oneOf": members }));
    }
    schemas
}

/// A body with one of Kong's error codes.
fn coded(code: u8, more: Option<(&str, Value)>) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": {
            "code": {"type": "integer", "const": code},
            "name": {"type": "string"},
            "message": {"type": "string"},
        },
        "required": ["code", "name", "message"],
        "additionalProperties": false,
    });
    if let Some((name, inner)) = more {
        schema["properties"][name] = inner;
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.push(json!(name));
        }
    }
    schema
}
