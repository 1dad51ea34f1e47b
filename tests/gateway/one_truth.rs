//! A node of both planes serves what the database or the file of its mode says, from its first answer
//! on, whatever an earlier start has left in its cache.

use crate::harness::{
    Node, PostgresDatabase, Reply, Upstream, eventually, eventually_true, free_address, get, post,
    unique_loopback,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::PathBuf;
use tempfile::TempDir;

/// One prefix, in which one node after the other lives.
struct Prefix {
    node: Node,
    upstream: Upstream,
    folder: TempDir,
}

/// Where a node's configuration comes from, and the one path that it says.
#[derive(Clone, Debug)]
struct Mode {
    path: &'static str,
    settings: Vec<(&'static str, String)>,
}

impl Prefix {
    /// A node of both planes on an empty prefix.
    fn start(mode: &Mode) -> Prefix {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Prefix::start_in(folder, Upstream::start("echo"), mode)
    }

    fn start_in(folder: TempDir, upstream: Upstream, mode: &Mode) -> Prefix {
        let ip = unique_loopback();
        let prefix = folder.path().join("node").to_string_lossy().into_owned();
        let mut settings = BTreeMap::from([
            ("role".to_owned(), "traditional".to_owned()),
            ("prefix".to_owned(), prefix),
        ]);
        for key in ["admin_listen", "status_listen", "proxy_listen"] {
            settings.insert(key.to_owned(), free_address(ip).to_string());
        }
        for (key, value) in &mode.settings {
            settings.insert((*key).to_owned(), value.clone());
        }
        Prefix {
            node: Node::start(settings),
            upstream,
            folder,
        }
    }

    fn url(&self, listen: &str, path: &str) -> String {
        format!("http://{}{path}", self.node.setting(listen))
    }

    /// Stops the node and starts it again in this mode.
    fn becomes(&mut self, mode: &Mode) {
        assert_eq!(self.node.stop(libc::SIGTERM), Some(0));
        for key in ["database", "declarative_config"] {
            self.node.unset(key);
        }
        for (key, value) in &mode.settings {
            self.node.set(key, value);
        }
        self.node.restart();
    }

    /// The first answer that the proxy gives at all.
    fn first_answer(&self, path: &str) -> Reply {
        let url = self.url("proxy_listen", path);
        eventually("the proxy answers", || get(&url))
    }

    fn status(&self, path: &str) -> u16 {
        get(&self.url("proxy_listen", path))
            .expect("an answer")
            .status
    }

    fn write(&self, path: &str, body: &Value) {
        let url = self.url("admin_listen", path);
        eventually("the Admin API takes a write", || {
            let reply = post(&url, body)?;
            (reply.status == 201).then_some(()).ok_or(reply.text)
        });
    }

    /// A service with a route to it.
    fn add_route(&self, path: &str) {
        let name = path.trim_matches('/');
        let service = json!({"name": name, "url": format!("http://{}", self.upstream.address)});
        self.write("/services", &service);
        let route = json!({"name": name, "paths": [path]});
        self.write(&format!("/services/{name}/routes"), &route);
        eventually_true("the route is served", || self.status(path) == 200);
    }

    fn wait_until_persisted(&self) {
        let url = self.url("status_listen", "/debug/actors");
        eventually("the cache holds what is live", || {
            let page = get(&url)?.json();
            let client = actor(&page, "HeartbeatClient");
            let there = client["live"] == client["persisted"] && client["live"] != "0.0";
            there.then_some(()).ok_or(page.to_string())
        });
    }
}

fn actor(page: &Value, name: &str) -> Value {
    let actors = page["actors"].as_array().cloned().unwrap_or_default();
    let found = actors.into_iter().find(|actor| actor["name"] == name);
    found.map_or(Value::Null, |actor| actor["state"].clone())
}

fn sqlite() -> Mode {
    Mode {
        path: "/sqlite",
        settings: vec![("database", "sqlite".into())],
    }
}

/// A declarative file with one route for each path.
fn declare(folder: &TempDir, upstream: &Upstream, name: &str, paths: &[String]) -> PathBuf {
    let routes: Vec<String> = paths
        .iter()
        .map(|path| {
            format!(
                "  - {{name: {}, paths: [{path}]}}\n",
                path.trim_matches('/')
            )
        })
        .collect();
    let text = format!(
        "_format_version: '3.0'\nservices:\n- name: {name}\n  url: http://{}\n  routes:\n{}",
        upstream.address,
        routes.concat()
    );
    let file = folder.path().join(format!("{name}.yml"));
    std::fs::write(&file, text).expect("a file");
    file
}

fn of_file(path: &'static str, file: &std::path::Path) -> Mode {
    Mode {
        path,
        settings: vec![
            ("database", "off".into()),
            ("declarative_config", file.to_string_lossy().into_owned()),
        ],
    }
}

/// Every way from one mode to another, with more written in each than in the one before, so that
/// what is cached is always of a later revision than what is to be served.
#[test]
fn trial_02_the_database_or_file_of_the_mode_wins_over_the_cache() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let upstream = Upstream::start("echo");
    let postgres = PostgresDatabase::create();
    let first = declare(&folder, &upstream, "first", &["/first".into()]);
    let second = declare(&folder, &upstream, "second", &["/second".into()]);
    let modes = [
        sqlite(),
        of_file("/first", &first),
        of_file("/second", &second),
        Mode {
            path: "/postgres",
            settings: vec![
                ("database", "postgres".into()),
                ("pg_host", postgres.host),
                ("pg_port", postgres.port),
                ("pg_user", postgres.user),
                ("pg_database", postgres.database),
            ],
        },
    ];
    // Each ordered pair once: a walk over all edges between four places.
    let walk = [0, 1, 2, 3, 0, 2, 1, 3, 2, 0, 3, 1, 0];
    let mut prefix = Prefix::start_in(folder, upstream, &modes[0]);
    prefix.add_route("/sqlite");
    let mut has_route = [true, true, true, false];
    for (step, edge) in walk.windows(2).enumerate() {
        let (from, to) = (&modes[edge[0]], &modes[edge[1]]);
        prefix.wait_until_persisted();
        prefix.becomes(to);
        let what = format!("{} -> {}", from.path, to.path);
        let expected = if has_route[edge[1]] { 200 } else { 404 };
        let first = prefix.first_answer(to.path);
        assert_eq!(first.status, expected, "{what}: {}", first.text);
        for other in modes.iter().filter(|mode| mode.path != to.path) {
            assert_eq!(prefix.status(other.path), 404, "{what}: {}", other.path);
        }
        // Files say what they say; databases get more revisions than there were before.
        if edge[1] == 0 || edge[1] == 3 {
            if !has_route[edge[1]] {
                prefix.add_route(to.path);
                has_route[edge[1]] = true;
            }
            for n in 0..(4 * (step + 1)) {
                let name = format!("step{step}-{n}");
                prefix.write("/consumers", &json!({ "username": name }));
            }
        }
    }
}

#[test]
fn trial_02_an_emptied_database_is_served_as_empty() {
    let mut prefix = Prefix::start(&sqlite());
    prefix.add_route("/sqlite");
    prefix.wait_until_persisted();
    assert_eq!(prefix.node.stop(libc::SIGTERM), Some(0));
    for file in std::fs::read_dir(prefix.node.prefix()).expect("the prefix") {
        let file = file.expect("an entry").path();
        if file
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("langur.db"))
        {
            std::fs::remove_file(file).expect("removed");
        }
    }
    prefix.node.restart();
    assert_eq!(prefix.first_answer("/sqlite").status, 404);
    // What is written next is in effect, though its revision is an earlier one than the cache's.
    prefix.add_route("/again");
}

/// A node that was both planes becomes a data plane of a cluster: what it kept of its own database
/// is not what the cluster says.
#[test]
fn trial_02_a_cluster_does_not_get_what_a_node_had_by_itself() {
    use crate::harness::{Cluster, Database};
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    cluster.add_route("theirs", "/theirs");
    let mut alone = Prefix::start(&sqlite());
    alone.add_route("/sqlite");
    for n in 0..20 {
        alone.write("/consumers", &json!({ "username": format!("c{n}") }));
    }
    alone.wait_until_persisted();
    assert_eq!(alone.node.stop(libc::SIGTERM), Some(0));
    let prefix = alone.node.prefix().to_string_lossy().into_owned();
    let n = cluster.add_data_plane(&[("prefix", &prefix)]);
    let first = cluster.proxy(n, "/sqlite");
    let first = eventually("the proxy answers", || get(&first));
    assert_eq!(first.status, 404, "{}", first.text);
    cluster.wait_for_status(n, "/theirs", 200);
}

/// 2 000 routes take long enough to compile that a listener that is early is seen.
#[test]
fn trial_05_nothing_answers_before_the_first_configuration_is_in_effect() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let upstream = Upstream::start("echo");
    let paths: Vec<String> = (0..2000).map(|n| format!("/r{n}")).collect();
    let file = declare(&folder, &upstream, "many", &paths);
    // An empty prefix and a file.
    let mut prefix = Prefix::start_in(folder, upstream, &of_file("/r0", &file));
    let first = prefix.first_answer("/r1999");
    assert_eq!(first.status, 200, "{}", first.text);

    // Without the file: a node that lives from what it was given last.
    assert_eq!(prefix.node.stop(libc::SIGTERM), Some(0));
    prefix.node.unset("declarative_config");
    prefix.node.restart();
    assert_eq!(prefix.first_answer("/r1999").status, 200);
    let url = format!("http://{}", prefix.upstream.address);
    let routes: Vec<Value> = (0..2000)
        .map(|n| json!({"name": format!("p{n}"), "paths": [format!("/p{n}")]}))
        .collect();
    let document = json!({
        "_format_version": "3.0",
        "services": [{"name": "posted", "url": url, "routes": routes}],
    });
    let config = json!({ "config": document.to_string() });
    prefix.write("/config", &config);
    eventually_true("it is in effect", || prefix.status("/p1999") == 200);
    // Also when the process had no time to say good-bye, and when the cache is gone.
    prefix.node.kill();
    prefix.node.restart();
    assert_eq!(prefix.first_answer("/p1999").status, 200);
    prefix.node.kill();
    let cache = prefix.node.prefix().join("dbless.lmdb");
    std::fs::remove_dir_all(cache).expect("removed");
    prefix.node.restart();
    assert_eq!(prefix.first_answer("/p1999").status, 200);
    assert_eq!(prefix.status("/r1999"), 404);
}

#[test]
fn trial_05_a_node_of_both_planes_starts_from_its_database() {
    let mut prefix = Prefix::start(&sqlite());
    prefix.add_route("/sqlite");
    let routes: Vec<Value> = (0..2000)
        .map(|n| json!({"name": format!("r{n}"), "paths": [format!("/r{n}")]}))
        .collect();
    let file = prefix.folder.path().join("import.json");
    let document = json!({
        "_format_version": "3.0",
        "services": [{
            "name": "many",
            "url": format!("http://{}", prefix.upstream.address),
            "routes": routes,
        }],
    });
    std::fs::write(&file, document.to_string()).expect("a file");
    assert_eq!(prefix.node.stop(libc::SIGTERM), Some(0));
    let imported = prefix
        .node
        .run(&["config", "db_import", &file.to_string_lossy()]);
    assert!(imported.status.success(), "{imported:?}");
    // The cache knows nothing of the import.
    prefix.node.restart();
    assert_eq!(prefix.first_answer("/r1999").status, 200);
    assert_eq!(prefix.status("/sqlite"), 200);
}

/// Where there is nothing to be had, the node answers as Kong's does.
#[test]
fn trial_05_a_data_plane_without_anything_to_serve_listens() {
    use crate::harness::{Cluster, Database};
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    cluster.control_planes[0].kill();
    let n = cluster.add_data_plane(&[]);
    cluster.wait_for_status(n, "/any", 404);
    let address = cluster.data_planes[n].setting("proxy_listen");
    let address = address.split(',').next().unwrap_or_default();
    assert!(TcpStream::connect(address).is_ok());
}
