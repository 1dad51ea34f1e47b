//! Health checks of upstreams: probes and requests take targets out and bring them back.

use crate::harness::{
    Backend, Both, Cluster, Database, active, add_target, balanced, call, delete, eventually, get,
    post, silent,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Waits until a data plane exports this state of a target.
fn exported(cluster: &Cluster, target: &Backend, state: &str) {
    let url = cluster.status_url(&cluster.data_planes[0], "/metrics");
    let address = target.address;
    let line = format!(
        "kong_upstream_target_health{{upstream=\"pool\",target=\"{address}\",\
         address=\"{address}\",state=\"{state}\",subsystem=\"http\"}} 1"
    );
    eventually(&format!("{address} is {state}"), || {
        let text = get(&url)?.text;
        match text.lines().any(|found| found == line) {
            true => Ok(()),
            false => Err(text),
        }
    });
}

#[test]
fn probes_take_a_stopped_target_out_and_bring_it_back() {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    cluster.add_data_plane(&[("metrics_upstream_health", "on")]);
    cluster.wait_until_connected(0);
    let (mut one, two) = (Backend::start("one"), Backend::start("two"));
    balanced(
        |path| cluster.admin(0, path),
        "pool",
        &active(json!({})),
        &[&one, &two],
    );
    cluster.wait_for_status(0, "/pool", 200);
    let url = cluster.proxy(0, "/pool");
    let answers = |n: usize| -> Vec<String> {
        let answer = || get(&url).expect("an answer");
        let mut texts: Vec<String> = (0..n)
            .map(|_| answer())
            .map(|reply| format!("{} {}", reply.status, reply.text))
            .collect();
        texts.sort();
        texts.dedup();
        texts
    };
    exported(&cluster, &one, "healthy");
    assert_eq!(answers(8), ["200 one", "200 two"]);

    one.stop();
    exported(&cluster, &one, "unhealthy");
    assert_eq!(
        answers(20),
        ["200 two"],
        "no request goes to the stopped one"
    );
    exported(&cluster, &two, "healthy");

    one.resume();
    exported(&cluster, &one, "healthy");
    assert_eq!(answers(20), ["200 one", "200 two"]);

    // The status listener tells, which the control plane cannot.
    let page = |path: &str| {
        let url = cluster.status_url(&cluster.data_planes[0], path);
        get(&url).expect("an answer")
    };
    let health = page("/upstreams/pool/health").expect(200);
    assert_eq!(health["data"][0]["target"], two.address.to_string());
    assert_eq!(health["data"][1]["health"], "HEALTHY");
    assert_eq!(health["data"][1]["data"]["weight"]["available"], 100);
    let whole = page("/upstreams/pool/health?balancer_health=1").expect(200);
    assert_eq!(whole["data"]["details"]["weight"]["total"], 200);
    let path = format!("/upstreams/pool/targets/{}", one.address);
    assert_eq!(page(&path).expect(200)["id"], health["data"][1]["id"]);
    let listed = page("/upstreams/pool/targets").expect(200);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2));
    for path in ["/upstreams/none/health", "/upstreams/pool/targets/none"] {
        assert_eq!(page(path).status, 404, "{path}");
    }
    let admin = get(&cluster.admin(0, "/upstreams/pool/health"));
    let admin = admin.expect("an answer").expect(200);
    assert_eq!(admin["data"][0]["health"], Value::Null);

    // What a target answers counts, too.
    one.answer(503);
    exported(&cluster, &one, "unhealthy");
    assert_eq!(answers(20), ["200 two"]);

    let node = &cluster.data_planes[0];
    let port = one.address.port();
    for message in ["target is unhealthy", "target is healthy"] {
        let event = eventually(message, || {
            let events = node.events(message);
            let found = events.iter().find(|event| event["port"] == port);
            found.cloned().ok_or(format!("{events:?}"))
        });
        assert_eq!(event["upstream"], "pool");
        assert_eq!(event["source"], "Active");
        assert_eq!(event["address"], one.address.to_string());
    }
}

#[test]
fn requests_take_a_failing_target_out_until_it_is_set_healthy() {
    let both = Both::start();
    let target = Backend::start("one");
    let checks = json!({"passive": {"unhealthy": {
        "http_failures": 2, "tcp_failures": 1, "http_statuses": [500],
    }}});
    balanced(|path| both.admin(path), "pool", &checks, &[&target]);
    let address = target.address.to_string();
    assert_eq!(
        both.health("pool"),
        [(address.clone(), "HEALTHY".into())].into()
    );
    assert_eq!(both.proxy("/pool"), (200, "one".into()));
    target.answer(500);
    assert_eq!(both.proxy("/pool").0, 500);
    assert_eq!(both.health("pool")[&address], "HEALTHY");
    assert_eq!(both.proxy("/pool").0, 500);
    assert_eq!(both.health("pool")[&address], "UNHEALTHY");
    let refused = |both: &Both| {
        let (status, text) = both.proxy("/pool");
        let reason = "failure to get a peer from the ring-balancer";
        assert!(status == 503 && text.contains(reason), "{status} {text}");
    };
    refused(&both);

    // Neither an unrelated write nor one to the upstream changes what is known.
    post(&both.admin("/consumers"), &json!({"username": "ann"}))
        .expect("an answer")
        .expect(201);
    let tags = json!({"tags": ["t"]});
    call("PATCH", &both.admin("/upstreams/pool"), &[], Some(&tags))
        .expect("an answer")
        .expect(200);
    assert_eq!(both.health("pool")[&address], "UNHEALTHY");
    refused(&both);
    let seen = target.requests();

    target.answer(200);
    refused(&both);
    assert_eq!(target.requests(), seen, "nothing was sent to it");
    let path = format!("/upstreams/pool/targets/{address}/healthy");
    assert_eq!(both.put(&path).0, 204);
    assert_eq!(both.proxy("/pool"), (200, "one".into()));
}

#[test]
fn an_attempt_that_fails_counts_for_its_target() {
    let both = Both::start();
    let (dead, alive) = (Backend::stopped("dead"), Backend::start("alive"));
    let checks = json!({"passive": {"unhealthy": {"tcp_failures": 1}}});
    balanced(|path| both.admin(path), "pool", &checks, &[&dead, &alive]);
    let retries = json!({"retries": 3});
    call("PATCH", &both.admin("/services/pool"), &[], Some(&retries))
        .expect("an answer")
        .expect(200);
    assert_eq!(both.health("pool")[&dead.address.to_string()], "HEALTHY");
    for _ in 0..4 {
        assert_eq!(both.proxy("/pool"), (200, "alive".into()));
    }
    let health = both.health("pool");
    assert_eq!(health[&dead.address.to_string()], "UNHEALTHY");
    assert_eq!(health[&alive.address.to_string()], "HEALTHY");
}

#[test]
fn a_request_that_takes_too_long_counts_as_a_timeout() {
    let both = Both::start();
    let (listener, address) = silent();
    let checks = json!({"passive": {"unhealthy": {
        "timeouts": 2, "tcp_failures": 1, "http_failures": 1, "http_statuses": [502, 503],
    }}});
    balanced(|path| both.admin(path), "pool", &checks, &[]);
    both.patch("/services/pool", &json!({"read_timeout": 50}));
    add_target(&both, "pool", address);
    for state in ["HEALTHY", "UNHEALTHY"] {
        both.health("pool");
        assert_eq!(both.proxy("/pool").0, 504);
        assert_eq!(both.health("pool")[&address.to_string()], state);
    }
    assert_eq!(both.proxy("/pool").0, 503);
    drop(listener);
}

#[test]
fn an_upstream_below_its_threshold_is_not_used() {
    let both = Both::start();
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let mut checks = json!({"passive": {"unhealthy": {"tcp_failures": 1}}});
    checks["threshold"] = json!(50);
    balanced(|path| both.admin(path), "pool", &checks, &[&one, &two]);
    let balancer = || {
        both.settle();
        let page = get(&both.admin("/upstreams/pool/health?balancer_health=1"));
        page.expect("an answer").expect(200)["data"].clone()
    };
    let weights = |data: &Value| data["details"]["weight"].clone();
    let data = balancer();
    let expected = json!({"total": 200, "available": 200, "unavailable": 0});
    assert_eq!(
        (&data["balancer_health"], weights(&data)),
        (&json!("HEALTHY"), expected)
    );
    assert_eq!(both.proxy("/pool").0, 200);

    // One address of the target, and the target with all of its addresses.
    let address = two.address;
    let one_address = format!("/upstreams/pool/targets/{address}/{address}");
    let all = format!("/upstreams/pool/targets/{address}");
    for (path, health, status) in [
        (format!("{one_address}/unhealthy"), "UNHEALTHY", 503),
        (format!("{all}/healthy"), "HEALTHY", 200),
        (format!("{all}/unhealthy"), "UNHEALTHY", 503),
        (format!("{one_address}/healthy"), "HEALTHY", 200),
    ] {
        assert_eq!(both.put(&path), (204, Value::Null), "{path}");
        assert_eq!(balancer()["health"], health, "{path}");
        assert_eq!(both.proxy("/pool").0, status, "{path}");
    }
    let not_found = json!({"message": "Not found"});
    for path in [
        "/upstreams/none/targets/1.1.1.1:1/healthy".to_owned(),
        "/upstreams/pool/targets/1.1.1.1:1/healthy".to_owned(),
        format!("{all}/1.1.1.1:1/healthy"),
    ] {
        assert_eq!(both.put(&path), (404, not_found.clone()), "{path}");
    }
    assert_eq!(both.put(&format!("{all}/nonsense/healthy")).0, 400);
}

#[test]
fn a_name_that_does_not_resolve_is_a_dns_error() {
    let both = Both::start();
    let target = Backend::start("one");
    balanced(
        |path| both.admin(path),
        "pool",
        &active(json!({})),
        &[&target],
    );
    let gone = json!({"target": "gone.invalid:80"});
    post(&both.admin("/upstreams/pool/targets"), &gone)
        .expect("an answer")
        .expect(201);
    let local = json!({"target": format!("localhost:{}", target.address.port()), "weight": 0});
    post(&both.admin("/upstreams/pool/targets"), &local)
        .expect("an answer")
        .expect(201);
    let address = target.address.to_string();
    let local = format!("localhost:{}", target.address.port());
    let expected = [
        (address.as_str(), "HEALTHY"),
        ("gone.invalid:80", "DNS_ERROR"),
        (&local, "HEALTHCHECKS_OFF"),
    ];
    let expected = expected.map(|(target, health)| (target.to_owned(), health.to_owned()));
    let expected = BTreeMap::from(expected);
    // A resolver may need longer for a name that is not there than the page waits.
    eventually("both names were looked up", || {
        let health = both.health("pool");
        let there = health == expected;
        there.then_some(()).ok_or(format!("{health:?}"))
    });
    for _ in 0..4 {
        assert_eq!(both.proxy("/pool"), (200, "one".into()));
    }
    // Without checks there is nothing to set.
    balanced(|path| both.admin(path), "off", &json!({}), &[&target]);
    assert_eq!(both.health("off")[&address], "HEALTHCHECKS_OFF");
    let path = format!("/upstreams/off/targets/{address}/unhealthy");
    let message = json!({"message": "no healthchecker found for off"});
    assert_eq!(both.put(&path), (400, message));
}

#[test]
fn probes_end_with_their_upstream() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    let (gone, stays) = (Backend::start("gone"), Backend::start("stays"));
    balanced(
        |path| cluster.admin(0, path),
        "gone",
        &active(json!({})),
        &[&gone],
    );
    balanced(
        |path| cluster.admin(0, path),
        "stays",
        &active(json!({})),
        &[&stays],
    );
    gone.wait_for_probes(3);
    let services = [
        ("/routes/gone", 204),
        ("/services/gone", 204),
        ("/upstreams/gone", 204),
    ];
    for (path, status) in services {
        delete(&cluster.admin(0, path))
            .expect("an answer")
            .expect(status);
    }
    cluster.wait_until_in_sync(0, 0);
    // Some may be under way, or not be counted yet.
    eventually("no probe comes any more", || {
        let before = gone.probes();
        stays.wait_for_probes(20);
        let after = gone.probes();
        let ended = before == after;
        ended.then_some(()).ok_or(format!("{before}, {after}"))
    });
}
