//! What the recorded vectors leave open: updates, reading back, flavours, roles.

use super::env::{Env, Role, RouterFlavor};
use super::vectors::{env, object, without_nulls};
use super::{Ttl, Violations, entities, entity};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn insert(name: &str, input: Value, env: &Env<'_>) -> Result<Map<String, Value>, Violations> {
    entity(name).expect("an entity").insert(object(&input), env)
}

fn update(name: &str, stored: &Map<String, Value>, patch: Value) -> Result<Value, Violations> {
    let entity = entity(name).expect("an entity");
    let row = entity.update(object(&patch), stored, &env())?;
    Ok(Value::Object(entity.read(row, &env())))
}

/// The fields of the violations, or null.
fn refused(name: &str, input: Value, env: &Env<'_>) -> Value {
    match insert(name, input, env) {
        Ok(_) => Value::Null,
        Err(violations) => Value::Object(violations.fields),
    }
}

#[test]
fn names_and_keys() {
    let check = |name: &str, path: &str, nested: &str, key: Option<&str>, cache_key: &[&str]| {
        let entity = entity(name).expect("an entity");
        let found: Vec<&str> = entity.cache_key.iter().map(|part| &**part).collect();
        assert_eq!(
            (
                &*entity.admin_path,
                &*entity.nested_name,
                entity.endpoint_key.as_deref(),
                found
            ),
            (path, nested, key, cache_key.to_vec()),
        );
    };
    check("services", "/services", "services", Some("name"), &[]);
    check(
        "keyauth_credentials",
        "/key-auths",
        "key-auth",
        Some("key"),
        &["key"],
    );
    check("key_sets", "/key-sets", "key-sets", Some("name"), &[]);
    check(
        "targets",
        "/targets",
        "targets",
        Some("target"),
        &["upstream", "target"],
    );
    let plugins = entity("plugins").expect("plugins");
    let parents: Vec<&str> = plugins
        .foreign_fields()
        .map(|(_, f)| &*f.reference)
        .collect();
    assert_eq!(parents, ["routes", "services", "consumers"]);
    let unique: Vec<&str> = plugins.unique_fields().map(|field| &*field.name).collect();
    assert_eq!(unique, ["instance_name"]);
    assert!(entity("targets").is_some_and(|targets| targets.has_precise_timestamps()));
    assert_eq!(entities().count(), 28);
}

#[test]
fn a_patch_merges_records_and_replaces_the_rest() {
    let stored = insert(
        "plugins",
        json!({"name": "rate-limiting", "config": {"minute": 5, "redis": {"host": "a.test"}}}),
        &env(),
    )
    .expect("valid");
    let after = update(
        "plugins",
        &stored,
        json!({"name": "rate-limiting", "config": {"redis_port": 6380, "second": 1}}),
    )
    .expect("valid");
    assert_eq!(after["config"]["redis"]["host"], "a.test");
    assert_eq!(after["config"]["redis"]["port"], 6380);
    assert_eq!(after["config"]["redis_port"], 6380);
    assert_eq!(after["config"]["minute"], 5);

    let stored = insert("upstreams", json!({"name": "u", "hash_on": "ip"}), &env()).expect("valid");
    assert_eq!(stored["algorithm"], "consistent-hashing");
    let after = update(
        "upstreams",
        &stored,
        json!({"algorithm": "least-connections"}),
    );
    let after = after.expect("valid");
    assert_eq!(
        (&after["algorithm"], &after["hash_on"]),
        (&json!("least-connections"), &json!("none"))
    );

    let stored = insert(
        "routes",
        json!({"name": "r", "hosts": ["a"], "headers": {"a": ["1"]}}),
        &env(),
    );
    let stored = stored.expect("valid");
    let after = update(
        "routes",
        &stored,
        json!({"headers": {"b": ["2"]}, "hosts": ["b"]}),
    );
    let after = after.expect("valid");
    assert_eq!(
        (&after["headers"], &after["hosts"]),
        (&json!({"b": ["2"]}), &json!(["b"]))
    );
}

#[test]
fn a_change_of_plugin_names_what_no_longer_fits() {
    let stored = insert("plugins", json!({"name": "key-auth"}), &env()).expect("valid");
    let violations =
        update("plugins", &stored, json!({"name": "basic-auth"})).expect_err("refused");
    assert_eq!(
        violations.message(),
        "6 schema violations (config.key_in_body: unknown field; config.key_in_header: unknown field; \
         config.key_in_query: unknown field; config.key_names: unknown field; \
         config.realm: required field missing; config.run_on_preflight: unknown field)"
    );
}

#[test]
fn secrets_that_depend_on_others_are_given_together() {
    let consumer = json!({"id": "22222222-2222-4222-8222-222222222222"});
    let both = "all or none of these fields must be set: 'password', 'consumer.id'";
    assert_eq!(
        refused(
            "basicauth_credentials",
            json!({"username": "u", "password": "p"}),
            &env()
        ),
        json!({"@entity": [both], "consumer": "required field missing"})
    );
    let stored = insert(
        "basicauth_credentials",
        json!({"username": "u", "password": "p", "consumer": consumer}),
        &env(),
    )
    .expect("valid");
    let check = |patch: Value, good: bool| {
        assert_eq!(
            update("basicauth_credentials", &stored, patch.clone()).is_ok(),
            good,
            "{patch}"
        );
    };
    check(json!({"username": "v"}), true);
    check(json!({"password": "q"}), false);
    check(json!({"password": "q", "consumer": consumer}), true);
    check(
        json!({"consumer": {"id": "33333333-3333-4333-8333-333333333333"}}),
        false,
    );
}

#[test]
fn lifetimes() {
    let credentials = entity("keyauth_credentials").expect("an entity");
    let consumer = json!({"id": "22222222-2222-4222-8222-222222222222"});
    let check = |ttl: Value, expected: Option<Value>| {
        let input = object(&json!({"consumer": consumer, "ttl": ttl}));
        let checked = Ttl::check(credentials, &input);
        assert_eq!(checked.is_ok(), expected.is_some(), "{ttl}");
        let Some(expected) = expected else {
            let body = checked.expect_err("refused").to_json();
            assert_eq!(body["code"], 11);
            assert_eq!(
                body["message"],
                "invalid option (ttl: must be an integer between 0 and 100000000)"
            );
            return;
        };
        let row = credentials.insert(input, &env()).expect("valid");
        assert_eq!(credentials.read(row.clone(), &env())["ttl"], expected);
        let later = Env {
            now_ms: 1_700_000_100_000,
            ..env()
        };
        let kept = credentials
            .update(object(&json!({"tags": ["a"]})), &row, &later)
            .expect("valid");
        assert_eq!(kept["ttl"], row["ttl"]);
    };
    check(json!(3600), Some(json!(3600)));
    check(json!(60.0), Some(json!(60)));
    check(json!(0), Some(Value::Null));
    check(Value::Null, Some(Value::Null));
    for bad in [json!(-1), json!("a"), json!(1.5), json!(100_000_001)] {
        check(bad, None);
    }
}

#[test]
fn router_flavors() {
    let with = |router_flavor| Env {
        router_flavor,
        ..env()
    };
    let wildcard = json!({"snis": ["*.a.test"], "protocols": ["https"]});
    assert_eq!(
        refused(
            "routes",
            wildcard.clone(),
            &with(RouterFlavor::TraditionalCompatible)
        ),
        Value::Null
    );
    assert_eq!(
        refused("routes", wildcard, &with(RouterFlavor::Traditional)),
        json!({"snis": ["invalid value: *.a.test"]})
    );
    let expression = json!({"expression": "http.path == \"/\"", "priority": 3});
    assert_eq!(
        refused(
            "routes",
            expression.clone(),
            &with(RouterFlavor::Expressions)
        ),
        Value::Null
    );
    let compatible = refused("routes", expression, &env());
    assert_eq!(compatible["expression"], "unknown field");
    let both = json!({"expression": "http.path == \"/\"", "paths": ["/"]});
    assert_eq!(
        refused("routes", both, &with(RouterFlavor::Expressions)),
        json!({"@entity": ["Router Expression failed validation: cannot set 'expression' with \
            'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations' simultaneously"]})
    );
}

#[test]
fn roles_and_enabled_plugins() {
    let cluster = json!({"name": "rate-limiting", "config": {"minute": 1, "policy": "cluster"}});
    let traditional = Env {
        role: Role::Traditional,
        ..env()
    };
    assert_eq!(
        refused("plugins", cluster.clone(), &traditional),
        Value::Null
    );
    assert_eq!(
        refused("plugins", cluster, &env()),
        json!({"config": {"policy": "expected one of: local, redis"}})
    );
    let only_cors = std::collections::BTreeSet::from(["cors".to_owned()]);
    let few = Env {
        plugins: Some(&only_cors),
        ..env()
    };
    assert_eq!(
        refused("plugins", json!({"name": "cors"}), &few),
        Value::Null
    );
    assert_eq!(
        refused("plugins", json!({"name": "acl"}), &few),
        json!({"name": "plugin 'acl' not enabled; add it to the 'plugins' configuration property"})
    );
}

#[test]
fn vault_references_skip_what_looks_at_the_value() {
    let cert = "{vault://env/cert}";
    assert_eq!(
        refused(
            "certificates",
            json!({"cert": cert, "key": "{vault://env/key}"}),
            &env()
        ),
        Value::Null
    );
    let redis = json!({"name": "rate-limiting", "config": {"minute": 1, "redis": {"password": "{vault://env/p}"}}});
    assert_eq!(refused("plugins", redis, &env()), Value::Null);
}

#[test]
fn certificates_keep_their_names_elsewhere() {
    let input =
        json!({"cert": "{vault://a/c}", "key": "{vault://a/k}", "snis": ["a.test"], "id": null});
    let row = insert("certificates", input, &env()).expect("valid");
    assert!(!row.contains_key("snis"));
    assert_eq!(row["id"], "11111111-1111-4111-8111-111111111111");
    let certificates = entity("certificates").expect("an entity");
    assert_eq!(certificates.read(row, &env())["snis"], Value::Null);
    let input = json!({"cert": "{vault://a/c}", "key": "{vault://a/k}", "snis": ["a b"]});
    assert_eq!(
        refused("certificates", input, &env()),
        json!({"snis": ["invalid value: a b"]})
    );
}

#[test]
fn keys_in_paths() {
    let check = |name: &str, field: &str, value: &str, expected: Result<(), &str>| {
        let found = entity(name)
            .expect("an entity")
            .check_field(field, &json!(value), &env());
        assert_eq!(found, expected.map_err(str::to_owned));
    };
    check("services", "name", "a", Ok(()));
    check(
        "services",
        "name",
        "bad name",
        Err(
            "invalid value 'bad name': the only accepted ascii characters are alphanumerics or ., -, _, and ~",
        ),
    );
    check("services", "id", "x", Err("expected a valid UUID"));
    check("services", "nope", "x", Err("unknown field"));
}

#[test]
fn parents_named_by_unique_fields() {
    let routes = entity("routes").expect("routes");
    let check = |service: Value, expected: Option<(&str, &str)>| {
        let found = routes.lookups(&object(&json!({"service": service})), &env());
        let found = found
            .first()
            .map(|lookup| (&*lookup.by, lookup.value.as_str()));
        assert_eq!(found, expected);
    };
    check(json!({"name": "s1"}), Some(("name", "s1")));
    check(json!({"name": null}), None);
    check(json!({"name": "a b"}), None);
    check(
        json!({"name": "s1", "id": "22222222-2222-4222-8222-222222222222"}),
        None,
    );
    check(json!("s1"), None);
    assert_eq!(
        refused(
            "routes",
            json!({"paths": ["/"], "service": {"protocol": "foo"}}),
            &env()
        )["service"]["protocol"],
        "expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp"
    );
}

#[test]
fn targets_are_normalised_before_they_are_validated() {
    let targets = entity("targets").expect("targets");
    let check = |target: Value, expected: Result<Value, &str>| {
        let mut input = object(&json!({ "target": target }));
        match (targets.prepare(&mut input), expected) {
            (Ok(()), Ok(expected)) => assert_eq!(input["target"], expected),
            (Err(violations), Err(text)) => assert_eq!(violations.fields["target"], text),
            (found, expected) => panic!("{found:?} for {expected:?}"),
        }
    };
    let bad = "Invalid target; not a valid hostname or ip address";
    check(json!("a.test"), Ok(json!("a.test:8000")));
    check(json!(1), Ok(json!(1)));
    check(json!(""), Err(bad));
    check(json!("1.1.1.1:99999"), Err(bad));
}

/// Any JSON, with keys that schemas know now and then.
fn anything() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5i64..70_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z/~*{}:. ]{0,6}".prop_map(Value::from),
        prop_oneof![
            "http",
            "https",
            "tcp",
            "key-auth",
            "rate-limiting",
            "ip",
            "none"
        ]
        .prop_map(Value::from),
    ];
    let key = prop_oneof![
        "name",
        "id",
        "host",
        "protocols",
        "paths",
        "config",
        "url",
        "redis",
        "redis_host",
        "limits",
        "hash_on",
        "algorithm",
        "headers",
        "service",
        "tags",
        "minute",
        "sources",
        "ttl",
        "snis"
    ];
    scalar.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Databases keep the times of targets as floats, and one in a thousand is a whole second.
#[test]
fn whole_numbers_are_shown_without_a_fraction() {
    let targets = entity("targets").expect("an entity");
    let stored = object(&json!({ "created_at": 1_795_323_993.0, "updated_at": 1.5 }));
    let shown = targets.read(stored, &env());
    let times = [&shown["created_at"], &shown["updated_at"]].map(Value::to_string);
    assert_eq!(times, ["1795323993", "1.5"]);
}

proptest! {
    #[test]
    fn any_input_gets_an_answer_that_stays_true(
        input in anything(), patch in anything(), at in 0usize..28, flavor in 0usize..3
    ) {
        let router_flavor = [
            RouterFlavor::Traditional,
            RouterFlavor::TraditionalCompatible,
            RouterFlavor::Expressions,
        ][flavor];
        let env = Env { router_flavor, ..env() };
        let entity = entities().nth(at).expect("28 entities");
        match entity.insert(object(&input), &env) {
            Err(violations) => prop_assert!(!violations.fields.is_empty() && !violations.message().is_empty()),
            Ok(row) => {
                // Storage drops nulls; what is read back is the same.
                let stored = object(&without_nulls(Value::Object(row.clone())));
                let shown = entity.read(row, &env);
                prop_assert_eq!(&entity.read(stored.clone(), &env), &shown);
                // A patch of nothing changes nothing.
                let same = entity.update(Map::new(), &stored, &env).expect("still valid");
                prop_assert_eq!(&entity.read(same, &env), &shown);
                let _ = entity.update(object(&patch), &stored, &env);
            }
        }
    }
}
