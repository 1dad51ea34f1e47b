//! What ARCHITECTURE.md says of the places of the source: each that it names has a rule here, and no two files
//! of a folder need each other.

use super::source::{Graph, Module, root, rust_files};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// A place of the page's table, and the places of the crate that it may name. `-` before a name: what its files must
/// not contain, whatever it is.
///
/// Plugins (`src/plugins/<name>`) are one place: none names another.
const RULES: &[(&str, &[&str])] = &[
    ("src/model", &["schema", "-tokio::", "-actix", "-std::fs"]),
    (
        "src/schema",
        &["-tokio::", "-actix", "-std::fs", "-SystemTime::now"],
    ),
    (
        "src/wire",
        &["model", "-tokio::", "-actix", "-std::fs", "-std::net::Tcp"],
    ),
    ("src/http", &["-tokio::", "-actix", "-std::fs"]),
    (
        "src/plugins/runtime",
        &[
            "http",
            "link",
            "model",
            "plugins/lua",
            "schema",
            "settings",
            "telemetry",
            "tls",
        ],
    ),
    (
        "src/plugins/lua",
        &["http", "plugins/runtime", "settings", "telemetry"],
    ),
    ("src/plugins/tracing", &["plugins/runtime"]),
    (
        "src/plugins/<name>",
        &[
            "access_log",
            "http",
            "model",
            "plugins/lua",
            "plugins/runtime",
            "plugins/tracing",
            "schema",
            "settings",
            "telemetry",
            "tls",
        ],
    ),
    (
        "src/control_plane/admin_api",
        &[
            "actor",
            "control_plane/cluster_registry",
            "control_plane/config_store",
            "control_plane/telemetry",
            "declared",
            "model",
            "schema",
            "serve",
            "settings",
            "telemetry",
        ],
    ),
    (
        "src/control_plane/config_store",
        &["actor", "model", "schema", "telemetry"],
    ),
    (
        "src/control_plane/document",
        &[
            "control_plane/config_store",
            "declared",
            "model",
            "node",
            "schema",
        ],
    ),
    (
        "src/control_plane/cluster_registry",
        &[
            "actor",
            "control_plane/config_store",
            "control_plane/session",
            "control_plane/telemetry",
            "link",
            "memory",
            "model",
            "node",
            "serve",
            "settings",
            "telemetry",
            "tls",
            "wire",
        ],
    ),
    (
        "src/control_plane/session",
        &["actor", "link", "model", "telemetry", "wire"],
    ),
    (
        "src/control_plane/telemetry",
        &[
            "control_plane/config_store",
            "control_plane/session",
            "link",
            "model",
            "telemetry",
        ],
    ),
    (
        "src/data_plane/exchange",
        &["http", "plugins/runtime", "telemetry"],
    ),
    (
        "src/data_plane/listener",
        &[
            "actor",
            "data_plane/exchange",
            "data_plane/router",
            "http",
            "plugins/runtime",
            "serve",
            "settings",
            "telemetry",
            "tls",
        ],
    ),
    (
        "src/data_plane/upstream",
        &[
            "data_plane/balancer",
            "data_plane/dns",
            "data_plane/exchange",
            "http",
            "tls",
        ],
    ),
    (
        "src/data_plane/proxy",
        &[
            "access_log",
            "data_plane/balancer",
            "data_plane/exchange",
            "data_plane/health",
            "data_plane/router",
            "data_plane/telemetry_buffer",
            "data_plane/upstream",
            "http",
            "model",
            "plugins/runtime",
            "settings",
            "telemetry",
            "tls",
        ],
    ),
    (
        "src/data_plane/router",
        &[
            "actor",
            "data_plane/balancer",
            "data_plane/cache_writer",
            "data_plane/heartbeat_client",
            "http",
            "memory",
            "model",
            "plugins/runtime",
            "schema",
            "settings",
            "telemetry",
            "tls",
            "wire",
        ],
    ),
    (
        "src/data_plane/balancer",
        &[
            "model",
            "-tokio::",
            "-actix",
            "-std::fs",
            "-SystemTime::now",
        ],
    ),
    (
        "src/data_plane/health",
        &[
            "actor",
            "data_plane/balancer",
            "data_plane/dns",
            "data_plane/exchange",
            "data_plane/router",
            "data_plane/upstream",
            "http",
            "link",
            "telemetry",
        ],
    ),
    (
        "src/data_plane/plugin_host",
        &["actor", "data_plane/dns", "plugins/runtime"],
    ),
    ("src/data_plane/dns", &["data_plane/balancer", "settings"]),
    (
        "src/data_plane/heartbeat_client",
        &[
            "actor",
            "data_plane/cache_writer",
            "link",
            "model",
            "telemetry",
            "wire",
        ],
    ),
    (
        "src/data_plane/cache_writer",
        &["actor", "memory", "model", "wire"],
    ),
    (
        "src/data_plane/telemetry_buffer",
        &["actor", "link", "telemetry"],
    ),
    ("src/access_log", &["http", "telemetry"]),
    ("src/actor", &[]),
    ("src/settings", &["access_log", "schema", "tls", "wire"]),
    ("src/declared", &["model", "node", "schema", "settings"]),
    ("src/tls", &["settings"]),
    (
        "src/telemetry",
        &["actor", "link", "model", "serve", "settings"],
    ),
    ("src/memory.rs", &[]),
    (
        "src/cli",
        &[
            "access_log",
            "actor",
            "control_plane",
            "data_plane",
            "declared",
            "link",
            "memory",
            "model",
            "node",
            "plugins",
            "schema",
            "serve",
            "settings",
            "telemetry",
            "tls",
            "wire",
        ],
    ),
    ("entity", &["-langur::"]),
    ("migration", &["-langur::"]),
];

/// A plane, and what nothing in it may name.
const FENCES: &[(&str, &[&str])] = &[
    ("control_plane", &["data_plane", "cli"]),
    ("data_plane", &["control_plane", "cli"]),
];

/// Places whose rows of the table are no part of the library: they name nothing of it, or are its tests.
const ELSEWHERE: &[&str] = &["src/killed_actors.rs"];

/// Folders in which files still need each other: of each the files that do. A circle that is untied leaves
/// this list, and no other comes into it.
const TIED: &[(&str, &[&str])] = &[
    ("", &["access_log", "serve", "settings", "telemetry"]),
    ("access_log", &["lane", "writer"]),
    ("control_plane/cluster_registry", &["fleet", "presence"]),
    (
        "plugins/lua",
        &[
            "call", "engine", "handler", "json", "native", "ngx", "pdk", "request", "turn",
        ],
    ),
    (
        "schema",
        &[
            "build",
            "checks",
            "custom_checks",
            "definition",
            "entity",
            "expression",
            "fill",
            "foreign",
            "load",
            "plugin_list",
            "read",
            "shorthand",
            "transform",
            "ttl",
            "validate",
            "validators",
        ],
    ),
    ("telemetry", &["metrics", "status"]),
    ("telemetry/status", &["api", "upstream_pages"]),
];

/// The places in the first column of the page's table.
fn places_of_the_page() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page");
    let (_, table) = page
        .split_once("\n## Where things are\n")
        .expect("its table");
    let (table, _) = table.split_once("\n## ").expect("an end of the section");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let places = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let ours = |place: &&str| place.starts_with("src/") || matches!(*place, "entity" | "migration");
    places.filter(ours).map(str::to_owned).collect()
}

/// The place of the page that a module belongs to, without `src/`: `data_plane/router`, `model`, `plugins/<name>`.
fn place_of(module: &Module) -> String {
    let deep = matches!(
        module.first().map(String::as_str),
        Some("control_plane" | "data_plane" | "plugins")
    );
    module[..module.len().min(1 + usize::from(deep))].join("/")
}

/// Whether a place falls under a rule's name, which may be wider (`data_plane`).
fn is_within(place: &str, name: &str) -> bool {
    place == name
        || place
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('/'))
}

#[test]
fn every_place_of_the_page_has_a_rule_and_is_there() {
    let page = places_of_the_page();
    let ruled: BTreeSet<String> = RULES
        .iter()
        .map(|(place, _)| *place)
        .chain(ELSEWHERE.iter().copied())
        .map(str::to_owned)
        .collect();
    // A file may be named in the text of a row.
    let unruled: Vec<_> = page.difference(&ruled).collect();
    let unnamed: Vec<_> = ruled
        .difference(&page)
        .filter(|place| !ELSEWHERE.contains(&place.as_str()))
        .collect();
    assert!(
        unruled.is_empty(),
        "named by ARCHITECTURE.md, without a rule: {unruled:?}"
    );
    assert!(
        unnamed.is_empty(),
        "with a rule, not named by ARCHITECTURE.md: {unnamed:?}"
    );
    for place in page.iter().filter(|place| !place.contains('<')) {
        let (folder, file) = (root().join(place), root().join(format!("{place}.rs")));
        assert!(folder.exists() || file.exists(), "there is no {place}");
    }
}

#[test]
fn places_name_only_what_their_rules_allow() {
    let graph = Graph::read();
    let mut broken = Vec::new();
    for (from, to, what) in graph.steps() {
        let (place, target) = (place_of(from), place_of(to));
        // The root of the crate and of a plane only put their parts together.
        if place == target
            || target.is_empty()
            || !place.contains('/') && is_within(&target, &place)
        {
            continue;
        }
        for (plane, fence) in FENCES {
            if is_within(&place, plane) && fence.iter().any(|it| is_within(&target, it)) {
                broken.push(format!("{place} names {target} ({what:?})"));
            }
        }
        let is_plugin = place.starts_with("plugins/")
            && !matches!(
                &*place,
                "plugins/lua" | "plugins/runtime" | "plugins/tracing"
            );
        let name = match is_plugin {
            true => "src/plugins/<name>".to_owned(),
            false => format!("src/{place}"),
        };
        let rule = RULES
            .iter()
            .find(|(ruled, _)| ruled.trim_end_matches(".rs") == name);
        let Some((_, allowed)) = rule else {
            continue;
        };
        // `plugins` and the planes themselves only hand on what their parts offer.
        let hands_on = matches!(&*target, "plugins" | "control_plane" | "data_plane");
        let allowed = allowed.iter().any(|name| is_within(&target, name)) || hands_on;
        if !allowed {
            broken.push(format!(
                "{} names {} ({what:?})",
                from.join("::"),
                to.join("::")
            ));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn places_contain_nothing_that_their_rules_forbid() {
    let mut broken = Vec::new();
    for (place, rule) in RULES {
        let folder = match *place {
            "entity" | "migration" => format!("{place}/src"),
            place => place.to_owned(),
        };
        let forbidden: Vec<&str> = rule.iter().filter_map(|it| it.strip_prefix('-')).collect();
        if forbidden.is_empty() {
            continue;
        }
        for (name, text) in rust_files(&folder) {
            if name.contains("/tests/") {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in forbidden.iter().filter(|word| code.contains(**word)) {
                    broken.push(format!("{name}:{}: names {word}", number + 1));
                }
            }
        }
    }
    // The matcher does no IO either; the actor beside it is a mailman.
    for (name, text) in rust_files("src/data_plane/router") {
        let is_matcher = ["index", "matcher", "trie", "path", "conditions"]
            .iter()
            .any(|file| name.ends_with(&format!("/{file}.rs")));
        for word in ["tokio::", "actix", "std::fs"] {
            if is_matcher && text.contains(word) {
                broken.push(format!("{name}: names {word}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_files_of_a_folder_need_each_other() {
    let graph = Graph::read();
    // By folder: which of its children names which other one.
    let mut folders: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, to, _) in graph.steps() {
        let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if let (Some(a), Some(b)) = (from.get(common), to.get(common)) {
            let folder = folders.entry(from[..common].join("/")).or_default();
            folder.entry(a.clone()).or_default().insert(b.clone());
        }
    }
    let mut circles = BTreeSet::new();
    for (folder, named) in &folders {
        let reached: BTreeMap<&str, BTreeSet<&str>> = named
            .keys()
            .map(|file| (file.as_str(), reachable(named, file)))
            .collect();
        for (file, reaches) in &reached {
            let together: BTreeSet<&str> = reaches
                .iter()
                .copied()
                .filter(|other| reached.get(other).is_some_and(|it| it.contains(file)))
                .collect();
            if together.contains(file) {
                circles.insert((
                    folder.clone(),
                    together.into_iter().map(str::to_owned).collect::<Vec<_>>(),
                ));
            }
        }
    }
    let known: BTreeSet<(String, Vec<String>)> = TIED
        .iter()
        .map(|(folder, files)| {
            (
                (*folder).to_owned(),
                files.iter().map(|&file| file.to_owned()).collect(),
            )
        })
        .collect();
    let new: Vec<_> = circles.difference(&known).collect();
    assert!(new.is_empty(), "files that need each other: {new:?}");
    let gone: Vec<_> = known.difference(&circles).collect();
    assert!(gone.is_empty(), "untied: take them out of TIED: {gone:?}");
}

/// The files that a file leads to, itself only if there is a way back.
fn reachable<'a>(named: &'a BTreeMap<String, BTreeSet<String>>, file: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut pending: Vec<&str> = vec![file];
    while let Some(file) = pending.pop() {
        for next in named.get(file).into_iter().flatten() {
            if found.insert(next.as_str()) {
                pending.push(next);
            }
        }
    }
    found
}
