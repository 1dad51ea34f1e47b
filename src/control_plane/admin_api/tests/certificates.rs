//! Certificates, their SNIs, and CA certificates.

use super::support::Admin;
use serde_json::{Value, json};

const MISSING: &str = "00000000-0000-4000-8000-000000999999";

/// A certificate and its key.
pub fn pair() -> Value {
    let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a pair");
    json!({"cert": made.cert.pem(), "key": made.signing_key.serialize_pem()})
}

fn with(pair: &Value, field: &str, value: Value) -> Value {
    let mut body = pair.clone();
    body[field] = value;
    body
}

#[actix::test]
async fn a_list_of_snis_is_made_true() {
    let admin = Admin::start().await;
    let pair = pair();
    let made = admin
        .post(
            "/certificates",
            with(&pair, "snis", json!(["b.test", "a.test"])),
        )
        .await;
    assert_eq!(
        (made.status, &made.body["snis"]),
        (201, &json!(["a.test", "b.test"]))
    );
    let path = format!("/certificates/{}", made.id());
    let sni = admin.get("/snis/a.test").await;
    for (body, expected) in [
        (
            json!({"snis": ["c.test", "a.test"]}),
            json!(["a.test", "c.test"]),
        ),
        (json!({"tags": ["t"]}), json!(["a.test", "c.test"])),
        (json!({"snis": null}), json!([])),
        (json!({"snis": ["a.test"]}), json!(["a.test"])),
    ] {
        let seen = admin.patch(&path, body.clone()).await;
        assert_eq!(
            (seen.status, &seen.body["snis"]),
            (200, &expected),
            "{body}"
        );
    }
    assert_ne!(
        admin.get("/snis/a.test").await.id(),
        sni.id(),
        "it was gone in between"
    );
    assert_eq!(admin.put(&path, pair.clone()).await.body["snis"], json!([]));
    let put = admin
        .put(&path, with(&pair, "snis", json!(["d.test"])))
        .await;
    assert_eq!(put.body["snis"], json!(["d.test"]));
    assert_eq!(admin.get("/snis").await.each("name"), ["d.test"]);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get("/snis").await.body["data"], json!([]));
}

#[actix::test]
async fn an_sni_kept_in_the_list_stays_the_same_entity() {
    let admin = Admin::start().await;
    let made = admin
        .post("/certificates", with(&pair(), "snis", json!(["a.test"])))
        .await;
    let before = admin.get("/snis/a.test").await;
    let path = format!("/certificates/{}", made.id());
    admin
        .patch(&path, json!({"snis": ["b.test", "a.test"]}))
        .await;
    assert_eq!(admin.get("/snis/a.test").await.id(), before.id());
}

#[actix::test]
async fn snis_are_checked_before_the_certificate() {
    let admin = Admin::start().await;
    let pair = pair();
    let owner = admin
        .post("/certificates", with(&pair, "snis", json!(["a.test"])))
        .await;
    let owned = format!(
        "schema violation (snis: a.test already associated with existing certificate '{}')",
        owner.id()
    );
    for (snis, code, message) in [
        (
            json!(["d.test", "d.test"]),
            2,
            "schema violation (snis: d.test is duplicated)",
        ),
        (json!(["a.test"]), 2, &owned),
        (json!(["bad sni"]), 10, "invalid value: bad sni"),
        (json!(["10.0.0.1"]), 10, "must not be an IP"),
        (json!(["a.test:80"]), 10, "must not have a port"),
        (json!([1]), 10, "expected a string"),
    ] {
        let no_pair = json!({"snis": snis});
        for body in [no_pair, with(&pair, "snis", snis.clone())] {
            let seen = admin.post("/certificates", body).await;
            assert_eq!((seen.status, seen.message()), (400, message), "{snis}");
            assert_eq!(seen.body["code"], code, "{snis}");
        }
    }
    let no_list = admin
        .post("/certificates", with(&pair, "snis", json!("a.test")))
        .await;
    assert_eq!(
        no_list.message(),
        "schema violation (snis: expected an array)"
    );
    assert_eq!(
        admin.get("/certificates").await.each("id"),
        [&owner.body["id"]]
    );
}

#[actix::test]
async fn a_certificate_is_named_by_its_snis() {
    let admin = Admin::start().await;
    let pair = pair();
    let made = admin
        .post("/certificates", with(&pair, "snis", json!(["a.test"])))
        .await;
    assert_eq!(admin.get("/certificates/a.test").await.body, made.body);
    assert_eq!(
        admin.get("/certificates/a.test/snis").await.each("name"),
        ["a.test"]
    );
    for method in ["GET", "DELETE", "PATCH"] {
        let body = (method == "PATCH").then(|| json!({}));
        let seen = admin.ask(method, "/certificates/none.test", body).await;
        assert_eq!(
            (seen.status, seen.message()),
            (404, "SNI not found"),
            "{method}"
        );
    }
    let by_id = admin.get(&format!("/certificates/{MISSING}")).await;
    assert_eq!((by_id.status, &by_id.body["code"]), (404, &json!(6)));
    // A new name joins the list of the body, if there is one.
    let put = admin
        .put(
            "/certificates/b.test",
            with(&pair, "snis", json!(["c.test"])),
        )
        .await;
    assert_eq!(
        (put.status, &put.body["snis"]),
        (200, &json!(["b.test", "c.test"]))
    );
    let put = admin.put("/certificates/d.test", pair).await;
    assert_eq!((put.status, &put.body["snis"]), (200, &json!([])));
    assert_eq!(admin.delete("/certificates/b.test").await.status, 204);
    assert_eq!(admin.get("/snis/c.test").await.status, 404);
}

#[actix::test]
async fn a_certificate_in_use_stays_with_its_snis() {
    let admin = Admin::start().await;
    let made = admin
        .post("/certificates", with(&pair(), "snis", json!(["a.test"])))
        .await;
    let service = json!({
        "name": "s", "host": "h", "protocol": "https", "client_certificate": {"id": made.id()},
    });
    assert_eq!(admin.post("/services", service).await.status, 201);
    let refused = admin.delete("/certificates/a.test").await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.body["fields"],
        json!({"@referenced_by": "services"})
    );
    let kept = admin.get("/services/s/client_certificate").await;
    assert_eq!(kept.body["snis"], json!(["a.test"]));
}

#[actix::test]
async fn a_ca_certificate_in_use_stays() {
    let admin = Admin::start().await;
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = authority.self_signed(&key).expect("a certificate").pem();
    let made = admin.post("/ca_certificates", json!({"cert": cert})).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    let digest = made.body["cert_digest"].as_str().expect("a digest");
    assert_eq!(digest.len(), 64);
    let twice = admin.post("/ca_certificates", json!({"cert": cert})).await;
    assert_eq!(
        (twice.status, &twice.body["fields"]["cert_digest"]),
        (409, &json!(digest))
    );
    let service = json!({"host": "h", "protocol": "https", "ca_certificates": [made.id()]});
    let service = admin.post("/services", service).await;
    let path = format!("/ca_certificates/{}", made.id());
    let refused = admin.delete(&path).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!(19)));
    assert_eq!(
        refused.message(),
        format!(
            "ca certificate {} is still referenced by services (id = {})",
            made.id(),
            service.id()
        )
    );
    admin.delete(&format!("/services/{}", service.id())).await;
    assert_eq!(admin.delete(&path).await.status, 204);
}

/// Kong checks no rule between fields of which one is kept in a vault; the tables do.
#[actix::test]
async fn halves_of_pairs_are_refused_in_vaults_too() {
    let admin = Admin::start().await;
    let vaulted = json!("{vault://env/x}");
    let certificate = with(&pair(), "key_alt", vaulted.clone());
    let public = include_str!("../../../schema/data/test_rsa_public.pem");
    let key = json!({"kid": "k", "jwk": vaulted, "pem": {"public_key": public}});
    for (path, body, field) in [
        ("/certificates", certificate, "key_alt"),
        ("/keys", key, "pem"),
    ] {
        let seen = admin.post(path, body).await;
        assert_eq!(
            (seen.status, &seen.body["code"]),
            (400, &json!(2)),
            "{path}"
        );
        assert!(
            seen.body["fields"][field].is_string(),
            "{path}: {}",
            seen.body
        );
    }
}

/// Each writer leaves the names that it was asked for, and those alone.
#[actix::test]
async fn the_names_of_concurrent_writers_are_not_mixed() {
    let admin = Admin::start().await;
    let id = admin.post("/certificates", pair()).await.id().to_owned();
    let path = format!("/certificates/{id}");
    for method in ["PUT", "PATCH"] {
        let writes = (0..8).map(|n| {
            let mut body = pair();
            body["snis"] = json!([format!("{n}.test")]);
            admin.ask(method, &path, Some(body))
        });
        for made in futures_util::future::join_all(writes.collect::<Vec<_>>()).await {
            assert_eq!(made.status, 200, "{}", made.body);
            assert_eq!(
                made.body["snis"].as_array().map(Vec::len),
                Some(1),
                "{method}"
            );
        }
        assert_eq!(admin.get("/snis").await.each("id").len(), 1, "{method}");
    }
}
