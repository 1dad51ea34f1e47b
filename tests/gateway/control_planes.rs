//! Several control planes on one PostgreSQL, all of them active.

use crate::harness::{Cluster, Database, PostgresDatabase, call, eventually, get, post};
use serde_json::{Value, json};

/// A cluster of two control planes, each with a data plane of its own.
pub fn two_control_planes() -> Cluster {
    let database = Database::fresh_postgres();
    let mut cluster = Cluster::without_data_planes(database.clone());
    cluster.add_control_plane(database);
    for n in 0..2 {
        let only = cluster.control_planes[n]
            .setting("cluster_listen")
            .to_owned();
        let telemetry = cluster.control_planes[n]
            .setting("cluster_telemetry_listen")
            .to_owned();
        cluster.add_data_plane(&[
            ("cluster_control_plane", &only),
            ("cluster_telemetry_endpoint", &telemetry),
        ]);
        cluster.wait_until_connected(n);
    }
    cluster
}

/// Two control planes and a data plane that may go to either, with their database.
fn one_data_plane_of_two() -> (Cluster, PostgresDatabase) {
    let postgres = PostgresDatabase::create();
    let database = Database::Postgres(postgres.clone());
    let mut cluster = Cluster::without_data_planes(database.clone());
    cluster.add_control_plane(database);
    cluster.add_data_plane(&[]);
    (cluster, postgres)
}

/// Zero when every revision is in the journal.
const HOLES: &str = "SELECT count(*) FROM config_revision WHERE revision <> (SELECT count(DISTINCT revision) FROM config_journal)";

#[test]
fn a_write_on_one_control_plane_reaches_the_data_planes_of_all() {
    let cluster = two_control_planes();
    cluster.add_route("shared", "/shared");
    for n in 0..2 {
        cluster.wait_for_status(n, "/shared", 200);
    }
    let consumer = json!({"username": "from-the-other"});
    post(&cluster.admin(1, "/consumers"), &consumer)
        .expect("an answer")
        .expect(201);
    for control_plane in 0..2 {
        for data_plane in 0..2 {
            cluster.wait_until_in_sync(control_plane, data_plane);
        }
    }
    // Each has measured its own data plane, wherever the revision was committed.
    for n in 0..2 {
        let row = cluster.row(n, n).expect("a row");
        let id = row["id"].as_str().expect("an id");
        let line = format!("langur_propagation_ms_count{{data_plane=\"{id}\"}} 3");
        eventually("three revisions were measured", || {
            let text = get(&cluster.admin(n, "/metrics"))?.text;
            let found = text.lines().any(|found| found == line);
            found.then_some(()).ok_or(text)
        });
    }
    let rows = |n: usize| -> Result<Value, String> {
        let mut data = get(&cluster.admin(n, "/clustering/data-planes"))?.json()["data"].clone();
        for row in data.as_array_mut().into_iter().flatten() {
            // Counts down between two requests.
            row.as_object_mut().map(|row| row.remove("ttl"));
        }
        Ok(data)
    };
    eventually("both control planes say the same", || {
        let (first, second) = (rows(0)?, rows(1)?);
        let both = first.as_array().is_some_and(|list| list.len() == 2);
        if both && first == second {
            Ok(())
        } else {
            Err(format!("{first}\n{second}"))
        }
    });
}

#[test]
fn a_data_plane_fails_over_to_another_control_plane() {
    let (mut cluster, _) = one_data_plane_of_two();
    cluster.wait_until_connected(0);
    cluster.add_route("before", "/before");
    cluster.wait_for_status(0, "/before", 200);
    // Whichever holds it, one after the other is gone and back.
    for gone in 0..2 {
        cluster.control_planes[gone].kill();
        let left = 1 - gone;
        let path = format!("/after-{gone}");
        let service = json!({"name": format!("s{gone}"), "url": format!("http://{}", cluster.upstream.address)});
        post(&cluster.admin(left, "/services"), &service)
            .expect("an answer")
            .expect(201);
        let url = cluster.admin(left, &format!("/services/s{gone}/routes"));
        post(&url, &json!({ "paths": [path] }))
            .expect("an answer")
            .expect(201);
        cluster.wait_for_status(0, &path, 200);
        cluster.control_planes[gone].restart();
        cluster.wait_until_ready(gone);
    }
}

#[test]
fn concurrent_writers_keep_the_revisions_whole() {
    let (cluster, postgres) = one_data_plane_of_two();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let url = cluster.admin(writer % 2, "/consumers");
            scope.spawn(move || {
                for n in 0..15 {
                    // Every name is written by two writers, on different control planes.
                    let name = format!("c{}-{n}", writer / 2);
                    let status = post(&url, &json!({ "username": name }))
                        .expect("an answer")
                        .status;
                    assert!(status == 201 || status == 409, "{status}");
                }
            });
        }
    });
    assert_eq!(postgres.sql("SELECT count(*) FROM consumers"), "60");
    assert_eq!(postgres.sql(HOLES), "0");
    cluster.wait_until_connected(0);
    for n in 0..2 {
        cluster.wait_until_in_sync(n, 0);
    }
}

/// One of the writes that many clients make at once, on few names.
fn overlapping_write(n: usize) -> (&'static str, String, Option<Value>) {
    let k = n / 3 % 3;
    let own = |rest: &str| format!("/consumers/c{k}{rest}");
    match n % 11 {
        0 | 1 => ("PUT", own(""), Some(json!({"custom_id": format!("x{k}")}))),
        2 => ("PUT", own("/acls/staff"), Some(json!({}))),
        3 => (
            "POST",
            own("/key-auth"),
            Some(json!({"key": format!("key{}", n % 2)})),
        ),
        4 => {
            let limits = json!({"name": "rate-limiting", "config": {"minute": 9}});
            ("POST", own("/plugins"), Some(limits))
        }
        5 => (
            "PUT",
            format!("/services/s{k}"),
            Some(json!({"host": "h.test"})),
        ),
        6 => {
            let route = json!({"paths": ["/p"], "service": {"name": format!("s{k}")}});
            ("PUT", format!("/routes/r{k}"), Some(route))
        }
        7 => (
            "PATCH",
            format!("/services/s{k}"),
            Some(json!({"retries": n % 5})),
        ),
        8 => ("DELETE", format!("/routes/r{k}"), None),
        9 => ("DELETE", format!("/services/s{k}"), None),
        _ => ("DELETE", own(""), None),
    }
}

#[test]
fn overlapping_writers_never_break_the_configuration() {
    let (mut cluster, postgres) = one_data_plane_of_two();
    cluster.wait_until_connected(0);
    let answers = std::sync::Mutex::new(std::collections::BTreeMap::<u16, usize>::new());
    std::thread::scope(|scope| {
        for client in 0..32 {
            let (cluster, answers) = (&cluster, &answers);
            scope.spawn(move || {
                for n in 0..12 {
                    // Every client begins elsewhere and goes another way.
                    let (method, path, body) = overlapping_write(client * 7 + n * (client % 4 + 1));
                    let url = cluster.admin(client % 2, &path);
                    let reply = call(method, &url, &[], body.as_ref()).expect("an answer");
                    assert!(reply.status < 500, "{method} {path}: {}", reply.text);
                    *answers
                        .lock()
                        .expect("a count")
                        .entry(reply.status)
                        .or_default() += 1;
                }
            });
        }
    });
    let answers = answers.into_inner().expect("counts");
    for status in [200, 201, 204, 404, 409] {
        assert!(
            answers.contains_key(&status),
            "nothing collided: {answers:?}"
        );
    }
    assert_eq!(postgres.sql(HOLES), "0");
    // What came of it change by change is what the tables hold.
    let followed = cluster.wait_until_in_sync(0, 0)["config_hash"].clone();
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    let fresh = cluster.add_data_plane(&[]);
    cluster.wait_until_connected(fresh);
    let read = cluster.wait_until_in_sync(0, fresh)["config_hash"].clone();
    assert_eq!(followed, read);
}

/// Who has gone is known once the database takes it again: nobody would say it a second time.
#[test]
fn presence_is_written_after_the_database_has_refused_it() {
    let postgres = PostgresDatabase::create();
    let mut cluster = Cluster::start(Database::Postgres(postgres.clone()), 1);
    postgres.sql("ALTER TABLE data_planes RENAME TO away");
    cluster.data_planes[0].kill();
    eventually("presence is refused", || {
        let refused = "presence of data planes was not written";
        match cluster.control_planes[0].events(refused).is_empty() {
            true => Err("not yet".into()),
            false => Ok(()),
        }
    });
    postgres.sql("ALTER TABLE away RENAME TO data_planes");
    cluster.wait_until_gone(0);
    cluster.data_planes[0].restart();
    cluster.wait_until_connected(0);
}
