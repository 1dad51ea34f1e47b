//! Whole documents: what they declare and how they are refused.

use super::super::{Config, Revision};
use super::*;
use crate::schema::{self, Random, Role, RouterFlavor};
use proptest::prelude::*;
use serde_json::json;
use std::cell::Cell;

/// Ids that count up, so that tests see which are random.
#[derive(Default)]
struct Counting(Cell<u128>);

impl Random for Counting {
    fn uuid(&self) -> Uuid {
        self.0.set(self.0.get() + 1);
        Uuid::from_u128(self.0.get())
    }

    fn token(&self) -> String {
        "t".repeat(32)
    }
}

fn with_env<T>(run: impl FnOnce(&Env<'_>) -> T) -> T {
    run(&Env {
        now_ms: 1_700_000_000_000,
        random: &Counting::default(),
        role: Role::DbLess,
        router_flavor: RouterFlavor::default(),
        plugins: None,
    })
}

fn declared(text: &str) -> Declared {
    with_env(|env| parse(text, env)).unwrap_or_else(|err| panic!("{err}"))
}

fn refused(text: &str) -> DeclarativeErrors {
    match with_env(|env| parse(text, env)) {
        Ok(_) => panic!("accepted: {text}"),
        Err(err) => err,
    }
}

/// The stored entities of a document as `{kind: {id: fields}}`, as `POST /config` answers.
fn entities(text: &str) -> Value {
    let mut kinds = Map::new();
    for (kind, id, row) in declared(text).rows {
        let kind = kinds.entry(kind.as_str()).or_insert_with(|| json!({}));
        kind[id.to_string()] = Value::Object(row.to_json().expect("a row"));
    }
    Value::Object(kinds)
}

fn lines(text: &str) -> Vec<String> {
    refused(text).lines().collect()
}

/// The document of the recording: `tests/data` has what a Kong 3.9.3 stored for it.
const RECORDED: &str = include_str!("tests/recorded.yml");

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
    let mut expected: Value =
        serde_json::from_str(include_str!("tests/recorded.json")).expect("JSON");
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

#[test]
fn nested_and_flat_documents_say_the_same() {
    let nested = r#"
_format_version: "3.0"
services:
- name: s
  host: h
  routes:
  - name: r
    paths: [/r]
    plugins:
    - {name: correlation-id, id: 00000000-0000-4000-8000-00000000000a}
consumers:
- username: c
  keyauth_credentials:
  - {key: k, id: 00000000-0000-4000-8000-00000000000b}
upstreams:
- name: u
  targets:
  - {target: t, id: 00000000-0000-4000-8000-00000000000c}
"#;
    let flat = r#"{
"_format_version": "3.0", "_comment": "flat", "_ignore": [{"a": 1}],
"plugins": [{"name": "correlation-id", "route": {"name": "r"}, "id": "00000000-0000-4000-8000-00000000000A", "_comment": "x"}],
"keyauth_credentials": [{"key": "k", "consumer": {"username": "c"}, "id": "00000000-0000-4000-8000-00000000000b"}],
"targets": [{"target": "t", "upstream": "u", "id": "00000000-0000-4000-8000-00000000000c"}],
"routes": [{"name": "r", "paths": ["/r"], "service": "s"}],
"services": [{"name": "s", "host": "h", "id": null}],
"consumers": [{"username": "c", "keyauth_credentials": null}],
"upstreams": [{"name": "u", "targets": {}}]
}"#;
    let config = |text| Config::from_rows(Revision(0), declared(text).rows);
    assert_eq!(config(nested), config(flat));
    assert_eq!(config(nested).len(), 7);
    let of_id = flat.replace(
        r#""service": "s""#,
        r#""service": {"id": "b268827a-8f7f-551f-8769-e6bceb2f3ec6"}"#,
    );
    assert_eq!(config(nested), config(&of_id));
    let of_id = flat.replace(
        r#""service": "s""#,
        r#""service": "B268827A-8F7F-551F-8769-E6BCEB2F3EC6""#,
    );
    assert_eq!(config(nested), config(&of_id));
}

#[test]
fn rows_are_what_a_control_plane_stores() {
    with_env(|env| {
        let text = r#"{"_format_version": "3.0", "targets": [{"upstream": "u", "target": "::1", "weight": 3.0}],
            "upstreams": [{"name": "u"}]}"#;
        let rows = parse(text, env).unwrap_or_else(|err| panic!("{err}")).rows;
        let (_, id, row) = &rows[0];
        let entity = schema::entity("targets").expect("targets");
        let mut input = Map::new();
        input.insert("id".to_owned(), json!(id));
        input.insert("upstream".to_owned(), json!({ "id": rows[1].1 }));
        input.insert("target".to_owned(), json!("::1"));
        input.insert("weight".to_owned(), json!(3));
        entity.prepare(&mut input).expect("an address");
        let stored = entity.insert(input, env).expect("valid");
        assert_eq!(*row, Row::from_json(&stored));
        assert_eq!(
            stored["target"],
            "[0000:0000:0000:0000:0000:0000:0000:0001]:8000"
        );
    });
}

#[test]
fn certificates_with_their_names() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).expect("params");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let cert = params.self_signed(&key).expect("signed").pem();
    let document = json!({
        "_format_version": "3.0",
        "certificates": [{"cert": cert, "key": key.serialize_pem(), "snis": [{"name": "a.test"}]}],
        "ca_certificates": [{"cert": cert}],
    });
    let found = entities(&document.to_string());
    let certificate = Uuid::from_u128(1).to_string();
    let sni = Uuid::from_u128(2).to_string();
    assert_eq!(
        found["snis"][&sni]["certificate"],
        json!({"id": certificate})
    );
    assert_eq!(found["certificates"][&certificate]["snis"], Value::Null);
    let (_, ca) = found["ca_certificates"]
        .as_object()
        .and_then(|map| map.iter().next())
        .expect("one");
    assert_eq!(ca["cert_digest"].as_str().map(str::len), Some(64));

    let mut twice = document.clone();
    twice["ca_certificates"] = json!([{"cert": cert}, {"cert": cert}]);
    twice["certificates"][0]["snis"] = json!(["a.test"]);
    assert_eq!(
        lines(&twice.to_string()),
        [
            "in 'snis' entry 1 of 'certificates' entry 1: expected a record".to_owned(),
            format!(
                "in 'ca_certificates' entry 2: uniqueness violation: 'ca_certificates' entity with cert_digest set to {} already declared",
                ca["cert_digest"].to_string().replace('"', "'")
            ),
        ]
    );
    // Taken as stored: nothing is derived.
    twice["_transform"] = json!(false);
    twice["certificates"] = json!([]);
    let found = entities(&twice.to_string());
    assert_eq!(found["ca_certificates"].as_object().map(Map::len), Some(2));
}

#[test]
fn lifetimes() {
    let text = |ttl: &str| {
        format!(
            "_format_version: '3.0'\nconsumers: [{{username: c, keyauth_credentials: [{{key: k, ttl: {ttl}}}]}}]"
        )
    };
    let ttl = |text: &str| {
        let found = entities(text);
        found["keyauth_credentials"][Uuid::from_u128(1).to_string()]["ttl"].clone()
    };
    assert_eq!(ttl(&text("10")), json!(1_700_000_010));
    assert_eq!(ttl(&text("null")), Value::Null);
    assert_eq!(
        lines(&text("-1")),
        [
            "in 'keyauth_credentials' entry 1 of 'consumers' entry 1 ('c'): ttl: must be an integer between 0 and 100000000"
        ]
    );
}

#[test]
fn regex_paths_from_before_3_0() {
    let text = r#"
_format_version: "2.1"
services: [{name: s, host: h, routes: [{name: a, paths: ['/x/\d+', /y]}]}]
routes: [{name: b, paths: ['/z$']}]
"#;
    let paths = |text: &str| -> Vec<Value> {
        let routes = declared(text)
            .rows
            .into_iter()
            .filter(|row| row.0 == Kind::Routes);
        routes
            .map(|(_, _, row)| row.to_json().expect("a row")["paths"].clone())
            .collect()
    };
    assert_eq!(paths(text), [json!([r"~/x/\d+", "/y"]), json!(["~/z$"])]);
}

#[test]
fn exports_of_kong() {
    let text = r#"
_format_version: "3.0"
_transform: false
workspaces: [{id: 0dc6f45b-8f8d-40d2-a504-473544ee190b, name: default, config: {}, meta: {}}]
parameters: [{key: cluster_id, value: 6b62f0e3-dadd-415f-a463-a28c1e16428f, created_at: null}]
vaults: []
acls: {}
"#;
    let declared = declared(text);
    assert_eq!(declared.ignored, ["workspaces", "parameters"]);
    assert!(declared.rows.is_empty());
    assert_eq!(
        lines(&text.replace("name: default", "name: other")),
        ["workspaces: there is no workspace but 'default'"]
    );
}

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
    check("{bad", "line");
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
    assert!(declared(r#"{"_format_version": "1.1"}"#).rows.is_empty());
}

/// The recorded document with every kind of mistake. Kong stops after the schema's complaints;
/// here the second service and the missing parent are named at the same time.
#[test]
fn all_problems_at_once() {
    let text = r#"{"_format_version": "3.0",
        "services": [{"name": "s", "host": "h", "port": "x", "zz": 1,
            "routes": [{"name": "r", "paths": ["nop"]}],
            "plugins": [{"name": "nope"}, {"name": "rate-limiting", "config": {}}]},
            {"name": "s", "host": "dup"}],
        "routes": [{"name": "orphan", "paths": ["/o"], "service": "nosuch"}],
        "consumers": [{}],
        "upstreams": [{"name": "bad name", "targets": [{"target": "x y"}]}]}"#;
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
                "uniqueness violation: 'services' entity with name set to 's' already declared",
            ],
            "routes": [{"service": "invalid reference 'service: nosuch' (no such entry in 'services')"}],
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
                "in 'routes' entry 1: service: invalid reference 'service: {id}' (no such entry in 'services')"
            ),
            "in 'routes' entry 2: service.id: expected a valid UUID",
            "in 'routes' entry 3: service.id: missing primary key",
        ],
    );
    check(
        json!({"plugins": [{"name": "key-auth", "route": {"name": "r"}}]}),
        &[
            "in 'plugins' entry 1 ('key-auth'): route: invalid reference 'route: r' (no such entry in 'routes')",
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

/// Credentials, keys and vaults are nested and named like everything else.
#[test]
fn credentials_keys_and_vaults() {
    let text = json!({
        "_format_version": "3.0",
        "consumers": [{
            "username": "c",
            "basicauth_credentials": [{"username": "u", "password": "p"}],
            "hmacauth_credentials": [{"username": "h", "secret": "s"}],
            "jwt_secrets": [{"key": "k"}],
            "acls": [{"group": "g"}],
            "oauth2_credentials": [{"name": "app", "oauth2_tokens": [{"expires_in": 5}]}],
        }],
        "vaults": [{"name": "env", "prefix": "vv", "config": {"prefix": "X_"}}],
        "key_sets": [{"name": "s"}],
        "keys": [{
            "kid": "k", "set": "s",
            "pem": {"public_key": include_str!("../../schema/data/test_rsa_public.pem")},
        }],
    });
    let declared = declared(&text.to_string());
    let row = |kind: Kind| {
        let (_, id, row) = declared
            .rows
            .iter()
            .find(|(of, ..)| *of == kind)
            .expect("a row");
        (id.to_string(), row.to_json().expect("json"))
    };
    let (consumer, _) = row(Kind::Consumers);
    let (id, password) = row(Kind::BasicauthCredentials);
    let namespace = Uuid::new_v5(
        &Uuid::from_u128(0xfd02_801f_0957_4a15_a55a_c8d9_606f_30b5),
        b"basicauth_credentials",
    );
    assert_eq!(
        id,
        Uuid::new_v5(&namespace, b"basicauth_credentials:*:u").to_string()
    );
    assert_eq!(password["consumer"]["id"], *consumer);
    assert_eq!(password["password"].as_str().map(str::len), Some(40));
    assert_eq!(row(Kind::Acls).1["consumer"]["id"], *consumer);
    let (application, _) = row(Kind::Oauth2Credentials);
    assert_eq!(row(Kind::Oauth2Tokens).1["credential"]["id"], *application);
    assert_eq!(row(Kind::Keys).1["set"]["id"], *row(Kind::KeySets).0);
    assert_eq!(row(Kind::Vaults).1["config"]["prefix"], "X_");
}

/// The examples of the documentation work.
#[test]
fn documented_examples() {
    let text = include_str!("../../../docs/declarative.md");
    let mut examples = 0;
    for block in text.split("\n```yaml\n").skip(1) {
        let (example, _) = block.split_once("\n```").expect("an end");
        assert!(!declared(example).rows.is_empty(), "{example}");
        examples += 1;
    }
    assert_eq!(examples, 3);
    for fact in [
        format!("{} MiB", MAX_TEXT_BYTES / 1024 / 1024),
        format!("{MAX_DEPTH} levels"),
        format!("{} million values", MAX_VALUES / 1_000_000),
        format!("{} MiB of text", MAX_STRING_BYTES / 1024 / 1024),
    ] {
        assert!(text.contains(&fact), "{fact}");
    }
    for kind in Kind::ALL {
        assert!(text.contains(&format!("`{kind}`")), "{kind}");
    }
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

proptest! {
    /// Services with routes, in any order and nesting, give one configuration.
    #[test]
    fn the_way_of_writing_does_not_matter(
        routes in proptest::collection::vec((0usize..4, any::<bool>()), 0..12),
        reversed in any::<bool>(),
    ) {
        let route = |n: usize| json!({"name": format!("r{n}"), "paths": [format!("/{n}")]});
        let mut nested: Vec<Value> = (0..4).map(|n| json!({"name": format!("s{n}"), "host": "h", "routes": []})).collect();
        let mut mixed = nested.clone();
        let mut flat = Vec::new();
        for (n, (service, nest)) in routes.iter().enumerate() {
            let push = |services: &mut Vec<Value>| {
                if let Value::Array(routes) = &mut services[*service]["routes"] {
                    routes.push(route(n));
                }
            };
            push(&mut nested);
            if *nest {
                push(&mut mixed);
                continue;
            }
            let mut route = route(n);
            route["service"] = json!(format!("s{service}"));
            flat.push(route);
        }
        if reversed {
            mixed.reverse();
            flat.reverse();
        }
        let nested = json!({"_format_version": "3.0", "services": nested});
        let mixed = json!({"routes": flat, "services": mixed, "_format_version": "3.0"});
        let config = |document: &Value| Config::from_rows(Revision(0), declared(&document.to_string()).rows);
        prop_assert_eq!(config(&nested).digest(), config(&mixed).digest());
        prop_assert_eq!(config(&nested).len(), 4 + routes.len());
    }

    /// No text brings the reader down.
    #[test]
    fn any_text_has_an_answer(text in r#"(?s)[-:{}\[\]&*!|>'"%#,?@~ \na-c_0-9<]{0,60}"#) {
        let rows = with_env(|env| parse(&text, env)).map(|declared| declared.rows.len());
        prop_assert!(rows.is_err() || rows == Ok(0));
    }
}
