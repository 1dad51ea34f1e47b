//! The Admin API and the status API in the reach of browsers, and clients that take their time.

use crate::harness::{Both, Cluster, Database, Node, call, eventually, get, raw};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

fn address(node: &Node, listen: &str) -> SocketAddr {
    node.setting(listen).parse().expect("an address")
}

/// A request, and the status line and all that comes back.
fn ask(address: SocketAddr, request: &str) -> String {
    let request = request.replace('\n', "\r\n");
    String::from_utf8_lossy(&raw(address, request.as_bytes())).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("no answer")
}

#[test]
fn trial_14_no_web_page_writes_to_an_admin_api_on_loopback() {
    let both = Both::start_with(|_| {
        let settings = [
            ("admin_allowed_origins", "http://portal.test:3000"),
            ("admin_allowed_hosts", "admin.test"),
        ];
        settings
            .map(|(key, value)| (key.into(), value.into()))
            .into()
    });
    let (admin, pages) = (
        address(&both.node, "admin_listen"),
        address(&both.node, "status_listen"),
    );
    let form = |name: &str, headers: &str| {
        let body = format!("name={name}&host=evil.example");
        let length = body.len();
        let kind = "application/x-www-form-urlencoded";
        let head = format!("Content-Type: {kind}\nContent-Length: {length}\nConnection: close");
        ask(
            admin,
            &format!("POST /services HTTP/1.1\n{headers}\n{head}\n\n{body}"),
        )
    };
    for (name, headers, expected) in [
        (
            "cross",
            format!("Host: {admin}\nOrigin: http://evil.example"),
            "403",
        ),
        ("null", format!("Host: {admin}\nOrigin: null"), "403"),
        (
            "port",
            format!("Host: {admin}\nOrigin: http://{}:1", admin.ip()),
            "403",
        ),
        (
            "site",
            format!("Host: {admin}\nSec-Fetch-Site: cross-site"),
            "403",
        ),
        ("rebound", "Host: evil.example".to_owned(), "403"),
        (
            "rebound-own",
            "Host: evil.example\nOrigin: http://evil.example\nSec-Fetch-Site: same-origin".into(),
            "403",
        ),
        (
            "own",
            format!("Host: {admin}\nOrigin: http://{admin}"),
            "201",
        ),
        (
            "listed",
            format!("Host: {admin}\nOrigin: http://portal.test:3000\nSec-Fetch-Site: cross-site"),
            "201",
        ),
        ("named", "Host: admin.test".to_owned(), "201"),
        ("localhost", "Host: localhost:8001".to_owned(), "201"),
        ("program", format!("Host: {admin}"), "201"),
    ] {
        let answer = form(name, &headers);
        assert_eq!(status(&answer), expected, "{name}: {answer}");
        let written = get(&both.admin(&format!("/services/{name}"))).expect("an answer");
        let there = if expected == "201" { 200 } else { 404 };
        assert_eq!(written.status, there, "{name}");
    }
    let old = ask(admin, "GET /services HTTP/1.0\n\n");
    assert_eq!(status(&old), "200", "HTTP/1.0 names no host: {old}");
    // The same on the listener of probes and scrapes, which can be told to drain.
    let drain = format!(
        "POST /status/ready?status=draining HTTP/1.1\nHost: {pages}\nOrigin: http://evil.example\n\
         Content-Length: 0\nConnection: close\n\n"
    );
    assert_eq!(status(&ask(pages, &drain)), "403");
    let rebound = "GET /metrics HTTP/1.1\nHost: evil.example\nConnection: close\n\n";
    assert_eq!(status(&ask(pages, rebound)), "403");
    let scrape = format!("GET /metrics HTTP/1.1\nHost: {pages}\nConnection: close\n\n");
    assert_eq!(status(&ask(pages, &scrape)), "200");
    let ready = get(&both.url("status_listen", "/status/ready")).expect("an answer");
    assert_eq!(ready.status, 200, "not drained");
}

#[test]
fn trial_13a_pages_of_the_status_api_end_in_a_slash_too() {
    let both = Both::start();
    for (path, entity) in [
        ("/upstreams", json!({"name": "u"})),
        ("/upstreams/u/targets", json!({"target": "127.0.0.1:1"})),
    ] {
        let made = call("POST", &both.admin(path), &[], Some(&entity)).expect("an answer");
        made.expect(201);
    }
    both.settle();
    for path in [
        "/status/",
        "/status/ready/",
        "/metrics/",
        "/debug/actors/",
        "/upstreams/u/targets/",
        "/upstreams/u/health/",
        "/upstreams/u/targets/all/",
        "/upstreams/u/targets/127.0.0.1:1/",
    ] {
        eventually(path, || {
            let reply = get(&both.url("status_listen", path))?;
            (reply.status == 200).then_some(()).ok_or(reply.text)
        });
    }
}

/// Sends `begun`, and returns what comes until the other end closes. The test ends with an error of
/// its own when that never happens.
fn until_closed(address: SocketAddr, begun: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    let begun = begun.replace('\n', "\r\n");
    stream.write_all(begun.as_bytes()).expect("sends");
    let patience = std::time::Duration::from_secs(120);
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    let (mut answer, mut some) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut some) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&some[..n]),
            Err(err) if err.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(err) => panic!("never closed: {begun}: {err}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn trial_19_clients_that_never_finish_are_given_up() {
    let both = Both::start_with(|_| {
        let settings = [
            ("nginx_admin_client_body_timeout", "200ms"),
            ("nginx_admin_client_header_timeout", "2s"),
        ];
        settings
            .map(|(key, value)| (key.into(), value.into()))
            .into()
    });
    let admin = address(&both.node, "admin_listen");
    let pages = address(&both.node, "status_listen");
    let json = "Host: localhost\nContent-Type: application/json";
    for (listener, begun, expected) in [
        // A body that stops, of a known length and in chunks.
        (
            admin,
            format!("POST /services HTTP/1.1\n{json}\nContent-Length: 100\n\n{{"),
            "408",
        ),
        (
            admin,
            format!("POST /services HTTP/1.1\n{json}\nTransfer-Encoding: chunked\n\n1\n{{\n"),
            "408",
        ),
        (
            pages,
            "POST /status/ready HTTP/1.1\nHost: localhost\nContent-Length: 9\n\ns".to_owned(),
            "408",
        ),
        // A body that nobody reads.
        (
            admin,
            format!("GET /services HTTP/1.1\n{json}\nTransfer-Encoding: chunked\n\n1\n{{\n"),
            "200",
        ),
        // A head that stops, first and after an answer.
        (admin, "GET /services HTTP/1.1\nHo".to_owned(), "408"),
        (pages, "GET /status HTTP/1.1\nHo".to_owned(), "408"),
        (
            admin,
            "GET /services HTTP/1.1\nHost: localhost\n\nGET /services HT".to_owned(),
            "200",
        ),
    ] {
        let answer = until_closed(listener, &begun);
        assert_eq!(status(&answer), expected, "{begun}: {answer}");
    }
    let services = get(&both.admin("/services"))
        .expect("an answer")
        .expect(200);
    assert_eq!(services["data"], json!([]));
}

/// Without a certificate nobody gets so far as to send a head; who says nothing at all is given up.
#[test]
fn trial_19_silent_hand_shakes_with_the_cluster_are_given_up() {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    let node = &mut cluster.control_planes[0];
    node.set("nginx_admin_client_header_timeout", "2s");
    node.restart();
    cluster.wait_until_ready(0);
    for listen in ["cluster_listen", "cluster_telemetry_listen"] {
        let address = address(&cluster.control_planes[0], listen);
        assert_eq!(until_closed(address, ""), "", "{listen}");
    }
}
