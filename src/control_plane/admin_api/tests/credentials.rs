//! Credentials, vaults and keys: what they have beside the ways of every entity.

use super::support::{Admin, request};
use serde_json::{Value, json};

const CONSUMER: &str = "00000000-0000-4000-8000-000000000201";
const MISSING: &str = "00000000-0000-4000-8000-000000999999";
const PUBLIC_KEY: &str = include_str!("../../../schema/data/test_rsa_public.pem");

async fn with_consumers() -> Admin {
    let admin = Admin::start().await;
    let alice = json!({"username": "alice", "id": CONSUMER});
    assert_eq!(admin.post("/consumers", alice).await.status, 201);
    let bob = json!({"username": "bob"});
    assert_eq!(admin.post("/consumers", bob).await.status, 201);
    admin
}

/// One collection each: under a consumer and beside it, by id and by key, and gone with it.
#[actix::test]
async fn every_credential_has_the_same_ways() {
    let admin = with_consumers().await;
    for (nested, top, body, key, taken) in [
        (
            "key-auth",
            "key-auths",
            json!({"key": "k"}),
            "k",
            "{key=\"k\"}",
        ),
        (
            "basic-auth",
            "basic-auths",
            json!({"username": "u", "password": "p"}),
            "u",
            "{username=\"u\"}",
        ),
        (
            "hmac-auth",
            "hmac-auths",
            json!({"username": "u"}),
            "u",
            "{username=\"u\"}",
        ),
        ("jwt", "jwts", json!({"key": "k"}), "k", "{key=\"k\"}"),
        (
            "oauth2",
            "oauth2",
            json!({"name": "a", "client_id": "i"}),
            "i",
            "{client_id=\"i\"}",
        ),
        (
            "acls",
            "acls",
            json!({"group": "g"}),
            "g",
            "{consumer={id=\"00000000-0000-4000-8000-000000000201\"},group=\"g\"}",
        ),
    ] {
        let own = format!("/consumers/alice/{nested}");
        let made = admin.post(&own, body.clone()).await;
        assert_eq!(made.status, 201, "{nested}: {:?}", made.body);
        assert_eq!(made.body["consumer"], json!({"id": CONSUMER}), "{nested}");
        let again = admin.post(&own, body.clone()).await;
        let text = format!("UNIQUE violation detected on '{taken}'");
        assert_eq!((again.status, again.message()), (409, &*text), "{nested}");

        let by_key = format!("{own}/{key}");
        let by_id = format!("{own}/{}", made.id());
        for path in [&by_key, &by_id, &format!("/{top}/{}", made.id())] {
            let read = admin.get(path).await;
            assert_eq!((read.status, &read.body), (200, &made.body), "{path}");
        }
        let list = admin.get(&format!("/{top}")).await;
        assert_eq!(list.each("id"), [&made.body["id"]], "{top}");
        let owner = admin.get(&format!("/{top}/{}/consumer", made.id())).await;
        assert_eq!(owner.body["username"], "alice", "{top}");

        let others = format!("/consumers/bob/{nested}/{}", made.id());
        for method in ["GET", "PATCH", "DELETE"] {
            let body = Some(json!({"tags": ["x"]}));
            let seen = admin.ask(method, &others, body).await;
            assert_eq!(seen.status, 404, "{method} {others}");
        }
        let tagged = admin.patch(&by_key, json!({"tags": ["x"]})).await;
        assert_eq!(
            (tagged.status, &tagged.body["tags"]),
            (200, &json!(["x"])),
            "{nested}"
        );

        assert_eq!(admin.delete(&by_key).await.status, 204, "{nested}");
        assert_eq!(admin.delete(&by_key).await.status, 404, "{nested}");
        // By its key it is made again, and gone with its consumer in the end.
        let put = admin.put(&by_key, body).await;
        assert_eq!(put.status, 200, "{nested}: {:?}", put.body);
        assert_ne!(put.id(), made.id(), "{nested}");
        let orphan = admin.post(&format!("/{top}"), json!({})).await;
        assert_eq!(
            orphan.body["fields"]["consumer"], "required field missing",
            "{top}"
        );
    }
    assert_eq!(admin.delete("/consumers/alice").await.status, 204);
    for top in [
        "key-auths",
        "basic-auths",
        "hmac-auths",
        "jwts",
        "oauth2",
        "acls",
    ] {
        let list = admin.get(&format!("/{top}")).await;
        assert_eq!(list.body["data"], json!([]), "{top}");
    }
}

/// The hash needs to know whose password it is.
#[actix::test]
async fn passwords_are_hashed_with_their_consumer() {
    let admin = with_consumers().await;
    let hash = "345d7bad8514ad3758a9ff2d9a01b881163a0313";
    let body = json!({"username": "u", "password": "bp"});
    let made = admin.post("/consumers/alice/basic-auth", body).await;
    assert_eq!(made.body["password"], hash);
    let nested = format!("/consumers/alice/basic-auth/{}", made.id());
    let top = format!("/basic-auths/{}", made.id());
    // A change of something else hashes nothing anew.
    let tagged = admin.patch(&top, json!({"tags": ["t"]})).await;
    assert_eq!(
        (tagged.status, &tagged.body["password"]),
        (200, &json!(hash))
    );

    let alone = admin.patch(&top, json!({"password": "x"})).await;
    let why = "all or none of these fields must be set: 'password', 'consumer.id'";
    assert_eq!(
        (alone.status, &alone.body["fields"]["@entity"]),
        (400, &json!([why]))
    );
    let both = json!({"password": "other", "consumer": {"id": CONSUMER}});
    let changed = admin.patch(&top, both).await;
    assert_eq!(changed.status, 200, "{:?}", changed.body);
    assert_ne!(changed.body["password"], hash);
    // Below the consumer the path says whose it is.
    let changed = admin.patch(&nested, json!({"password": "bp"})).await;
    assert_eq!(
        (changed.status, &changed.body["password"]),
        (200, &json!(hash))
    );

    let form = request("POST", "/consumers/alice/basic-auth")
        .insert_header(("Content-Type", "application/x-www-form-urlencoded"))
        .set_payload("username=f&password=bp");
    let made = admin.send(form).await;
    assert_eq!((made.status, &made.body["password"]), (201, &json!(hash)));
}

#[actix::test]
async fn secrets_of_applications_may_be_hashed() {
    let admin = with_consumers().await;
    let body = json!({"name": "a", "client_id": "i", "client_secret": "s", "hash_secret": true});
    let made = admin.post("/consumers/alice/oauth2", body).await;
    let secret = made.body["client_secret"]
        .as_str()
        .expect("text")
        .to_owned();
    assert!(
        secret.starts_with("$pbkdf2-sha512$i=10000,l=32$"),
        "{secret}"
    );
    let path = format!("/oauth2/{}", made.id());
    let tagged = admin.patch(&path, json!({"tags": ["t"]})).await;
    assert_eq!(tagged.body["client_secret"], json!(secret));

    let token = json!({"credential": {"id": made.id()}, "expires_in": 60, "ttl": 60});
    let token = admin.post("/oauth2_tokens", token).await;
    assert_eq!(token.status, 201, "{:?}", token.body);
    assert_eq!(token.body["token_type"], "bearer");
    assert!(token.expires_within(60), "{:?}", token.body);
    let key = token.body["access_token"].as_str().expect("a token");
    let path = format!("/oauth2_tokens/{key}/credential");
    assert_eq!(admin.get(&path).await.id(), made.id());
    let list = format!("/oauth2/{}/oauth2_tokens", made.id());
    assert_eq!(admin.get(&list).await.each("id"), [&token.body["id"]]);
    assert_eq!(admin.delete("/oauth2/i").await.status, 204);
    assert_eq!(admin.get("/oauth2_tokens").await.body["data"], json!([]));
}

#[actix::test]
async fn algorithms_of_tokens_want_their_keys() {
    let admin = with_consumers().await;
    for (body, status, fields) in [
        (
            json!({"algorithm": "RS256", "rsa_public_key": PUBLIC_KEY}),
            201,
            Value::Null,
        ),
        (json!({"algorithm": "ES256"}), 201, Value::Null),
        (
            json!({"algorithm": "PS512"}),
            400,
            json!({
                "@entity": ["failed conditional validation given value of field 'algorithm'"],
                "rsa_public_key": "required field missing",
            }),
        ),
        (
            json!({"algorithm": "RS256", "rsa_public_key": "bad"}),
            400,
            json!({
                "@entity": ["failed conditional validation given value of field 'algorithm'"],
                "rsa_public_key": "invalid key",
            }),
        ),
    ] {
        let seen = admin.post("/consumers/alice/jwt", body.clone()).await;
        assert_eq!(
            (seen.status, &seen.body["fields"]),
            (status, &fields),
            "{body}"
        );
    }
}

#[actix::test]
async fn groups_have_names_below_their_consumer_only() {
    let admin = with_consumers().await;
    let put = admin
        .put("/consumers/alice/acls/staff", json!({"tags": ["t"]}))
        .await;
    assert_eq!((put.status, &put.body["group"]), (200, &json!("staff")));
    let again = admin.put("/consumers/alice/acls/staff", json!({})).await;
    assert_eq!(
        (again.status, again.id(), &again.body["tags"]),
        (200, put.id(), &Value::Null)
    );
    let other = admin.put("/consumers/bob/acls/staff", json!({})).await;
    assert_ne!(other.id(), put.id());
    assert_eq!(admin.get("/consumers/alice/acls/nobody").await.status, 404);
    let top = admin.get("/acls/staff").await;
    assert_eq!((top.status, &top.body["code"]), (400, &json!(1)));
}

#[actix::test]
async fn vaults() {
    let admin = Admin::start().await;
    let body = json!({"name": "env", "prefix": "my-env", "config": {"prefix": "SECRET_"}});
    let made = admin.post("/vaults", body.clone()).await;
    assert_eq!(
        (made.status, &made.body["config"]),
        (201, &json!({"prefix": "SECRET_"}))
    );
    assert_eq!(admin.post("/vaults", body).await.status, 409);
    let patched = admin
        .patch("/vaults/my-env", json!({"description": "d"}))
        .await;
    assert_eq!(patched.body["config"], json!({"prefix": "SECRET_"}));
    let form = request("PATCH", "/vaults/my-env")
        .insert_header(("Content-Type", "application/x-www-form-urlencoded"))
        .set_payload("config.prefix=X_");
    assert_eq!(
        admin.send(form).await.body["config"],
        json!({"prefix": "X_"})
    );
    let put = admin.put("/vaults/other", json!({"name": "env"})).await;
    assert_eq!(
        (put.status, &put.body["config"]),
        (200, &json!({"prefix": null}))
    );
    for (body, field, why) in [
        (
            json!({"name": "nope", "prefix": "n"}),
            "name",
            "vault 'nope' is not installed",
        ),
        (
            json!({"name": "env", "prefix": "env"}),
            "prefix",
            "must not be one of: env",
        ),
        (json!({"prefix": "x"}), "name", "required field missing"),
    ] {
        let seen = admin.post("/vaults", body).await;
        assert_eq!(
            (seen.status, &seen.body["fields"][field]),
            (400, &json!(why))
        );
    }
    for _ in 0..2 {
        assert_eq!(admin.delete("/vaults/other").await.status, 204);
    }
}

#[actix::test]
async fn keys_in_sets() {
    let admin = Admin::start().await;
    let set = admin.put("/key-sets/ks", json!({})).await;
    assert_eq!((set.status, &set.body["name"]), (200, &json!("ks")));
    let key = |name: &str, kid: &str, set: Value| json!({"name": name, "kid": kid, "set": set, "pem": {"public_key": PUBLIC_KEY}});
    let made = admin
        .post("/keys", key("a", "1", json!({"name": "ks"})))
        .await;
    assert_eq!(
        (made.status, &made.body["set"]["id"]),
        (201, &set.body["id"])
    );
    assert_eq!(admin.get("/keys/a/set").await.body["name"], "ks");
    assert_eq!(admin.get("/key-sets/ks/keys/a").await.id(), made.id());
    // One key of an id per set, and one outside of all.
    let twice = admin
        .post("/key-sets/ks/keys", key("b", "1", Value::Null))
        .await;
    assert_eq!(
        (twice.status, &twice.body["fields"]["kid"]),
        (409, &json!("1"))
    );
    assert_eq!(
        admin.post("/keys", key("c", "1", Value::Null)).await.status,
        201
    );
    let twice = admin.post("/keys", key("d", "1", Value::Null)).await;
    let text = "UNIQUE violation detected on '{kid=\"1\",set=null}'";
    assert_eq!((twice.status, twice.message()), (409, text));
    let put = admin.put("/keys/e", key("e", "5", Value::Null)).await;
    assert_eq!((put.status, &put.body["name"]), (200, &json!("e")));
    let jwk = json!({"kid": "x", "jwk": "{\"kty\": \"oct\", \"kid\": \"y\", \"k\": \"aa\"}"});
    let seen = admin.post("/keys", jwk).await;
    assert_eq!(
        seen.body["fields"]["@entity"],
        json!(["kid in jwk.kid must be equal to keys.kid"])
    );
    assert_eq!(admin.delete("/key-sets/ks").await.status, 204);
    assert_eq!(admin.get("/keys").await.each("name").len(), 2);
}

#[actix::test]
async fn sessions_and_what_acme_keeps() {
    let admin = Admin::start().await;
    let body = json!({"session_id": "s", "data": "d", "ttl": 60});
    let made = admin.post("/sessions", body).await;
    assert_eq!(made.status, 201);
    assert!(made.expires_within(60), "{:?}", made.body);
    assert_eq!(admin.get("/sessions/s").await.id(), made.id());
    let stored = admin
        .post("/acme_storage", json!({"key": "k", "value": "v"}))
        .await;
    assert_eq!(stored.status, 201);
    let seen = admin.get("/acme_storage/k").await;
    assert_eq!((seen.status, &seen.body["code"]), (400, &json!(1)));
    // Neither has tags.
    assert_eq!(admin.get("/tags").await.body["data"], json!([]));
}

#[actix::test]
async fn tags_of_all_kinds_are_one_list() {
    let admin = with_consumers().await;
    let acl = json!({"group": "g", "tags": ["t"]});
    admin.post("/consumers/alice/acls", acl).await;
    admin
        .put("/vaults/vv", json!({"name": "env", "tags": ["t"]}))
        .await;
    let seen = admin.get("/tags/t").await;
    let mut kinds = seen.each("entity_name");
    kinds.sort_by_key(|kind| kind.to_string());
    assert_eq!(kinds, ["acls", "sm_vaults"]);
    for method in ["PUT", "PATCH", "DELETE"] {
        let seen = admin.ask(method, "/tags/t", Some(json!({}))).await;
        assert_eq!(
            (seen.status, &seen.body["code"]),
            (400, &json!(2)),
            "{method}"
        );
    }
}

#[actix::test]
async fn what_is_there_only_elsewhere_says_so() {
    let admin = Admin::start().await;
    for path in [
        "/filter-chains",
        "/filter-chains/x/route",
        "/routes/x/filter-chains",
        "/services/x/filter-chains/y",
        "/routes/x/filters/all",
    ] {
        for method in ["GET", "POST", "PUT", "OPTIONS"] {
            let seen = admin.ask(method, path, Some(json!({}))).await;
            let text = "this endpoint is only available when wasm is enabled";
            assert_eq!(
                (seen.status, seen.message()),
                (400, text),
                "{method} {path}"
            );
        }
    }
    let text = "this endpoint is only available when Kong is configured to not use a database";
    for method in ["GET", "POST"] {
        let seen = admin.ask(method, "/config", Some(json!({}))).await;
        assert_eq!((seen.status, seen.message()), (400, text), "{method}");
    }
    let yaml = request("POST", "/config")
        .insert_header(("Content-Type", "application/yaml"))
        .set_payload("_format_version: '3.0'");
    assert_eq!(admin.send(yaml).await.status, 400);
    for (method, path, status) in [
        ("GET", "/status/dns", 501),
        ("GET", "/schemas/filters/x", 404),
        ("POST", "/acme", 404),
        ("GET", "/acme/certificates", 404),
        ("GET", "/acme", 405),
        ("DELETE", "/proxy-cache", 204),
        ("GET", "/proxy-cache/x", 404),
        ("DELETE", "/proxy-cache/x/caches/y", 404),
    ] {
        let seen = admin.ask(method, path, Some(json!({}))).await;
        assert_eq!(seen.status, status, "{method} {path}");
    }
    let acme = json!({
        "name": "acme",
        "config": {"account_email": "a@b.test", "tos_accepted": true, "storage": "kong"},
    });
    assert_eq!(admin.post("/plugins", acme).await.status, 201);
    for (method, path) in [("POST", "/acme"), ("GET", "/acme/certificates")] {
        let seen = admin.ask(method, path, None).await;
        let text = "certificates are not ordered by this version";
        assert_eq!(
            (seen.status, seen.message()),
            (400, text),
            "{method} {path}"
        );
    }
    let missing = format!("/oauth2_tokens/{MISSING}");
    assert_eq!(admin.get(&missing).await.status, 404);
}
