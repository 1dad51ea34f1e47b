//! What takes effect, what waits, what it costs, and what a restart remembers.

use super::super::test_support::*;
use super::*;
use crate::data_plane::router::{Protocol, Scratch};
use crate::model::Revision;
use proptest::prelude::*;
use serde_json::json;

/// The quarantined entities, as kind and number.
fn held(outcome: &Outcome) -> Vec<(Kind, u128)> {
    outcome
        .quarantined
        .iter()
        .map(|entity| (entity.kind, entity.id.as_u128()))
        .collect()
}

/// The plugins that run on a route, as the numbers of their ids.
fn running(snapshot: &Snapshot, route: u128, service: u128) -> Vec<u128> {
    let plan = snapshot.plugins_for(Some(id(route)), Some(id(service)), None, Protocol::Http);
    plan.iter().map(|plugin| plugin.id.as_u128()).collect()
}

fn route_on(n: u128, path: &str, of: u128) -> Op {
    route(n, json!({ "paths": [path], "service": to(of) }))
}

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

    let outcome = apply(&mut state, vec![service(1, json!({ "port": 81 }))]);
    assert_eq!(held(&outcome), []);
    let answers = ["/a", "/b", "/new", "/fresh"].map(|path| routed(&outcome.snapshot, "h", path));
    assert_eq!(answers, [None, Some(4), Some(3), Some(5)]);
}

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
    assert_eq!(held(&outcome), [(Kind::Services, 1), (Kind::Routes, 2)]);
    assert_eq!(routed(&outcome.snapshot, "h", "/a"), Some(2));
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
        upstream
            .balancer
            .targets()
            .iter()
            .map(|target| target.port)
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
        snapshot
            .destination(service)
            .pick(&[])
            .expect("a target")
            .port
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

/// `n` routes of every shape on ten services, as one change.
fn many(n: u128) -> Vec<Op> {
    let routes = (0..n).map(|at| {
        let fields = match at % 4 {
            0 => json!({ "hosts": [format!("h{at}.test")], "service": to(at % 10 + 1) }),
            1 => json!({ "paths": [format!("/p{at}/x")], "service": to(at % 10 + 1) }),
            2 => json!({ "hosts": [format!("*.h{at}.test")], "paths": ["/a", "/ab"], "service": to(at % 10 + 1) }),
            _ => json!({ "hosts": ["one.test"], "paths": [format!("/q{at}")], "methods": ["GET"], "service": to(at % 10 + 1) }),
        };
        route(1000 + at, fields)
    });
    (1..=10)
        .map(|n| service(n, json!({})))
        .chain(routes)
        .collect()
}

#[test]
fn one_change_costs_the_same_at_a_thousand_and_at_a_hundred_thousand_routes() {
    let costs = [1_000, 100_000].map(|n| {
        let (mut control_plane, mut state) = (Config::default(), state());
        control_plane.commit(Revision(1), many(n));
        let first = state.replace(control_plane.clone(), 0.0);
        assert_eq!(first.work.compiled as u128, n + 10);
        assert_eq!(held(&first), []);
        let mut works = Vec::new();
        let mut cost = |ops| {
            let change = control_plane.commit(control_plane.revision().next(), ops);
            works.push(state.apply(&change, 0.0).expect("the change applies").work);
        };
        cost(vec![route(
            1001,
            json!({ "paths": ["/changed", "/in/two"], "service": to(1) }),
        )]);
        cost(vec![route(
            1003,
            json!({ "hosts": ["one.test"], "paths": ["/q3"], "service": to(1) }),
        )]);
        cost(vec![route(
            7,
            json!({ "hosts": ["new.test", "*.new.test"], "paths": ["~/x/\\d+"] }),
        )]);
        cost(vec![delete(Kind::Routes, 7)]);
        cost(vec![service(1, json!({ "port": 81 }))]);
        cost(vec![plugin(8, json!({ "service": to(1) }))]);
        // One that is broken, and its end.
        cost(vec![service(1, json!({ "protocol": "smtp" }))]);
        cost(vec![service(1, json!({ "port": 82 }))]);
        works
    });
    assert_eq!(costs[0], costs[1]);
    let expected = [
        (1, 1 + 2),
        (1, 1 + 1),
        (1, 2),
        (0, 2),
        (1, 2),
        (1, 1),
        (1, 0),
        (1, 2),
    ];
    assert_eq!(
        costs[0],
        expected.map(|(compiled, written)| Work { compiled, written })
    );
}

/// One random step of a small world in which much goes wrong.
fn step() -> impl Strategy<Value = Op> {
    let some_service = || proptest::option::weighted(0.7, 1u128..3);
    let some_route = || proptest::option::of(11u128..14);
    let a_service = (1u128..3, 0u8..6).prop_map(|(n, how)| match how {
        0 => delete(Kind::Services, n),
        1 => service(n, json!({ "protocol": "smtp" })),
        2 => service(n, json!({ "enabled": false })),
        how => service(n, json!({ "port": 80 + how })),
    });
    let a_route = (11u128..14, some_service(), 0u8..6).prop_map(|(n, of, how)| {
        let mut fields = json!({ "paths": [format!("/{n}/{how}")] });
        if let Some(of) = of {
            fields["service"] = to(of);
        }
        match how {
            0 => return delete(Kind::Routes, n),
            1 => fields["paths"] = json!(["~/("]),
            _ => {}
        }
        route(n, fields)
    });
    let names = proptest::sample::select(vec!["auth", "limit", "unknown"]);
    let a_plugin = (21u128..26, names, some_route(), some_service(), 0u8..8);
    let a_plugin = a_plugin.prop_map(|(n, name, on_route, on_service, how)| {
        let mut fields = json!({ "name": name });
        if let Some(on_route) = on_route {
            fields["route"] = to(on_route);
        } else if let Some(on_service) = on_service {
            fields["service"] = to(on_service);
        }
        match how {
            0 | 1 => return delete(Kind::Plugins, n),
            2 => fields["enabled"] = json!(false),
            3 => fields["config"] = json!({ "bad": 1 }),
            4 => {
                return Op::Put {
                    kind: Kind::Plugins,
                    id: id(n),
                    row: Row::from_bytes(b"\xc1"),
                };
            }
            _ => {}
        }
        plugin(n, fields)
    });
    prop_oneof![a_service, a_route, a_plugin]
}

/// A route as served: its path and the names of the plugins that run on it.
type Served = BTreeMap<u128, (String, BTreeSet<String>)>;

fn served(snapshot: &Snapshot) -> Served {
    let headers: Vec<(&str, &str)> = Vec::new();
    let paths = (11..14).flat_map(|n| (0..6).map(move |how| (n, format!("/{n}/{how}"))));
    let found = paths.filter_map(|(n, path)| {
        let matched = snapshot.find_route(&get("h", &path, &headers), &mut Scratch::default())?;
        assert_eq!(matched.route.id, id(n));
        let plan = snapshot.plugins_for(Some(id(n)), matched.route.service, None, Protocol::Http);
        Some((
            n,
            (
                path,
                plan.iter().map(|plugin| plugin.name.to_string()).collect(),
            ),
        ))
    });
    found.collect()
}

/// The names of the plugins that should run on a route.
fn should_run(config: &Config, route: u128) -> BTreeSet<String> {
    let json = |kind, id| config.get(kind, id).and_then(|row| row.to_json().ok());
    let Some(wanted) = json(Kind::Routes, id(route)) else {
        return BTreeSet::new();
    };
    let plugins = config
        .of_kind(Kind::Plugins)
        .filter_map(|(_, row)| row.to_json().ok());
    let applying = plugins.filter(|plugin| {
        let on_route = plugin.get("route").is_none_or(|of| *of == to(route));
        let on_service = plugin
            .get("service")
            .is_none_or(|of| wanted.get("service") == Some(of));
        plugin["enabled"] == true && on_route && on_service
    });
    applying
        .filter_map(|plugin| Some(plugin["name"].as_str()?.to_owned()))
        .collect()
}

/// The ops in a form people can read.
fn show(ops: &[Op]) -> String {
    let shown = ops.iter().map(|op| match op {
        Op::Put { kind, row, .. } => format!(
            "{kind} {:?}",
            row.to_json().ok().map(serde_json::Value::Object)
        ),
        Op::Delete { kind, id } => format!("{kind} {id} deleted"),
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// Whether some plugin of which nothing is known does not run everywhere in an older version.
fn unknown_protection_is_missing(state: &RouterState) -> bool {
    let runs_everywhere = |id: Uuid| {
        let mut last_good = state.last_good().filter(|entity| entity.id == id);
        let row = last_good.find_map(|entity| entity.row?.to_json().ok());
        row.is_some_and(|row| {
            row["enabled"] == true && !row.contains_key("route") && !row.contains_key("service")
        })
    };
    let plugins = state.config().of_kind(Kind::Plugins);
    let mut unreadable = plugins.filter(|(_, row)| row.to_json().is_err());
    unreadable.any(|(id, _)| !runs_everywhere(id))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_route_is_ever_served_with_less_protection_than_wanted_or_before(
        changes in proptest::collection::vec(proptest::collection::vec(step(), 1..5), 1..12),
    ) {
        let mut state = state();
        let mut before = Served::new();
        let mut history = Vec::new();
        for ops in changes {
            history.extend(ops.clone());
            let outcome = apply(&mut state, ops);
            let now = served(&outcome.snapshot);
            for (route, (path, plugins)) in &now {
                let missing = !should_run(state.config(), *route).is_subset(plugins);
                if missing || unknown_protection_is_missing(&state) && before.get(route) != now.get(route) {
                    let Some((old_path, old_plugins)) = before.get(route) else {
                        return Err(TestCaseError::fail(format!("{route} is new and unprotected: {now:?}\n{}", show(&history))));
                    };
                    prop_assert_eq!(old_path, path);
                    prop_assert!(old_plugins.is_subset(plugins), "{before:?} {now:?}\n{}", show(&history));
                }
            }
            before = now;
        }
    }

    #[test]
    fn a_restart_and_a_jump_lead_to_the_same_effect(
        changes in proptest::collection::vec(proptest::collection::vec(step(), 1..5), 1..12),
    ) {
        let mut state = state();
        let mut history = Vec::new();
        for ops in changes {
            history.extend(ops.clone());
            let outcome = apply(&mut state, ops);
            let mut restarted = super::super::test_support::state();
            let again = restarted.restore(state.config().clone(), state.last_good(), 0.0);
            prop_assert_eq!(served(&again.snapshot), served(&outcome.snapshot), "{}", show(&history));
            prop_assert_eq!(held(&again), held(&outcome), "{}", show(&history));
            prop_assert_eq!(again.snapshot.digest(), outcome.snapshot.digest());
            // When nothing waits, history does not matter.
            if outcome.quarantined.is_empty() {
                let mut fresh = super::super::test_support::state();
                let jumped = fresh.replace(state.config().clone(), 0.0);
                prop_assert_eq!(served(&jumped.snapshot), served(&outcome.snapshot), "{}", show(&history));
                prop_assert_eq!(jumped.quarantined, vec![]);
            }
            // Deciding again changes nothing.
            let same = state.replace(state.config().clone(), 0.0);
            prop_assert_eq!(same.quarantined, outcome.quarantined, "{}", show(&history));
            prop_assert_eq!(same.work, Work::default());
        }
    }
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
