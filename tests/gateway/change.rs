//! A change travels: written on the control plane, in effect on every data plane, and seen to be.

use crate::harness::{Cluster, Database, call, delete, eventually, get, post};
use serde_json::json;

#[test]
fn a_change_reaches_two_data_planes() {
    let cluster = Cluster::start(Database::Sqlite, 2);
    for n in 0..2 {
        cluster.wait_for_status(n, "/hello", 404);
        let reply = get(&cluster.proxy(n, "/hello")).expect("an answer");
        assert_eq!(
            reply.json()["message"],
            "no Route matched with those values"
        );
    }
    cluster.add_route("hello", "/hello");
    for n in 0..2 {
        cluster.wait_for_status(n, "/hello", 200);
        let row = cluster.wait_until_in_sync(0, n);
        assert_eq!(row["sync_status"], "normal");
        assert_eq!(row["quarantined"], json!([]));
        assert!(
            row["in_effect_at"].as_f64().is_some_and(|at| at > 1.7e9),
            "{row}"
        );
    }
    let hashes: Vec<_> = (0..2)
        .map(|n| cluster.wait_until_in_sync(0, n)["config_hash"].clone())
        .collect();
    assert_eq!(hashes[0], hashes[1]);

    delete(&cluster.admin(0, "/routes/hello"))
        .expect("an answer")
        .expect(204);
    for n in 0..2 {
        cluster.wait_for_status(n, "/hello", 404);
    }
}

#[test]
fn key_auth_lets_consumers_in_and_nobody_else() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    cluster.add_route("secret", "/secret");
    let key_auth = json!({"name": "key-auth", "config": {"hide_credentials": true}});
    post(&cluster.admin(0, "/routes/secret/plugins"), &key_auth)
        .expect("an answer")
        .expect(201);
    cluster.wait_for_status(0, "/secret", 401);
    post(&cluster.admin(0, "/consumers"), &json!({"username": "ann"}))
        .expect("an answer")
        .expect(201);
    let made = post(&cluster.admin(0, "/consumers/ann/key-auth"), &json!({}))
        .expect("an answer")
        .expect(201);
    let key = made["key"].as_str().expect("a generated key").to_owned();

    let reply = eventually("the key opens", || {
        let reply = call(
            "GET",
            &cluster.proxy(0, "/secret"),
            &[("apikey", &key)],
            None,
        )?;
        if reply.status == 200 {
            Ok(reply)
        } else {
            Err(reply.text)
        }
    });
    let seen = reply.text.to_lowercase();
    assert!(seen.contains("x-consumer-username: ann"), "{seen}");
    assert!(
        !seen.contains(&key.to_lowercase()),
        "the key went upstream: {seen}"
    );
    let wrong = call(
        "GET",
        &cluster.proxy(0, "/secret"),
        &[("apikey", "wrong")],
        None,
    );
    assert_eq!(wrong.expect("an answer").status, 401);

    delete(&cluster.admin(0, "/consumers/ann"))
        .expect("an answer")
        .expect(204);
    eventually("the key is gone with its consumer", || {
        let reply = call(
            "GET",
            &cluster.proxy(0, "/secret"),
            &[("apikey", &key)],
            None,
        )?;
        if reply.status == 401 {
            Ok(())
        } else {
            Err(reply.text)
        }
    });
}

#[test]
fn targets_share_the_load_by_weight() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    let other = crate::harness::Upstream::start("other");
    post(&cluster.admin(0, "/upstreams"), &json!({"name": "pool"}))
        .expect("an answer")
        .expect(201);
    for (address, weight) in [(cluster.upstream.address, 30), (other.address, 10)] {
        let target = json!({"target": address.to_string(), "weight": weight});
        post(&cluster.admin(0, "/upstreams/pool/targets"), &target)
            .expect("an answer")
            .expect(201);
    }
    post(
        &cluster.admin(0, "/services"),
        &json!({"name": "s", "host": "pool"}),
    )
    .expect("an answer")
    .expect(201);
    post(
        &cluster.admin(0, "/services/s/routes"),
        &json!({"paths": ["/"]}),
    )
    .expect("an answer")
    .expect(201);
    cluster.wait_for_status(0, "/", 200);
    cluster.wait_until_in_sync(0, 0);
    let before = (cluster.upstream.requests(), other.requests());
    for _ in 0..40 {
        assert_eq!(get(&cluster.proxy(0, "/")).expect("an answer").status, 200);
    }
    let shares = (
        cluster.upstream.requests() - before.0,
        other.requests() - before.1,
    );
    assert_eq!(shares, (30, 10));
}
