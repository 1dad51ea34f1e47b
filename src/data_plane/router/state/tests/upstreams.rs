//! Upstreams, their targets and what is known of their health.

use super::*;
use crate::data_plane::balancer::{LookupError, Resolution};

#[test]
fn upstreams_follow_their_targets_and_names_can_pass_on() {
    let mut state = state();
    let upstream = |n, name: &str| other(Kind::Upstreams, n, json!({ "name": name }));
    let target = |n, at: &str, weight: u32| {
        other(
            Kind::Targets,
            n,
            json!({ "upstream": to(1), "target": at, "weight": weight }),
        )
    };
    let hosts = |outcome: &Outcome, host: &str| -> Vec<u16> {
        let Some(upstream) = outcome.snapshot.upstream(host) else {
            return Vec::new();
        };
        let pool = upstream.pool();
        pool.peers()
            .iter()
            .map(|peer| peer.target.address.port)
            .collect()
    };
    let outcome = apply(
        &mut state,
        vec![
            service(7, json!({ "host": "u" })),
            service(8, json!({ "host": "plain", "port": 99 })),
            upstream(1, "u"),
            target(2, "a:1", 1),
            target(3, "b:2", 0),
        ],
    );
    assert_eq!(hosts(&outcome, "u"), [1]);
    let port = |snapshot: &Snapshot, service: u128| {
        let service = snapshot.service(id(service)).expect("a service");
        match snapshot.destination(service) {
            Destination::Host(address) => address.port,
            Destination::Balanced(upstream) => {
                let pool = upstream.pool();
                let peer = pool.pick(&[]).expect("an address");
                peer.target.address.port
            }
        }
    };
    assert_eq!(
        (port(&outcome.snapshot, 7), port(&outcome.snapshot, 8)),
        (1, 99)
    );
    let outcome = apply(
        &mut state,
        vec![target(3, "b:2", 5), delete(Kind::Targets, 2)],
    );
    assert_eq!(hosts(&outcome, "u"), [2]);
    assert_eq!(
        outcome.work,
        Work {
            compiled: 2,
            written: 3
        }
    );
    let outcome = apply(&mut state, vec![upstream(1, "v"), upstream(9, "u")]);
    assert_eq!(
        (hosts(&outcome, "v"), hosts(&outcome, "u")),
        (vec![2], vec![])
    );
    assert!(outcome.snapshot.upstream("u").is_some());
}

#[test]
fn health_outlives_changes_that_leave_the_address() {
    let mut state = state();
    let checks = json!({ "passive": { "unhealthy": { "tcp_failures": 1 } } });
    let upstream = |tags: Value, checks: &Value| {
        let fields = json!({ "name": "u", "tags": tags, "healthchecks": checks });
        other(Kind::Upstreams, 1, fields)
    };
    let target = |weight: u32| {
        let fields = json!({ "upstream": to(1), "target": "10.0.0.1:80", "weight": weight });
        other(Kind::Targets, 2, fields)
    };
    let is_healthy = |outcome: &Outcome| {
        let upstream = outcome.snapshot.upstream("u").expect("the upstream");
        upstream.pool().peers()[0].health.is_healthy()
    };
    let first = apply(&mut state, vec![upstream(json!([]), &checks), target(10)]);
    let found = first.snapshot.upstream("u").expect("the upstream");
    let limits = &found.spec.checks.passive.limits;
    let health = Arc::clone(&found.pool().peers()[0].health);
    let told = health.observe(Observation::TcpFailure, limits);
    assert_eq!(told, Some(false));
    let unrelated = apply(&mut state, vec![service(7, json!({}))]);
    assert!(unrelated.snapshot.has_upstreams_of(&first.snapshot));
    let other_weight = apply(&mut state, vec![target(20)]);
    let other_upstream = apply(&mut state, vec![upstream(json!(["t"]), &checks)]);
    assert!(!other_upstream.snapshot.has_upstreams_of(&first.snapshot));
    for outcome in [&unrelated, &other_weight, &other_upstream] {
        assert!(!is_healthy(outcome));
    }
    let off = apply(&mut state, vec![upstream(json!([]), &json!({}))]);
    assert!(is_healthy(&off), "nothing is checked any more");
}

#[test]
fn names_keep_what_they_resolved_to() {
    let mut state = state();
    let target = |n, target: &str| {
        let fields = json!({ "upstream": to(1), "target": target });
        other(Kind::Targets, n, fields)
    };
    let upstream = other(Kind::Upstreams, 1, json!({ "name": "u" }));
    let outcome = apply(&mut state, vec![upstream, target(2, "a.test:1")]);
    let addresses = |outcome: &Outcome| -> Vec<String> {
        let pool = outcome.snapshot.upstream("u").expect("the upstream").pool();
        pool.peers()
            .iter()
            .map(|peer| peer.host.to_string())
            .collect()
    };
    assert_eq!(addresses(&outcome), ["a.test"]);
    let found = |ips: &[&str]| {
        Resolution::Found(
            ips.iter()
                .map(|ip| ip.parse::<std::net::IpAddr>().expect("an address").into())
                .collect(),
        )
    };
    let upstream = outcome.snapshot.upstream("u").expect("the upstream");
    upstream.resolve(|_| found(&["10.0.0.1", "10.0.0.2"]));
    assert_eq!(addresses(&outcome), ["10.0.0.1", "10.0.0.2"]);
    // A new name waits for its first answer, the other one does not wait with it.
    let outcome = apply(&mut state, vec![target(3, "b.test:1")]);
    assert_eq!(addresses(&outcome), ["10.0.0.1", "10.0.0.2", "b.test"]);
    let upstream = outcome.snapshot.upstream("u").expect("the upstream");
    upstream.resolve(|name| match name {
        "b.test" => found(&["10.0.0.3"]),
        _ => Resolution::Pending,
    });
    assert_eq!(addresses(&outcome), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    upstream.resolve(|name| match name {
        "b.test" => Resolution::Failed(LookupError::NameError),
        _ => found(&["10.0.0.2"]),
    });
    assert_eq!(addresses(&outcome), ["10.0.0.2"]);
}
