//! What a node says of itself.

use crate::harness::{Cluster, Database, call, eventually, get};

#[test]
fn both_roles_answer_on_their_status_listener() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    let (control, data) = (&cluster.control_planes[0], &cluster.data_planes[0]);
    let status = get(&cluster.status_url(control, "/status"))
        .expect("an answer")
        .expect(200);
    assert_eq!(status["database"]["reachable"], true);
    // A data plane without configuration is not ready; with one it is.
    cluster.add_route("any", "/any");
    cluster.wait_for_status(0, "/any", 200);
    let ready = get(&cluster.status_url(data, "/status/ready"))
        .expect("an answer")
        .expect(200);
    assert_eq!(ready["message"], "ready");
    let status = get(&cluster.status_url(data, "/status"))
        .expect("an answer")
        .expect(200);
    let row = cluster.wait_until_in_sync(0, 0);
    assert_eq!(status["configuration_hash"], row["config_hash"]);
    assert!(
        status["server"]["total_requests"]
            .as_u64()
            .is_some_and(|n| n > 0),
        "{status}"
    );
    let draining = call(
        "POST",
        &cluster.status_url(data, "/status/ready?status=draining"),
        &[],
        None,
    );
    assert_eq!(draining.expect("an answer").status, 204);
    let ready = get(&cluster.status_url(data, "/status/ready")).expect("an answer");
    assert_eq!(
        (ready.status, ready.json()["message"].as_str()),
        (503, Some("draining"))
    );
}

#[test]
fn metrics_move_with_traffic() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    cluster.add_route("counted", "/counted");
    cluster.wait_for_status(0, "/counted", 200);
    eventually("the data plane counts the request", || {
        let text = get(&cluster.status_url(&cluster.data_planes[0], "/metrics"))?.text;
        let line = text.lines().find(|line| {
            line.starts_with("kong_http_requests_total{")
                && line.contains("route=\"counted\"")
                && line.contains("code=\"200\"")
        });
        line.map(str::to_owned).ok_or(text)
    });
    eventually("the control plane counts it for the fleet", || {
        let text = get(&cluster.admin(0, "/metrics"))?.text;
        let line = text.lines().find(|line| {
            line.starts_with("langur_fleet_http_requests_total{") && line.contains("counted")
        });
        line.map(str::to_owned).ok_or(text)
    });
    let text = get(&cluster.admin(0, "/metrics")).expect("an answer").text;
    assert!(
        !text.contains("kong_http_requests_total"),
        "the control plane would be summed twice"
    );
}

#[test]
fn every_actor_shows_its_state() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    let names = |url: String| get(&url).expect("an answer").text;
    let control = names(cluster.admin(0, "/debug/actors"));
    for actor in ["AdminApi", "ConfigStore", "ClusterRegistry", "Session"] {
        assert!(control.contains(actor), "{actor}: {control}");
    }
    let data = names(cluster.status_url(&cluster.data_planes[0], "/debug/actors"));
    for actor in [
        "Listener",
        "Router",
        "HeartbeatClient",
        "TelemetryBuffer",
        "CacheWriter",
    ] {
        assert!(data.contains(actor), "{actor}: {data}");
    }
}
