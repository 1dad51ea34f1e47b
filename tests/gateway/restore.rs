//! A control plane's database restored from a backup, while data planes hold what was written since.

use crate::harness::{Cluster, Database, eventually, get};
use std::fs;

/// A data plane that has in effect what the backup lacks, after the restore.
fn restored(restore: &str) -> Cluster {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    cluster.control_planes[0].set("cluster_restore", restore);
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    cluster.add_data_plane(&[]);
    cluster.wait_until_connected(0);
    cluster.add_route("kept", "/kept");
    cluster.wait_until_in_sync(0, 0);
    let path = cluster.control_planes[0].prefix().join("langur.db");
    let backup = cluster.path("backup.db");
    // Stopped, a database is one file.
    cluster.control_planes[0].stop(libc::SIGTERM);
    fs::copy(&path, &backup).expect("a backup");
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    cluster.wait_until_connected(0);
    for n in 0..3 {
        cluster.add_route(&format!("lost{n}"), &format!("/lost{n}"));
    }
    cluster.wait_until_in_sync(0, 0);
    cluster.wait_for_status(0, "/lost2", 200);
    cluster.control_planes[0].stop(libc::SIGTERM);
    for log in ["langur.db-wal", "langur.db-shm"] {
        let _ = fs::remove_file(path.with_file_name(log));
    }
    fs::copy(&backup, &path).expect("restored");
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    cluster
}

/// Waits until the data plane has what the database has, and nothing else.
fn is_taken_back(cluster: &Cluster) {
    cluster.wait_until_in_sync(0, 0);
    cluster.wait_for_status(0, "/kept", 200);
    cluster.wait_for_status(0, "/lost2", 404);
    // From there it goes on as ever.
    cluster.add_route("new", "/new");
    cluster.wait_for_status(0, "/new", 200);
}

#[test]
fn trial_35_a_raised_epoch_takes_data_planes_back() {
    let cluster = restored("manual");
    let warning = "the database was restored from a backup";
    eventually("the control plane notices", || {
        let log = cluster.control_planes[0].log();
        match log.iter().any(|line| line.contains(warning)) {
            true => Ok(()),
            false => Err(log.join("\n")),
        }
    });
    // By itself nothing goes back.
    let lost = get(&cluster.proxy(0, "/lost2")).expect("an answer");
    assert_eq!(lost.status, 200);
    let said = |arguments: &[&str]| {
        let output = cluster.control_planes[0].run(arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let before = said(&["migrations", "epoch"]);
    assert!(before.starts_with("epoch 1, revision "), "{before}");
    let raised = said(&["migrations", "epoch", "--raise"]);
    assert!(raised.starts_with("epoch 1 is now "), "{raised}");
    // The control plane was not restarted for it.
    is_taken_back(&cluster);
}

#[test]
fn trial_35_a_restored_database_is_noticed() {
    let cluster = restored("auto");
    is_taken_back(&cluster);
    let log = cluster.control_planes[0].log().join("\n");
    assert!(log.contains("another history begins"), "{log}");
}
