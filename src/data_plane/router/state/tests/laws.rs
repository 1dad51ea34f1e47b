//! Laws that hold for every history of a small world in which much goes wrong.

use super::*;

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
            let mut restarted = crate::data_plane::router::test_support::state();
            let again = restarted.restore(state.config().clone(), state.last_good(), 0.0);
            prop_assert_eq!(served(&again.snapshot), served(&outcome.snapshot), "{}", show(&history));
            prop_assert_eq!(held(&again), held(&outcome), "{}", show(&history));
            prop_assert_eq!(again.snapshot.digest(), outcome.snapshot.digest());
            // When nothing waits, history does not matter.
            if outcome.quarantined.is_empty() {
                let mut fresh = crate::data_plane::router::test_support::state();
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
