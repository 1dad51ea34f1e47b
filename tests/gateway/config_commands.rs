//! `langur config`: files into databases and back.

use crate::harness::{Cluster, Database, Node, get};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

fn text(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    streams.concat()
}

/// Runs `langur config` with the settings of a node and expects this exit code.
fn config(node: &Node, arguments: &[&str], code: i32) -> String {
    let output = node.run(&[&["config"], arguments].concat());
    let text = text(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

fn write(path: &Path, document: &Value) -> String {
    std::fs::write(path, document.to_string()).expect("a file");
    path.to_string_lossy().into_owned()
}

/// The hash of everything a control plane's data planes get.
fn hash(cluster: &Cluster, n: usize) -> String {
    let row = cluster.wait_until_in_sync(0, n);
    row["config_hash"].as_str().expect("a hash").to_owned()
}

fn import_reaches_a_running_fleet(database: Database) {
    let cluster = Cluster::start(database.clone(), 1);
    let node = &cluster.control_planes[0];
    cluster.add_route("beside", "/beside");
    let before = cluster.wait_until_in_sync(0, 0)["revision"].as_u64();
    let url = format!("http://{}", cluster.upstream.address);
    let document = json!({
        "_format_version": "3.0",
        "routes": [{"name": "flat", "paths": ["/flat"], "service": "imported"}],
        "services": [{"name": "imported", "url": url, "routes": [{"name": "nested", "paths": ["/nested"]}]}],
        "consumers": [{
            "username": "c",
            "keyauth_credentials": [{"key": "secret"}],
            "basicauth_credentials": [{"username": "u", "password": "p"}],
            "acls": [{"group": "g"}],
        }],
        "plugins": [{"name": "key-auth", "route": "flat", "config": {"anonymous": null}}],
        "upstreams": [{"name": "u", "targets": [{"target": "127.0.0.1:1"}]}],
    });
    let file = write(&cluster.path("import.json"), &document);
    assert!(config(node, &["parse", &file], 0).contains("parse successful"));
    let done = config(node, &["db_import", &file], 0);
    assert!(
        done.contains("import successful: 10 of 10 entities changed"),
        "{done}"
    );
    cluster.wait_for_status(0, "/nested", 200);
    cluster.wait_for_status(0, "/flat", 401);
    cluster.wait_for_status(0, "/beside", 200);
    let after = cluster.wait_until_in_sync(0, 0)["revision"].as_u64();
    assert_eq!(after, before.map(|before| before + 1), "one revision");

    // What the store refuses leaves nothing behind.
    let taken = json!({"_format_version": "3.0", "services": [
        {"name": "new", "host": "h"},
        {"id": "00000000-0000-4000-8000-000000000001", "name": "imported", "host": "h"},
    ]});
    let file = write(&cluster.path("taken.json"), &taken);
    let refused = config(node, &["db_import", &file], 1);
    assert!(
        refused.contains("another entity of services has the same name"),
        "{refused}"
    );
    let new = get(&cluster.admin(0, "/services/new")).expect("an answer");
    assert_eq!(new.status, 404);

    // An export never overwrites, and another database has the same with it.
    let exported = cluster.path("export.yml").to_string_lossy().into_owned();
    let done = config(node, &["db_export", &exported], 0);
    assert!(done.contains("12 entities"), "{done}");
    assert!(config(node, &["db_export", &exported], 73).contains("is there already"));
    assert!(config(node, &["parse", &exported], 0).contains("parse successful"));
    let other = Cluster::start(Database::Sqlite, 1);
    let done = config(&other.control_planes[0], &["db_import", &exported], 0);
    assert!(
        done.contains("12 of 12 entities changed, revision 1"),
        "{done}"
    );
    assert_eq!(
        eventually_same(&other, &hash(&cluster, 0)),
        hash(&cluster, 0)
    );
    let again = config(node, &["db_import", &exported], 0);
    assert!(again.contains("0 of 12 entities changed"), "{again}");
}

/// Waits until the other cluster's data plane has this hash.
fn eventually_same(cluster: &Cluster, hash: &str) -> String {
    crate::harness::eventually("the import has arrived", || {
        let row = cluster.row(0, 0)?;
        match row["config_hash"] == hash {
            true => Ok(hash.to_owned()),
            false => Err(row.to_string()),
        }
    })
}

#[test]
fn an_import_is_one_revision_of_a_running_fleet() {
    import_reaches_a_running_fleet(Database::Sqlite);
}

#[test]
fn an_import_is_one_revision_on_postgres() {
    import_reaches_a_running_fleet(Database::fresh_postgres());
}

#[test]
fn refusals_name_what_is_wrong() {
    let cluster = Cluster::without_data_planes(Database::Sqlite);
    let node = &cluster.control_planes[0];
    let bad = json!({"services": [{"host": 1}], "nope": []});
    let file = write(&cluster.path("bad.json"), &bad);
    for command in ["parse", "db_import"] {
        let refused = config(node, &[command, &file], 1);
        for text in [
            "_format_version: required field missing",
            "host: expected a string",
            "nope: unknown field",
        ] {
            assert!(refused.contains(text), "{command}: {refused}");
        }
    }
    let missing = cluster.path("missing.yml").to_string_lossy().into_owned();
    assert!(config(node, &["parse", &missing], 66).contains("missing.yml"));
    let good = write(
        &cluster.path("good.json"),
        &json!({"_format_version": "3.0"}),
    );
    let off = node.run(&[
        "config",
        "db_import",
        &good,
        "--set",
        "role=traditional",
        "--set",
        "database=off",
    ]);
    assert!(text(&off).contains("database = off"), "{}", text(&off));
}
