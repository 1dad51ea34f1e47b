//! Failed attempts: what is tried next, and what the client hears in the end.

use super::super::testing::{Harness, body, entity, header, reference};
use crate::data_plane::exchange::AttemptError;
use crate::model::Kind;
use serde_json::{Value, json};

fn proxy(service: Value, targets: &[&str]) -> Harness {
    let mut entities = vec![
        entity(Kind::Services, 1, service),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/r"], "service": reference(1)}),
        ),
        entity(
            Kind::Routes,
            3,
            json!({"paths": ["/u"], "service": reference(1), "request_buffering": false}),
        ),
    ];
    if !targets.is_empty() {
        entities.push(entity(Kind::Upstreams, 4, json!({"name": "up"})));
    }
    for (n, target) in (10..).zip(targets) {
        let fields = json!({"upstream": reference(4), "target": target});
        entities.push(entity(Kind::Targets, n, fields));
    }
    Harness::new(entities)
}

/// Fails every attempt in the same way; the attempts made, and the answer in the end.
fn fail_all(proxy: &mut Harness, request: &str, failed: AttemptError) -> (u32, u16, String) {
    proxy.access(request).expect("forwarded");
    let mut attempts = 0;
    let mut last = None;
    loop {
        match proxy.attempt(last) {
            Ok(_) => attempts += 1,
            Err(reply) => {
                let proxied = header(&reply, "via").is_some();
                assert_eq!(proxied, header(&reply, "x-kong-proxy-latency").is_some());
                assert_ne!(proxied, header(&reply, "x-kong-response-latency").is_some());
                let kind = if proxied { "proxied" } else { "own" };
                let body = body(&reply);
                let line = body.lines().find(|line| !line.starts_with('{'));
                return (
                    attempts,
                    reply.status,
                    format!("{kind}: {}", line.expect("a message")),
                );
            }
        }
        assert!(attempts < 100, "endless attempts");
        last = Some(failed);
    }
}

#[test]
fn attempts_end_after_the_retries() {
    let check = |method: &str, retries: u32, failed: AttemptError, expected: (u32, u16, &str)| {
        let mut proxy = proxy(json!({"host": "10.0.0.1", "retries": retries}), &[]);
        let request = format!("{method} /r HTTP/1.1\r\nHost: a\r\n");
        let (attempts, status, message) = fail_all(&mut proxy, &request, failed);
        assert_eq!(
            (attempts, status, message.as_str()),
            expected,
            "{method} {failed:?}"
        );
    };
    use AttemptError::*;
    let bad = "proxied: An invalid response was received from the upstream server";
    let slow = "proxied: The upstream server is timing out";
    check("GET", 5, Connect, (6, 502, bad));
    check("POST", 5, Connect, (6, 502, bad));
    check("GET", 0, Connect, (1, 502, bad));
    check("GET", 5, Reset { sent: true }, (6, 502, bad));
    check("HEAD", 2, Timeout { sent: true }, (3, 504, slow));
    check("POST", 2, Timeout { sent: true }, (1, 504, slow));
    check("POST", 5, Reset { sent: true }, (1, 502, bad));
    check("PUT", 5, Reset { sent: true }, (6, 502, bad));
    check("GET", 1, ConnectTimeout, (2, 504, slow));
    check("GET", 5, BadResponse, (1, 502, bad));
}

#[test]
fn beside_04_without_buffering_the_same_methods_are_tried_again() {
    let mut proxy = proxy(json!({"host": "10.0.0.1"}), &[]);
    let sent = AttemptError::Reset { sent: true };
    for (method, failed, attempts) in [
        ("GET", sent, 6),
        ("PUT", sent, 6),
        ("PUT", AttemptError::Timeout { sent: true }, 6),
        ("POST", sent, 1),
        ("POST", AttemptError::Connect, 6),
    ] {
        let request = format!("{method} /u HTTP/1.1\r\nHost: a\r\n");
        assert_eq!(
            fail_all(&mut proxy, &request, failed).0,
            attempts,
            "{method} {failed:?}"
        );
        proxy.finish();
    }
}

#[test]
fn a_name_without_an_address_is_no_upstream_error() {
    let mut proxy = proxy(json!({"host": "no.such.host"}), &[]);
    let request = "GET /r HTTP/1.1\r\nHost: a\r\n";
    let (attempts, status, message) = fail_all(&mut proxy, request, AttemptError::Resolve);
    assert_eq!((attempts, status), (1, 503));
    assert_eq!(message, r#"own:   "message":"name resolution failed","#);
}

#[test]
fn each_attempt_takes_another_target() {
    let targets = ["a.test:1", "b.test:2", "c.test:3"];
    let mut proxy = proxy(json!({"host": "up", "retries": 5}), &targets);
    proxy
        .access("GET /r HTTP/1.1\r\nHost: a\r\n")
        .expect("forwarded");
    let mut tried = Vec::new();
    let mut last = None;
    for _ in 0..3 {
        let attempt = proxy.attempt(last).expect("a target");
        let address = format!("{}:{}", attempt.address.host, attempt.address.port);
        assert_eq!(proxy.upstream_request()[1], format!("Host: {address}"));
        tried.push(address);
        last = Some(AttemptError::Connect);
    }
    tried.sort();
    assert_eq!(tried, targets);
    // All were tried: the turn goes on.
    proxy.attempt(last).expect("a target again");
}

#[test]
fn a_target_without_an_address_is_passed_over() {
    let targets = ["a.test:1", "b.test:2", "c.test:3"];
    let mut proxy = proxy(json!({"host": "up", "retries": 0}), &targets);
    let request = "POST /r HTTP/1.1\r\nHost: a\r\n";
    let (attempts, status, message) = fail_all(&mut proxy, request, AttemptError::Resolve);
    assert_eq!((attempts, status), (3, 503));
    let no_peer = "failure to get a peer from the ring-balancer";
    assert_eq!(message, format!("own:   \"message\":\"{no_peer}\","));
    proxy.finish();

    // One that was really tried makes it the upstream's failure.
    proxy.access(request).expect("forwarded");
    proxy.attempt(None).expect("a target");
    let resolve = Some(AttemptError::Resolve);
    proxy.attempt(resolve).expect("another target");
    let reply = proxy
        .attempt(Some(AttemptError::Connect))
        .expect_err("no retries");
    assert_eq!((reply.status, header(&reply, "via").is_some()), (502, true));
}

#[test]
fn latencies_are_those_of_the_last_attempt() {
    let mut proxy = proxy(json!({"host": "10.0.0.1"}), &[]);
    proxy
        .access("GET /r HTTP/1.1\r\nHost: a\r\n")
        .expect("forwarded");
    proxy.attempt(None).expect("an address");
    proxy.pass(300);
    let timeout = Some(AttemptError::Timeout { sent: true });
    proxy.attempt(timeout).expect("another");
    proxy.pass(40);
    let (_, lines) = proxy.response("HTTP/1.1 200 OK\r\n");
    assert!(
        lines.contains(&"X-Kong-Proxy-Latency: 300".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"X-Kong-Upstream-Latency: 40".to_owned()),
        "{lines:?}"
    );
}
