//! Log plugins and the servers they send to: slow ones, ones that refuse, die and come back.

use crate::harness::{Both, Upstream, eventually, free_address, get, post, unique_loopback};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

const SIGTERM: i32 = 15;

/// An HTTP server that keeps the records it takes.
struct Collector {
    address: SocketAddr,
    state: Arc<State>,
    running: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    records: Mutex<Vec<Value>>,
    requests: AtomicU64,
    status: AtomicU64,
    /// Answers wait while this is set.
    holds: Mutex<bool>,
    /// Told when `holds` has changed.
    released: Condvar,
    dead: AtomicBool,
    /// The connections that are open, for the server's death.
    open: Mutex<Vec<TcpStream>>,
}

impl State {
    /// Answers the requests of one connection until an end of it.
    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            self.requests.fetch_add(1, Ordering::SeqCst);
            let holds = self.holds.lock().expect("a flag");
            drop(self.released.wait_while(holds, |holds| *holds));
            let status = self.status.load(Ordering::SeqCst);
            if status == 200 {
                let records: Value = serde_json::from_slice(&body).expect("JSON");
                let records = match records {
                    Value::Array(records) => records,
                    record => vec![record],
                };
                self.records.lock().expect("a list").extend(records);
            }
            write!(&*stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n")?;
        }
    }
}

impl Collector {
    fn start() -> Collector {
        let state = State::default();
        state.status.store(200, Ordering::SeqCst);
        let mut collector = Collector {
            address: free_address(unique_loopback()),
            state: Arc::new(state),
            running: None,
        };
        collector.live();
        collector
    }

    fn live(&mut self) {
        self.state.dead.store(false, Ordering::SeqCst);
        let listener = TcpListener::bind(self.address).expect("its own port");
        let state = Arc::clone(&self.state);
        self.running = Some(std::thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming().flatten() {
                if state.dead.load(Ordering::SeqCst) {
                    break;
                }
                let copy = stream.try_clone().expect("a stream");
                state.open.lock().expect("a list").push(copy);
                let state = Arc::clone(&state);
                connections.push(std::thread::spawn(move || {
                    // A client that goes away is no news.
                    let _ = state.serve(&stream);
                }));
            }
            drop(listener);
            for stream in state.open.lock().expect("a list").drain(..) {
                // It may be closed already.
                let _ = stream.shutdown(Shutdown::Both);
            }
            for connection in connections {
                connection.join().expect("a connection");
            }
        }));
    }

    fn die(&mut self) {
        self.state.dead.store(true, Ordering::SeqCst);
        // The server looks at `dead` when somebody connects.
        let _ = TcpStream::connect(self.address);
        if let Some(running) = self.running.take() {
            running.join().expect("a server");
        }
    }

    fn answers(&self, status: u64) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    fn holds(&self, holds: bool) {
        *self.state.holds.lock().expect("a flag") = holds;
        self.state.released.notify_all();
    }

    fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// The paths of the requests that were told of, in order.
    fn paths(&self) -> Vec<String> {
        let records = self.state.records.lock().expect("a list");
        let path = |record: &Value| record["request"]["uri"].as_str().map(str::to_owned);
        records.iter().filter_map(path).collect()
    }

    fn wait_for(&self, expected: &[String]) {
        let expected: BTreeSet<&String> = expected.iter().collect();
        eventually("the collector has all records", || {
            let paths = self.paths();
            let found: BTreeSet<&String> = paths.iter().collect();
            (found == expected)
                .then_some(())
                .ok_or(format!("{found:?}"))
        });
    }
}

/// A node with a route `/r`, and a plugin for all requests.
fn node(plugin: &str, config: &Value) -> (Both, Upstream) {
    // A node that cannot deliver what it has shall not take long to end.
    let both = Both::start_with(|_| [("shutdown_timeout".to_owned(), "1s".to_owned())].into());
    let upstream = Upstream::start("echo");
    let url = format!("http://{}", upstream.address);
    for (path, entity) in [
        ("/services", json!({"name": "s", "url": url})),
        ("/services/s/routes", json!({"name": "r", "paths": ["/r"]})),
        (
            "/services/s/plugins",
            json!({"name": plugin, "config": config}),
        ),
    ] {
        post(&both.admin(path), &entity)
            .expect("an answer")
            .expect(201);
    }
    both.settle();
    (both, upstream)
}

/// Sends these requests, and says what the record of each is known by.
fn send(both: &Both, numbers: std::ops::Range<u32>) -> Vec<String> {
    let paths: Vec<String> = numbers.map(|n| format!("/r/{n}")).collect();
    for path in &paths {
        assert_eq!(both.proxy(path).0, 200, "{path}");
    }
    paths
}

/// The value of a series of a plugin.
fn counted(both: &Both, name: &str, labels: &str) -> Result<u64, String> {
    let text = get(&both.url("status_listen", "/metrics"))?.text;
    let series = format!("langur_plugin_queue_{name}{{{labels}}} ");
    let found = text.lines().find_map(|line| line.strip_prefix(&*series));
    found.and_then(|value| value.parse().ok()).ok_or(text)
}

#[test]
fn nothing_is_lost_while_a_collector_refuses_dies_and_comes_back() {
    let mut collector = Collector::start();
    let config = json!({
        "http_endpoint": format!("http://{}/log", collector.address),
        "queue": {"max_batch_size": 4, "max_coalescing_delay": 0.05, "max_retry_time": 3600, "max_retry_delay": 0.05},
    });
    let (both, _upstream) = node("http-log", &config);
    let mut sent = send(&both, 0..10);
    collector.wait_for(&sent);
    collector.answers(503);
    sent.extend(send(&both, 10..20));
    let refused = collector.requests();
    eventually("it is tried again", || {
        let more = collector.requests() - refused;
        (more > 3).then_some(()).ok_or(more.to_string())
    });
    collector.die();
    sent.extend(send(&both, 20..30));
    collector.answers(200);
    collector.live();
    sent.extend(send(&both, 30..40));
    collector.wait_for(&sent);
    eventually("all are counted as delivered", || {
        let delivered = counted(&both, "delivered_total", "plugin=\"http-log\"")?;
        let held = counted(&both, "entries", "plugin=\"http-log\"")?;
        ((delivered, held) == (40, 0))
            .then_some(())
            .ok_or(format!("{delivered} {held}"))
    });
    for reason in ["full", "too_large", "undelivered", "shutdown"] {
        let labels = format!("plugin=\"http-log\",reason=\"{reason}\"");
        assert_eq!(counted(&both, "dropped_total", &labels), Ok(0), "{reason}");
    }
    let actors = get(&both.url("status_listen", "/debug/actors"))
        .expect("an answer")
        .json();
    let actors = actors["actors"].as_array().cloned().unwrap_or_default();
    let host = actors
        .iter()
        .find(|actor| actor["name"] == "PluginHost")
        .expect("an actor");
    assert_eq!(
        host["state"]["plugins"]["http-log"]["delivered"], 40,
        "{host}"
    );
}

#[test]
fn a_slow_collector_holds_no_request_up_and_what_is_dropped_is_counted() {
    let collector = Collector::start();
    collector.holds(true);
    let config = json!({
        "http_endpoint": format!("http://{}/log", collector.address), "timeout": 600_000, "queue": {"max_entries": 5},
    });
    let (both, _upstream) = node("http-log", &config);
    send(&both, 0..1);
    eventually("the first record is under way", || {
        (collector.requests() == 1)
            .then_some(())
            .ok_or("none".to_owned())
    });
    send(&both, 1..21);
    collector.holds(false);
    let kept: Vec<String> = [0, 16, 17, 18, 19, 20].map(|n| format!("/r/{n}")).into();
    eventually("the newest records arrive in order", || {
        let found = collector.paths();
        (found == kept).then_some(()).ok_or(format!("{found:?}"))
    });
    let dropped = counted(
        &both,
        "dropped_total",
        "plugin=\"http-log\",reason=\"full\"",
    );
    assert_eq!(dropped, Ok(15));
}

#[test]
fn a_stop_delivers_what_waits_and_tells_what_is_lost() {
    let (collector, mut gone) = (Collector::start(), Collector::start());
    let queue = json!({"max_batch_size": 1000, "max_coalescing_delay": 3600});
    let to = |collector: &Collector| json!({"http_endpoint": format!("http://{}/log", collector.address), "queue": queue});
    let (mut both, _upstream) = node("http-log", &to(&collector));
    let plugin = json!({"name": "http-log", "config": to(&gone)});
    post(&both.admin("/routes/r/plugins"), &plugin)
        .expect("an answer")
        .expect(201);
    both.settle();
    gone.die();
    // Of two instances of a plugin the one of the route counts.
    send(&both, 0..3);
    let other = json!({"name": "other", "paths": ["/other"]});
    post(&both.admin("/services/s/routes"), &other)
        .expect("an answer")
        .expect(201);
    both.settle();
    let delivered: Vec<String> = (0..5).map(|n| format!("/other/{n}")).collect();
    for path in &delivered {
        assert_eq!(both.proxy(path).0, 200, "{path}");
    }
    assert_eq!(collector.requests(), 0);
    assert_eq!(both.node.stop(SIGTERM), Some(0));
    assert_eq!(collector.paths(), delivered);
    let lost = both.node.events("entries were lost: the node ends");
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0]["entries"], 3, "{lost:?}");
}

#[test]
fn records_go_to_files_and_over_tcp_and_udp() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("requests.log");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let place = |address: SocketAddr| json!({"host": address.ip(), "port": address.port()});
    let file = json!({"path": path, "reopen": true});
    let (both, _upstream) = node("file-log", &file);
    for (plugin, config) in [
        ("tcp-log", place(tcp.local_addr().expect("an address"))),
        ("udp-log", place(udp.local_addr().expect("an address"))),
    ] {
        let entity = json!({"name": plugin, "config": config});
        post(&both.admin("/services/s/plugins"), &entity)
            .expect("an answer")
            .expect(201);
    }
    both.settle();
    let sent = send(&both, 0..3);
    let path_of = |record: &str| {
        let record: Value = serde_json::from_str(record).expect("JSON");
        record["request"]["uri"]
            .as_str()
            .expect("a path")
            .to_owned()
    };
    eventually("the file has a line for each request", || {
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let whole = text.lines().filter(|line| line.ends_with('}'));
        let found: Vec<String> = whole.map(path_of).collect();
        (found == sent).then_some(()).ok_or(format!("{found:?}"))
    });
    let (stream, _) = tcp.accept().expect("a connection");
    let lines = BufReader::new(stream).lines().take(sent.len());
    let found: Vec<String> = lines.map(|line| path_of(&line.expect("a line"))).collect();
    assert_eq!(found, sent);
    let mut datagram = vec![0; 64 * 1024];
    for expected in &sent {
        let length = udp.recv(&mut datagram).expect("a datagram");
        let record = std::str::from_utf8(&datagram[..length]).expect("text");
        assert_eq!(path_of(record), *expected);
    }
}

#[test]
fn measures_go_to_statsd_and_datadog_and_records_to_loggly() {
    let udp = || UdpSocket::bind("127.0.0.1:0").expect("a port");
    let (statsd, datadog, loggly) = (udp(), udp(), udp());
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = |address: SocketAddr| json!({"host": address.ip(), "port": address.port()});
    let of = |socket: &UdpSocket| place(socket.local_addr().expect("an address"));
    let mut packed = of(&statsd);
    packed["udp_packet_size"] = 1400.into();
    let (both, _upstream) = node("statsd", &packed);
    let mut keyed = of(&loggly);
    keyed["key"] = "TOKEN".into();
    let mut lines = place(tcp.local_addr().expect("an address"));
    lines["use_tcp"] = true.into();
    for (path, plugin, config) in [
        ("/services/s/plugins", "datadog", of(&datadog)),
        ("/services/s/plugins", "loggly", keyed),
    ] {
        let entity = json!({"name": plugin, "config": config});
        post(&both.admin(path), &entity)
            .expect("an answer")
            .expect(201);
    }
    both.settle();
    send(&both, 0..1);
    let mut buffer = vec![0; 64 * 1024];
    let mut received = |socket: &UdpSocket| {
        let length = socket.recv(&mut buffer).expect("a datagram");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    };
    let packet = received(&statsd);
    let measured: BTreeSet<&str> = packet
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    for name in ["request.count", "latency", "upstream_latency", "status.200"] {
        let name = format!("kong.service.s.{name}");
        assert!(measured.contains(&*name), "{name}: {packet}");
    }
    let first = received(&datadog);
    assert_eq!(first, "kong.request.count:1|c|#name:s,status:200,app:kong");
    let message = received(&loggly);
    let (head, record) = message.split_once("] ").expect("a head");
    assert!(head.starts_with("<14>1 "), "{head}");
    assert!(
        head.ends_with(" kong - - [TOKEN@41058 tag=\"kong\""),
        "{head}"
    );
    let record: Value = serde_json::from_str(record).expect("JSON");
    assert_eq!(record["request"]["uri"], "/r/0");
    // The one of the route counts.
    let entity = json!({"name": "statsd", "config": lines});
    post(&both.admin("/routes/r/plugins"), &entity)
        .expect("an answer")
        .expect(201);
    both.settle();
    send(&both, 1..2);
    let (stream, _) = tcp.accept().expect("a connection");
    let first = BufReader::new(stream).lines().next().expect("a line");
    assert_eq!(first.expect("text"), "kong.service.s.request.count:1|c");
}

#[test]
fn what_a_dead_statsd_server_does_not_take_is_bounded_and_counted() {
    let address = free_address(unique_loopback());
    let config = json!({
        "host": address.ip(), "port": address.port(), "use_tcp": true,
        "queue": {"max_entries": 3, "max_retry_time": 3600, "initial_retry_delay": 0.05, "max_retry_delay": 0.05},
    });
    let (both, _upstream) = node("statsd", &config);
    send(&both, 0..20);
    eventually("what does not fit is counted", || {
        let dropped = counted(&both, "dropped_total", "plugin=\"statsd\",reason=\"full\"")?;
        let held = counted(&both, "entries", "plugin=\"statsd\"")?;
        // One is under way, three wait.
        (dropped + held == 20 && held <= 4 && dropped >= 16)
            .then_some(())
            .ok_or(format!("{dropped} {held}"))
    });
    let server = TcpListener::bind(address).expect("its own port");
    let (stream, _) = server.accept().expect("a connection");
    let first = BufReader::new(stream).lines().next().expect("a line");
    assert_eq!(first.expect("text"), "kong.service.s.request.count:1|c");
}
