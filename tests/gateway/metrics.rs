//! `docs/metrics.md` against `/metrics` of running processes: everything that is documented for a
//! role appears on it, with these labels, and nothing else does.

use crate::harness::{Cluster, Database, PostgresDatabase, delete, eventually, get, post};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// One family of a scrape, or one row of the table.
#[derive(Clone, Debug, Default, PartialEq)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

type Families = BTreeMap<String, Family>;

/// The rows of `docs/metrics.md` that are exported by a role.
fn documented(role: &str) -> Families {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md"))
        .expect("docs/metrics.md");
    let mut rows = Families::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        // A bar within a cell is escaped.
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<String> = line
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().replace('\u{1}', "|"))
            .collect();
        let [name, kind, labels, exported, help] = &cells[..] else {
            panic!("not a row: {line}");
        };
        if !exported.starts_with(role) && !exported.starts_with("both roles") {
            continue;
        }
        let labels = labels.split(", ").filter(|label| *label != "–");
        let family = Family {
            kind: kind.clone(),
            help: help.clone(),
            labels: labels.map(str::to_owned).collect(),
        };
        rows.insert(name.trim_matches('`').to_owned(), family);
    }
    rows
}

/// The families of a scrape; the labels are those of all samples.
fn exported(url: &str) -> Result<Families, String> {
    let text = get(url)?.text;
    let mut families = Families::new();
    let mut current = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                current = name.to_owned();
                families.entry(current.clone()).or_default().help = help.to_owned();
            }
            ["#", "TYPE", name, kind] => {
                assert_eq!(name, current, "HELP and TYPE belong together");
                families.entry(current.clone()).or_default().kind = kind.to_owned();
            }
            _ => {
                let name = line.split(['{', ' ']).next().unwrap_or_default();
                assert!(name.starts_with(&current), "{line} is not of {current}");
                let family = families.get_mut(&current).expect("a family");
                family.labels.extend(labels_of(line));
            }
        }
    }
    Ok(families)
}

/// The names of a sample's labels. No value of this test holds a quote.
fn labels_of(line: &str) -> Vec<String> {
    let Some((_, rest)) = line.split_once('{') else {
        return Vec::new();
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let names = inner.split("\",").filter_map(|label| label.split_once('='));
    let names = names.map(|(name, _)| name.to_owned());
    names.filter(|name| name != "le").collect()
}

/// What differs between a page and a scrape.
fn difference(page: &Families, scrape: &Families) -> Vec<String> {
    let names: BTreeSet<&String> = page.keys().chain(scrape.keys()).collect();
    names
        .into_iter()
        .filter(|name| page.get(*name) != scrape.get(*name))
        .map(|name| {
            let (page, scrape) = (page.get(name), scrape.get(name));
            format!("{name}: documented {page:?}, exported {scrape:?}")
        })
        .collect()
}

#[test]
fn both_roles_export_what_is_documented_and_nothing_else() {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    cluster.add_data_plane(&[("metrics_upstream_health", "on")]);
    cluster.wait_until_connected(0);
    // What a cluster must have had for every metric to have a value: a target, a request.
    let target = json!({"target": cluster.upstream.address.to_string()});
    for (path, entity) in [
        ("/upstreams", json!({"name": "pool"})),
        ("/upstreams/pool/targets", target),
    ] {
        post(&cluster.admin(0, path), &entity)
            .expect("an answer")
            .expect(201);
    }
    cluster.add_route("counted", "/counted");
    cluster.wait_for_status(0, "/counted", 200);
    let control = cluster.status_url(&cluster.control_planes[0], "/metrics");
    let data = cluster.status_url(&cluster.data_planes[0], "/metrics");
    for (role, url) in [("control plane", &control), ("data plane", &data)] {
        let page = documented(role);
        assert!(page.len() > 20, "{page:?}");
        eventually(
            &format!("the page is what a {role} exports"),
            || match &difference(&page, &exported(url)?)[..] {
                [] => Ok(()),
                lines => Err(lines.join("\n")),
            },
        );
    }
}

#[test]
fn writes_sessions_and_propagation_are_measured() {
    let mut cluster = Cluster::start(Database::Sqlite, 2);
    let url = cluster.status_url(&cluster.control_planes[0], "/metrics");
    let has = |what: &str, expected: &[String]| {
        eventually(what, || {
            let text = get(&url)?.text;
            let lines: Vec<&str> = text.lines().collect();
            match expected.iter().find(|line| !lines.contains(&line.as_str())) {
                None => Ok(()),
                Some(line) => Err(format!("{line} is not in\n{text}")),
            }
        });
    };
    let made = post(&cluster.admin(0, "/consumers"), &json!({"username": "ann"}))
        .expect("an answer")
        .expect(201);
    post(
        &cluster.admin(0, "/consumers/ann/key-auth"),
        &json!({"key": "k"}),
    )
    .expect("an answer")
    .expect(201);
    let rows: Vec<_> = (0..2).map(|n| cluster.wait_until_in_sync(0, n)).collect();
    let ids: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    let count =
        |id: &str, n: u64| format!("langur_propagation_ms_count{{data_plane=\"{id}\"}} {n}");
    let written = |entity: &str, operation: &str| {
        format!("langur_config_writes_total{{entity=\"{entity}\",operation=\"{operation}\"}} 1")
    };
    has(
        "two revisions reached both data planes",
        &[
            count(ids[0], 2),
            count(ids[1], 2),
            written("consumers", "create"),
            "langur_config_revision 2".into(),
            "langur_journal_revisions 2".into(),
            "langur_sessions{state=\"live\"} 2".into(),
        ],
    );
    // What goes with another entity is a deletion, too.
    let id = made["id"].as_str().expect("an id");
    delete(&cluster.admin(0, &format!("/consumers/{id}")))
        .expect("an answer")
        .expect(204);
    cluster.wait_until_in_sync(0, 0);
    has(
        "the deletion and what went with it",
        &[
            count(ids[0], 3),
            written("consumers", "delete"),
            written("keyauth_credentials", "delete"),
        ],
    );
    // A data plane that is gone takes its series with it.
    cluster.data_planes[1].kill();
    eventually("the second data plane is forgotten", || {
        let text = get(&url)?.text;
        let there = |id: &str| {
            text.contains(&format!(
                "langur_propagation_ms_count{{data_plane=\"{id}\"}}"
            ))
        };
        if there(ids[0]) && !there(ids[1]) && text.contains("langur_sessions{state=\"live\"} 1") {
            Ok(())
        } else {
            Err(text)
        }
    });
}

#[test]
fn a_database_that_is_gone_and_back_is_seen() {
    let database = Database::fresh_postgres();
    let Database::Postgres(postgres) = database.clone() else {
        unreachable!()
    };
    let cluster = Cluster::start(database, 1);
    let url = cluster.status_url(&cluster.control_planes[0], "/metrics");
    let seen = |reachable: bool| {
        eventually(&format!("reachable: {reachable}"), || {
            let text = get(&url)?.text;
            let line = format!("kong_datastore_reachable {}", u8::from(reachable));
            // What only the database knows is not there without it.
            let lists = text.contains("langur_data_plane_connected{");
            if text.lines().any(|found| found == line) && lists == reachable {
                Ok(())
            } else {
                Err(text)
            }
        });
    };
    seen(true);
    let name = &postgres.database;
    let server = PostgresDatabase {
        database: "postgres".into(),
        ..postgres.clone()
    };
    let admit = |admitted: bool| {
        server.sql(&format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS {admitted}"
        ));
        server.sql(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ));
    };
    admit(false);
    seen(false);
    admit(true);
    seen(true);
}
