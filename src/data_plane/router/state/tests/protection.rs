//! Nothing is served with less protection than it has or should have.

use super::*;

#[test]
fn a_route_without_its_protection_is_not_served() {
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
                plugin(3, scope.clone()),
            ],
        );
        assert_eq!(routed(&outcome.snapshot, "h", "/a"), None, "{scope}");
        assert!(held(&outcome).contains(&(Kind::Routes, 2)), "{scope}");
        assert!(held(&outcome).contains(&(Kind::Plugins, 3)), "{scope}");

        let outcome = apply(&mut state, vec![delete(Kind::Plugins, 3)]);
        assert_eq!(held(&outcome), [], "{scope}");
        assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2), "{scope}");
    }
}

#[test]
fn a_served_route_keeps_its_version_and_all_its_plugins_while_a_new_one_is_broken() {
    for (old, new) in [
        ("route", "route"),
        ("service", "route"),
        ("route", "service"),
        ("service", "service"),
    ] {
        let attached = |to_what: &str, name: &str| {
            let parent = if to_what == "route" { 2 } else { 1 };
            json!({ "name": name, to_what: to(parent) })
        };
        let mut state = state();
        let start = vec![
            service(1, json!({})),
            route_on(2, "/a", 1),
            plugin(3, attached(old, "auth")),
        ];
        apply(&mut state, start);
        let outcome = apply(
            &mut state,
            vec![
                delete(Kind::Plugins, 3),
                plugin(4, attached(new, "unknown")),
                route_on(2, "/b", 1),
                route_on(5, "/c", 1),
            ],
        );
        let snapshot = &outcome.snapshot;
        assert_eq!(running(snapshot, 2, 1), [3], "{old} {new}");
        assert_eq!(routed(snapshot, "h", "/a"), Some(2), "{old} {new}");
        assert_eq!(routed(snapshot, "h", "/b"), None, "{old} {new}");
        assert_eq!(
            routed(snapshot, "h", "/c"),
            (new == "route").then_some(5),
            "{old} {new}"
        );

        let outcome = apply(&mut state, vec![plugin(4, attached(new, "works"))]);
        assert_eq!(held(&outcome), []);
        assert_eq!(running(&outcome.snapshot, 2, 1), [4]);
        assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(2));
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
fn a_disabled_plugin_protects_nothing() {
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

#[test]
fn removals_of_access_never_wait() {
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
}

#[test]
fn what_a_held_back_version_uses_stays() {
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
    assert_eq!(
        held(&outcome),
        [
            (Kind::Services, 1),
            (Kind::Services, 4),
            (Kind::Routes, 2),
            (Kind::Plugins, 3)
        ]
    );
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
    assert_eq!(running(&outcome.snapshot, 2, 1), [3]);
    let outcome = apply(&mut state, vec![service(4, json!({}))]);
    assert_eq!(held(&outcome), []);
    assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(2));
    assert!(outcome.snapshot.service(id(1)).is_none());
    assert_eq!(running(&outcome.snapshot, 2, 1), Vec::<u128>::new());
}

#[test]
fn a_build_that_lost_a_plugin_does_not_serve_what_it_protected() {
    struct Without;
    impl PluginFactory for Without {
        fn build(
            &self,
            _: &crate::model::Plugin,
        ) -> Result<Arc<dyn crate::plugins::Handler>, String> {
            Err("name: not in this build".into())
        }
    }
    let mut before = state();
    let start = vec![
        service(1, json!({})),
        route_on(2, "/a", 1),
        route_on(3, "/b", 1),
    ];
    apply(&mut before, start);
    apply(&mut before, vec![plugin(4, json!({ "route": to(2) }))]);
    let mut after = RouterState::new(Arc::new(Without), Options::default());
    let outcome = after.restore(before.config().clone(), before.last_good(), 0.0);
    assert_eq!(held(&outcome), [(Kind::Routes, 2), (Kind::Plugins, 4)]);
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), None);
    assert_eq!(routed(&outcome.snapshot, "h", "/b"), Some(3));
}
