//! What is quarantined, what with it, and how it heals.

use super::*;

#[test]
fn a_broken_route_keeps_its_good_version_and_heals_by_itself() {
    let mut state = state();
    apply(
        &mut state,
        vec![service(1, json!({})), route_on(2, "/a", 1)],
    );
    let broken = route(2, json!({ "paths": ["~/b("], "service": to(1) }));
    let outcome = apply(&mut state, vec![broken, route_on(3, "/c", 1)]);
    assert_eq!(held(&outcome), [(Kind::Routes, 2)]);
    let entry = &outcome.quarantined[0];
    assert!(
        entry
            .reason
            .starts_with("paths[0]: invalid regular expression"),
        "{}",
        entry.reason
    );
    assert!((entry.since - 2.0).abs() < 1e-9);
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
    assert_eq!(routed(&outcome.snapshot, "h", "/c"), Some(3));
    assert_eq!(outcome.snapshot.revision(), state.config().revision());

    let outcome = apply(&mut state, vec![route_on(2, "/b", 1)]);
    assert_eq!(held(&outcome), []);
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), None);
    assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(2));
}

/// An upsert of what is there already changes nothing, so nothing waits for it.
#[test]
fn what_is_written_as_it_was_holds_nothing_back() {
    let mut state = state();
    let auth = plugin(3, json!({ "name": "auth" }));
    apply(
        &mut state,
        vec![service(1, json!({})), route_on(2, "/a", 1), auth],
    );
    let outcome = apply(
        &mut state,
        vec![
            service(1, json!({ "protocol": "smtp" })),
            route_on(2, "/a", 1),
            delete(Kind::Plugins, 3),
        ],
    );
    assert_eq!(held(&outcome), [(Kind::Services, 1)]);
    assert_eq!(running(&outcome.snapshot, 2, 1), []);
}

#[test]
fn quarantine_spreads_to_changed_children_only() {
    let mut state = state();
    let start = vec![
        service(1, json!({})),
        service(2, json!({})),
        route_on(3, "/a", 1),
        route_on(4, "/b", 1),
    ];
    apply(&mut state, start);
    let outcome = apply(
        &mut state,
        vec![
            service(1, json!({ "protocol": "smtp" })),
            route_on(3, "/new", 1),
            route_on(5, "/fresh", 1),
            route_on(6, "/other", 2),
        ],
    );
    assert_eq!(
        held(&outcome),
        [(Kind::Services, 1), (Kind::Routes, 3), (Kind::Routes, 5)]
    );
    let answers =
        ["/a", "/b", "/new", "/fresh", "/other"].map(|path| routed(&outcome.snapshot, "h", path));
    assert_eq!(answers, [Some(3), Some(4), None, None, Some(6)]);
    assert_eq!(refused(&outcome.snapshot, "h", "/fresh"), Some(5));

    let outcome = apply(&mut state, vec![service(1, json!({ "port": 81 }))]);
    assert_eq!(held(&outcome), []);
    let answers = ["/a", "/b", "/new", "/fresh"].map(|path| routed(&outcome.snapshot, "h", path));
    assert_eq!(answers, [None, Some(4), Some(3), Some(5)]);
}

/// Credentials of plugins that this build does not have are held like any other: they wait for
/// their consumer and go with it.
#[test]
fn credentials_that_nothing_uses_are_held() {
    let pointer = |n: u128| json!({ "consumer": { "id": id(n) } });
    for kind in [Kind::BasicauthCredentials, Kind::JwtSecrets, Kind::Acls] {
        let mut state = state();
        let outcome = apply(&mut state, vec![other(kind, 5, pointer(1))]);
        assert_eq!(held(&outcome), [(kind, 5)], "{kind}");
        let reason = &outcome.quarantined[0].reason;
        assert!(
            reason.contains("consumer ") && reason.contains("not exist"),
            "{reason}"
        );
        let outcome = apply(&mut state, vec![other(Kind::Consumers, 1, json!({}))]);
        assert_eq!(held(&outcome), [], "{kind}");
        let gone = vec![delete(Kind::Consumers, 1), delete(kind, 5)];
        assert_eq!(held(&apply(&mut state, gone)), [], "{kind}");
        assert!(state.config().is_empty());
    }
}

#[test]
fn rows_of_every_kind_that_cannot_be_read_are_quarantined_and_named() {
    for kind in Kind::ALL {
        let mut state = state();
        let outcome = apply(&mut state, vec![other(kind, 1, json!({ "name": "n" }))]);
        // Nothing more is asked of what nothing uses here.
        let enough = match kind {
            Kind::KeyauthCredentials => false,
            Kind::Consumers | Kind::Upstreams | Kind::Vaults | Kind::KeySets | Kind::Keys => true,
            Kind::Oauth2Tokens | Kind::AcmeStorage | Kind::Sessions => true,
            kind => kind.is_credential(),
        };
        if enough {
            assert_eq!(held(&outcome), [], "{kind}");
        } else {
            assert_eq!(held(&outcome), [(kind, 1)], "{kind}");
            assert_eq!(outcome.quarantined[0].name.as_deref(), Some("n"));
            assert!(
                outcome.quarantined[0].reason.contains("missing field"),
                "{}",
                outcome.quarantined[0].reason
            );
        }
        let garbage = Op::Put {
            kind,
            id: id(1),
            row: Row::from_bytes(b"\xc1"),
        };
        assert_eq!(
            held(&apply(&mut state, vec![garbage])),
            [(kind, 1)],
            "{kind}"
        );
        assert_eq!(
            held(&apply(&mut state, vec![delete(kind, 1)])),
            [],
            "{kind}"
        );
    }
}

#[test]
fn a_dangling_reference_is_named_and_heals() {
    let mut state = state();
    let outcome = apply(&mut state, vec![route_on(2, "/a", 1)]);
    assert_eq!(held(&outcome), [(Kind::Routes, 2)]);
    let reason = format!("points to service {}, which does not exist", id(1));
    assert_eq!(outcome.quarantined[0].reason, reason);
    let outcome = apply(&mut state, vec![service(1, json!({}))]);
    assert_eq!(held(&outcome), []);
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
    let outcome = apply(&mut state, vec![delete(Kind::Services, 1)]);
    assert_eq!(held(&outcome), [(Kind::Routes, 2)]);
    assert_eq!(refused(&outcome.snapshot, "h", "/a"), Some(2));
    let outcome = apply(&mut state, vec![service(1, json!({}))]);
    assert_eq!(held(&outcome), []);
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
}

#[test]
fn a_disabled_service_takes_its_routes_with_it() {
    let mut state = state();
    let start = vec![
        service(1, json!({})),
        route_on(2, "/a", 1),
        route(3, json!({ "paths": ["/"] })),
    ];
    let outcome = apply(&mut state, start);
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
    let off = apply(&mut state, vec![service(1, json!({ "enabled": false }))]);
    assert_eq!(routed(&off.snapshot, "h", "/a"), Some(3));
    assert_eq!(
        routed(&outcome.snapshot, "h", "/a"),
        Some(2),
        "old snapshots stay as they were"
    );
}

#[test]
fn a_refused_change_changes_nothing() {
    let mut state = state();
    let good = change(state.config(), vec![service(1, json!({}))]);
    let stale = Change {
        base: Revision(9),
        ..good.clone()
    };
    assert!(state.apply(&stale, 0.0).is_err());
    assert!(state.config().is_empty());
    assert!(state.apply(&good, 0.0).is_ok());
}
