//! No request is counted twice, none is lost silently, whatever happens to the control plane.

use crate::harness::{Cluster, Database, PostgresDatabase, Relay, eventually, get};

fn counted(postgres: &PostgresDatabase) -> u64 {
    postgres
        .sql("SELECT coalesce(sum(requests), 0)::bigint FROM telemetry_counts")
        .parse()
        .expect("a number")
}

/// A cluster on PostgreSQL whose telemetry link goes through a relay, and requests sent so far.
struct Counting {
    cluster: Cluster,
    postgres: PostgresDatabase,
    relay: Relay,
    sent: u64,
}

impl Counting {
    fn start() -> Counting {
        let database = Database::fresh_postgres();
        let Database::Postgres(postgres) = database.clone() else {
            unreachable!()
        };
        let mut cluster = Cluster::without_data_planes(database);
        let relay = Relay::start(cluster.control_planes[0].setting("cluster_telemetry_listen"));
        cluster.add_data_plane(&[("cluster_telemetry_endpoint", &relay.address.to_string())]);
        cluster.wait_until_connected(0);
        let mut counting = Counting {
            cluster,
            postgres,
            relay,
            sent: 0,
        };
        counting.cluster.add_route("counted", "/counted");
        counting.cluster.wait_until_in_sync(0, 0);
        counting.request(20);
        counting.wait_until_counted();
        counting
    }

    fn request(&mut self, times: u64) {
        for _ in 0..times {
            get(&self.cluster.proxy(0, "/counted"))
                .expect("an answer")
                .expect(200);
        }
        self.sent += times;
    }

    fn wait_until_counted(&self) {
        eventually("every request is counted", || {
            let total = counted(&self.postgres);
            if total == self.sent {
                Ok(())
            } else {
                Err(format!("{total} of {}", self.sent))
            }
        });
    }

    fn revive(&mut self) {
        self.relay.resume();
        self.cluster.control_planes[0].restart();
        self.cluster.wait_until_ready(0);
    }
}

#[test]
fn a_control_plane_killed_between_commit_and_acknowledgement_counts_once() {
    let mut counting = Counting::start();
    // Answers of the control plane no longer arrive: it commits, its acknowledgement is lost.
    counting.relay.hold_answers();
    counting.request(30);
    counting.wait_until_counted();
    counting.cluster.control_planes[0].kill();
    counting.revive();
    counting.request(10);
    counting.wait_until_counted();
}

#[test]
fn a_control_plane_killed_before_the_commit_loses_nothing() {
    let mut counting = Counting::start();
    // The transaction that would count them waits for this lock when the process is killed.
    let lock = counting
        .postgres
        .session("BEGIN; LOCK TABLE telemetry_counts, telemetry_positions IN EXCLUSIVE MODE;");
    counting.request(30);
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database \
                   WHERE NOT granted AND datname = current_database()";
    eventually("the batch waits for the lock", || {
        match counting.postgres.sql(waiting).as_str() {
            "0" => Err("nothing waits".into()),
            _ => Ok(()),
        }
    });
    counting.cluster.control_planes[0].kill();
    assert_eq!(counted(&counting.postgres), counting.sent - 30);
    drop(lock);
    counting.revive();
    counting.request(10);
    counting.wait_until_counted();
}

#[test]
fn records_wait_while_the_control_plane_is_gone() {
    let mut counting = Counting::start();
    counting.cluster.control_planes[0].kill();
    counting.request(50);
    counting.revive();
    counting.wait_until_counted();
}
