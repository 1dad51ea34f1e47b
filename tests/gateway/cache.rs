//! What a data plane does without a control plane: it goes on from its cache.

use crate::harness::{Cluster, Database, Node, eventually_true};
use std::fs;
use std::path::Path;

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a readable folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// A cluster with one route in effect and cached, its control plane gone.
fn disconnected_cluster() -> Cluster {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    cluster.add_route("kept", "/kept");
    cluster.wait_for_status(0, "/kept", 200);
    cluster.wait_until_in_sync(0, 0);
    cluster.control_planes[0].kill();
    cluster
}

fn cache_of(node: &Node) -> std::path::PathBuf {
    node.prefix().join("dbless.lmdb")
}

#[test]
fn a_data_plane_restarted_while_disconnected_serves() {
    let mut cluster = disconnected_cluster();
    cluster.data_planes[0].restart();
    cluster.wait_for_status(0, "/kept", 200);
    // The control plane comes back and they find each other.
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    cluster.wait_until_connected(0);
    cluster.add_route("new", "/new");
    cluster.wait_for_status(0, "/new", 200);
}

#[test]
fn a_copied_cache_starts_a_new_node() {
    let mut cluster = disconnected_cluster();
    cluster.data_planes[0].stop(libc::SIGTERM);
    let n = {
        let prefix = cluster.path("dp1");
        copy_folder(
            &cache_of(&cluster.data_planes[0]),
            &prefix.join("dbless.lmdb"),
        );
        cluster.add_data_plane(&[])
    };
    cluster.wait_for_status(n, "/kept", 200);
    let id = |n: usize| fs::read_to_string(cluster.data_planes[n].prefix().join("kong.id"));
    assert_ne!(id(0).expect("an id"), id(n).expect("an id"));
}

#[test]
fn a_damaged_cache_is_moved_aside_and_filled_again() {
    let mut cluster = disconnected_cluster();
    cluster.data_planes[0].kill();
    let data = cache_of(&cluster.data_planes[0]).join("data.mdb");
    let mut bytes = fs::read(&data).expect("the cache");
    for byte in bytes.iter_mut().skip(64) {
        *byte ^= 0x5a;
    }
    fs::write(&data, bytes).expect("a damaged cache");
    cluster.data_planes[0].restart();
    // Nothing to serve from, and still up: Kong's 404.
    cluster.wait_for_status(0, "/kept", 404);
    eventually_true("the log says what was moved aside", || {
        cluster.data_planes[0]
            .log()
            .iter()
            .any(|line| line.contains("moved aside"))
    });
    let aside = fs::read_dir(cluster.data_planes[0].prefix())
        .expect("the prefix")
        .any(|entry| {
            entry.is_ok_and(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("dbless.lmdb.damaged")
            })
        });
    assert!(aside, "the damaged cache is kept for whoever wants to look");
    cluster.control_planes[0].restart();
    cluster.wait_for_status(0, "/kept", 200);
}

#[test]
fn a_declarative_file_serves_a_node_without_a_cache() {
    let mut cluster = disconnected_cluster();
    let file = cluster.path("first.yml");
    let url = format!("http://{}", cluster.upstream.address);
    let yaml = format!(
        "_format_version: \"3.0\"\nservices:\n- name: file\n  url: {url}\n  routes:\n  - name: file\n    paths: [/from-file]\n"
    );
    fs::write(&file, yaml).expect("a declarative file");
    let n = cluster.add_data_plane(&[("declarative_config", &file.to_string_lossy())]);
    cluster.wait_for_status(n, "/from-file", 200);
    // What the control plane says replaces it, and from then on the cache wins over the file.
    cluster.control_planes[0].restart();
    cluster.wait_for_status(n, "/kept", 200);
    cluster.wait_for_status(n, "/from-file", 404);
    cluster.wait_until_ready(0);
    cluster.wait_until_in_sync(0, n);
    cluster.control_planes[0].kill();
    cluster.data_planes[n].restart();
    cluster.wait_for_status(n, "/kept", 200);
}
