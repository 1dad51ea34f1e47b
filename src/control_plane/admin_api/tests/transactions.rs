//! `/transactions`: all or nothing, each operation on what the earlier ones left.

use super::certificates::pair;
use super::support::{Admin, Seen, request};
use super::wait::{data_plane, present};
use futures_util::future::join;
use serde_json::{Value, json};

async fn transact(admin: &Admin, operations: Value) -> Seen {
    let body = json!({ "operations": operations });
    admin.post("/transactions", body).await
}

fn statuses(seen: &Seen) -> Vec<&Value> {
    let results = seen.body["results"].as_array().expect("results");
    results.iter().map(|result| &result["status"]).collect()
}

async fn revision(admin: &Admin) -> u64 {
    admin.store.latest_revision().await.expect("reads").0
}

#[actix::test]
async fn operations_see_what_the_earlier_ones_did() {
    let admin = Admin::start().await;
    let id = "0c61e164-6171-4837-8836-8f5298726d53";
    let done = transact(
        &admin,
        json!([
            {"op": "upsert", "path": "/services/shop", "body": {"url": "http://a.test:81/p"}},
            {"op": "create", "path": "/services/shop/routes", "body": {"name": "shop", "paths": ["/shop"]}},
            {"op": "update", "path": "/routes/shop/service", "body": {"retries": 2}},
            {"op": "upsert", "path": format!("/consumers/{id}"), "body": {"username": "ann"}},
            {"op": "create", "path": "/key-auths", "body": {"key": "k", "consumer": {"username": "ann"}}},
            {"op": "upsert", "path": "/consumers/ann/acls/staff", "body": {}},
            {"op": "create", "path": "/upstreams", "body": {"name": "u"}},
            {"op": "create", "path": "/upstreams/u/targets", "body": {"target": "t.test"}},
            {"op": "update", "path": "/upstreams/u/targets/t.test:8000", "body": {"weight": 7}},
            {"op": "create", "path": "/routes/shop/plugins", "body": {"name": "cors"}},
            {"op": "create", "path": "/routes", "body": {"name": "gone", "paths": ["/gone"]}},
            {"op": "delete", "path": "/routes/gone"},
            {"op": "delete", "path": "/routes/never"},
        ]),
    )
    .await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(
        (&done.body["revision"], &done.body["dry_run"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(done.header("x-langur-revision"), Some("1"));
    assert_eq!(
        statuses(&done),
        [
            200, 201, 200, 200, 201, 200, 201, 201, 200, 201, 201, 204, 204
        ]
    );
    let result = |n: usize| &done.body["results"][n]["body"];
    assert_eq!(result(11), &Value::Null);
    // What it answered is what is there.
    assert_eq!(result(2), &admin.get("/services/shop").await.body);
    assert_eq!(result(2)["retries"], 2);
    assert_eq!(
        result(1),
        &admin.get("/services/shop/routes/shop").await.body
    );
    assert_eq!(
        result(4),
        &admin.get("/consumers/ann/key-auth/k").await.body
    );
    assert_eq!(result(3)["id"], id);
    let targets = admin.get("/upstreams/u/targets").await;
    assert_eq!(targets.each("weight"), [7]);
    assert_eq!(admin.get("/routes/gone").await.status, 404);
    let changes = admin.get("/revisions/1").await;
    assert_eq!(
        changes.body["changed"], 8,
        "what came and went is not among them"
    );
}

#[actix::test]
async fn a_certificate_has_its_snis() {
    let admin = Admin::start().await;
    let mut certificate = pair();
    certificate["snis"] = json!(["a.test", "b.test"]);
    let made = transact(
        &admin,
        json!([
            {"op": "create", "path": "/certificates", "body": certificate},
            {"op": "update", "path": "/certificates/a.test", "body": {"snis": ["b.test"]}},
        ]),
    )
    .await;
    assert_eq!(made.status, 200, "{}", made.body);
    let snis = |n: usize| &made.body["results"][n]["body"]["snis"];
    assert_eq!(snis(0), &json!(["a.test", "b.test"]));
    assert_eq!(snis(1), &json!(["b.test"]));
    assert_eq!(admin.get("/snis").await.each("name"), ["b.test"]);
}

#[actix::test]
async fn every_refusal_is_listed_and_nothing_is_written() {
    let admin = Admin::start().await;
    admin.put("/services/s", json!({"host": "h"})).await;
    let refused = transact(
        &admin,
        json!([
            {"op": "create", "path": "/services", "body": {"name": "t", "host": "h"}},
            {"op": "create", "path": "/services", "body": {"name": "s", "host": "h"}},
            {"op": "create", "path": "/services", "body": {"host": "h", "port": 70000, "retries": -1}},
            {"op": "create", "path": "/services/none/routes", "body": {"paths": ["/"]}},
            {"op": "create", "path": "/routes", "body": {"paths": ["/"], "service": {"name": "none"}}},
            {"op": "update", "path": "/services/t", "body": {"port": 81}},
            {"op": "create", "path": "/services/t", "body": {}},
            {"op": "create", "path": "/status", "body": {}},
            {"op": "create", "path": "/transactions", "body": {}},
        ]),
    )
    .await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.message(),
        "7 of 9 operations were refused, nothing was written"
    );
    let violations = refused.body["violations"].as_array().expect("violations");
    let seen: Vec<_> = violations
        .iter()
        .map(|one| (&one["operation"], &one["status"], &one["body"]["code"]))
        .collect();
    let null = Value::Null;
    assert_eq!(
        seen,
        [
            (&json!(1), &json!(409), &json!(5)),
            (&json!(2), &json!(400), &json!(2)),
            (&json!(3), &json!(404), &null),
            (&json!(4), &json!(400), &json!(13)),
            (&json!(6), &json!(405), &null),
            (&json!(7), &json!(404), &null),
            (&json!(8), &json!(404), &null),
        ]
    );
    // Each as its request alone is refused.
    let alone = admin
        .post(
            "/services",
            json!({"host": "h", "port": 70000, "retries": -1}),
        )
        .await;
    assert_eq!(violations[1]["body"], alone.body);
    assert_eq!(admin.get("/services").await.each("name"), ["s"]);
    assert_eq!(revision(&admin).await, 1);
    // And the next write is not in its way.
    admin.put("/services/t", json!({"host": "h"})).await;
    assert_eq!(revision(&admin).await, 2);
}

#[actix::test]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let admin = Admin::start().await;
    let service = admin.put("/services/s", json!({"host": "h"})).await.body;
    admin
        .put("/services/s/routes/r", json!({"paths": ["/"]}))
        .await;
    let operations = json!([
        {"op": "update", "path": "/services/s", "body": {"name": "t"}},
        {"op": "delete", "path": "/services/t/routes/r"},
        {"op": "create", "path": "/consumers", "body": {"username": "ann"}},
        {"op": "create", "path": "/consumers", "body": {"username": "bob"}},
        {"op": "delete", "path": "/consumers/bob"},
    ]);
    let tried = admin
        .post(
            "/transactions?dry_run=true&wait=effective",
            json!({ "operations": operations }),
        )
        .await;
    assert_eq!(tried.status, 200, "{}", tried.body);
    assert_eq!(
        (&tried.body["revision"], &tried.body["dry_run"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(statuses(&tried), [200, 204, 201, 201, 204]);
    let changes = tried.body["changes"].as_array().expect("changes");
    let kinds: Vec<_> = changes
        .iter()
        .map(|change| (change["entity"].as_str(), change["op"].as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            (Some("services"), Some("update")),
            (Some("routes"), Some("delete")),
            (Some("consumers"), Some("create")),
        ]
    );
    assert_eq!(changes[0]["before"], service);
    assert_eq!(changes[0]["after"]["name"], "t");
    assert_eq!(changes[1]["after"], Value::Null);
    assert_eq!(changes[2]["after"], tried.body["results"][2]["body"]);
    assert_eq!(revision(&admin).await, 2);
    assert_eq!(admin.get("/services/s").await.body, service);
    // The same in earnest.
    let body = json!({"operations": operations, "dry_run": false});
    let done = admin.post("/transactions", body).await;
    assert_eq!(done.body["revision"], 3);
    assert_eq!(done.body.get("changes"), None);
    let written = admin.get("/revisions/3").await;
    assert_eq!(written.each("op"), ["update", "delete", "create"]);
}

#[actix::test]
async fn what_comes_to_nothing_is_no_revision() {
    let admin = Admin::start().await;
    admin.put("/services/s", json!({"host": "h"})).await;
    let done = transact(
        &admin,
        json!([
            {"op": "create", "path": "/consumers", "body": {"username": "ann"}},
            {"op": "delete", "path": "/consumers/ann"},
        ]),
    )
    .await;
    assert_eq!((done.status, &done.body["revision"]), (200, &json!(1)));
    assert_eq!(admin.get("/revisions").await.each("revision"), [1]);
}

#[actix::test]
async fn a_transaction_waits_until_it_is_in_effect() {
    let admin = Admin::start().await;
    present(&admin, data_plane(1, Some(0))).await;
    let operation = json!([{"op": "upsert", "path": "/services/s", "body": {"host": "h"}}]);
    let body = json!({ "operations": operation });
    let path = "/transactions?wait=effective&timeout=0";
    let done = admin.post(path, body.clone()).await;
    assert_eq!(done.status, 200);
    assert_eq!(done.header("x-langur-effective"), Some("false"));
    assert_eq!(done.header("x-langur-pending-count"), Some("1"));
    let bad = admin.post("/transactions?wait=1", body).await;
    assert_eq!((bad.status, revision(&admin).await), (400, 1));
}

#[actix::test]
async fn what_is_no_transaction_is_refused() {
    let admin = Admin::start().await;
    let refused = admin
        .post("/transactions", json!({"operations": [{"op": "create"}]}))
        .await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.body,
        json!({
            "code": 2,
            "name": "schema violation",
            "message": "schema violation (operations.1: {\n  path = \"required field missing\"\n})",
            "fields": {"operations": [{"path": "required field missing"}]},
        })
    );
    let empty = admin.ask("POST", "/transactions", None).await;
    assert_eq!(
        empty.body["fields"],
        json!({"operations": "required field missing"})
    );
    let form = request("POST", "/transactions").set_form([("operations", "x")]);
    assert_eq!(admin.send(form).await.status, 415);
    assert_eq!(admin.get("/transactions").await.status, 405);
}

#[actix::test]
async fn other_writers_come_before_or_after() {
    let admin = Admin::start().await;
    admin.put("/services/s", json!({"host": "h"})).await;
    let operations: Vec<_> = (0..50)
        .map(|n| json!({"op": "update", "path": "/services/s", "body": {"retries": n}}))
        .collect();
    let both = join(
        transact(&admin, json!(operations)),
        admin.patch("/services/s", json!({"port": 81})),
    );
    let (done, patched) = both.await;
    assert_eq!((done.status, patched.status), (200, 200));
    let service = admin.get("/services/s").await.body;
    assert_eq!(
        (&service["retries"], &service["port"]),
        (&json!(49), &json!(81)),
        "neither undid the other"
    );
    assert_eq!(revision(&admin).await, 3);
}
