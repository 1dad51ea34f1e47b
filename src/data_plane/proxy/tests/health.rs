//! What addresses learn from requests, and what requests learn from addresses.

use super::super::testing::{Harness, body, entity, reference};
use crate::data_plane::exchange::AttemptError;
use crate::model::Kind;
use serde_json::{Value, json};

const REQUEST: &str = "GET /r HTTP/1.1\r\nHost: a\r\n";

/// A pipeline with targets `10.0.0.1`, `10.0.0.2`, … of one upstream.
fn proxy(retries: u32, targets: u128, unhealthy: Value) -> Harness {
    let checks = json!({"passive": {
        "healthy": {"successes": 1, "http_statuses": [200]}, "unhealthy": unhealthy,
    }});
    let upstream = json!({"name": "up", "healthchecks": checks});
    let service = json!({"host": "up", "retries": retries});
    let route = json!({"paths": ["/r"], "service": reference(1)});
    let mut entities = vec![
        entity(Kind::Services, 1, service),
        entity(Kind::Routes, 2, route),
        entity(Kind::Upstreams, 3, upstream),
    ];
    for n in 1..=targets {
        let target = json!({"upstream": reference(3), "target": format!("10.0.0.{n}:80")});
        entities.push(entity(Kind::Targets, 10 + n, target));
    }
    Harness::new(entities)
}

/// How many addresses are healthy.
fn healthy(proxy: &Harness) -> usize {
    let snapshot = proxy.snapshots.load();
    let pool = snapshot.upstream("up").expect("the upstream").pool();
    let peers = pool.peers().iter();
    peers.filter(|peer| peer.health.is_healthy()).count()
}

/// One request that the upstream answers with this status; `None` when it was not asked.
fn answered(proxy: &mut Harness, status: u16) -> Option<u16> {
    proxy.access(REQUEST).expect("forwarded");
    let asked = proxy.attempt(None).ok();
    let seen = asked.map(|_| proxy.response(&format!("HTTP/1.1 {status} X\r\n")).0);
    proxy.finish();
    seen
}

#[test]
fn statuses_count() {
    let unhealthy = json!({"http_failures": 2, "http_statuses": [500], "timeouts": 1});
    let mut proxy = proxy(0, 1, unhealthy);
    for (status, left) in [(500, 1), (404, 1), (200, 1), (500, 1), (500, 0)] {
        assert_eq!(answered(&mut proxy, status), Some(status));
        assert_eq!(healthy(&proxy), left, "{status}");
    }
    assert_eq!(answered(&mut proxy, 200), None, "nobody is asked any more");
}

#[test]
fn a_504_of_the_upstream_is_a_timeout() {
    let mut proxy = proxy(0, 1, json!({"timeouts": 1}));
    assert_eq!(answered(&mut proxy, 504), Some(504));
    assert_eq!(healthy(&proxy), 0);
}

#[test]
fn failed_attempts_count_by_their_kind() {
    use AttemptError::*;
    let check = |failed: AttemptError, unhealthy: Value, expected: bool| {
        let mut proxy = proxy(0, 1, unhealthy.clone());
        proxy.access(REQUEST).expect("forwarded");
        proxy.attempt(None).expect("an address");
        proxy.attempt(Some(failed)).expect_err("no retries");
        proxy.finish();
        assert_eq!(healthy(&proxy) == 0, expected, "{failed:?} {unhealthy}");
    };
    let tcp = || json!({"tcp_failures": 1});
    let slow = || json!({"timeouts": 1});
    for failed in [Connect, Reset { sent: true }, BadResponse] {
        check(failed, tcp(), true);
        check(failed, slow(), false);
        // What the client is told counts as a status, if it is listed.
        check(
            failed,
            json!({"http_failures": 1, "http_statuses": [502]}),
            true,
        );
    }
    for failed in [ConnectTimeout, Timeout { sent: true }] {
        check(failed, slow(), true);
        check(failed, tcp(), false);
    }
    check(Resolve, json!({"tcp_failures": 1, "timeouts": 1}), false);
}

#[test]
fn a_retry_avoids_what_has_just_failed() {
    let mut proxy = proxy(9, 3, json!({"tcp_failures": 1}));
    proxy.access(REQUEST).expect("forwarded");
    let mut last = None;
    for left in [3, 2, 1] {
        proxy.attempt(last).expect("an address");
        assert_eq!(healthy(&proxy), left);
        last = Some(AttemptError::Connect);
    }
    let reply = proxy.attempt(last).expect_err("all are out");
    assert_eq!((reply.status, healthy(&proxy)), (503, 0));
    proxy.finish();
    proxy.access(REQUEST).expect("forwarded");
    let reply = proxy.attempt(None).expect_err("all are out");
    let text = body(&reply);
    assert!(
        text.contains("failure to get a peer from the ring-balancer"),
        "{text}"
    );
}
