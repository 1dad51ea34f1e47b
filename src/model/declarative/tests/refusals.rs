//! What is wrong with documents, and how it is said.

use super::*;

#[test]
fn documents_that_are_none() {
    let check = |text: &str, expected: &str| {
        let fields = Value::Object(refused(text).fields());
        let error = fields["error"].as_str().unwrap_or_default();
        let start = "failed parsing declarative configuration: ";
        assert!(
            error.starts_with(start) && error.contains(expected),
            "{fields}"
        );
    };
    check("", "expected an object");
    check("- a", "expected an object");
    check("x", "expected an object");
    check("{bad", "2:1: did not find expected ',' or '}'");
}

#[test]
fn refusals() {
    let check = |document: Value, expected: &[&str]| {
        let mut document = document;
        document["_format_version"] = json!("3.0");
        assert_eq!(lines(&document.to_string()), expected, "{document}");
    };
    let id = "00000000-0000-4000-8000-000000000001";
    // Shapes.
    check(
        json!({"unknown_entity": []}),
        &["unknown_entity: unknown field"],
    );
    check(json!({"_info": {}}), &["_info: unknown field"]);
    check(json!({"tags": []}), &["tags: unknown field"]);
    check(json!({"services": "x"}), &["services: expected an array"]);
    check(
        json!({"services": [1, null]}),
        &[
            "in 'services' entry 1: expected a record",
            "in 'services' entry 2: expected a record",
        ],
    );
    check(
        json!({"services": [{"host": "h", "routes": {"a": 1}, "_comment": 1}]}),
        &[
            "in 'services' entry 1: _comment: expected a string",
            "in 'services' entry 1: routes: expected an array",
        ],
    );
    // Entities that are known and not stored.
    check(
        json!({"filter_chains": [{}]}),
        &["filter_chains: 'filter_chains' entities are not supported by this version"],
    );
    check(
        json!({"services": [{"name": "s", "host": "h", "filter_chains": [{}]}]}),
        &[
            "in 'services' entry 1 ('s'): filter_chains: 'filter_chains' entities are not supported by this version",
        ],
    );
    // Parents.
    check(
        json!({"services": [{"name": "s", "host": "h", "routes": [{"paths": ["/"], "service": "s"}]}]}),
        &["in 'routes' entry 1 of 'services' entry 1 ('s'): service: value must be null"],
    );
    check(
        json!({"targets": [{"target": "t:1", "upstream": id}, {"target": "t:1"}]}),
        &[
            &format!(
                "in 'targets' entry 1 ('t:1'): upstream: invalid reference 'upstream: {id}' (no such entry in 'upstreams')"
            ),
            "in 'targets' entry 2 ('t:1'): upstream: required field missing",
        ],
    );
    check(
        json!({"routes": [{"paths": ["/"], "service": {"id": id}}, {"paths": ["/"], "service": {"id": "x"}}, {"paths": ["/"], "service": 1}]}),
        &[
            &format!(
                "in 'routes' entry 1: service: invalid reference 'service: {{\"id\":\"{id}\"}}' (no such entry in 'services')"
            ),
            "in 'routes' entry 2: service.id: expected a valid UUID",
            "in 'routes' entry 3: service.id: missing primary key",
        ],
    );
    check(
        json!({"plugins": [{"name": "key-auth", "route": {"name": "r"}}]}),
        &[
            "in 'plugins' entry 1 ('key-auth'): route: invalid reference 'route: {\"name\":\"r\"}' (no such entry in 'routes')",
        ],
    );
    check(
        json!({"services": [{"host": "h", "protocol": "https", "client_certificate": "c"}]}),
        &[
            "in 'services' entry 1: client_certificate: invalid reference 'client_certificate: c' (no such entry in 'certificates')",
        ],
    );
    // Ids.
    check(
        json!({"services": [{"host": "h", "id": "x"}]}),
        &["in 'services' entry 1: id: expected a valid UUID"],
    );
    check(
        json!({"services": [{"host": "h", "id": id}, {"host": "h", "id": id}]}),
        &[&format!(
            "in 'services' entry 2: uniqueness violation: 'services' entity with primary key set to '{id}' already declared"
        )],
    );
    // What is unique.
    check(
        json!({"consumers": [{"username": "a", "custom_id": "x"}, {"username": "b", "custom_id": "x"}]}),
        &[
            "in 'consumers' entry 2 ('b'): uniqueness violation: 'consumers' entity with custom_id set to 'x' already declared",
        ],
    );
    check(
        json!({"plugins": [{"name": "key-auth", "id": id}, {"name": "key-auth"}]}),
        &[
            "in 'plugins' entry 2 ('key-auth'): uniqueness violation: 'plugins' entity with name set to 'key-auth' already declared",
        ],
    );
    check(
        json!({"upstreams": [{"name": "u", "targets": [{"target": "t"}, {"target": "t:8000"}]}]}),
        &[
            "in 'targets' entry 2 ('t:8000') of 'upstreams' entry 1 ('u'): uniqueness violation: 'targets' entity with upstream set to '597a2b96-28b9-56b9-8745-bb55e59539cc', target set to 't:8000' already declared",
        ],
    );
}

#[test]
fn secrets_are_not_told() {
    let text = r#"{"_format_version": "3.0", "consumers": [{"username": "c", "keyauth_credentials": [{"key": "hunter2"}, {"key": "hunter2"}]}]}"#;
    let err = refused(text);
    assert!(!format!("{err} {err:?}").contains("hunter2"), "{err}");
    assert!(
        err.to_string().contains("the same key already declared"),
        "{err}"
    );
}

/// The work and the answer are bounded, whatever a document holds.
#[test]
fn trial_27_a_document_full_of_mistakes() {
    let shown = |document: &Value| {
        let text = document.to_string();
        let errors = refused(&text);
        let flattened = errors.flattened(&text);
        let answer = json!([
            errors.fields(),
            errors.listed(),
            flattened.errors,
            flattened.rest
        ]);
        let size = answer.to_string().len();
        assert!(size < 4_000_000, "{size} bytes");
        (errors, answer)
    };
    let unknown: Map<String, Value> = (0..50_000)
        .map(|at| (format!("unknown{at}"), json!(at)))
        .collect();
    let mut service = unknown.clone();
    service.insert("name".to_owned(), json!("s"));
    let (errors, answer) = shown(&json!({"_format_version": "3.0", "services": [service]}));
    let last = "in 'services' entry 1 ('s'): and 49901 more violations";
    assert_eq!(errors.lines().last().as_deref(), Some(last));
    // An entity of that size is not shown whole.
    assert_eq!(answer[2][0]["entity"], json!({"name": "s"}));

    let (_, answer) = shown(&Value::Object(
        [("_format_version".to_owned(), json!("3.0"))]
            .into_iter()
            .chain(unknown)
            .collect(),
    ));
    assert_eq!(answer[0]["@entity"], json!(["and 49000 more violations"]));

    let many = vec![json!({"host": 1}); 50_000];
    let (errors, answer) = shown(&json!({"_format_version": "3.0", "services": many}));
    assert_eq!(errors.problems.len() + errors.more, 50_000);
    assert_eq!(answer[0]["@entity"], json!(["and 49000 more violations"]));
    assert_eq!(answer[2].as_array().map(Vec::len), Some(1_000));
    assert_eq!(answer[3], json!({"@entity": ["and 49000 more violations"]}));

    let long = "x".repeat(3_000_000);
    let route = json!({"name": "r", "paths": [long], "hosts": [long]});
    shown(&json!({"_format_version": "3.0", "routes": [route]}));
}
