//! Access logs: a line for every request, in files that can be renamed under way.

use crate::harness::{
    Backend, Node, closed_address, eventually, free_address, get, post, raw, unique_loopback,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tempfile::TempDir;

/// Asked until it is answered; its lines are nobody's.
const READY: &str = "/up/ready";

/// A node without a database that proxies to an upstream.
struct Logging {
    node: Node,
    upstream: Backend,
    _folder: TempDir,
}

impl Logging {
    fn start(extra: &[(&str, &str)]) -> Logging {
        let folder = tempfile::tempdir().expect("a folder");
        let (ip, upstream) = (unique_loopback(), Backend::start("up"));
        let prefix = folder.path().join("node").to_string_lossy().into_owned();
        let mut settings: BTreeMap<String, String> =
            [("database", "off"), ("prefix", &prefix)].map(own).into();
        for key in ["admin_listen", "status_listen", "proxy_listen"] {
            settings.insert(key.to_owned(), free_address(ip).to_string());
        }
        settings.extend(extra.iter().copied().map(own));
        let logging = Logging {
            node: Node::start(settings),
            upstream,
            _folder: folder,
        };
        let document = json!({
            "_format_version": "3.0",
            "services": [
                {"name": "up", "url": format!("http://{}", logging.upstream.address),
                 "routes": [{"paths": ["/up"]}]},
                {"name": "down", "url": format!("http://{}", closed_address()), "retries": 1,
                 "routes": [{"paths": ["/down"]}]},
            ],
        });
        eventually("the document is in effect", || {
            let reply = post(&logging.url("admin_listen", "/config"), &document)?;
            (reply.status == 201).then_some(()).ok_or(reply.text)
        });
        eventually("the proxy routes", || match logging.ask(READY) {
            200 => Ok(()),
            status => Err(status.to_string()),
        });
        logging
    }

    fn url(&self, listen: &str, path: &str) -> String {
        format!("http://{}{path}", self.node.setting(listen))
    }

    /// The status of a request through the proxy.
    fn ask(&self, path: &str) -> u16 {
        get(&self.url("proxy_listen", path))
            .expect("an answer")
            .status
    }

    fn proxy(&self) -> SocketAddr {
        self.node
            .setting("proxy_listen")
            .parse()
            .expect("an address")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.node.prefix().join(name)
    }

    /// The first line of a log that this accepts, once there is one.
    fn line(&self, log: &str, accept: impl Fn(&str) -> bool) -> String {
        let path = self.log(log);
        eventually("a line is in the log", || {
            let text = read(&path);
            let found = text.lines().find(|line| accept(line));
            found.map(str::to_owned).ok_or(text.clone())
        })
    }
}

fn own((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A line without its time.
fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once(" [").expect("a time");
    format!("{before} {}", rest.split_once("] ").expect("its end").1)
}

#[test]
fn trial_09_every_request_has_a_line() {
    let logging = Logging::start(&[]);
    assert_eq!(logging.ask("/up/a?b=c"), 200);
    assert_eq!(logging.ask("/none"), 404);
    assert_eq!(logging.ask("/down"), 502);
    let malformed = raw(
        logging.proxy(),
        b"GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    );
    assert!(malformed.starts_with(b"HTTP/1.1 400"), "{malformed:?}");
    let hello = raw(logging.proxy(), b"\x16\x03\x01\x02\x00\x01\r\n\r\n");
    assert!(hello.starts_with(b"HTTP/1.1 400"), "{hello:?}");

    let log = "logs/access.log";
    let found = |part: &str| without_time(&logging.line(log, |line| line.contains(part)));
    let ok = found("/up/a?b=c");
    let start = "127.0.0.1 - - \"GET /up/a?b=c HTTP/1.1\" 200 2 \"-\" \"";
    assert!(ok.contains(&start["127.0.0.1".len()..]), "{ok}");
    let (_, id) = ok.rsplit_once("kong_request_id: \"").expect("an id");
    assert_eq!(id.trim_end_matches('"').len(), 32, "{ok}");
    let none = found("/none");
    let body = "{\"message\":\"no Route matched with those values\"";
    assert!(none.contains("\" 404 "), "{none}");
    let size: usize = none
        .split(' ')
        .nth(7)
        .expect("a size")
        .parse()
        .expect("a number");
    assert!(size > body.len(), "{none}");
    assert!(found("/down").contains("\"GET /down HTTP/1.1\" 502 "));
    assert!(found("/bad").contains("\"GET /bad HTTP/1.1\" 400 "));
    let hello = found("\\x16");
    assert!(
        hello.contains("\"\\x16\\x03\\x01\\x02\\x00\\x01\" 400 "),
        "{hello}"
    );
    let text = read(&logging.log(log));
    let lines = text.lines().filter(|line| !line.contains(READY));
    assert_eq!(lines.count(), 5, "{text}");

    // The Admin API has a log of its own, the status API has none.
    assert_eq!(
        get(&logging.url("admin_listen", "/routes"))
            .expect("an answer")
            .status,
        200
    );
    assert_eq!(
        get(&logging.url("status_listen", "/status"))
            .expect("an answer")
            .status,
        200
    );
    let line = logging.line("logs/admin_access.log", |line| line.contains("GET /routes"));
    assert!(
        without_time(&line).contains("\"GET /routes HTTP/1.1\" 200 "),
        "{line}"
    );
    assert!(!read(&logging.log("logs/admin_access.log")).contains("/status"));
}

#[test]
fn trial_09_formats_are_declared_and_json_can_be_parsed() {
    let format = "mine escape=json '{\"uri\":\"$request_uri\",\"status\":$status,' \
                  '\"agent\":\"$http_user_agent\",\"kind\":\"$sent_http_content_type\",\
                  \"up\":\"$upstream_addr\",\"times\":\"$upstream_response_time\",\
                  \"connect\":\"$upstream_connect_time\",\"length\":\"$upstream_http_content_length\",\
                  \"id\":\"$request_id\",\"time\":$request_time}'";
    let logging = Logging::start(&[
        ("nginx_http_log_format", format),
        ("proxy_access_log", "mine.log mine"),
        ("status_access_log", "logs/status.log json"),
        ("admin_access_log", "off"),
    ]);
    assert_eq!(logging.ask("/up/%22quoted%22"), 200);
    assert_eq!(logging.ask("/down"), 502);
    let parsed = |part: &str| -> Value {
        let line = logging.line("mine.log", |line| line.contains(part));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    let up = parsed("quoted");
    assert_eq!(
        (&up["uri"], &up["status"]),
        (&json!("/up/%22quoted%22"), &json!(200))
    );
    assert_eq!(up["up"], logging.upstream.address.to_string());
    assert_eq!(up["length"], "2");
    assert!(
        up["time"].is_number() && up["connect"] != "-" && up["times"] != "-",
        "{up}"
    );
    let down = parsed("/down");
    assert_eq!(down["kind"], "application/json; charset=utf-8");
    let tries = down["up"].as_str().expect("addresses").split(", ").count();
    assert_eq!(tries, 2, "{down}");
    let raw_bytes =
        b"GET /none/raw HTTP/1.1\r\nHost: a\r\nUser-Agent: \xff\"\\\t\r\nConnection: close\r\n\r\n";
    assert!(raw(logging.proxy(), raw_bytes).starts_with(b"HTTP/1.1 404"));
    assert_eq!(parsed("/none/raw")["agent"], "\u{ff}\"\\");

    assert_eq!(
        get(&logging.url("status_listen", "/status"))
            .expect("an answer")
            .status,
        200
    );
    let line = logging.line("logs/status.log", |line| line.contains("\"/status\""));
    let status: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&status["status"], &status["method"]),
        (&json!(200), &json!("GET"))
    );
    assert!(!logging.log("logs/access.log").exists());
    assert!(!logging.log("logs/admin_access.log").exists());
}

#[test]
fn trial_09_rotation_under_traffic_loses_no_line_and_writes_none_twice() {
    let mut logging = Logging::start(&[("proxy_access_log", "a.log")]);
    let (sent, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let prefix = logging.node.prefix().to_owned();
    let rotated = |n: u32| prefix.join(format!("a.log.{n}"));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let n = sent.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(logging.ask(&format!("/up/{n}/")), 200);
                }
            });
        }
        for n in 0..3 {
            let before = sent.load(Ordering::SeqCst);
            eventually("there is traffic", || {
                let now = sent.load(Ordering::SeqCst);
                (now > before + 50).then_some(()).ok_or(now.to_string())
            });
            fs::rename(logging.log("a.log"), rotated(n)).expect("renamed");
            logging.node.signal(libc::SIGUSR1);
            eventually("the new file has lines", || {
                let text = read(&logging.log("a.log"));
                text.contains("\"GET /up/").then_some(()).ok_or(text)
            });
        }
        over.store(true, Ordering::SeqCst);
    });
    // The last lines are written before the end.
    assert_eq!(logging.node.stop(libc::SIGTERM), Some(0));
    let mut seen = BTreeSet::new();
    for path in (0..3).map(rotated).chain([logging.log("a.log")]) {
        let text = read(&path);
        assert!(text.ends_with('\n'), "{}", path.display());
        for line in text.lines().filter(|line| !line.contains(READY)) {
            let (_, rest) = line.split_once("\"GET /up/").expect(line);
            let n: u64 = rest.split('/').next().expect(line).parse().expect(line);
            assert!(seen.insert(n), "twice: {line}");
        }
    }
    assert_eq!(seen.len() as u64, sent.load(Ordering::SeqCst));
}

#[test]
fn trial_09_off_writes_nothing() {
    let mut logging = Logging::start(&[("proxy_access_log", "off"), ("admin_access_log", "off")]);
    assert_eq!(logging.ask("/up"), 200);
    assert_eq!(logging.node.stop(libc::SIGTERM), Some(0));
    assert!(!logging.log("logs").exists());
}

#[test]
fn trial_09_a_log_that_cannot_be_written_stops_the_start_by_its_name() {
    for (value, expected) in [
        ("kong.id/access.log", "proxy_access_log: cannot open "),
        (
            "a.log nope",
            "proxy_access_log: unknown log format \"nope\"",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("kong.id"), "not a folder").expect("written");
        let path = folder.path().join(value).to_string_lossy().into_owned();
        let mut settings: BTreeMap<String, String> = [
            ("database", "off"),
            ("prefix", &folder.path().join("node").to_string_lossy()),
            ("proxy_access_log", &path),
        ]
        .map(own)
        .into();
        let ip = unique_loopback();
        for key in ["admin_listen", "status_listen", "proxy_listen"] {
            settings.insert(key.to_owned(), free_address(ip).to_string());
        }
        let mut node = Node::start(settings);
        assert_ne!(node.ended(), Some(0), "{value}");
        let named = node
            .log()
            .iter()
            .filter(|line| line.contains(expected))
            .count();
        assert_eq!(named, 1, "{value}: {:?}", node.log());
    }
}

#[test]
fn events_go_where_the_error_log_is_and_its_file_is_opened_again() {
    let logging = Logging::start(&[("proxy_error_log", "logs/error.log")]);
    let log = logging.log("logs/error.log");
    assert!(
        read(&log).contains("\"message\":\"started\""),
        "{}",
        read(&log)
    );
    assert_eq!(logging.node.log(), [""; 0]);
    let renamed = logging.log("logs/error.log.1");
    fs::rename(&log, &renamed).expect("renamed");
    logging.node.signal(libc::SIGUSR1);
    eventually("the log is opened again", || {
        log.exists().then_some(()).ok_or("not yet".to_owned())
    });
    // What the system said to the attempt that failed is told with its request.
    assert_eq!(logging.ask("/down"), 502);
    eventually("the failure is in the new file", || {
        let text = read(&log);
        let line = text
            .lines()
            .find(|line| line.contains("no upstream answered"));
        let event: Value = serde_json::from_str(line.ok_or(text.clone())?).expect("JSON");
        assert_eq!(event["failed"], "Connect", "{event}");
        assert!(
            event["cause"]
                .as_str()
                .is_some_and(|cause| cause.contains("refused")),
            "{event}"
        );
        Ok(())
    });
}
