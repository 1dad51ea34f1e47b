//! What a node says of itself.

use crate::harness::{Cluster, Database, call, eventually, get, post};
use serde_json::{Value, json};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn both_roles_answer_on_their_status_listener() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    let (control, data) = (&cluster.control_planes[0], &cluster.data_planes[0]);
    eventually("the database answers in time", || {
        let status = get(&cluster.status_url(control, "/status"))?.expect(200);
        let reachable = status["database"]["reachable"] == true;
        reachable.then_some(()).ok_or(status.to_string())
    });
    // A data plane without configuration is not ready; with one it is.
    cluster.add_route("any", "/any");
    cluster.wait_for_status(0, "/any", 200);
    let ready = get(&cluster.status_url(data, "/status/ready"))
        .expect("an answer")
        .expect(200);
    assert_eq!(ready["message"], "ready");
    let status = get(&cluster.status_url(data, "/status"))
        .expect("an answer")
        .expect(200);
    let row = cluster.wait_until_in_sync(0, 0);
    assert_eq!(status["configuration_hash"], row["config_hash"]);
    assert!(
        status["server"]["total_requests"]
            .as_u64()
            .is_some_and(|n| n > 0),
        "{status}"
    );
    let draining = call(
        "POST",
        &cluster.status_url(data, "/status/ready?status=draining"),
        &[],
        None,
    );
    assert_eq!(draining.expect("an answer").status, 204);
    let ready = get(&cluster.status_url(data, "/status/ready")).expect("an answer");
    assert_eq!(
        (ready.status, ready.json()["message"].as_str()),
        (503, Some("draining"))
    );
}

#[test]
fn metrics_move_with_traffic() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    cluster.add_route("counted", "/counted");
    cluster.wait_for_status(0, "/counted", 200);
    eventually("the data plane counts the request", || {
        let text = get(&cluster.status_url(&cluster.data_planes[0], "/metrics"))?.text;
        let line = text.lines().find(|line| {
            line.starts_with("kong_http_requests_total{")
                && line.contains("route=\"counted\"")
                && line.contains("code=\"200\"")
        });
        line.map(str::to_owned).ok_or(text)
    });
    eventually("the control plane counts it for the fleet", || {
        let text = get(&cluster.admin(0, "/metrics"))?.text;
        let line = text.lines().find(|line| {
            line.starts_with("langur_fleet_http_requests_total{") && line.contains("counted")
        });
        line.map(str::to_owned).ok_or(text)
    });
    let text = get(&cluster.admin(0, "/metrics")).expect("an answer").text;
    assert!(
        !text.contains("kong_http_requests_total"),
        "the control plane would be summed twice"
    );
}

/// Says stop when it goes, also when a test fails.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends the beginning of a request and keeps the connection.
fn begin_request(address: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).expect("a connection");
    let head = b"GET /status HTTP/1.1\r\nHost: x\r\n";
    connection.write_all(head).expect("is sent");
    connection
}

/// Connections that have begun a request and go no further.
struct Begun<'a> {
    address: &'a str,
    connections: Vec<TcpStream>,
}

impl Begun<'_> {
    fn new(address: &str, count: u64) -> Begun<'_> {
        let connections = (0..count).map(|_| begin_request(address)).collect();
        Begun {
            address,
            connections,
        }
    }

    /// Begins anew where the node has had enough: it gives each of them some seconds.
    fn go_on(&mut self) {
        for connection in &mut self.connections {
            connection.set_nonblocking(true).expect("is set");
            let nothing = connection.peek(&mut [0]);
            if !nothing.is_err_and(|err| err.kind() == ErrorKind::WouldBlock) {
                *connection = begin_request(self.address);
            }
        }
    }
}

#[test]
fn numbers_of_a_control_plane_move_under_load() {
    const WRITERS: u64 = 8;
    const IDLE: u64 = 10;
    let cluster = Cluster::start(Database::Sqlite, 0);
    let ask = |path: &str| get(&cluster.admin(0, path)).map(|answer| answer.expect(200));
    let documents = ["/", "/timers", "/status?unit=b"];
    let before = documents.map(|path| (path, ask(path).expect("an answer")));
    let admin = cluster.control_planes[0].setting("admin_listen");
    let mut idle = Begun::new(admin, IDLE);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopAtTheEnd(&stop);
        for writer in 0..WRITERS {
            let (stop, url) = (&stop, cluster.admin(0, "/consumers"));
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let consumer = json!({ "username": format!("{writer}-{n}") });
                    post(&url, &consumer).expect("an answer").expect(201);
                }
            });
        }
        let number = |document: &Value, pointer: &str| {
            let found = document.pointer(pointer).and_then(Value::as_u64);
            found.unwrap_or_else(|| panic!("{pointer}: {document}"))
        };
        let mut moves = |path: &str, pointer: &str, least: u64| {
            let (_, before) = before.iter().find(|(of, _)| *of == path).expect("a path");
            let from = number(before, pointer);
            eventually(&format!("{path}: {pointer} moves"), || {
                idle.go_on();
                let now = number(&ask(path)?, pointer);
                (now >= from + least)
                    .then_some(())
                    .ok_or(format!("{from}, {now}"))
            });
        };
        for (path, pointer, least) in [
            ("/", "/timers/running", 1),
            ("/", "/timers/pending", 1),
            ("/timers", "/stats/sys/total", IDLE + 1),
            ("/timers", "/stats/sys/running", 1),
            ("/timers", "/stats/sys/pending", 1),
            ("/timers", "/stats/sys/waiting", IDLE),
            ("/timers", "/stats/sys/runs", 100),
            (
                "/status?unit=b",
                "/memory/workers_lua_vms/0/http_allocated_gc",
                1,
            ),
            ("/status?unit=b", "/server/connections_accepted", 100),
            ("/status?unit=b", "/server/connections_active", IDLE + 1),
            ("/status?unit=b", "/server/connections_handled", 100),
            ("/status?unit=b", "/server/connections_waiting", IDLE),
            ("/status?unit=b", "/server/connections_writing", 1),
            ("/status?unit=b", "/server/total_requests", 100),
        ] {
            moves(path, pointer, least);
        }
    });
    // And they come down again.
    drop(idle);
    eventually("the work is done", || {
        let sys = &ask("/timers")?["stats"]["sys"];
        let done = sys["pending"] == 0 && sys["waiting"].as_u64() < Some(IDLE);
        done.then_some(()).ok_or(sys.to_string())
    });
    post(
        &cluster.admin(0, "/plugins"),
        &json!({"name": "correlation-id"}),
    )
    .expect("an answer")
    .expect(201);
    let root = ask("/").expect("an answer");
    assert_eq!(
        root["plugins"]["enabled_in_cluster"],
        json!(["correlation-id"])
    );
}

#[test]
fn a_data_plane_counts_the_heads_that_it_reads() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    let data = &cluster.data_planes[0];
    let reading = || {
        let status = get(&cluster.status_url(data, "/status"))?.expect(200);
        Ok(status["server"]["connections_reading"].clone())
    };
    assert_eq!(reading(), Ok::<_, String>(json!(0)));
    let proxy = data.setting("proxy_listen").split(',').next();
    let begun = begin_request(proxy.expect("an address"));
    eventually("one is read", || {
        let now = reading()?;
        (now == 1).then_some(()).ok_or(now.to_string())
    });
    drop(begun);
    eventually("none is read", || {
        let now = reading()?;
        (now == 0).then_some(()).ok_or(now.to_string())
    });
}

#[test]
fn every_actor_shows_its_state() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    let names = |url: String| get(&url).expect("an answer").text;
    let control = names(cluster.admin(0, "/debug/actors"));
    for actor in ["AdminApi", "ConfigStore", "ClusterRegistry", "Session"] {
        assert!(control.contains(actor), "{actor}: {control}");
    }
    let data = names(cluster.status_url(&cluster.data_planes[0], "/debug/actors"));
    for actor in [
        "Listener",
        "Router",
        "HeartbeatClient",
        "TelemetryBuffer",
        "CacheWriter",
    ] {
        assert!(data.contains(actor), "{actor}: {data}");
    }
}
