//! A control plane killed in the middle of writes loses none that it acknowledged.

use crate::harness::{Cluster, Database, eventually, get, post};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

fn no_acknowledged_write_is_lost(database: Database) {
    let mut cluster = Cluster::start(database, 1);
    let stop = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let url = cluster.admin(0, "/consumers");
        let stop = &stop;
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let url = url.clone();
                scope.spawn(move || {
                    let mut written = Vec::new();
                    for n in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let name = format!("w{writer}-{n}");
                        if post(&url, &json!({ "username": name }))
                            .is_ok_and(|reply| reply.status == 201)
                        {
                            written.push(name);
                        }
                    }
                    written
                })
            })
            .collect();
        // Kill it three times while they write.
        for round in 1..=3 {
            eventually("writes go on", || {
                let page = get(&format!("{url}?size=1000"))?.json();
                let count = page["data"].as_array().map_or(0, Vec::len);
                if count >= round * 20 {
                    Ok(())
                } else {
                    Err(count.to_string())
                }
            });
            cluster.control_planes[0].restart();
            cluster.wait_until_ready(0);
        }
        stop.store(true, Ordering::SeqCst);
        writers
            .into_iter()
            .flat_map(|writer| writer.join().expect("a writer"))
            .collect::<Vec<_>>()
    });
    // Each kill may take the answers that the four writers wait for, of writes that are there.
    let fewest = 60 - 3 * 4;
    assert!(acknowledged.len() >= fewest, "{}", acknowledged.len());
    for name in &acknowledged {
        let reply = get(&cluster.admin(0, &format!("/consumers/{name}"))).expect("an answer");
        assert_eq!(reply.status, 200, "{name} was acknowledged and is lost");
    }
    cluster.wait_until_in_sync(0, 0);
}

#[test]
fn a_killed_control_plane_loses_no_acknowledged_write_on_sqlite() {
    no_acknowledged_write_is_lost(Database::Sqlite);
}

#[test]
fn a_killed_control_plane_loses_no_acknowledged_write_on_postgres() {
    no_acknowledged_write_is_lost(Database::fresh_postgres());
}

#[test]
fn a_control_plane_that_starts_again_holds_nobody() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    // Neither had the time to say that it goes.
    cluster.control_planes[0].kill();
    cluster.data_planes[0].kill();
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    cluster.wait_until_gone(0);
    cluster.data_planes[0].restart();
    cluster.wait_until_connected(0);
}
