//! `/revisions`: lists, differences, rollback.

use super::support::{Admin, Seen};
use super::wait::{data_plane, present};
use crate::control_plane::config_store::{DataPlanePresence, Retention};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Revision 1 makes a service, 2 a route, 3 renames the service, 4 deletes the route.
async fn four_revisions() -> Admin {
    let admin = Admin::start().await;
    admin
        .put("/services/s", json!({"host": "h", "retries": 1}))
        .await;
    admin
        .put("/services/s/routes/r", json!({"paths": ["/"]}))
        .await;
    admin.patch("/services/s", json!({"name": "t"})).await;
    admin.delete("/routes/r").await;
    admin
}

fn field(seen: &Seen, name: &str) -> Vec<Value> {
    seen.each(name).into_iter().cloned().collect()
}

#[actix::test]
async fn revisions_are_listed_newest_first() {
    let admin = four_revisions().await;
    let on = |n, revision, connected| DataPlanePresence {
        connected,
        ..data_plane(n, Some(revision))
    };
    for row in [
        on(1, 4, true),
        on(2, 3, true),
        on(3, 4, false),
        on(4, 4, true),
    ] {
        present(&admin, row).await;
    }
    let all = admin.get("/revisions").await;
    assert_eq!(field(&all, "revision"), [4, 3, 2, 1]);
    assert_eq!(field(&all, "changed"), [1, 1, 1, 1]);
    assert_eq!((all.status, &all.body["next"]), (200, &Value::Null));
    let ids = |ids: &[u128]| json!(ids.iter().copied().map(Uuid::from_u128).collect::<Vec<_>>());
    let none = ids(&[]);
    assert_eq!(
        field(&all, "data_planes"),
        [ids(&[1, 4]), ids(&[2]), none.clone(), none]
    );
    let newest = &all.body["data"][0];
    let deleted = admin.delete("/services/t").await;
    let request = deleted.header("x-kong-admin-request-id").map(str::to_owned);
    let first = admin.get("/revisions?size=1").await;
    assert_eq!(field(&first, "request_id"), [json!(request)]);
    assert_eq!(first.body["next"], "/revisions?offset=WzVd&size=1");
    let second = admin
        .get(first.body["next"].as_str().expect("a page"))
        .await;
    assert_eq!(&second.body["data"][0], newest);
    for (query, code) in [("size=0", 9), ("offset=x", 7), ("offset=bad", 7)] {
        let refused = admin.get(&format!("/revisions?{query}")).await;
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!(code)));
    }
    let behind = admin.get("/revisions?offset=e30").await;
    assert_eq!((behind.status, &behind.body["data"]), (200, &json!([])));
}

#[actix::test]
async fn a_revision_says_what_it_changed() {
    let admin = four_revisions().await;
    let now = admin.get("/services/t").await.body;
    let third = admin.get("/revisions/3").await;
    assert_eq!(third.status, 200);
    assert_eq!(third.body["revision"], 3);
    assert_eq!(third.body["changed"], 1);
    let change = &third.body["data"][0];
    assert_eq!(
        (&change["entity"], &change["id"], &change["op"]),
        (&json!("services"), &now["id"], &json!("update"))
    );
    assert_eq!(change["before"]["name"], "s");
    assert_eq!(change["after"], now, "as the Admin API shows it");

    let both = admin.get("/revisions/0..3").await;
    assert_eq!(
        (&both.body["from"], &both.body["to"]),
        (&json!(0), &json!(3))
    );
    assert_eq!(field(&both, "entity"), ["services", "routes"]);
    assert_eq!(field(&both, "op"), ["create", "create"]);
    let back = admin.get("/revisions/3..1").await;
    assert_eq!(field(&back, "op"), ["update", "delete"]);
    assert_eq!(back.body["data"][1]["after"], Value::Null);
    assert_eq!(back.body["data"][0]["after"]["name"], "s");
    assert_eq!(admin.get("/revisions/2..2").await.body["data"], json!([]));

    let page = admin.get("/revisions/0..3?size=1").await;
    assert_eq!(field(&page, "entity"), ["services"]);
    let next = page.body["next"].as_str().expect("a page");
    assert!(next.starts_with("/revisions/0..3?offset="), "{next}");
    let rest = admin.get(next).await;
    assert_eq!(field(&rest, "entity"), ["routes"]);
    assert_eq!(rest.body["next"], Value::Null);
}

#[actix::test]
async fn a_difference_shows_no_more_than_the_entity_does() {
    let admin = Admin::start().await;
    admin.put("/consumers/c", json!({})).await;
    let secret = json!({"username": "u", "password": "a-clear-text"});
    let made = admin.post("/consumers/c/basic-auth", secret).await;
    assert_eq!(made.status, 201);
    let shown = admin.get("/revisions/2").await;
    assert_eq!(shown.body["data"][0]["after"], made.body);
    assert!(!shown.body.to_string().contains("a-clear-text"));
}

#[actix::test]
async fn a_rollback_is_a_revision() {
    let admin = four_revisions().await;
    let back = admin.post("/revisions/2/rollback", json!({})).await;
    assert_eq!(
        (back.status, back.body),
        (200, json!({"revision": 5, "restored": 2, "changed": 2}))
    );
    let route = admin.get("/services/s/routes/r").await;
    assert_eq!(route.status, 200);
    assert_eq!(route.body["paths"], json!(["/"]));
    let newest = admin.get("/revisions/5").await;
    assert_eq!(field(&newest, "op"), ["update", "create"]);
    assert_eq!(admin.get("/revisions/2..5").await.body["data"], json!([]));
    // Once more is nothing; undone, it is as before.
    let again = admin.ask("POST", "/revisions/2/rollback", None).await;
    assert_eq!(
        again.body,
        json!({"revision": 5, "restored": 2, "changed": 0})
    );
    let path = "/revisions/4/rollback?wait=effective&timeout=0";
    let undone = admin.ask("POST", path, None).await;
    assert_eq!(undone.header("x-langur-effective"), Some("true"));
    assert_eq!(admin.get("/services/t").await.status, 200);
    assert_eq!(admin.get("/routes/r").await.status, 404);
    // To the beginning of all.
    admin.ask("POST", "/revisions/0/rollback", None).await;
    assert!(admin.get("/services").await.each("id").is_empty());
}

#[actix::test]
async fn what_is_not_there_is_said() {
    let admin = four_revisions().await;
    let answers = async |cases: &[(&str, &str, u16, &str)]| {
        for (method, path, status, message) in cases {
            let seen = admin.ask(method, path, None).await;
            assert_eq!(
                (seen.status, seen.message()),
                (*status, *message),
                "{method} {path}"
            );
        }
    };
    let not_yet = "revision 9 does not exist, the latest is 4";
    let bad = |text: &str| {
        format!("'{text}' is not the number of a revision; the difference of two is named as 5..7")
    };
    answers(&[
        ("GET", "/revisions/9", 404, not_yet),
        ("GET", "/revisions/1..9", 404, not_yet),
        ("POST", "/revisions/9/rollback", 404, not_yet),
        ("GET", "/revisions/newest", 400, &bad("newest")),
        ("POST", "/revisions/1..2/rollback", 400, &bad("1..2")),
        ("POST", "/revisions", 405, "Method not allowed"),
        ("GET", "/revisions/1/rollback", 405, "Method not allowed"),
    ])
    .await;
    let retention = Retention {
        max_revisions: 2,
        max_age: Duration::from_secs(3600),
    };
    admin.store.prune_journal(retention).await.expect("prunes");
    let gone = |n| format!("revision {n} is out of reach: the journal does not go back so far");
    answers(&[
        ("GET", "/revisions/2", 410, &gone(2)),
        ("GET", "/revisions/1..3", 410, &gone(1)),
        ("POST", "/revisions/1/rollback", 410, &gone(1)),
    ])
    .await;
    assert_eq!(field(&admin.get("/revisions").await, "revision"), [4, 3]);
    assert_eq!(
        admin
            .ask("POST", "/revisions/2/rollback", None)
            .await
            .status,
        200
    );
}
