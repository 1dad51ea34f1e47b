//! Entities by id and by name, below their parents and beside their children.

use super::support::Admin;
use serde_json::{Value, json};

const MISSING: &str = "00000000-0000-4000-8000-000000999999";

#[actix::test]
async fn every_method_of_an_entity() {
    let admin = Admin::start().await;
    let made = admin
        .post(
            "/services",
            json!({"name": "s", "url": "http://h.test:81/p"}),
        )
        .await;
    assert_eq!(made.status, 201);
    assert_eq!(made.body["port"], 81);
    let by_id = format!("/services/{}", made.id());
    for path in ["/services/s", "/services/%73", "/services/s/", &by_id] {
        let read = admin.get(path).await;
        assert_eq!((read.status, read.body), (200, made.body.clone()), "{path}");
    }
    let changed = admin
        .patch("/services/s", json!({"port": 82, "id": MISSING}))
        .await;
    assert_eq!((changed.status, &changed.body["port"]), (200, &json!(82)));
    assert_eq!(changed.id(), made.id(), "an id never changes");
    let replaced = admin.put("/services/s", json!({"host": "other"})).await;
    assert_eq!((replaced.status, replaced.id()), (200, made.id()));
    assert_eq!(
        (&replaced.body["port"], &replaced.body["path"]),
        (&json!(80), &Value::Null)
    );
    let renamed = admin
        .put(&by_id, json!({"name": "t", "host": "h", "id": MISSING}))
        .await;
    assert_eq!((renamed.status, renamed.id()), (200, made.id()));
    assert_eq!(admin.get("/services/s").await.status, 404);
    for _ in 0..2 {
        assert_eq!(admin.delete("/services/t").await.status, 204);
    }
    assert_eq!(
        admin.get("/services").await.body,
        json!({"data": [], "next": null})
    );
}

#[actix::test]
async fn refusals_of_the_store_have_their_codes() {
    let admin = Admin::start().await;
    let service = admin
        .post("/services", json!({"name": "s", "host": "h"}))
        .await;
    admin
        .post(
            "/routes",
            json!({"name": "r", "paths": ["/"], "service": {"name": "s"}}),
        )
        .await;
    let unresolved = "foreign key unresolved (service.name: the foreign key cannot be resolved \
                      with '{name=\"x\"}' for an existing 'services' entity)";
    let dangling = format!(
        "the foreign key '{{id=\"{MISSING}\"}}' does not reference an existing 'services' entity."
    );
    let taken = format!("primary key violation on key '{{id=\"{}\"}}'", service.id());
    let route = |service: Value| Some(json!({"paths": ["/x"], "service": service}));
    for (method, path, body, status, code, message) in [
        (
            "POST",
            "/services",
            Some(json!({"name": "s", "host": "h"})),
            409,
            5,
            "UNIQUE violation detected on '{name=\"s\"}'",
        ),
        (
            "POST",
            "/services",
            Some(json!({"id": service.id(), "host": "h"})),
            400,
            3,
            &taken,
        ),
        (
            "POST",
            "/routes",
            route(json!({"name": "x"})),
            400,
            13,
            unresolved,
        ),
        (
            "POST",
            "/routes",
            route(json!({"id": MISSING})),
            400,
            4,
            &dangling,
        ),
        (
            "POST",
            "/routes",
            route(json!({"name": null})),
            400,
            2,
            "schema violation (service.id: missing primary key)",
        ),
        (
            "DELETE",
            "/services/s",
            None,
            400,
            4,
            "an existing 'routes' entity references this 'services' entity",
        ),
        (
            "PATCH",
            "/services/none",
            Some(json!({"host": "a"})),
            404,
            6,
            "could not find the entity with '{name=\"none\"}'",
        ),
        (
            "GET",
            "/services/bad%20name",
            None,
            400,
            10,
            "invalid value 'bad name': the only accepted ascii characters are alphanumerics or ., -, _, and ~",
        ),
        (
            "GET",
            "/ca_certificates/nope",
            None,
            400,
            1,
            "invalid primary key: '{id=\"expected a valid UUID\"}'",
        ),
    ] {
        let seen = admin.ask(method, path, body).await;
        assert_eq!(
            (seen.status, seen.message()),
            (status, message),
            "{method} {path}"
        );
        assert_eq!(seen.body["code"], code, "{method} {path}");
    }
}

#[actix::test]
async fn children_belong_to_their_parent() {
    let admin = Admin::start().await;
    for name in ["s", "t"] {
        admin
            .post("/services", json!({"name": name, "host": "h"}))
            .await;
    }
    let owner = admin.get("/services/s").await;
    // The path decides, whatever the body says.
    let body = json!({"name": "r", "paths": ["/"], "service": {"name": "t"}});
    let route = admin.post("/services/s/routes", body).await;
    assert_eq!(
        (route.status, &route.body["service"]["id"]),
        (201, &owner.body["id"])
    );
    assert_eq!(admin.get("/services/s/routes/r").await.status, 200);
    assert_eq!(admin.get("/services/t/routes/r").await.status, 404);
    assert_eq!(admin.get("/services/t/routes").await.each("id").len(), 0);
    let patched = admin
        .patch("/services/s/routes/r", json!({"strip_path": false}))
        .await;
    assert_eq!(
        (patched.status, &patched.body["strip_path"]),
        (200, &json!(false))
    );
    assert_eq!(
        admin.patch("/services/t/routes/r", json!({})).await.status,
        404
    );
    let put = admin
        .put("/services/s/routes/new", json!({"paths": ["/n"]}))
        .await;
    assert_eq!(
        (put.status, &put.body["service"]["id"]),
        (200, &owner.body["id"])
    );
    assert_eq!(admin.delete("/services/t/routes/r").await.status, 404);
    assert_eq!(admin.delete("/services/s/routes/r").await.status, 204);
    assert_eq!(admin.delete("/services/s/routes/r").await.status, 404);
}

#[actix::test]
async fn the_parent_of_a_child() {
    let admin = Admin::start().await;
    admin
        .post("/routes", json!({"name": "r", "paths": ["/"]}))
        .await;
    for method in ["GET", "PATCH", "DELETE"] {
        let body = (method == "PATCH").then(|| json!({"host": "a"}));
        assert_eq!(
            admin.ask(method, "/routes/r/service", body).await.status,
            404,
            "{method}"
        );
    }
    // An id in the body does not count: the path has none.
    let made = admin
        .put("/routes/r/service", json!({"host": "h", "id": MISSING}))
        .await;
    assert_eq!(made.status, 200);
    assert_ne!(made.id(), MISSING);
    assert_eq!(
        admin.get("/routes/r").await.body["service"]["id"],
        made.body["id"]
    );
    let patched = admin.patch("/routes/r/service", json!({"port": 81})).await;
    assert_eq!(
        (patched.id(), &patched.body["port"]),
        (made.id(), &json!(81))
    );
    let replaced = admin.put("/routes/r/service", json!({"host": "h2"})).await;
    assert_eq!(
        (replaced.id(), &replaced.body["port"]),
        (made.id(), &json!(80))
    );
    assert_eq!(admin.get("/routes/r/service").await.body["host"], "h2");
    assert_eq!(admin.delete("/routes/r/service").await.status, 405);
}

#[actix::test]
async fn credentials_and_plugins_go_with_what_they_belong_to() {
    let admin = Admin::start().await;
    admin
        .post("/services", json!({"name": "s", "host": "h"}))
        .await;
    admin.post("/consumers", json!({"username": "c"})).await;
    let key = admin
        .post("/consumers/c/key-auth", json!({"ttl": 100}))
        .await;
    assert_eq!(key.status, 201);
    assert_eq!(key.body["key"].as_str().map(str::len), Some(32));
    assert!(key.expires_within(100), "{:?}", key.body);
    let plugin = json!({"name": "request-termination", "consumer": {"username": "c"}});
    assert_eq!(
        admin
            .post("/services/s/plugins", plugin.clone())
            .await
            .status,
        201
    );
    let twice = admin.post("/services/s/plugins", plugin).await;
    assert_eq!(
        (twice.status, &twice.body["fields"]["route"]),
        (409, &Value::Null)
    );
    assert_eq!(admin.delete("/consumers/c").await.status, 204);
    for path in ["/key-auths", "/plugins"] {
        assert_eq!(admin.get(path).await.body["data"], json!([]), "{path}");
    }
    let wrong = admin.post("/key-auths", json!({"ttl": "a"})).await;
    assert_eq!((wrong.status, &wrong.body["code"]), (400, &json!(11)));
}

#[actix::test]
async fn a_plugin_must_be_able_to_run_where_it_is() {
    let admin = Admin::start().await;
    admin
        .post("/services", json!({"name": "s", "host": "h"}))
        .await;
    let tcp = json!({"name": "r", "protocols": ["tcp"], "destinations": [{"port": 1}]});
    admin.post("/services/s/routes", tcp).await;
    let plugin = |parent: &str, name: &str| json!({"name": "cors", "protocols": ["http"], parent: {"name": name}});
    let by_route = admin.post("/plugins", plugin("route", "r")).await;
    assert_eq!(by_route.status, 400);
    let by_service = admin.post("/plugins", plugin("service", "s")).await;
    assert_eq!(
        by_service.body["fields"]["protocols"],
        "must match the protocols of at least one route pointing to this Plugin's service"
    );
    // Only what was said is checked at first, everything when it is changed.
    let quiet = admin
        .post("/plugins", json!({"name": "cors", "route": {"name": "r"}}))
        .await;
    assert_eq!(quiet.status, 201);
    let path = format!("/plugins/{}", quiet.id());
    let changed = admin.patch(&path, json!({"enabled": false})).await;
    assert_eq!(
        changed.body["fields"]["protocols"],
        "must match the associated route's protocols"
    );
    let missing = admin
        .patch(&format!("/plugins/{MISSING}"), json!({"enabled": false}))
        .await;
    assert_eq!((missing.status, missing.message()), (404, "Not found"));
}

#[actix::test]
async fn a_target_is_put_only_where_it_is() {
    let admin = Admin::start().await;
    admin.post("/upstreams", json!({"name": "u"})).await;
    let body = json!({"weight": 5});
    assert_eq!(
        admin
            .put("/upstreams/u/targets/a.test", body.clone())
            .await
            .status,
        404
    );
    let made = admin
        .post("/upstreams/u/targets", json!({"target": "a.test"}))
        .await;
    assert_eq!(
        (made.status, &made.body["target"]),
        (201, &json!("a.test:8000"))
    );
    let twice = admin
        .post("/upstreams/u/targets", json!({"target": "a.test:8000"}))
        .await;
    assert_eq!(twice.status, 409);
    for key in ["a.test", "a.test:8000", made.id()] {
        let path = format!("/upstreams/u/targets/{key}");
        let put = admin.put(&path, body.clone()).await;
        assert_eq!((put.status, &put.body["weight"]), (200, &json!(5)), "{key}");
        assert_eq!(put.body["target"], "a.test:8000", "{key}");
    }
    assert_eq!(
        admin.delete("/upstreams/u/targets/a.test").await.status,
        204
    );
    assert_eq!(
        admin.delete("/upstreams/u/targets/a.test").await.status,
        404
    );
}

#[actix::test]
async fn consumers_are_found_by_custom_id() {
    let admin = Admin::start().await;
    admin
        .post("/consumers", json!({"username": "ü @/x", "custom_id": "1"}))
        .await;
    let found = admin.get("/consumers?custom_id=1").await;
    assert_eq!(found.each("username"), ["ü @/x"]);
    assert_eq!(
        admin.get("/consumers?custom_id=2").await.body["data"],
        json!([])
    );
    assert_eq!(admin.get("/consumers/%C3%BC%20%40%2Fx").await.status, 200);
    for query in ["custom_id=", "custom_id=1&custom_id=2"] {
        let refused = admin.get(&format!("/consumers?{query}")).await;
        assert_eq!(
            refused.message(),
            "custom_id must be an unempty string",
            "{query}"
        );
    }
}
