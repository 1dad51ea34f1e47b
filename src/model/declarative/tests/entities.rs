//! What documents declare.

use super::*;

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

    let config = |text| Config::from_rows(Revision(0), declared(text).rows());
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
        let declared = parse(text, env).unwrap_or_else(|err| panic!("{err}"));
        let rows: Vec<_> = declared.rows().collect();
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
fn beside_23_lifetimes() {
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
fn beside_10_paths_from_before_3_0() {
    let text = r#"
_format_version: "2.1"
services: [{name: s, host: h, routes: [{name: a, paths: ['/x/\d+', /y, /a%20b, /a//b]}]}]
routes: [{name: b, paths: ['/z$', '~/a%20b']}]
"#;

    let paths = |text: &str| -> Vec<Value> {
        let routes = declared(text).entities.into_iter();
        routes
            .filter(|(kind, ..)| *kind == Kind::Routes)
            .map(|(_, _, route)| route.unpack()["paths"].clone())
            .collect()
    };
    let migrated = [
        json!([r"~/x/\d+", "/y", "/a b", "/a/b"]),
        json!(["~/z$", "~/a b"]),
    ];
    assert_eq!(paths(text), migrated);
    assert_eq!(paths(&text.replace("2.1", "1.1")), migrated);
    let new = refused(&text.replace("2.1", "3.0"));
    assert_eq!(
        new.lines().collect::<Vec<_>>(),
        [
            "in 'routes' entry 1 ('a') of 'services' entry 1 ('s'): paths.3: non-normalized path, consider use '/a b' instead",
            "in 'routes' entry 1 ('a') of 'services' entry 1 ('s'): paths.4: must not have empty segments",
        ]
    );
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
    assert!(declared.entities.is_empty());
    assert_eq!(
        lines(&text.replace("name: default", "name: other")),
        ["workspaces: there is no workspace but 'default'"]
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
            "pem": {"public_key": include_str!("../../../schema/data/test_rsa_public.pem")},
        }],
    });
    let declared = declared(&text.to_string());
    let row = |kind: Kind| {
        let (_, id, entity) = declared
            .entities
            .iter()
            .find(|(of, ..)| *of == kind)
            .expect("an entity");
        (id.to_string(), entity.unpack())
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
    let text = include_str!("../../../../docs/declarative.md");
    let mut examples = 0;
    for block in text.split("\n```yaml\n").skip(1) {
        let (example, _) = block.split_once("\n```").expect("an end");
        assert!(!declared(example).entities.is_empty(), "{example}");
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

/// Langur takes it, and somebody who also loads the file into a Kong wants to know.
#[test]
fn beside_17_references_by_object_with_a_name() {
    let not_in_kong = |reference: &str| {
        let text = format!(
            r#"{{"_format_version": "3.0", "services": [{{"name": "s", "host": "h"}}],
                "plugins": [{{"name": "key-auth", "service": {reference}}}]}}"#
        );
        declared(&text).not_in_kong
    };
    assert_eq!(
        not_in_kong(r#"{"name": "s"}"#),
        [
            "in 'plugins' entry 1 ('key-auth'): service: Kong takes the name itself or an object with an id, not an object with a name"
        ]
    );
    let none: [&str; 0] = [];
    assert_eq!(not_in_kong(r#""s""#), none);
    let id = "b268827a-8f7f-551f-8769-e6bceb2f3ec6";
    assert_eq!(not_in_kong(&format!(r#"{{"id": "{id}"}}"#)), none);
}
