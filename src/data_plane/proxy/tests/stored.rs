//! Responses that proxy-cache has stored, with sockets on both sides.

use super::super::testing::{entity, reference};
use super::running::{Running, Upstream, read_request};
use crate::model::Kind;
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_stored_response_is_told_as_the_upstream_has_told_it() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let upstream = Upstream::start(move |mut stream| {
        while let Some(request) = read_request(&mut stream) {
            count.fetch_add(1, Ordering::SeqCst);
            let body = if request.starts_with(b"HEAD") {
                ""
            } else {
                "hello"
            };
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\
                        Server: own\r\nX-Mine: 1\r\n";
            let _ = write!(stream, "{head}\r\n{body}");
        }
    });
    let address = upstream.address;
    let service = json!({"host": address.ip().to_string(), "port": address.port()});
    let plugin = json!({
        "name": "proxy-cache", "config": {"strategy": "memory"},
        "protocols": ["http"], "enabled": true,
    });
    let gateway = Running::start(vec![
        entity(Kind::Services, 1, service),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/"], "service": reference(1)}),
        ),
        entity(Kind::Plugins, 3, plugin),
    ]);
    for method in ["GET", "HEAD"] {
        for status in ["Miss", "Hit"] {
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = gateway.ask(&request);
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            let head = format!("{}\r\n", head.to_lowercase());
            assert!(head.starts_with("http/1.1 200 "), "{answer}");
            for line in [
                &format!("x-cache-status: {}\r\n", status.to_lowercase()),
                "content-length: 5\r\n",
                "content-type: text/plain; charset=utf-8\r\n",
                "server: own\r\n",
                "x-mine: 1\r\n",
                "via: 1.1 langur/",
                "x-kong-proxy-latency: ",
                "x-kong-upstream-latency: ",
            ] {
                let found = head.matches(&format!("\r\n{line}")).count();
                assert_eq!(found, 1, "{method} {status} {line} {answer}");
            }
            assert!(!head.contains("x-kong-response-latency"), "{answer}");
            let expected = if method == "HEAD" { "" } else { "hello" };
            assert_eq!(body, expected);
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
