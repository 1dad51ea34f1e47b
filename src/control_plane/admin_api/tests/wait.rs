//! Writes that are answered when they are in effect.

use super::support::{Admin, Seen};
use crate::control_plane::config_store::DataPlanePresence;
use futures_util::future::{join, join_all};
use serde_json::json;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A connected data plane with this revision in effect.
pub fn data_plane(n: u128, revision: Option<i64>) -> DataPlanePresence {
    DataPlanePresence {
        id: Uuid::from_u128(n),
        hostname: "dp".to_owned(),
        ip: "127.0.0.1".to_owned(),
        last_seen: 0,
        updated_at: 0,
        config_hash: "0".repeat(32),
        version: None,
        sync_status: "normal".to_owned(),
        labels: None,
        cert_details: json!({}),
        rpc_capabilities: None,
        ttl: i64::MAX,
        control_plane: None,
        connected: true,
        revision,
        in_effect_at: None,
        quarantined: json!([]),
        langur_version: None,
        telemetry: None,
    }
}

pub async fn present(admin: &Admin, row: DataPlanePresence) {
    admin.store.present(row).await;
}

/// `X-Langur-Effective` and who is waited for.
fn effect(seen: &Seen) -> (Option<&str>, Option<&str>, Option<&str>) {
    (
        seen.header("x-langur-effective"),
        seen.header("x-langur-pending"),
        seen.header("x-langur-pending-count"),
    )
}

#[actix::test]
async fn who_has_not_got_there_is_named() {
    let admin = Admin::start().await;
    let write = "/services?wait=effective&timeout=0";
    let alone = admin.post(write, json!({"host": "h"})).await;
    assert_eq!(alone.status, 201);
    assert_eq!(
        effect(&alone),
        (Some("true"), None, None),
        "nobody is connected"
    );

    present(&admin, data_plane(1, Some(2))).await;
    present(&admin, data_plane(2, Some(1))).await;
    present(&admin, data_plane(3, None)).await;
    let gone = DataPlanePresence {
        connected: false,
        ..data_plane(4, Some(1))
    };
    present(&admin, gone).await;
    let late = admin.post(write, json!({"host": "h"})).await;
    assert_eq!((late.status, late.body["host"].as_str()), (201, Some("h")));
    assert_eq!(late.header("x-langur-revision"), Some("2"));
    let names = "00000000-0000-0000-0000-000000000002, 00000000-0000-0000-0000-000000000003";
    assert_eq!(effect(&late), (Some("false"), Some(names), Some("2")));

    // Without `wait` nothing is said, and a read does not look at it.
    let plain = admin.post("/services", json!({"host": "h"})).await;
    assert_eq!(effect(&plain), (None, None, None));
    let read = admin.get("/services?wait=whatever").await;
    assert_eq!((read.status, effect(&read)), (200, (None, None, None)));
}

/// After a database was restored: what such a data plane has in effect is not this revision.
#[actix::test]
async fn one_that_is_ahead_of_the_database_has_not_got_there() {
    let admin = Admin::start().await;
    present(&admin, data_plane(1, Some(99))).await;
    let write = "/services?wait=effective&timeout=0";
    let made = admin.post(write, json!({"host": "h"})).await;
    let pending = Some("00000000-0000-0000-0000-000000000001");
    assert_eq!(effect(&made), (Some("false"), pending, Some("1")));
}

#[actix::test]
async fn a_header_names_fifty() {
    let admin = Admin::start().await;
    for n in 1..=60 {
        present(&admin, data_plane(n, Some(0))).await;
    }
    let made = admin
        .put("/services/s?wait=effective&timeout=0", json!({"host": "h"}))
        .await;
    let (_, named, count) = effect(&made);
    assert_eq!(named.map(|named| named.split(", ").count()), Some(50));
    assert_eq!(count, Some("60"));
}

#[actix::test]
async fn the_answer_comes_when_the_last_one_has_it() {
    let admin = Admin::start().await;
    present(&admin, data_plane(1, Some(0))).await;
    let write = admin.post("/services?wait=effective&timeout=60", json!({"host": "h"}));
    let follow = async {
        let mut revisions = admin.store.revisions();
        let committed = revisions.wait_for(|newest| newest.0 == 1).await;
        committed.expect("a revision");
        present(&admin, data_plane(1, Some(1))).await;
    };
    let (made, ()) = join(write, follow).await;
    assert_eq!(
        (made.status, effect(&made)),
        (201, (Some("true"), None, None))
    );
}

/// However many wait, the rows are looked at by one.
#[actix::test]
async fn trial_32_many_who_wait_look_as_often_as_one() {
    let admin = Admin::start().await;
    present(&admin, data_plane(1, Some(0))).await;
    let before = admin.fleet.looks();
    let begun = Instant::now();
    let write = || admin.post("/services?wait=effective&timeout=2", json!({"host": "h"}));
    let answers = join_all((0..30).map(|_| write())).await;
    let pending = Some("00000000-0000-0000-0000-000000000001");
    for answer in answers {
        assert_eq!(effect(&answer), (Some("false"), pending, Some("1")));
    }
    let looks = admin.fleet.looks() - before;
    // One for each that comes, at most, and five a second.
    let most = 30 + 6 * (begun.elapsed().as_secs() + 1);
    assert!((2..=most).contains(&looks), "{looks} looks, {most} are due");
    // Nobody waits any more: nobody looks.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let then = admin.fleet.looks();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(admin.fleet.looks(), then);
}

#[actix::test]
async fn trial_04_what_is_withheld_is_said_with_and_without_waiting() {
    let admin = Admin::start().await;
    let plugin = Uuid::from_u128(5);
    let holding = |revision, ids: &[Uuid]| {
        let entry = |id: &Uuid| json!({"entity": "plugins", "id": id, "reason": "not here"});
        DataPlanePresence {
            quarantined: ids.iter().map(entry).collect(),
            ..data_plane(1, Some(revision))
        }
    };
    let withheld = |seen: &Seen| {
        let header = |name| seen.header(name).map(str::to_owned);
        (
            header("x-langur-effective"),
            header("x-langur-quarantined"),
            header("x-langur-quarantined-count"),
        )
    };
    let said = |text: &str| Some(text.to_owned());
    let named = said("plugins/00000000-0000-0000-0000-000000000005");

    // What is written is put into quarantine.
    present(&admin, holding(0, &[])).await;
    let path = format!("/plugins/{plugin}");
    let waited = format!("{path}?wait=effective&timeout=60");
    let write = admin.put(&waited, json!({"name": "request-termination"}));
    let follow = async {
        let mut revisions = admin.store.revisions();
        let committed = revisions.wait_for(|newest| newest.0 == 1).await;
        committed.expect("a revision");
        present(&admin, holding(1, &[plugin])).await;
    };
    let (made, ()) = join(write, follow).await;
    assert_eq!(made.status, 200, "{:?}", made.body);
    assert_eq!(withheld(&made), (said("false"), named.clone(), said("1")));
    assert_eq!(made.header("x-langur-pending"), None);

    // It is known when it is written again, whether something changes or not.
    for code in [503, 503, 404] {
        let config = json!({"name": "request-termination", "config": {"status_code": code}});
        let again = admin.put(&path, config).await;
        assert_eq!(withheld(&again), (said("false"), named.clone(), said("1")));
    }
    // What is disabled or deleted waits for nobody.
    let disabled = admin.patch(&path, json!({"enabled": false})).await;
    assert_eq!(
        (disabled.status, withheld(&disabled)),
        (200, (None, None, None))
    );
    // Another entity is not affected, and a read says nothing.
    let other = admin.post("/services", json!({"host": "h"})).await;
    assert_eq!(withheld(&other), (None, None, None));
    assert_eq!(withheld(&admin.get(&path).await), (None, None, None));
    let deleted = admin.delete(&path).await;
    assert_eq!(
        (deleted.status, withheld(&deleted)),
        (204, (None, None, None))
    );
}

#[actix::test]
async fn every_kind_of_write_waits() {
    let admin = Admin::start().await;
    admin.put("/services/s", json!({"host": "h"})).await;
    present(&admin, data_plane(1, Some(0))).await;
    let writes = [
        ("PATCH", "/services/s", Some(json!({"port": 81})), 200),
        (
            "POST",
            "/services/s/routes",
            Some(json!({"name": "r", "paths": ["/"]})),
            201,
        ),
        (
            "PUT",
            "/services/s/routes/r",
            Some(json!({"paths": ["/"]})),
            200,
        ),
        ("PATCH", "/routes/r/service", Some(json!({"port": 82})), 200),
        ("DELETE", "/routes/r", None, 204),
        // There is nothing to delete: the latest revision is waited for.
        ("DELETE", "/routes/r", None, 204),
    ];
    for (method, path, body, status) in writes {
        let path = format!("{path}?wait=effective&timeout=0");
        let seen = admin.ask(method, &path, body).await;
        assert_eq!(seen.status, status, "{method} {path}: {:?}", seen.body);
        let pending = Some("00000000-0000-0000-0000-000000000001");
        assert_eq!(
            effect(&seen),
            (Some("false"), pending, Some("1")),
            "{method} {path}"
        );
    }
}

#[actix::test]
async fn bad_arguments_are_refused_before_anything_is_written() {
    let admin = Admin::start().await;
    let refused = admin
        .post("/services?wait=yes&timeout=301", json!({"host": "h"}))
        .await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.body["fields"],
        json!({
            "wait": "expected 'effective'",
            "timeout": "expected seconds, a number from 0 to 300",
        })
    );
    assert!(admin.get("/services").await.each("id").is_empty());
    // A refused write is not waited for.
    let refused = admin.post("/services?wait=effective", json!({})).await;
    assert_eq!(
        (refused.status, effect(&refused)),
        (400, (None, None, None))
    );
}
