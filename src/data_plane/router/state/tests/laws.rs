//! Laws that hold for every history of a small world in which much goes wrong.

use super::model::{Model, Treated};
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
    let names = proptest::sample::select(vec!["auth", "limit", "unknown", "log"]);
    let some_consumer = proptest::option::weighted(0.2, 31u128..33);
    let a_plugin = (
        21u128..26,
        names,
        some_route(),
        some_service(),
        some_consumer,
        0u8..8,
    );
    let a_plugin = a_plugin.prop_map(|(n, name, on_route, on_service, on_consumer, how)| {
        let mut fields = json!({ "name": name });
        if let Some(on_route) = on_route {
            fields["route"] = to(on_route);
        } else if let Some(on_service) = on_service {
            fields["service"] = to(on_service);
        }
        if let Some(on_consumer) = on_consumer {
            fields["consumer"] = to(on_consumer);
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
    let a_consumer = (31u128..33, 0u8..3).prop_map(|(n, how)| match how {
        0 => delete(Kind::Consumers, n),
        how => other(
            Kind::Consumers,
            n,
            json!({ "username": format!("c{n}-{how}") }),
        ),
    });
    prop_oneof![2 => a_service, 3 => a_route, 3 => a_plugin, 1 => a_consumer]
}

/// A route as served: its path and the names of the plugins that run on it.
type Served = BTreeMap<u128, (String, BTreeSet<String>)>;

fn served(snapshot: &Snapshot) -> Served {
    let found = treated(snapshot).into_iter();
    let open = found.filter_map(|(route, (path, treated))| match treated {
        Treated::Refused => None,
        Treated::Served(_) => {
            let service = snapshot_service(snapshot, &path);
            let plan = snapshot.plugins_for(Some(route), service, None);
            let names = plan.iter().map(|plugin| plugin.name.to_string()).collect();
            Some((route.as_u128(), (path, names)))
        }
    });
    open.collect()
}

fn snapshot_service(snapshot: &Snapshot, path: &str) -> Option<Uuid> {
    let headers: Vec<(&str, &str)> = Vec::new();
    let matched = snapshot.find_route(&get("h", path, &headers), &mut Scratch::default())?;
    matched.service.as_ref().map(|service| service.id)
}

/// What the snapshot does with the requests of each route.
fn treated(snapshot: &Snapshot) -> BTreeMap<Uuid, (String, Treated)> {
    let headers: Vec<(&str, &str)> = Vec::new();
    let paths = (11..14).flat_map(|n| (0..6).map(move |how| (n, format!("/{n}/{how}"))));
    let found = paths.filter_map(|(n, path)| {
        let matched = snapshot.find_route(&get("h", &path, &headers), &mut Scratch::default())?;
        assert_eq!(matched.route.id, id(n));
        let service = matched.service.as_ref().map(|service| service.id);
        let plan = snapshot.plugins_for(Some(id(n)), service, None);
        let treated = match plan.closes() {
            true => Treated::Refused,
            false => Treated::Served(plan.iter().map(|plugin| plugin.id).collect()),
        };
        Some((id(n), (path, treated)))
    });
    found.collect()
}

/// The consumers that are known, and whether their requests are refused.
fn consumers(snapshot: &Snapshot) -> BTreeMap<Uuid, bool> {
    let known = (31..33).filter(|n| snapshot.consumer(id(*n)).is_some());
    known
        .map(|n| {
            let plan = snapshot.plugins_for(None, None, Some(id(n)));
            let closes = plan
                .iter()
                .any(|it| it.closes && it.scope.consumer.is_some());
            (id(n), closes)
        })
        .collect()
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
        let for_all = plugin.get("consumer").is_none() && plugin["name"] != "log";
        plugin["enabled"] == true && on_route && on_service && for_all
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

type Changes = Vec<Vec<Op>>;

fn changes() -> impl Strategy<Value = Changes> {
    proptest::collection::vec(proptest::collection::vec(step(), 1..5), 1..12)
}

/// The plugins that are wanted: neither deleted nor disabled.
fn wanted_plugins(config: &Config) -> BTreeSet<Uuid> {
    let plugins = config.of_kind(Kind::Plugins);
    let on = plugins.filter(|(_, row)| {
        let json = row.to_json().unwrap_or_default();
        json.get("enabled") != Some(&json!(false))
    });
    on.map(|(id, _)| id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trial_01_what_is_in_effect_is_what_the_rule_says(changes in changes()) {
        let (mut state, mut model) = (state(), Model::default());
        let mut history = Vec::new();
        for ops in changes {
            history.extend(ops.clone());
            model.step(&ops);
            let outcome = apply(&mut state, ops);
            prop_assert_eq!(treated(&outcome.snapshot), model.routes(), "{}", show(&history));
            prop_assert_eq!(consumers(&outcome.snapshot), model.consumers(), "{}", show(&history));
            let held: BTreeSet<Key> = outcome.quarantined.iter().map(|it| (it.kind, it.id)).collect();
            prop_assert_eq!(&held, &model.held, "{}", show(&history));
        }
    }

    #[test]
    fn trial_01_what_was_removed_is_in_effect_nowhere(changes in changes()) {
        let mut state = state();
        let mut history = Vec::new();
        for ops in changes {
            history.extend(ops.clone());
            apply(&mut state, ops);
            let (_, restart) = restarted(&state);
            let again = state.replace(state.config().clone(), 0.0);
            for snapshot in [again.snapshot, restart.snapshot] {
                let wanted = wanted_plugins(state.config());
                for (route, (_, treated)) in treated(&snapshot) {
                    prop_assert!(state.config().get(Kind::Routes, route).is_some());
                    if let Treated::Served(plugins) = treated {
                        prop_assert!(plugins.is_subset(&wanted), "{plugins:?}\n{}", show(&history));
                    }
                }
                for (consumer, _) in consumers(&snapshot) {
                    prop_assert!(state.config().get(Kind::Consumers, consumer).is_some());
                }
            }
        }
    }

    #[test]
    fn without_broken_entities_everything_is_in_effect(changes in changes()) {
        let mut state = state();
        let mut history = Vec::new();
        for ops in changes {
            history.extend(ops.clone());
            apply(&mut state, ops);
        }
        // Whatever is broken in itself is removed, with what points to nothing then.
        loop {
            let broken = state.quarantined();
            let own = broken.iter().filter(|it| {
                let text = &it.reason;
                !text.starts_with("depends on") && !text.contains("not in effect here")
                    && !text.starts_with("its last good")
            });
            let ops: Vec<Op> = own.map(|it| Op::Delete { kind: it.kind, id: it.id }).collect();
            if ops.is_empty() {
                break;
            }
            apply(&mut state, ops);
        }
        prop_assert_eq!(state.quarantined(), vec![], "{}", show(&history));
    }

    #[test]
    fn no_route_is_ever_served_with_less_protection_than_wanted_or_before(changes in changes()) {
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
                    let old: BTreeSet<String> = old_plugins.iter().filter(|name| *name != "log").cloned().collect();
                    prop_assert_eq!(old_path, path);
                    prop_assert!(old.is_subset(plugins), "{before:?} {now:?}\n{}", show(&history));
                }
            }
            before = now;
        }
    }

    #[test]
    fn a_restart_and_a_jump_lead_to_the_same_effect(changes in changes()) {
        let mut state = state();
        let mut history = Vec::new();
        for ops in changes {
            history.extend(ops.clone());
            let outcome = apply(&mut state, ops);
            let (_, again) = restarted(&state);
            prop_assert_eq!(treated(&again.snapshot), treated(&outcome.snapshot), "{}", show(&history));
            prop_assert_eq!(consumers(&again.snapshot), consumers(&outcome.snapshot), "{}", show(&history));
            prop_assert_eq!(held(&again), held(&outcome), "{}", show(&history));
            prop_assert_eq!(again.routes, outcome.routes);
            prop_assert_eq!(again.snapshot.digest(), outcome.snapshot.digest());
            // When nothing waits, history does not matter.
            if outcome.quarantined.is_empty() {
                let mut fresh = crate::data_plane::router::test_support::state();
                let jumped = fresh.replace(state.config().clone(), 0.0);
                prop_assert_eq!(treated(&jumped.snapshot), treated(&outcome.snapshot), "{}", show(&history));
                prop_assert_eq!(jumped.quarantined, vec![]);
            }
            // Deciding again changes nothing.
            let same = state.replace(state.config().clone(), 0.0);
            let entry = |it: &Quarantined| (it.kind, it.id, it.instead, it.since.to_bits());
            let entries = |of: &Outcome| of.quarantined.iter().map(entry).collect::<Vec<_>>();
            prop_assert_eq!(entries(&same), entries(&outcome), "{}", show(&history));
            prop_assert_eq!(treated(&same.snapshot), treated(&outcome.snapshot), "{}", show(&history));
            prop_assert_eq!(same.work, Work::default());
        }
    }
}
