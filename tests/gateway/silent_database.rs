//! PostgreSQL frozen and killed: what clients are told, and what is in the database afterwards.

use crate::harness::{Cluster, Database, PostgresServer, Reply, eventually, get, post};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A control plane that waits a second for its database, and a data plane that serves `/live`.
fn cluster(server: &PostgresServer) -> Cluster {
    let mut cluster = Cluster::without_data_planes(Database::Postgres(server.database()));
    cluster.control_planes[0].set("pg_timeout", 1000);
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    cluster.add_data_plane(&[]);
    cluster.wait_until_connected(0);
    cluster.add_route("live", "/live");
    cluster.wait_for_status(0, "/live", 200);
    cluster
}

/// Refused with nothing done, and told when to come again.
#[track_caller]
fn check_refused(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert_eq!(reply.header("retry-after"), Some("1"), "{}", reply.text);
    assert!(reply.text.contains("nothing was done"), "{}", reply.text);
}

/// What clients see while the database does not answer.
fn check_outage(cluster: &mut Cluster) {
    let service = |name: &str| {
        let service = json!({"name": name, "host": "h.test"});
        post(&cluster.admin(0, "/services"), &service).expect("an answer")
    };
    // The first one may have to find out; the others are not asked to wait.
    for n in 0..20 {
        check_refused(&service(&format!("refused-{n}")));
        check_refused(&get(&cluster.admin(0, "/services")).expect("an answer"));
    }
    let transaction = json!({"operations": [
        {"op": "create", "path": "/services", "body": {"name": "refused-t", "host": "h.test"}},
    ]});
    let transaction = post(&cluster.admin(0, "/transactions"), &transaction);
    check_refused(&transaction.expect("an answer"));
    let control_plane = &cluster.control_planes[0];
    let ready = get(&cluster.status_url(control_plane, "/status/ready")).expect("an answer");
    assert_eq!(ready.status, 503, "{}", ready.text);
    assert!(
        ready.text.contains("failed to connect to database"),
        "{}",
        ready.text
    );
    let metrics = get(&cluster.status_url(control_plane, "/metrics")).expect("an answer");
    let unreachable = metrics
        .text
        .lines()
        .any(|line| line == "kong_datastore_reachable 0");
    assert!(unreachable, "{}", metrics.text);
    // Data planes are served with what the control plane has, also new ones.
    cluster.wait_for_status(0, "/live", 200);
    let new = cluster.add_data_plane(&[]);
    cluster.wait_for_status(new, "/live", 200);
}

/// What was refused is not there, and things go on.
fn check_afterwards(cluster: &Cluster, server: &PostgresServer) {
    cluster.wait_until_ready(0);
    cluster.add_route("after", "/after");
    for n in 0..cluster.data_planes.len() {
        cluster.wait_for_status(n, "/after", 200);
    }
    let names = server
        .database()
        .sql("SELECT name FROM services ORDER BY name");
    assert_eq!(names, "after\nlive");
}

#[test]
fn trial_24_a_frozen_database_refuses_and_forgets() {
    let server = PostgresServer::start();
    let mut cluster = cluster(&server);
    server.freeze();
    check_outage(&mut cluster);
    server.thaw();
    check_afterwards(&cluster, &server);
}

#[test]
fn trial_24_a_killed_database_refuses_and_forgets() {
    let mut server = PostgresServer::start();
    let mut cluster = cluster(&server);
    server.kill();
    check_outage(&mut cluster);
    server.restart();
    check_afterwards(&cluster, &server);
}

/// Writers that do not stop while the database goes away: every answer is true afterwards.
fn check_answers(
    server: &mut PostgresServer,
    away: fn(&mut PostgresServer),
    back: fn(&mut PostgresServer),
) {
    let cluster = cluster(server);
    let answers = Mutex::new(BTreeMap::<String, Reply>::new());
    let (done, refused) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (cluster, answers, done, refused) = (&cluster, &answers, &done, &refused);
            scope.spawn(move || {
                for n in 0.. {
                    let name = format!("w{writer}-{n}");
                    let consumer = json!({ "username": name });
                    let reply = post(&cluster.admin(0, "/consumers"), &consumer);
                    let reply = reply.expect("an answer");
                    let accepted = reply.status == 201;
                    refused.fetch_or(!accepted, Ordering::Relaxed);
                    answers.lock().expect("answers").insert(name, reply);
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    // Not a flood of refusals.
                    if !accepted {
                        std::thread::park_timeout(std::time::Duration::from_millis(50));
                    }
                }
            });
        }
        for round in 1..=3 {
            let written = answers.lock().expect("answers").len();
            eventually("there are writes under way", || {
                let now = answers.lock().expect("answers").len();
                (now > written + 20).then_some(()).ok_or(now.to_string())
            });
            refused.store(false, Ordering::Relaxed);
            away(server);
            eventually("writes are refused", || {
                let now = refused.load(Ordering::Relaxed);
                now.then_some(()).ok_or(format!("round {round}"))
            });
            back(server);
            cluster.wait_until_ready(0);
        }
        done.store(true, Ordering::Relaxed);
    });
    let there = server.database().sql("SELECT username FROM consumers");
    let there: Vec<_> = there.lines().collect();
    for (name, reply) in answers.into_inner().expect("answers") {
        let written = there.contains(&&*name);
        match reply.status {
            201 => assert!(written, "{name} was acknowledged"),
            503 => {
                assert!(!written, "{name} was refused: {}", reply.text);
                assert!(reply.header("retry-after").is_some(), "{}", reply.text);
            }
            504 => {
                // Nobody knew then; now one can ask.
                let id = reply.header("x-kong-admin-request-id").expect("an id");
                let path = format!("/revisions?request_id={id}");
                let found = get(&cluster.admin(0, &path))
                    .expect("an answer")
                    .expect(200);
                let revisions = found["data"].as_array().expect("a list");
                assert_eq!(!revisions.is_empty(), written, "{name}: {found}");
            }
            other => panic!("{name}: {other}: {}", reply.text),
        }
    }
}

#[test]
fn trial_24_every_answer_is_true_when_the_database_was_frozen() {
    let mut server = PostgresServer::start();
    check_answers(
        &mut server,
        |server| server.freeze(),
        |server| server.thaw(),
    );
}

#[test]
fn trial_24_every_answer_is_true_when_the_database_was_killed() {
    let mut server = PostgresServer::start();
    check_answers(&mut server, PostgresServer::kill, PostgresServer::restart);
}
