//! What references become, and what happens when their vaults change.

use super::*;
use crate::data_plane::router::test_support::{TestFactory, change, delete, id, plugin};
use crate::data_plane::router::{Instead, Options, Outcome, RouterState};
use crate::model::Op;
use serde_json::json;

fn vaults() -> Vaults {
    let variables = [
        ("PLAIN", "value"),
        ("MY_PLAIN", "mine"),
        ("YOUR_PLAIN", "yours"),
        ("SETTINGS_PLAIN", "by the settings"),
        ("OBJECT", r#"{"key": "inner"}"#),
    ];
    Vaults::new(
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
        "",
    )
}

fn row(fields: Value) -> Row {
    Row::from_json(fields.as_object().expect("an object"))
}

fn vault(n: u128, fields: Value) -> Op {
    let mut entity = json!({"id": id(n), "name": "env", "config": {}});
    let given = fields.as_object().expect("an object").clone();
    entity.as_object_mut().expect("an object").extend(given);
    Op::Put {
        kind: Kind::Vaults,
        id: id(n),
        row: row(entity),
    }
}

fn config(ops: Vec<Op>) -> Config {
    let mut config = Config::default();
    config.commit(config.revision().next(), ops);
    config
}

#[test]
fn trial_11_references_in_fields_become_what_they_stand_for() {
    let config = config(vec![
        vault(
            1,
            json!({"prefix": "my-vault", "config": {"prefix": "my-"}}),
        ),
        vault(2, json!({"prefix": "bare"})),
        vault(3, json!({"prefix": "strange", "name": "hcv"})),
    ]);
    for (reference, expected) in [
        ("{vault://env/plain}", Ok("value")),
        ("{vault://env/object/key}", Ok("inner")),
        ("{vault://my-vault/plain}", Ok("mine")),
        ("{vault://my-vault/plain?prefix=your_}", Ok("yours")),
        ("{vault://bare/plain}", Ok("value")),
        (
            "{vault://env/nope}",
            Err("the environment variable NOPE is not set"),
        ),
        ("{vault://gone/plain}", Err("there is no vault 'gone'")),
        (
            "{vault://strange/plain}",
            Err("the vault 'strange' is not of the kind env"),
        ),
    ] {
        let with =
            |text: &str| row(json!({"id": id(9), "cert": text, "key": "k", "tags": [reference]}));
        let found = vaults().resolve(&config, (Kind::Certificates, id(9)), &with(reference));
        let expected = expected
            .map(|value| Some(with(value)))
            .map_err(|why| vec![format!("cert: {reference} cannot be resolved: {why}")]);
        assert_eq!(found, expected, "{reference}");
        // Not so in a plugin: an empty text takes its place.
        let with = |text: &str| {
            let redis = json!({"redis": {"password": text}});
            row(json!({"id": id(9), "name": "rate-limiting", "config": redis}))
        };
        let found = vaults().resolve(&config, (Kind::Plugins, id(9)), &with(reference));
        let value = expected_text(&expected);
        assert_eq!(found, Ok(Some(with(&value))), "{reference}");
    }
}

fn expected_text(certificate: &Result<Option<Row>, Vec<String>>) -> String {
    let row = certificate.as_ref().ok().and_then(Option::as_ref);
    let json = row.map(|row| row.to_json().expect("json"));
    let text = json.and_then(|json| json["cert"].as_str().map(str::to_owned));
    text.unwrap_or_default()
}

#[test]
fn trial_11_what_has_no_reference_is_not_touched() {
    let reference = "{vault://env/plain}";
    for (kind, fields) in [
        (
            Kind::Certificates,
            json!({"id": id(9), "cert": "c", "key": "k"}),
        ),
        (Kind::Consumers, json!({"id": id(9), "username": reference})),
    ] {
        let found = vaults().resolve(&Config::default(), (kind, id(9)), &row(fields));
        assert_eq!(found, Ok(None), "{kind}");
    }
    let prefixed = Vaults::new(
        [("SETTINGS_PLAIN".to_owned(), "by the settings".to_owned())],
        "settings-",
    );
    let certificate = |text: &str| row(json!({"id": id(9), "cert": text, "key": "k"}));
    let found = prefixed.resolve(
        &Config::default(),
        (Kind::Certificates, id(9)),
        &certificate(reference),
    );
    assert_eq!(found, Ok(Some(certificate("by the settings"))));
}

/// A certificate whose text and key are references, and a node that has two pairs in its environment.
fn node() -> (RouterState, Op) {
    let pair = |name: &str| {
        let signed = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("signs");
        [signed.cert.pem(), signed.signing_key.serialize_pem()]
    };
    let (one, two) = (pair("one.test"), pair("two.test"));
    let names = ["ONE_CERT", "ONE_KEY", "TWO_CERT", "TWO_KEY"].map(str::to_owned);
    let variables = names.into_iter().zip(one.into_iter().chain(two));
    let state = RouterState::new(
        Arc::new(TestFactory),
        Options {
            vaults: Vaults::new(variables, ""),
            ..Options::default()
        },
    );
    let fields = json!({
        "id": id(9), "cert": "{vault://tls/cert}", "key": "{vault://tls/key}",
    });
    let certificate = Op::Put {
        kind: Kind::Certificates,
        id: id(9),
        row: row(fields),
    };
    (state, certificate)
}

fn apply(state: &mut RouterState, ops: Vec<Op>) -> Outcome {
    let change = change(state.config(), ops);
    state.apply(&change, 1.0).expect("applies")
}

/// The certificate in effect.
fn served(outcome: &Outcome) -> Option<Vec<u8>> {
    let certificate = outcome.snapshot.client_certificate(id(9))?;
    Some(certificate.keys[0].cert[0].to_vec())
}

#[test]
fn trial_11_when_a_vault_changes_what_refers_to_it_is_compiled_again() {
    let (mut state, certificate) = node();
    let tls = |prefix: &str| vault(1, json!({"prefix": "tls", "config": {"prefix": prefix}}));

    // Without its vault it is in quarantine, with a reason that has the reference and no value.
    let outcome = apply(&mut state, vec![certificate]);
    assert_eq!(served(&outcome), None);
    let reason = &outcome.quarantined[0].reason;
    assert!(
        reason.contains("cert: {vault://tls/cert} cannot be resolved: there is no vault 'tls'"),
        "{reason}"
    );
    assert_eq!(outcome.quarantined[0].instead, Instead::Nothing);

    let outcome = apply(&mut state, vec![tls("one_")]);
    assert!(outcome.quarantined.is_empty());
    let one = served(&outcome).expect("in effect");

    // Broken: the last good one goes on.
    let outcome = apply(&mut state, vec![tls("gone_")]);
    assert_eq!(outcome.quarantined.len(), 1);
    assert_eq!(outcome.quarantined[0].instead, Instead::LastGood);
    assert_eq!(served(&outcome).as_ref(), Some(&one));

    // Mended with another pair: the row is as it was, what it stands for is not.
    let outcome = apply(&mut state, vec![tls("two_")]);
    assert!(outcome.quarantined.is_empty());
    let two = served(&outcome).expect("in effect");
    assert_ne!(one, two);

    let outcome = apply(&mut state, vec![delete(Kind::Vaults, 1)]);
    assert_eq!(outcome.quarantined.len(), 1);
    assert_eq!(served(&outcome), Some(two));

    // Whoever refers to nothing is left alone.
    let outcome = apply(&mut state, vec![plugin(4, json!({}))]);
    let compiled = outcome.work.compiled;
    let outcome = apply(&mut state, vec![tls("one_")]);
    assert_eq!(compiled, 1);
    assert_eq!(outcome.work.compiled, 2, "the vault and the certificate");
}
