//! Many writes as one revision, waiting until a write is in effect, and the way back, on real
//! data planes.

use crate::control_planes::two_control_planes;
use crate::harness::{Cluster, Database, Reply, call, delete, eventually, get, post};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn id_of(cluster: &Cluster, data_plane: usize) -> String {
    let row = cluster.row(0, data_plane).expect("a row");
    row["id"].as_str().expect("an id").to_owned()
}

/// The revisions in effect on the data planes.
fn in_effect(cluster: &Cluster, data_planes: usize) -> Vec<Value> {
    let row = |n| cluster.row(0, n).expect("a row")["revision"].clone();
    (0..data_planes).map(row).collect()
}

/// A write of a service that waits; other retries make it another service.
fn write(cluster: &Cluster, retries: u32, timeout: u32) -> Reply {
    let path = format!("/services/waited?wait=effective&timeout={timeout}");
    let service = json!({"url": "http://127.0.0.1:1", "retries": retries});
    let url = cluster.admin(0, &path);
    call("PUT", &url, &[], Some(&service)).expect("an answer")
}

/// Writes until nobody is late but the one data plane that stands still: on a busy machine the
/// others may need longer than a write waits.
fn write_but_for(cluster: &Cluster, still: &str) -> Reply {
    let mut retries = 100;
    eventually("only one is late", || {
        retries += 1;
        let late = write(cluster, retries, 1);
        match late.header("x-langur-pending") == Some(still) {
            true => Ok(late),
            false => Err(format!("{late:?}")),
        }
    })
}

/// The revision that an answer names.
fn revision_of(reply: &Reply) -> u64 {
    let revision = reply.header("x-langur-revision").expect("a revision");
    revision.parse().expect("a number")
}

#[track_caller]
fn check_effect(reply: &Reply, effective: &str, pending: Option<&str>) {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("x-langur-effective"), Some(effective));
    assert_eq!(reply.header("x-langur-pending"), pending);
}

#[test]
fn a_transaction_reaches_two_data_planes_as_one_revision() {
    let cluster = Cluster::start(Database::Sqlite, 2);
    let upstream = format!("http://{}", cluster.upstream.address);
    let operations = json!([
        {"op": "upsert", "path": "/services/shop", "body": {"url": upstream}},
        {"op": "create", "path": "/services/shop/routes", "body": {"name": "shop", "paths": ["/shop"]}},
        {"op": "create", "path": "/routes/shop/plugins", "body": {"name": "key-auth"}},
        {"op": "create", "path": "/consumers", "body": {"username": "ann"}},
        {"op": "create", "path": "/consumers/ann/key-auth", "body": {"key": "an-example"}},
    ]);
    let url = cluster.admin(0, "/transactions?wait=effective");
    let tried = json!({"operations": operations, "dry_run": true});
    let tried = post(&url, &tried).expect("an answer").expect(200);
    assert_eq!(tried["revision"], 0);
    assert_eq!(tried["changes"].as_array().map(Vec::len), Some(5));

    let done = post(&url, &json!({ "operations": operations })).expect("an answer");
    check_effect(&done, "true", None);
    let done = done.expect(200);
    assert_eq!(done["revision"], 1);
    // It is in effect, so nobody waits here.
    assert_eq!(in_effect(&cluster, 2), [1, 1]);
    for n in 0..2 {
        let url = cluster.proxy(n, "/shop");
        assert_eq!(get(&url).expect("an answer").status, 401);
        let key = [("apikey", "an-example")];
        let served = call("GET", &url, &key, None).expect("an answer");
        assert_eq!(served.status, 200, "{}", served.text);
    }
    let listed = get(&cluster.admin(0, "/revisions"))
        .expect("an answer")
        .expect(200);
    assert_eq!(listed["data"][0]["changed"], 5);
    let on = listed["data"][0]["data_planes"].as_array().expect("a list");
    let mut on: Vec<_> = on.iter().filter_map(Value::as_str).collect();
    let mut both: Vec<_> = (0..2).map(|n| id_of(&cluster, n)).collect();
    on.sort_unstable();
    both.sort_unstable();
    assert_eq!(on, both);

    // A refused one reaches nobody.
    let refused = json!({"operations": [
        {"op": "delete", "path": "/consumers/ann"},
        {"op": "delete", "path": "/services/shop"},
    ]});
    let refused = post(&url, &refused).expect("an answer").expect(400);
    assert_eq!(refused["violations"][0]["operation"], 1);
    let served = call(
        "GET",
        &cluster.proxy(0, "/shop"),
        &[("apikey", "an-example")],
        None,
    );
    assert_eq!(served.expect("an answer").status, 200);
    assert_eq!(in_effect(&cluster, 2), [1, 1]);
}

#[test]
fn a_data_plane_that_stands_still_is_named() {
    let cluster = Cluster::start(Database::Sqlite, 2);
    check_effect(&write(&cluster, 1, 60), "true", None);
    assert_eq!(in_effect(&cluster, 2), [1, 1]);
    cluster.data_planes[1].signal(libc::SIGSTOP);
    let still = id_of(&cluster, 1);
    let late = write_but_for(&cluster, &still);
    check_effect(&late, "false", Some(&still));
    assert_eq!(late.header("x-langur-pending-count"), Some("1"));
    // The write counts all the same, and is in effect where it can be.
    assert!(revision_of(&late) > 1, "{late:?}");
    assert_eq!(in_effect(&cluster, 1), [revision_of(&late)]);
    cluster.data_planes[1].signal(libc::SIGCONT);
    cluster.wait_until_in_sync(0, 1);
    let last = write(&cluster, 3, 60);
    check_effect(&last, "true", None);
    assert_eq!(in_effect(&cluster, 2), [revision_of(&last); 2]);
}

/// One that applies nothing holds the first who waits, for ten seconds, and nobody after that.
fn check_that_it_holds_nobody(cluster: &Cluster, stuck: usize) {
    check_effect(&write(cluster, 1, 60), "true", None);
    let id = id_of(cluster, stuck);
    cluster.data_planes[stuck].signal(libc::SIGSTOP);
    let begun = Instant::now();
    check_effect(&write(cluster, 2, 200), "false", Some(&id));
    let first = begun.elapsed();
    assert!(first >= Duration::from_secs(8), "{first:?}");
    let begun = Instant::now();
    let rounds = 5;
    for retries in 0..rounds {
        check_effect(&write(cluster, 10 + retries, 200), "false", Some(&id));
    }
    let others = begun.elapsed();
    assert!(
        first < Duration::from_secs(60) && others < Duration::from_secs(20),
        "the first waited {first:?}, {rounds} others {others:?}"
    );
    cluster.data_planes[stuck].signal(libc::SIGCONT);
    cluster.wait_until_in_sync(0, stuck);
    check_effect(&write(cluster, 99, 60), "true", None);
}

#[test]
fn trial_27_a_data_plane_that_is_stuck_does_not_hold_every_write() {
    check_that_it_holds_nobody(&Cluster::start(Database::Sqlite, 2), 1);
}

#[test]
fn trial_27_nor_does_one_of_another_control_plane() {
    check_that_it_holds_nobody(&two_control_planes(), 1);
}

#[test]
fn data_planes_of_another_control_plane_count_too() {
    let cluster = two_control_planes();
    check_effect(&write(&cluster, 4, 60), "true", None);
    assert_eq!(in_effect(&cluster, 2), [1, 1]);
    // The second data plane is connected to the second control plane alone.
    cluster.data_planes[1].signal(libc::SIGSTOP);
    let other = id_of(&cluster, 1);
    let late = write_but_for(&cluster, &other);
    check_effect(&late, "false", Some(&other));
    cluster.data_planes[1].signal(libc::SIGCONT);
    cluster.wait_until_in_sync(0, 1);
    let rolled_back = post(
        &cluster.admin(0, "/revisions/1/rollback?wait=effective&timeout=60"),
        &json!({}),
    );
    let rolled_back = rolled_back.expect("an answer");
    check_effect(&rolled_back, "true", None);
    assert_eq!(in_effect(&cluster, 2), [revision_of(&rolled_back); 2]);
}

#[test]
fn a_rollback_brings_a_deleted_service_back_to_life() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    cluster.add_route("kept", "/kept");
    cluster.wait_for_status(0, "/kept", 200);
    let before = cluster.wait_until_in_sync(0, 0);
    for path in ["/routes/kept", "/services/kept"] {
        let url = cluster.admin(0, &format!("{path}?wait=effective"));
        let deleted = delete(&url).expect("an answer");
        assert_eq!(deleted.header("x-langur-effective"), Some("true"));
        deleted.expect(204);
    }
    let status = || get(&cluster.proxy(0, "/kept")).expect("an answer").status;
    assert_eq!(status(), 404);
    let url = cluster.admin(0, "/revisions/2/rollback?wait=effective");
    let back = post(&url, &json!({})).expect("an answer");
    check_effect(&back, "true", None);
    assert_eq!(
        back.expect(200),
        json!({"revision": 5, "restored": 2, "changed": 2})
    );
    assert_eq!(status(), 200, "traffic flows again");
    let after = cluster.wait_until_in_sync(0, 0);
    assert_eq!(after["config_hash"], before["config_hash"]);
    assert_eq!(after["revision"], 5);
}
