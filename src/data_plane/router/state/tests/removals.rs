//! Rule 1: a removal takes effect at once, whatever else is quarantined.

use super::*;

/// Routes /a and /b, a plugin on /a that cannot be built, a global guard.
fn trial() -> RouterState {
    let mut state = state();
    apply(
        &mut state,
        vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            route_on(3, "/b", 1),
            plugin(4, json!({ "name": "auth" })),
        ],
    );
    apply(
        &mut state,
        vec![plugin(5, json!({ "name": "unknown", "route": to(2) }))],
    );
    state
}

#[test]
fn trial_01_a_deletion_does_not_wait_for_somebody_elses_quarantine() {
    let removals: [Vec<Op>; 3] = [
        vec![delete(Kind::Plugins, 4)],
        vec![plugin(4, json!({ "name": "auth", "enabled": false }))],
        // Disabled by a row that nothing else can be read of.
        vec![other(Kind::Plugins, 4, json!({ "enabled": false }))],
    ];
    for removal in removals {
        let mut state = trial();
        let outcome = apply(&mut state, removal);
        assert_eq!(running(&outcome.snapshot, 3, 1), Vec::<u128>::new());
        assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(3));
        // It went on with the global guard and without its own; with neither it is closed.
        assert_eq!(refused(&outcome.snapshot, "h", "/a"), Some(2));
        assert_eq!(held(&outcome), [(Kind::Routes, 2), (Kind::Plugins, 5)]);
        assert_eq!(instead(&outcome, Kind::Routes, 2), Some(Instead::Closed));
        assert_eq!(instead(&outcome, Kind::Plugins, 5), Some(Instead::Nothing));
        let (mut again, restart) = restarted(&state);
        assert_eq!(running(&restart.snapshot, 3, 1), Vec::<u128>::new());
        assert_eq!(routed(&restart.snapshot, "h", "/b"), Some(3));
        assert_eq!(refused(&restart.snapshot, "h", "/a"), Some(2));
        assert_eq!(held(&restart), held(&outcome));
        // Removing what is broken ends it.
        let outcome = apply(&mut again, vec![delete(Kind::Plugins, 5)]);
        assert_eq!(held(&outcome), []);
        assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
    }
}

#[test]
fn trial_01_whatever_is_deleted_is_gone_at_once() {
    let mut state = state();
    let key = |key: &str| {
        other(
            Kind::KeyauthCredentials,
            5,
            json!({ "consumer": to(4), "key": key }),
        )
    };
    apply(
        &mut state,
        vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            route_on(3, "/b", 1),
            other(Kind::Consumers, 4, json!({ "username": "u" })),
            key("old"),
        ],
    );
    let broken = plugin(6, json!({ "name": "unknown", "consumer": to(4) }));
    let everywhere = plugin(7, json!({ "name": "unknown" }));
    let outcome = apply(
        &mut state,
        vec![broken, everywhere, key("new"), delete(Kind::Routes, 3)],
    );
    assert_eq!(held(&outcome), [(Kind::Plugins, 6), (Kind::Plugins, 7)]);
    assert!(outcome.snapshot.credential_by_key("old").is_none());
    assert!(outcome.snapshot.credential_by_key("new").is_some());
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
    assert_eq!(routed(&outcome.snapshot, "h", "/b"), None);
    let outcome = apply(&mut state, vec![delete(Kind::KeyauthCredentials, 5)]);
    assert!(outcome.snapshot.credential_by_key("new").is_none());
    let outcome = apply(&mut state, vec![delete(Kind::Consumers, 4)]);
    assert!(outcome.snapshot.consumer_by_username("u").is_none());
}

/// A service that is used only by an older version of a route goes, and that version with it.
#[test]
fn trial_01_a_service_does_not_stay_for_an_older_version() {
    let mut state = state();
    apply(
        &mut state,
        vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            plugin(3, json!({ "service": to(1) })),
        ],
    );
    let outcome = apply(
        &mut state,
        vec![
            delete(Kind::Services, 1),
            delete(Kind::Plugins, 3),
            service(4, json!({ "host": "" })),
            route_on(2, "/b", 4),
        ],
    );
    assert_eq!(held(&outcome), [(Kind::Services, 4), (Kind::Routes, 2)]);
    assert!(outcome.snapshot.service(id(1)).is_none());
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), None);
    assert_eq!(refused(&outcome.snapshot, "h", "/b"), Some(2));
    let outcome = apply(&mut state, vec![service(4, json!({}))]);
    assert_eq!(held(&outcome), []);
    assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(2));
    assert_eq!(running(&outcome.snapshot, 2, 4), Vec::<u128>::new());
}

/// The same for what a service uses.
#[test]
fn trial_01_a_certificate_does_not_stay_for_an_older_version() {
    let mut state = state();
    let key = rcgen::generate_simple_self_signed(vec!["c.test".to_owned()]).expect("a certificate");
    let authority = json!({ "cert": key.cert.pem(), "cert_digest": "d" });
    apply(
        &mut state,
        vec![
            other(Kind::CaCertificates, 9, authority),
            service(1, json!({ "ca_certificates": [id(9)] })),
            route_on(2, "/a", 1),
        ],
    );
    let outcome = apply(
        &mut state,
        vec![
            service(1, json!({ "protocol": "smtp" })),
            delete(Kind::CaCertificates, 9),
        ],
    );
    if outcome
        .quarantined
        .iter()
        .any(|entry| entry.kind == Kind::CaCertificates)
    {
        panic!("{:?}", outcome.quarantined);
    }
    assert_eq!(held(&outcome), [(Kind::Services, 1), (Kind::Routes, 2)]);
    assert_eq!(refused(&outcome.snapshot, "h", "/a"), Some(2));
}

/// Disabling is a removal also where the row has other faults.
#[test]
fn trial_01_a_service_is_disabled_at_once() {
    for fault in [json!({}), json!({ "protocol": "smtp" })] {
        let mut state = state();
        apply(
            &mut state,
            vec![
                service(1, json!({})),
                route_on(2, "/a", 1),
                plugin(5, json!({ "name": "unknown", "service": to(1) })),
            ],
        );
        let mut off = fault.clone();
        off["enabled"] = json!(false);
        let outcome = apply(&mut state, vec![service(1, off)]);
        assert_eq!(routed(&outcome.snapshot, "h", "/a"), None, "{fault}");
        assert_eq!(refused(&outcome.snapshot, "h", "/a"), None, "{fault}");
        // Enabled again, the route is not opened without its guard.
        let outcome = apply(&mut state, vec![service(1, json!({}))]);
        assert_eq!(refused(&outcome.snapshot, "h", "/a"), Some(2), "{fault}");
    }
}

/// A guard that was added to a route while its service was off guards it from the start.
#[test]
fn a_service_that_is_switched_on_again_opens_no_route_without_its_guard() {
    let mut state = state();
    apply(
        &mut state,
        vec![service(1, json!({})), route_on(2, "/a", 1)],
    );
    apply(&mut state, vec![service(1, json!({ "enabled": false }))]);
    let missing = plugin(5, json!({ "name": "unknown", "route": to(2) }));
    let outcome = apply(&mut state, vec![missing]);
    assert_eq!(
        refused(&outcome.snapshot, "h", "/a"),
        None,
        "not there at all"
    );
    let outcome = apply(&mut state, vec![service(1, json!({}))]);
    assert_eq!(refused(&outcome.snapshot, "h", "/a"), Some(2));
    let (_, restart) = restarted(&state);
    assert_eq!(refused(&restart.snapshot, "h", "/a"), Some(2));
}

#[test]
fn replacing_a_guard_by_one_that_cannot_be_built_does_not_open_the_route() {
    for (old, new) in [
        ("route", "route"),
        ("service", "route"),
        ("route", "service"),
        ("service", "service"),
        ("global", "route"),
        ("service", "global"),
    ] {
        let attached = |to_what: &str, name: &str| match to_what {
            "route" => json!({ "name": name, "route": to(2) }),
            "service" => json!({ "name": name, "service": to(1) }),
            _ => json!({ "name": name }),
        };
        let mut state = state();
        apply(
            &mut state,
            vec![
                service(1, json!({})),
                route_on(2, "/a", 1),
                plugin(3, attached(old, "auth")),
            ],
        );
        let outcome = apply(
            &mut state,
            vec![
                delete(Kind::Plugins, 3),
                plugin(4, attached(new, "unknown")),
            ],
        );
        assert_eq!(running(&outcome.snapshot, 2, 1), [2], "{old} {new}");
        assert_eq!(
            refused(&outcome.snapshot, "h", "/a"),
            Some(2),
            "{old} {new}"
        );
        let outcome = apply(&mut state, vec![plugin(4, attached(new, "works"))]);
        assert_eq!(held(&outcome), []);
        assert_eq!(running(&outcome.snapshot, 2, 1), [4]);
        assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
    }
}

/// The guard that is moved is one entity: its new version waits, the old one stays.
#[test]
fn moving_a_guard_to_where_it_cannot_be_built_keeps_it_where_it_is() {
    let mut state = state();
    apply(
        &mut state,
        vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            plugin(3, json!({ "name": "auth", "service": to(1) })),
        ],
    );
    let moved = json!({ "name": "auth", "route": to(2), "config": { "bad": 1 } });
    let outcome = apply(&mut state, vec![plugin(3, moved)]);
    assert_eq!(held(&outcome), [(Kind::Plugins, 3)]);
    assert_eq!(instead(&outcome, Kind::Plugins, 3), Some(Instead::LastGood));
    assert_eq!(running(&outcome.snapshot, 2, 1), [3]);
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
}

/// The older version of a route was guarded through its service, which the new one leaves.
#[test]
fn an_older_version_is_not_opened_by_removing_what_guarded_it() {
    let mut state = state();
    apply(
        &mut state,
        vec![
            service(1, json!({})),
            route_on(2, "/internal", 1),
            plugin(3, json!({ "name": "auth", "service": to(1) })),
        ],
    );
    let outcome = apply(
        &mut state,
        vec![delete(Kind::Plugins, 3), route_on(2, "~/public(", 1)],
    );
    assert_eq!(held(&outcome), [(Kind::Routes, 2)]);
    assert_eq!(routed(&outcome.snapshot, "h", "/internal"), None);
}
