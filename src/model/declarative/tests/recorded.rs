//! What a real Kong made of documents.

use super::*;

/// The document of the recording: `tests/data` has what a Kong 3.9.3 stored for it.
const RECORDED: &str = include_str!("recorded.yml");

/// Without nulls and timestamps.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(name, value)| {
                !value.is_null() && !matches!(name.as_str(), "created_at" | "updated_at")
            })
            .map(|(name, value)| (name.clone(), comparable(value)))
            .collect(),
        Value::Array(items) => items.iter().map(comparable).collect(),
        value => value.clone(),
    }
}

#[test]
fn a_recorded_document_gives_the_recorded_entities() {
    let mut expected: Value = serde_json::from_str(include_str!("recorded.json")).expect("JSON");
    // Credentials have random ids.
    let credentials = expected["keyauth_credentials"]
        .as_object_mut()
        .expect("credentials");
    let (_, mut credential) = credentials
        .iter()
        .next()
        .map(|(id, c)| (id.clone(), c.clone()))
        .expect("one");
    credential["id"] = json!(Uuid::from_u128(1));
    *credentials = [(Uuid::from_u128(1).to_string(), credential)]
        .into_iter()
        .collect();
    let found = entities(RECORDED);
    let (found, expected) = (comparable(&found), comparable(&expected));
    for (kind, entities) in expected.as_object().expect("kinds") {
        // Kong shows aliases of plugins' settings; they are not stored.
        assert_eq!(&found[kind], entities, "{kind}");
    }
    assert_eq!(
        found.as_object().map(Map::len),
        expected.as_object().map(Map::len)
    );
}

/// What a Kong 3.9.3 answered in `fields` when these were loaded.
#[test]
fn recorded_refusals() {
    let check = |document: Value, expected: Value| {
        let found = Value::Object(refused(&document.to_string()).fields());
        assert_eq!(found, expected, "{document}");
    };
    check(
        json!({}),
        json!({"_format_version": "required field missing"}),
    );
    check(
        json!({"services": []}),
        json!({"_format_version": "required field missing"}),
    );
    check(
        json!({"_format_version": "9.9"}),
        json!({"_format_version": "expected one of: 1.1, 2.1, 3.0"}),
    );
    check(
        json!({"_format_version": "3.0", "services": [{"name": "s", "host": "h"}, {"name": "s", "host": "h2"}]}),
        json!({"services": [null, "uniqueness violation: 'services' entity with name set to 's' already declared"]}),
    );
    assert!(
        declared(r#"{"_format_version": "1.1"}"#)
            .entities
            .is_empty()
    );
}

/// A recorded document with every kind of mistake.
const MISTAKES: &str = r#"{"_format_version": "3.0",
        "services": [{"name": "s", "host": "h", "port": "x", "zz": 1,
            "routes": [{"name": "r", "paths": ["nop"]}],
            "plugins": [{"name": "nope"}, {"name": "rate-limiting", "config": {}}]},
            {"name": "s", "host": "dup"}],
        "routes": [{"name": "orphan", "paths": ["/o"], "service": "nosuch"}],
        "consumers": [{}],
        "upstreams": [{"name": "bad name", "targets": [{"target": "x y"}]}]}"#;

/// Kong stops after the schema's complaints; the lines name the second service and the missing
/// parent at the same time.
#[test]
fn all_problems_at_once() {
    let text = MISTAKES;
    let limits = "at least one of these fields must be non-empty: 'config.second', 'config.minute', 'config.hour', 'config.day', 'config.month', 'config.year'";
    assert_eq!(
        Value::Object(refused(text).fields()),
        json!({
            "services": [
                {
                    "port": "expected an integer",
                    "zz": "unknown field",
                    "routes": [{"paths": ["should start with: / (fixed path) or ~/ (regex path)"]}],
                    "plugins": [
                        {"name": "plugin 'nope' not enabled; add it to the 'plugins' configuration property"},
                        {"@entity": [limits]},
                    ],
                },
            ],
            "routes": [{"service": {"id": "missing primary key"}}],
            "consumers": [{"@entity": ["at least one of these fields must be non-empty: 'custom_id', 'username'"]}],
            "upstreams": [{
                "name": "Invalid name ('bad name'); must be a valid hostname",
                "targets": [{"target": "Invalid target ('x y'); not a valid hostname or ip address"}],
            }],
        })
    );
    assert_eq!(
        lines(text),
        [
            "in 'services' entry 1 ('s'): port: expected an integer",
            "in 'services' entry 1 ('s'): zz: unknown field",
            "in 'routes' entry 1 ('r') of 'services' entry 1 ('s'): paths.1: should start with: / (fixed path) or ~/ (regex path)",
            "in 'plugins' entry 1 ('nope') of 'services' entry 1 ('s'): name: plugin 'nope' not enabled; add it to the 'plugins' configuration property",
            &format!(
                "in 'plugins' entry 2 ('rate-limiting') of 'services' entry 1 ('s'): {limits}"
            ),
            "in 'services' entry 2 ('s'): uniqueness violation: 'services' entity with name set to 's' already declared",
            "in 'routes' entry 1 ('orphan'): service: invalid reference 'service: nosuch' (no such entry in 'services')",
            "in 'consumers' entry 1: at least one of these fields must be non-empty: 'custom_id', 'username'",
            "in 'upstreams' entry 1 ('bad name'): name: Invalid name ('bad name'); must be a valid hostname",
            "in 'targets' entry 1 ('x y') of 'upstreams' entry 1 ('bad name'): target: Invalid target ('x y'); not a valid hostname or ip address",
        ]
    );
}

/// Problems with the entities they are about: what stands in the document, without children, and
/// with its identity once it has one.
#[test]
fn flattened_problems() {
    let check = |text: &str, errors: Value, rest: Value| {
        let flattened = refused(text).flattened(text);
        assert_eq!(Value::Array(flattened.errors), errors, "{text}");
        assert_eq!(Value::Object(flattened.rest), rest, "{text}");
    };
    let text = MISTAKES;
    let flattened = refused(text).flattened(text);
    let of: Vec<_> = flattened
        .errors
        .iter()
        .map(|error| (error["entity_type"].as_str(), &error["entity"]))
        .collect();
    assert_eq!(
        of,
        [
            (Some("target"), &json!({"target": "x y"})),
            (Some("upstream"), &json!({"name": "bad name"})),
            (Some("plugin"), &json!({"name": "nope"})),
            (
                Some("plugin"),
                &json!({"name": "rate-limiting", "config": {}})
            ),
            (Some("route"), &json!({"name": "r", "paths": ["nop"]})),
            (
                Some("service"),
                &json!({"name": "s", "host": "h", "port": "x", "zz": 1})
            ),
            (
                Some("route"),
                &json!({"name": "orphan", "paths": ["/o"], "service": "nosuch"})
            ),
            (Some("consumer"), &json!({})),
        ]
    );
    assert_eq!(
        flattened.errors[5]["errors"],
        json!([
            {"type": "field", "field": "zz", "message": "unknown field"},
            {"type": "field", "field": "port", "message": "expected an integer"},
        ])
    );
    assert_eq!(
        flattened.errors[6]["errors"],
        json!([{"type": "field", "field": "service.id", "message": "missing primary key"}])
    );
    let (s, r) = (
        "b268827a-8f7f-551f-8769-e6bceb2f3ec6",
        "da7ba03a-f1be-52d4-8a7e-c8f32640689a",
    );
    check(
        r#"{"_format_version": "3.0", "services": [{"name": "s", "host": "h", "tags": ["t"],
            "routes": [{"name": "r", "paths": ["/"]}, {"name": "r", "paths": ["/"]}]}]}"#,
        json!([{
            "entity_type": "route", "entity_id": r, "entity_name": "r",
            "entity": {"id": r, "name": "r", "paths": ["/"], "service": {"id": s}},
            "errors": [{
                "type": "entity",
                "message": "uniqueness violation: 'routes' entity with name set to 'r' already declared",
            }],
        }]),
        json!({}),
    );
    check(
        r#"{"_format_version": "3.0", "routes": [{"name": "o", "paths": ["/o"], "service": "nosuch"}]}"#,
        json!([]),
        json!({}),
    );
    check(
        r#"{"_format_version": "3.0", "nope": [], "services": [{"host": "", "tags": ["t"]}, 1]}"#,
        json!([{
            "entity_type": "service", "entity_tags": ["t"],
            "entity": {"host": "", "tags": ["t"]},
            "errors": [{"type": "field", "field": "host", "message": "length must be at least 1"}],
        }]),
        json!({"nope": "unknown field", "services": [null, "expected a record"]}),
    );
}

/// What the ingress controller reads: a child with the reference to the parent it stands in, and
/// what is wrong with a record within an entity without a field.
#[test]
fn beside_11_flattened_children_name_their_parents() {
    let (s, r) = (
        "00000000-0000-4000-8000-000000000001",
        "00000000-0000-4000-8000-000000000002",
    );
    let no_endpoint =
        "at least one of these fields must be non-empty: 'traces_endpoint', 'logs_endpoint'";
    let entity_error = json!([{"type": "entity", "message": no_endpoint}]);
    let document = |service: &str, route: &str| {
        format!(
            r#"{{"_format_version": "3.0", "services": [{{{service} "name": "s", "host": "h",
                "routes": [{{{route} "name": "r", "paths": ["nop"],
                    "plugins": [{{"name": "opentelemetry", "config": {{}}}}]}}]}}]}}"#
        )
    };
    let check = |text: &str, expected: Value| {
        assert_eq!(Value::Array(refused(text).flattened(text).errors), expected);
    };
    let path_error = json!([{
        "type": "field", "field": "paths.1",
        "message": "should start with: / (fixed path) or ~/ (regex path)",
    }]);
    check(
        &document(&format!(r#""id": "{s}","#), &format!(r#""id": "{r}","#)),
        json!([
            {
                "entity_type": "plugin", "entity_name": "opentelemetry",
                "entity": {"name": "opentelemetry", "config": {}, "route": {"id": r}},
                "errors": entity_error,
            },
            {
                "entity_type": "route", "entity_id": r, "entity_name": "r",
                "entity": {"id": r, "name": "r", "paths": ["nop"], "service": {"id": s}},
                "errors": path_error,
            },
        ]),
    );
    check(
        &document("", ""),
        json!([
            {
                "entity_type": "plugin", "entity_name": "opentelemetry",
                "entity": {"name": "opentelemetry", "config": {}},
                "errors": entity_error,
            },
            {
                "entity_type": "route", "entity_name": "r",
                "entity": {"name": "r", "paths": ["nop"]},
                "errors": path_error,
            },
        ]),
    );
    // A parent that is written out in a field is an entity of its own.
    check(
        r#"{"_format_version": "3.0", "routes": [
            {"name": "r", "paths": ["/"], "service": {"id": "x", "name": "s"}}]}"#,
        json!([{
            "entity_type": "service", "entity_name": "s",
            "entity": {"id": "x", "name": "s"},
            "errors": [{"type": "field", "field": "id", "message": "expected a valid UUID"}],
        }]),
    );
}

/// What points to nothing is listed by the name of the entity, beside what is there twice.
#[test]
fn beside_14_references_to_nothing() {
    let check = |text: &str, expected: Value| {
        let mut document: Value = serde_json::from_str(text).expect("JSON");
        document["_format_version"] = json!("3.0");
        let found = refused(&document.to_string()).fields();
        assert_eq!(Value::Object(found), expected, "{text}");
    };
    let id = "00000000-0000-4000-8000-000000000001";
    let none = "invalid reference 'service: nosuch' (no such entry in 'services')";
    check(
        r#"{"routes": [{"name": "r1", "paths": ["/"], "service": "nosuch"}]}"#,
        json!({"routes": {"r1": [none]}}),
    );
    check(
        &format!(
            r#"{{"routes": [{{"id": "{id}", "paths": ["/"], "service": {{"id": "{id}"}}}}]}}"#
        ),
        json!({"routes": {id: [
            format!(r#"invalid reference 'service: {{"id":"{id}"}}' (no such entry in 'services')"#)
        ]}}),
    );
    check(
        r#"{"plugins": [{"name": "acl", "config": {"allow": ["a"]}, "instance_name": "i",
            "service": "nosuch", "route": "nosuch"}]}"#,
        json!({"plugins": {"i": [
            "invalid reference 'route: nosuch' (no such entry in 'routes')",
            none,
        ]}}),
    );
    check(
        r#"{"routes": [{"name": "a", "paths": ["/"]}, {"name": "a", "paths": ["/"]},
            {"name": "b", "paths": ["/"], "service": "nosuch"}]}"#,
        json!({"routes": {
            "2": "uniqueness violation: 'routes' entity with name set to 'a' already declared",
            "b": [none],
        }}),
    );
    // A nested entity may only point to the one it is nested in.
    check(
        r#"{"services": [{"host": "h", "plugins": [{"name": "key-auth", "route": "nosuch"}]}]}"#,
        json!({"services": [{"plugins": [{"route": "value must be null"}]}]}),
    );
    // The key of a credential is a secret, not a name.
    check(
        &format!(
            r#"{{"keyauth_credentials": [{{"id": "{id}", "key": "k", "consumer": "nosuch"}}]}}"#
        ),
        json!({"keyauth_credentials": {id: [
            "invalid reference 'consumer: nosuch' (no such entry in 'consumers')"
        ]}}),
    );
}
