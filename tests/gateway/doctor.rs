//! `langur doctor` with a healthy cluster, and with everything planted that goes wrong.

use crate::harness::{Cluster, Database, Node, PostgresDatabase, closed_address};
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The exit code and what was found.
pub fn doctor(node: &Node) -> (Option<i32>, Vec<Value>) {
    let output = node.run(&["doctor", "--json", "--timeout", "60"]);
    let json: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let findings = json["findings"].as_array().cloned().expect("findings");
    (output.status.code(), findings)
}

/// Demands a finding of this level and subject whose text contains all parts, with advice.
#[track_caller]
pub fn expect(findings: &[Value], level: &str, subject: &str, parts: &[&str]) {
    let found = findings.iter().any(|one| {
        let text = one["text"].as_str().unwrap_or_default();
        let advised = level == "ok" || one["advice"].is_string();
        one["level"] == level
            && one["subject"] == subject
            && advised
            && parts.iter().all(|part| text.contains(part))
    });
    assert!(
        found,
        "no {level} of {subject} with {parts:?} in {findings:#?}"
    );
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_healthy_cluster_has_no_errors() {
    let mut cluster = Cluster::start(Database::fresh_postgres(), 1);
    for node in [&cluster.control_planes[0], &cluster.data_planes[0]] {
        let (code, findings) = doctor(node);
        assert_eq!(code, Some(0), "{findings:#?}");
        let wrong: Vec<_> = findings.iter().filter(|one| one["level"] != "ok").collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        expect(&findings, "ok", "status_listen", &["this node is running"]);
        expect(&findings, "ok", "cluster_cert", &["is good for"]);
    }
    let (_, findings) = doctor(&cluster.control_planes[0]);
    expect(&findings, "ok", "pg_host", &["up to date"]);
    let (_, findings) = doctor(&cluster.data_planes[0]);
    expect(
        &findings,
        "ok",
        "cluster_control_plane",
        &["accepts the certificate"],
    );
    expect(
        &findings,
        "ok",
        "cluster_telemetry_endpoint",
        &["accepts the certificate"],
    );
    // The same when it is stopped, but for the ports.
    cluster.data_planes[0].stop(libc::SIGTERM);
    let before = files(cluster.data_planes[0].prefix());
    let (code, findings) = doctor(&cluster.data_planes[0]);
    assert_eq!(code, Some(0), "{findings:#?}");
    expect(&findings, "ok", "status_listen", &["is free"]);
    assert_eq!(
        files(cluster.data_planes[0].prefix()),
        before,
        "it changed something"
    );
}

#[test]
fn what_is_wrong_with_a_data_plane() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    let node = &mut cluster.data_planes[0];
    node.stop(libc::SIGTERM);
    let other = tempfile::tempdir().expect("a folder");
    let made = node.run(&[
        "hybrid",
        "gen_cert",
        "--days",
        "10",
        other.path().to_str().expect("text"),
    ]);
    assert!(made.status.success());
    let theirs = |name: &str| other.path().join(name).to_string_lossy().into_owned();
    fs::set_permissions(theirs("cluster.key"), fs::Permissions::from_mode(0o644)).expect("chmod");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken
        .local_addr()
        .map(|address| (taken, address))
        .expect("an address");
    let closed = closed_address();
    let file = other.path().join("file");
    fs::write(&file, "").expect("written");
    let admin = cluster.control_planes[0].setting("admin_listen").to_owned();
    let link = cluster.control_planes[0]
        .setting("cluster_listen")
        .to_owned();
    let node = &mut cluster.data_planes[0];
    let (cert, key) = (
        node.setting("cluster_cert").to_owned(),
        node.setting("cluster_cert_key").to_owned(),
    );

    // A certificate of another cluster, control planes that are none, a port that is taken, a
    // prefix that is a file.
    node.set("cluster_cert", theirs("cluster.crt"));
    node.set("cluster_cert_key", theirs("cluster.key"));
    let peers = format!("{link}, {closed}, {admin}, no-such-host.invalid:8005");
    node.set("cluster_control_plane", peers);
    node.set("proxy_listen", taken.1);
    node.set("prefix", file.to_string_lossy());
    let (code, findings) = doctor(node);
    assert_eq!(code, Some(1), "{findings:#?}");
    expect(&findings, "error", "prefix", &["is not a folder"]);
    expect(
        &findings,
        "error",
        "proxy_listen",
        &[&taken.1.to_string(), "is taken"],
    );
    expect(&findings, "warning", "cluster_cert", &["expires in "]);
    expect(
        &findings,
        "warning",
        "cluster_cert_key",
        &["may be read by others (mode 644)"],
    );
    let setting = "cluster_control_plane";
    expect(
        &findings,
        "error",
        setting,
        &[&link, "another certificate than this node's"],
    );
    expect(
        &findings,
        "error",
        setting,
        &[&closed.to_string(), "nothing listens there"],
    );
    expect(&findings, "error", setting, &[&admin, "does not speak TLS"]);
    expect(
        &findings,
        "error",
        setting,
        &["no-such-host.invalid", "is not found"],
    );

    // A key that is not the certificate's, and files that are not there.
    node.set("cluster_cert", &cert);
    let (code, findings) = doctor(node);
    assert_eq!(code, Some(1));
    expect(
        &findings,
        "error",
        "cluster_cert_key",
        &["do not belong together"],
    );
    node.set("cluster_cert", "/nowhere/cluster.crt");
    node.set("cluster_cert_key", &key);
    let (_, findings) = doctor(node);
    expect(
        &findings,
        "error",
        "cluster_cert",
        &["/nowhere/cluster.crt"],
    );

    // Settings that are wrong by themselves.
    node.set("log_level", "loud");
    let (code, findings) = doctor(node);
    assert_eq!(code, Some(1));
    expect(&findings, "error", "settings", &["log_level"]);
    let shown = node.run(&["doctor"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        text.contains("error    settings: ") && text.contains("\n         -> "),
        "{text}"
    );
}

#[test]
fn what_is_wrong_with_a_control_plane() {
    let mut cluster = Cluster::without_data_planes(Database::fresh_postgres());
    let Database::Postgres(PostgresDatabase { database, .. }) = cluster.database.clone() else {
        panic!("this story is about PostgreSQL");
    };
    let node = &mut cluster.control_planes[0];
    node.stop(libc::SIGTERM);
    let last = "m20261122_000005_journal_request_id";
    let sql = |statement: &str| {
        let Database::Postgres(postgres) = &cluster.database else {
            panic!("this story is about PostgreSQL");
        };
        postgres.sql(statement)
    };
    sql(&format!(
        "DELETE FROM seaql_migrations WHERE version = '{last}'"
    ));
    let (code, findings) = doctor(&cluster.control_planes[0]);
    assert_eq!(code, Some(0), "{findings:#?}");
    expect(
        &findings,
        "warning",
        "pg_host",
        &["migrations are pending", last],
    );
    sql("INSERT INTO seaql_migrations VALUES ('m29991231_000001_of_tomorrow', 1)");
    let (code, findings) = doctor(&cluster.control_planes[0]);
    assert_eq!(code, Some(1), "{findings:#?}");
    expect(
        &findings,
        "error",
        "pg_host",
        &["newer", "m29991231_000001_of_tomorrow"],
    );

    let node = &mut cluster.control_planes[0];
    node.set("pg_database", "no_such_database");
    let (_, findings) = doctor(node);
    expect(&findings, "error", "pg_database", &["no such database"]);
    node.set("pg_database", &database);
    node.set("pg_user", "nobody_of_that_name");
    let (_, findings) = doctor(node);
    expect(
        &findings,
        "error",
        "pg_user",
        &["does not let this user in"],
    );
    let closed = closed_address();
    node.set("pg_host", closed.ip());
    node.set("pg_port", closed.port());
    let (code, findings) = doctor(node);
    assert_eq!(code, Some(1));
    expect(&findings, "error", "pg_host", &["cannot be reached"]);

    // A file that is not there is not made by looking.
    let fresh = cluster.path("fresh");
    let node = &mut cluster.control_planes[0];
    node.set("database", "sqlite");
    node.set("prefix", fresh.to_string_lossy());
    node.set("status_listen", "0.0.0.0:8005");
    node.set("cluster_listen", "127.0.0.1:8005");
    let (code, findings) = doctor(node);
    assert_eq!(code, Some(1), "{findings:#?}");
    expect(
        &findings,
        "ok",
        "sqlite_path",
        &["is made at the first start"],
    );
    expect(
        &findings,
        "error",
        "cluster_listen",
        &["in each other's way"],
    );
    assert!(!fresh.exists(), "it changed something");
}

/// The ports of a node that runs are its own, however little it says of itself.
#[test]
fn a_running_node_that_hides() {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    cluster.add_data_plane(&[("status_listen", "off"), ("headers", "off")]);
    cluster.wait_until_connected(0);
    let (code, findings) = doctor(&cluster.data_planes[0]);
    assert_eq!(code, Some(0), "{findings:#?}");
    expect(&findings, "ok", "proxy_listen", &["this node is running"]);

    let control = &mut cluster.control_planes[0];
    control.stop(libc::SIGTERM);
    control.set("status_listen", "off");
    control.set("headers", "off");
    control.restart();
    cluster.wait_until_connected(0);
    let (code, findings) = doctor(&cluster.control_planes[0]);
    assert_eq!(code, Some(0), "{findings:#?}");
    expect(&findings, "ok", "admin_listen", &["this node is running"]);
    // Something else that answers HTTP is not.
    let upstream = cluster.upstream.address.to_string();
    cluster.control_planes[0].stop(libc::SIGTERM);
    cluster.control_planes[0].set("admin_listen", &upstream);
    let (code, findings) = doctor(&cluster.control_planes[0]);
    assert_eq!(code, Some(1), "{findings:#?}");
    expect(&findings, "error", "admin_listen", &[&upstream, "is taken"]);
}
