//! The cluster link: who is let in, and that one slow peer is nobody else's problem.

use crate::harness::{BINARY, Cluster, Database, eventually, get, raw};
use std::process::Command;

#[test]
fn a_wrong_certificate_is_refused_without_an_answer() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    let foreign = cluster.path("foreign");
    let made = Command::new(BINARY)
        .args(["hybrid", "gen_cert"])
        .arg(&foreign)
        .status()
        .expect("gen_cert runs");
    assert!(made.success());
    let n = cluster.add_data_plane(&[
        (
            "cluster_cert",
            &foreign.join("cluster.crt").to_string_lossy(),
        ),
        (
            "cluster_cert_key",
            &foreign.join("cluster.key").to_string_lossy(),
        ),
    ]);
    eventually("the stranger tries and fails", || {
        let log = cluster.data_planes[n].log();
        let failed = log
            .iter()
            .filter(|line| line.contains("control plane") && line.contains("retry"));
        if failed.count() >= 1 {
            Ok(())
        } else {
            Err(log.join("\n"))
        }
    });
    assert!(cluster.row(0, n).is_err(), "a stranger has a row");
    // No certificate at all, and no TLS at all: no HTTP answer either.
    let address = cluster.control_planes[0]
        .setting("cluster_listen")
        .parse()
        .expect("an address");
    let answer = raw(
        address,
        b"GET /langur/v1/config HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert!(
        !answer.starts_with(b"HTTP/"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            cluster.control_planes[0].setting("cluster_listen"),
            "-ign_eof",
        ])
        .stdin(std::process::Stdio::null())
        .output();
    if let Ok(output) = output {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("HTTP/1.1"), "{text}");
    }
    // Everyone else is served as before.
    cluster.add_route("fine", "/fine");
    cluster.wait_for_status(0, "/fine", 200);
}

#[test]
fn a_slow_data_plane_does_not_hold_up_a_fast_one() {
    let cluster = Cluster::start(Database::Sqlite, 2);
    cluster.data_planes[1].signal(libc::SIGSTOP);
    for n in 0..50 {
        let path = format!("/r{n}");
        cluster.add_route(&format!("r{n}"), &path);
        cluster.wait_for_status(0, &path, 200);
    }
    cluster.wait_until_in_sync(0, 0);
    cluster.data_planes[1].signal(libc::SIGCONT);
    cluster.wait_for_status(1, "/r49", 200);
    cluster.wait_until_in_sync(0, 1);
}

#[test]
fn a_node_that_was_away_is_sent_the_difference_only() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    for n in 0..30 {
        cluster.add_route(&format!("r{n}"), &format!("/r{n}"));
    }
    cluster.wait_until_in_sync(0, 0);
    cluster.data_planes[0].stop(libc::SIGTERM);
    cluster.add_route("while-away", "/while-away");
    let sent = |cluster: &Cluster| -> Result<f64, String> {
        let metrics = get(&cluster.admin(0, "/metrics"))?.text;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("langur_cluster_sent_bytes_total"));
        let value = line
            .and_then(|line| line.rsplit(' ').next())
            .and_then(|value| value.parse().ok());
        value.ok_or(metrics)
    };
    let before = eventually("the counter is there", || sent(&cluster));
    cluster.data_planes[0].restart();
    cluster.wait_for_status(0, "/while-away", 200);
    cluster.wait_until_in_sync(0, 0);
    let bytes = sent(&cluster).expect("the counter") - before;
    assert!(bytes < 4096.0, "{bytes} bytes for one change");
}
