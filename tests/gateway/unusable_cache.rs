//! A cache that is there and cannot be used as usual: another's, unwritable, empty, not a file at all.

use crate::harness::{Cluster, Database, Node, eventually, eventually_true, get};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// `nobody`, who owns nothing.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Runs a node without the superuser's rights, for whom permissions do not count.
fn unprivileged() -> &'static [&'static str] {
    match is_root() {
        true => &[
            "/usr/bin/setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--",
        ],
        false => &[],
    }
}

fn give(path: &Path, owner: u32) {
    let name = CString::new(path.as_os_str().as_bytes()).expect("a path");
    // SAFETY: the path is a C string that lives for the call.
    let done = unsafe { libc::lchown(name.as_ptr(), owner, owner) };
    assert_eq!(
        done,
        0,
        "{}: {}",
        path.display(),
        std::io::Error::last_os_error()
    );
}

/// Every file below a folder, the folder included.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        match path.symlink_metadata().is_ok_and(|about| about.is_dir()) {
            true => found.extend(below(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a readable folder") {
        let (from, to) = {
            let entry = entry.expect("an entry");
            (entry.path(), to.join(entry.file_name()))
        };
        match from.is_dir() {
            true => copy_all(&from, &to),
            false => drop(fs::copy(&from, &to).expect("a copy")),
        }
    }
}

/// A cluster that is gone but for what its data plane has left behind: a prefix with a cache of one
/// route, `/kept`.
struct Left {
    cluster: Cluster,
}

impl Left {
    fn new() -> Left {
        let mut cluster = Cluster::start(Database::Sqlite, 1);
        cluster.add_route("kept", "/kept");
        cluster.wait_for_status(0, "/kept", 200);
        cluster.wait_until_in_sync(0, 0);
        cluster.control_planes[0].kill();
        assert_eq!(cluster.data_planes[0].stop(libc::SIGTERM), Some(0));
        // Who is not the superuser is to reach it.
        if is_root() {
            let folder = cluster.path("");
            fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("opened");
            for name in ["cluster.crt", "cluster.key"] {
                give(&cluster.path(name), NOBODY);
            }
        }
        Left { cluster }
    }

    /// A copy of the prefix, owned by whom the nodes of this test run as, and the settings of a node
    /// on it.
    fn copy(&self, name: &str) -> (PathBuf, BTreeMap<String, String>) {
        let prefix = self.cluster.path(name);
        copy_all(self.cluster.data_planes[0].prefix(), &prefix);
        if is_root() {
            for path in below(&prefix) {
                give(&path, NOBODY);
            }
        }
        let settings = self.cluster.data_planes[0].settings();
        let mut settings: BTreeMap<String, String> = settings
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        settings.insert("prefix".into(), prefix.to_string_lossy().into_owned());
        (prefix, settings)
    }

    fn proxy(&self) -> String {
        self.cluster.proxy(0, "/kept")
    }
}

/// The line of the start that did not succeed.
fn refusal(node: &mut Node) -> String {
    let code = node.ended();
    let log = node.log();
    assert!(code.is_some_and(|code| code != 0), "{code:?} {log:?}");
    assert!(!log.concat().contains("panicked"), "{log:?}");
    let lines: Vec<_> = log
        .iter()
        .filter(|line| line.contains("lmdb_environment_path"))
        .collect();
    assert_eq!(lines.len(), 1, "{log:?}");
    lines[0].clone()
}

#[test]
fn trial_06_a_cache_without_permission_stops_the_start_and_is_not_touched() {
    let left = Left::new();
    type Forbid = fn(&Path);
    let forbid: &[(&str, &str, bool, Forbid)] = &[
        ("directory-of-root", "dbless.lmdb", true, |prefix| {
            let cache = prefix.join("dbless.lmdb");
            give(&cache, 0);
            fs::set_permissions(&cache, Permissions::from_mode(0o700)).expect("closed");
        }),
        ("data-of-root", "data.mdb", true, |prefix| {
            let data = prefix.join("dbless.lmdb/data.mdb");
            give(&data, 0);
            fs::set_permissions(&data, Permissions::from_mode(0o600)).expect("closed");
        }),
        ("readers-of-root", "lock.mdb", true, |prefix| {
            let lock = prefix.join("dbless.lmdb/lock.mdb");
            give(&lock, 0);
            fs::set_permissions(&lock, Permissions::from_mode(0o600)).expect("closed");
        }),
        ("lock-of-root", "dbless.lmdb.lock", true, |prefix| {
            let lock = prefix.join("dbless.lmdb.lock");
            give(&lock, 0);
            fs::set_permissions(&lock, Permissions::from_mode(0o600)).expect("closed");
        }),
        ("directory-closed", "dbless.lmdb", false, |prefix| {
            let cache = prefix.join("dbless.lmdb");
            fs::set_permissions(cache, Permissions::from_mode(0o000)).expect("closed");
        }),
        ("data-unwritable", "data.mdb", false, |prefix| {
            let data = prefix.join("dbless.lmdb/data.mdb");
            fs::set_permissions(data, Permissions::from_mode(0o400)).expect("closed");
        }),
        ("lock-unwritable", "dbless.lmdb.lock", false, |prefix| {
            let lock = prefix.join("dbless.lmdb.lock");
            fs::set_permissions(lock, Permissions::from_mode(0o444)).expect("closed");
        }),
        ("prefix-of-root", "prefix-of-root", true, |prefix| {
            fs::remove_dir_all(prefix.join("dbless.lmdb")).expect("removed");
            give(prefix, 0);
        }),
    ];
    for (name, path, needs_root, forbid) in forbid {
        if *needs_root && !is_root() {
            continue;
        }
        let (prefix, settings) = left.copy(name);
        forbid(&prefix);
        let before = is_root().then(|| below(&prefix));
        let mut node = Node::start_under(unprivileged(), settings);
        let line = refusal(&mut node);
        assert!(line.contains(path), "{name}: {line}");
        assert!(line.contains("Permission denied"), "{name}: {line}");
        let owner = match (*needs_root, is_root()) {
            (true, _) => "root (0)",
            (false, true) => "nobody (65534)",
            (false, false) => "belongs to",
        };
        assert!(line.contains(owner), "{name}: {line}");
        if let Some(before) = before {
            assert_eq!(below(&prefix), before, "{name}");
            // With the permission it serves what it always held.
            if *name != "prefix-of-root" {
                for path in before {
                    give(&path, NOBODY);
                    let mode = if path.is_dir() { 0o700 } else { 0o600 };
                    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("opened");
                }
                node.restart();
                let reply = eventually("the proxy answers", || get(&left.proxy()));
                assert_eq!(reply.status, 200, "{name}: {}", reply.text);
            }
        }
    }
}

#[test]
fn trial_06_what_is_no_file_at_all_is_said_and_hangs_nobody() {
    let left = Left::new();
    type Replace = fn(&Path);
    let fifo = |path: &Path| {
        let name = CString::new(path.as_os_str().as_bytes()).expect("a path");
        // SAFETY: the path is a C string that lives for the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o666) }, 0);
        let _ = fs::set_permissions(path, Permissions::from_mode(0o666));
    };
    let rows: &[(&str, &str, &str, Replace)] = &[
        ("data-fifo", "dbless.lmdb/data.mdb", "named pipe", fifo),
        ("lock-fifo", "dbless.lmdb.lock", "named pipe", fifo),
        ("readers-fifo", "dbless.lmdb/lock.mdb", "named pipe", fifo),
        ("cache-fifo", "dbless.lmdb", "named pipe", fifo),
        ("data-socket", "dbless.lmdb/data.mdb", "socket", |path| {
            drop(UnixListener::bind(path).expect("a socket"));
        }),
        ("data-folder", "dbless.lmdb/data.mdb", "directory", |path| {
            fs::create_dir(path).expect("a folder");
        }),
        ("lock-folder", "dbless.lmdb.lock", "directory", |path| {
            fs::create_dir(path).expect("a folder");
        }),
    ];
    for (name, path, kind, replace) in rows {
        let (prefix, settings) = left.copy(name);
        let path = prefix.join(path);
        match path.is_dir() {
            true => fs::remove_dir_all(&path).expect("removed"),
            false => fs::remove_file(&path).expect("removed"),
        }
        replace(&path);
        let before = below(&prefix);
        let mut node = Node::start(settings);
        let line = refusal(&mut node);
        assert!(line.contains(&*path.to_string_lossy()), "{name}: {line}");
        assert!(line.contains(kind), "{name}: {line}");
        assert_eq!(below(&prefix), before, "{name}");
    }
}

#[test]
fn trial_06_an_empty_data_file_is_damage() {
    let left = Left::new();
    let (prefix, settings) = left.copy("emptied");
    fs::write(prefix.join("dbless.lmdb/data.mdb"), "").expect("emptied");
    let node = Node::start(settings);
    let reply = eventually("the proxy answers", || get(&left.proxy()));
    assert_eq!(reply.status, 404, "{}", reply.text);
    assert!(prefix.join("dbless.lmdb.damaged-1/data.mdb").exists());
    let warned = node.log().iter().any(|line| line.contains("moved aside"));
    assert!(warned, "{:?}", node.log());
}

/// Runs a node that sees this folder read-only; everybody else does not.
fn read_only(folder: &str) -> Vec<&str> {
    let script = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;
    let mut wrapper = vec!["/usr/bin/unshare", "--mount"];
    if !is_root() {
        wrapper.push("--map-root-user");
    }
    wrapper.extend(["--", "/bin/sh", "-c", script, folder]);
    wrapper
}

#[test]
fn trial_06_a_read_only_file_system_is_served_from() {
    let mut left = Left::new();
    for (name, part) in [("read-only-prefix", ""), ("read-only-cache", "dbless.lmdb")] {
        let (prefix, settings) = left.copy(name);
        let folder = prefix.join(part).to_string_lossy().into_owned();
        let before = below(&prefix);
        let mut node = Node::start_under(&read_only(&folder), settings);
        let reply = eventually("the proxy answers", || get(&left.proxy()));
        assert_eq!(reply.status, 200, "{name}: {}", reply.text);

        // A change is in effect, and is known not to survive a restart.
        left.cluster.control_planes[0].restart();
        left.cluster.wait_until_ready(0);
        left.cluster.add_route(name, &format!("/{name}"));
        left.cluster.wait_for_status(0, &format!("/{name}"), 200);
        let metrics = left.cluster.status_url(&node, "/metrics");
        eventually_true("the metrics say that it is not persisted", || {
            let page = get(&metrics).expect("an answer").text;
            page.contains("langur_cache_current 0")
        });
        let warnings: Vec<_> = node
            .log()
            .into_iter()
            .filter(|line| line.contains("cache is read-only"))
            .collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        left.cluster.control_planes[0].kill();
        assert_eq!(node.stop(libc::SIGTERM), Some(0));
        assert_eq!(below(&prefix), before, "{name}");
    }
}
