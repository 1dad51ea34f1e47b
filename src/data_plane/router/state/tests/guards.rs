//! Rule 3: nothing is served without its guard that was not served so before.

use super::*;

#[test]
fn trial_03_a_route_without_its_guard_is_closed_not_gone() {
    let global = json!({ "name": "unknown" });
    let on_service = json!({ "name": "unknown", "service": to(1) });
    let on_route = json!({ "name": "unknown", "route": to(2) });
    for scope in [global, on_service, on_route] {
        let mut state = state();
        let outcome = apply(
            &mut state,
            vec![
                service(1, json!({})),
                route_on(2, "/a", 1),
                route(9, json!({ "paths": ["/"] })),
                plugin(3, scope.clone()),
            ],
        );
        assert_eq!(routed(&outcome.snapshot, "h", "/a"), None, "{scope}");
        assert_eq!(refused(&outcome.snapshot, "h", "/a"), Some(2), "{scope}");
        assert_eq!(instead(&outcome, Kind::Routes, 2), Some(Instead::Closed));
        assert_eq!(instead(&outcome, Kind::Plugins, 3), Some(Instead::Nothing));
        assert_eq!(outcome.routes.configured, 2);
        assert_eq!(
            outcome.routes.served,
            usize::from(scope.get("service").or(scope.get("route")).is_some())
        );

        let outcome = apply(&mut state, vec![delete(Kind::Plugins, 3)]);
        assert_eq!(held(&outcome), [], "{scope}");
        assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2), "{scope}");
        assert_eq!((outcome.routes.configured, outcome.routes.served), (2, 2));
    }
}

#[test]
fn trial_03_what_guards_nothing_is_left_out_alone() {
    let scopes = [
        json!({}),
        json!({ "route": to(2) }),
        json!({ "consumer": to(4) }),
    ];
    for mut scope in scopes {
        scope["name"] = json!("log");
        scope["config"] = json!({ "bad": 1 });
        let mut state = state();
        let outcome = apply(
            &mut state,
            vec![
                service(1, json!({})),
                route_on(2, "/a", 1),
                other(Kind::Consumers, 4, json!({ "username": "u" })),
                plugin(3, scope.clone()),
                plugin(5, json!({ "name": "auth", "route": to(2) })),
            ],
        );
        assert_eq!(held(&outcome), [(Kind::Plugins, 3)], "{scope}");
        assert_eq!(running(&outcome.snapshot, 2, 1), [5], "{scope}");
        assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2), "{scope}");
    }
}

#[test]
fn trial_04_a_served_route_goes_on_as_it_was() {
    for new in [
        json!({}),
        json!({ "service": to(1) }),
        json!({ "route": to(2) }),
    ] {
        let mut missing = new.clone();
        missing["name"] = json!("unknown");
        let mut state = state();
        let start = vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            plugin(
                3,
                json!({ "name": "auth", "route": to(2), "config": { "v": 1 } }),
            ),
        ];
        apply(&mut state, start);
        let outcome = apply(
            &mut state,
            vec![
                plugin(4, missing.clone()),
                route_on(2, "/b", 1),
                plugin(
                    3,
                    json!({ "name": "auth", "route": to(2), "config": { "v": 2 } }),
                ),
                plugin(6, json!({ "name": "more", "route": to(2) })),
                route_on(5, "/c", 1),
            ],
        );
        let snapshot = &outcome.snapshot;
        assert_eq!(running(snapshot, 2, 1), [3], "{new}");
        assert_eq!(routed(snapshot, "h", "/a"), Some(2), "{new}");
        assert_eq!(routed(snapshot, "h", "/b"), None, "{new}");
        let guarded = new.get("route").is_none();
        assert_eq!(refused(snapshot, "h", "/c"), guarded.then_some(5), "{new}");
        assert_eq!(
            routed(snapshot, "h", "/c"),
            (!guarded).then_some(5),
            "{new}"
        );
        assert_eq!(instead(&outcome, Kind::Routes, 2), Some(Instead::LastGood));
        assert_eq!(instead(&outcome, Kind::Plugins, 3), Some(Instead::LastGood));
        assert_eq!(instead(&outcome, Kind::Plugins, 6), Some(Instead::Nothing));
        let (_, restart) = restarted(&state);
        assert_eq!(held(&restart), held(&outcome));
        assert_eq!(running(&restart.snapshot, 2, 1), [3], "{new}");
        assert_eq!(routed(&restart.snapshot, "h", "/a"), Some(2), "{new}");

        let mut works = new.clone();
        works["name"] = json!("works");
        let outcome = apply(&mut state, vec![plugin(4, works)]);
        assert_eq!(held(&outcome), []);
        assert_eq!(running(&outcome.snapshot, 2, 1), [4, 6, 3]);
        assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(2));
        assert_eq!(routed(&outcome.snapshot, "h", "/c"), Some(5));
    }
}

#[test]
fn a_plugin_whose_new_configuration_is_broken_goes_on_with_the_old_one() {
    let mut state = state();
    let on_route = |config: serde_json::Value| {
        plugin(
            3,
            json!({ "name": "auth", "route": to(2), "config": config }),
        )
    };
    apply(
        &mut state,
        vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            on_route(json!({})),
        ],
    );
    let outcome = apply(
        &mut state,
        vec![on_route(json!({ "bad": true })), route_on(2, "/b", 1)],
    );
    assert_eq!(held(&outcome), [(Kind::Plugins, 3)]);
    assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(2));
    assert_eq!(running(&outcome.snapshot, 2, 1), [3]);
}

#[test]
fn a_disabled_plugin_guards_nothing() {
    let outcome = apply(
        &mut state(),
        vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            plugin(
                3,
                json!({ "name": "unknown", "enabled": false, "route": to(2) }),
            ),
        ],
    );
    assert_eq!(held(&outcome), []);
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
}

/// A route with its own configuration of a plugin does not need the global one.
#[test]
fn a_more_specific_configuration_takes_the_place_of_a_missing_one() {
    let mut state = state();
    let bad = |scope: Value| {
        let mut fields = json!({ "name": "auth", "config": { "bad": 1 } });
        fields
            .as_object_mut()
            .expect("an object")
            .extend(scope.as_object().expect("an object").clone());
        fields
    };
    let outcome = apply(
        &mut state,
        vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            route_on(3, "/b", 1),
            plugin(4, bad(json!({}))),
            plugin(5, json!({ "name": "auth", "route": to(2) })),
            plugin(6, json!({ "name": "limit", "route": to(2) })),
        ],
    );
    assert_eq!(held(&outcome), [(Kind::Routes, 3), (Kind::Plugins, 4)]);
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
    assert_eq!(refused(&outcome.snapshot, "h", "/b"), Some(3));
    // Without its own it would run with neither.
    let outcome = apply(&mut state, vec![delete(Kind::Plugins, 5)]);
    assert_eq!(refused(&outcome.snapshot, "h", "/a"), Some(2));
}

#[test]
fn a_consumer_without_its_guard_is_closed_and_one_that_was_there_goes_on() {
    let mut state = state();
    let consumer = |n: u128, name: &str| other(Kind::Consumers, n, json!({ "username": name }));
    let key = |n: u128, of: u128, key: &str| {
        other(
            Kind::KeyauthCredentials,
            n,
            json!({ "consumer": to(of), "key": key }),
        )
    };
    let missing = |n: u128, of: u128| plugin(n, json!({ "name": "unknown", "consumer": to(of) }));
    apply(
        &mut state,
        vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            consumer(4, "old"),
            key(5, 4, "k"),
        ],
    );
    let outcome = apply(
        &mut state,
        vec![
            missing(6, 4),
            consumer(7, "new"),
            key(8, 7, "n"),
            missing(9, 7),
        ],
    );
    let closes = |outcome: &Outcome, consumer: u128| {
        let known = outcome.snapshot.consumer(id(consumer)).is_some();
        let plan = outcome
            .snapshot
            .plugins_for(Some(id(2)), Some(id(1)), Some(id(consumer)));
        known.then(|| plan.closes())
    };
    assert_eq!(
        held(&outcome),
        [(Kind::Consumers, 7), (Kind::Plugins, 6), (Kind::Plugins, 9)]
    );
    assert_eq!(
        (closes(&outcome, 4), closes(&outcome, 7)),
        (Some(false), Some(true))
    );
    assert!(outcome.snapshot.credential_by_key("n").is_some());
    let (_, restart) = restarted(&state);
    assert_eq!(
        (closes(&restart, 4), closes(&restart, 7)),
        (Some(false), Some(true))
    );
    let outcome = apply(
        &mut state,
        vec![delete(Kind::Plugins, 6), delete(Kind::Plugins, 9)],
    );
    assert_eq!(
        (closes(&outcome, 4), closes(&outcome, 7)),
        (Some(false), Some(false))
    );
}

#[test]
fn a_build_that_lost_a_plugin_does_not_serve_what_it_guarded() {
    struct Without;
    impl PluginFactory for Without {
        fn build(&self, _: &crate::model::Plugin) -> Result<crate::plugins::Built, String> {
            Err("name: not in this build".into())
        }
    }
    for held_as_well in [false, true] {
        let mut before = state();
        let start = vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            route_on(3, "/b", 1),
        ];
        apply(&mut before, start);
        apply(&mut before, vec![plugin(4, json!({ "route": to(2) }))]);
        if held_as_well {
            apply(
                &mut before,
                vec![plugin(4, json!({ "route": to(2), "config": { "bad": 1 } }))],
            );
        }
        let mut after = RouterState::new(Arc::new(Without), Options::default());
        let outcome = after.restore(before.config().clone(), before.last_good(), 0.0);
        assert_eq!(held(&outcome), [(Kind::Routes, 2), (Kind::Plugins, 4)]);
        assert_eq!(refused(&outcome.snapshot, "h", "/a"), Some(2));
        assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(3));
    }
}

#[test]
fn trial_28_a_panic_in_a_build_is_an_error_of_that_entity_alone() {
    let panicking = plugin(3, json!({ "route": to(2), "config": { "panic": 1 } }));
    let start = vec![
        service(1, json!({})),
        route_on(2, "/a", 1),
        route_on(4, "/b", 1),
    ];
    let mut live = state();
    apply(&mut live, start.clone());
    let outcome = apply(&mut live, vec![panicking.clone()]);
    assert_eq!(held(&outcome), [(Kind::Plugins, 3)]);
    assert_eq!(outcome.quarantined[0].reason, "panicked: no such luck");
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
    // And at the start.
    let (mut again, restart) = restarted(&live);
    assert_eq!(held(&restart), [(Kind::Plugins, 3)]);
    let mut booted = state();
    let outcome = apply(&mut booted, start.into_iter().chain([panicking]).collect());
    assert_eq!(held(&outcome), [(Kind::Routes, 2), (Kind::Plugins, 3)]);
    assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(4));
    let outcome = apply(&mut again, vec![route_on(5, "/c", 1)]);
    assert_eq!(routed(&outcome.snapshot, "h", "/c"), Some(5));
}

mod close {
    //! With `quarantined_guards = close`.

    use super::*;

    #[test]
    fn trial_04_what_a_missing_guard_was_to_guard_is_refused() {
        let missing = plugin(3, json!({ "name": "unknown", "route": to(2) }));
        let mut state = closing_state();
        apply(
            &mut state,
            vec![
                service(1, json!({})),
                route_on(2, "/a", 1),
                route_on(4, "/b", 1),
            ],
        );
        let outcome = apply(&mut state, vec![missing, route_on(2, "/c", 1)]);
        assert_eq!(held(&outcome), [(Kind::Plugins, 3)]);
        assert_eq!(instead(&outcome, Kind::Plugins, 3), Some(Instead::Closed));
        assert_eq!(refused(&outcome.snapshot, "h", "/c"), Some(2));
        assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(4));
        let same = state.replace(state.config().clone(), 9.0);
        assert_eq!(same.work, Work::default());
        assert_eq!(same.quarantined, outcome.quarantined);
        // A restart with the other setting does not open it.
        for close in [true, false] {
            let mut again = if close {
                closing_state()
            } else {
                crate::data_plane::router::test_support::state()
            };
            let outcome = again.restore(state.config().clone(), state.last_good(), 0.0);
            assert_eq!(refused(&outcome.snapshot, "h", "/c"), Some(2), "{close}");
            let outcome = apply(&mut again, vec![plugin(3, json!({ "route": to(2) }))]);
            assert_eq!(held(&outcome), [], "{close}");
            assert_eq!(routed(&outcome.snapshot, "h", "/c"), Some(2), "{close}");
            assert_eq!(running(&outcome.snapshot, 2, 1), [3], "{close}");
        }
    }

    #[test]
    fn an_older_version_of_the_guard_is_not_enough() {
        let mut state = closing_state();
        let guard = |config: Value| plugin(3, json!({ "name": "auth", "config": config }));
        apply(
            &mut state,
            vec![
                service(1, json!({})),
                route_on(2, "/a", 1),
                guard(json!({})),
            ],
        );
        let outcome = apply(&mut state, vec![guard(json!({ "bad": 1 }))]);
        assert_eq!(refused(&outcome.snapshot, "h", "/a"), Some(2));
        // A more specific one is.
        let own = plugin(4, json!({ "name": "auth", "route": to(2) }));
        let outcome = apply(&mut state, vec![own]);
        assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
        assert_eq!(running(&outcome.snapshot, 2, 1), [4]);
        let outcome = apply(&mut state, vec![delete(Kind::Plugins, 3)]);
        assert_eq!(held(&outcome), []);
    }
}
