//! The recorded answers of Kong's own schema code, replayed against the engine.

use super::env::{Env, Random, Role, RouterFlavor};
use super::{entity, form};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The fixed surroundings of the recording.
pub(super) struct Recorded;

impl Random for Recorded {
    fn uuid(&self) -> Uuid {
        Uuid::from_u128(0x1111_1111_1111_4111_8111_1111_1111_1111)
    }

    fn token(&self) -> String {
        "RANDOMSTRINGRANDOMSTRINGRANDOM00".to_owned()
    }
}

pub(super) fn env() -> Env<'static> {
    Env {
        now_ms: 1_700_000_000_000,
        random: &Recorded,
        role: Role::ControlPlane,
        router_flavor: RouterFlavor::TraditionalCompatible,
        plugins: None,
    }
}

pub(super) fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn rows(text: &'static str) -> impl Iterator<Item = Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a row of JSON"))
}

/// The recording had the loading of keys and certificates replaced by a stub that took
/// everything: the `x` of its rows becomes something that does load.
fn loadable(row: &mut Value) {
    if let Some(key) = row.pointer_mut("/input/pem/public_key") {
        *key = include_str!("data/test_rsa_public.pem").into();
        // The order of these two names was that of a hash table; a running Kong has the
        // order of the schema.
        let text = row["expect"]
            .to_string()
            .replace("'pem', 'jwk'", "'jwk', 'pem'");
        row["expect"] = serde_json::from_str(&text).expect("JSON");
    }
    if let Some(certificate) = row.pointer_mut("/input/cert_alt") {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).expect("params");
        *certificate = params.self_signed(&key).expect("signed").pem().into();
    }
}

fn answer(row: &Value, env: &Env<'_>) -> Value {
    let entity = entity(row["entity"].as_str().unwrap_or_default()).expect("a known entity");
    let input = object(&row["input"]);
    let result = match row["op"].as_str() {
        Some("insert") => entity.insert(input, env),
        Some("upsert") => entity.upsert(input, env),
        Some("update") => {
            // What is stored was inserted once, unless it never could have been.
            let stored = object(&row["stored"]);
            let stored = entity.insert(stored.clone(), env).unwrap_or(stored);
            entity.update(input, &stored, env)
        }
        other => panic!("unknown operation {other:?}"),
    };
    match result {
        Ok(stored) => {
            let shown = entity.read(stored.clone(), env);
            // Storage drops nulls: what is read back is the same, and stays so when touched.
            let stored = object(&without_nulls(Value::Object(stored)));
            assert_eq!(entity.read(stored.clone(), env), shown);
            let touched = entity
                .update(Map::new(), &stored, env)
                .expect("still valid");
            assert_eq!(entity.read(touched, env), shown);
            serde_json::json!({ "result": shown })
        }
        Err(violations) => serde_json::json!({ "error": violations.to_json() }),
    }
}

/// What is left of a row in storage, where null and absent are the same.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        scalar => scalar,
    }
}

/// Lifetimes belong to storage, which the recording did without.
fn without_ttl(mut answer: Value) -> Value {
    if let Some(result) = answer.get_mut("result").and_then(Value::as_object_mut) {
        result.remove("ttl");
    }
    answer
}

#[test]
fn schema_vectors() {
    let env = env();
    let mut failures = Vec::new();
    let mut count = 0;
    for mut row in rows(include_str!("../../tests/data/schema_vectors.jsonl")) {
        count += 1;
        loadable(&mut row);
        let expected = without_ttl(row["expect"].clone());
        let found = without_ttl(answer(&row, &env));
        if found != expected {
            failures.push(format!(
                "row {count}: {} {} {}\n  expected {expected}\n  found    {found}",
                row["entity"], row["op"], row["input"]
            ));
        }
    }
    assert!(count > 100, "the file has {count} rows");
    assert!(
        failures.is_empty(),
        "{} of {count}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn form_vectors() {
    let mut failures = Vec::new();
    let mut count = 0;
    for row in rows(include_str!("../../tests/data/form_vectors.jsonl")) {
        count += 1;
        let entity = entity(row["entity"].as_str().unwrap_or_default()).expect("a known entity");
        let pairs = form::pairs(row["form"].as_str().unwrap_or_default()).expect("a short form");
        let found = Value::Object(form::decode(entity, &pairs, None, &env()));
        if found != row["decoded"] {
            failures.push(format!(
                "{}\n  expected {}\n  found    {found}",
                row["form"], row["decoded"]
            ));
        }
    }
    assert!(count > 30, "the file has {count} rows");
    assert!(
        failures.is_empty(),
        "{} of {count}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
