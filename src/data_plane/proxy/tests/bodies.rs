//! Bodies and retries, with sockets on both sides.

use super::super::testing::{entity, reference};
use super::running::{PATIENCE, Running, Upstream, read_request};
use crate::model::{Kind, Row};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use uuid::Uuid;

/// Two targets of one upstream, tried in turn: the first gets the first request.
fn two_targets(first: &Upstream, second: &Upstream) -> Vec<(Kind, Uuid, Row)> {
    let target = |n, of: &Upstream| {
        let fields =
            json!({"upstream": reference(3), "target": of.address.to_string(), "weight": 100});
        entity(Kind::Targets, n, fields)
    };
    let route = |n, path: &str, buffering: bool| {
        let fields =
            json!({"paths": [path], "service": reference(1), "request_buffering": buffering});
        entity(Kind::Routes, n, fields)
    };
    vec![
        entity(
            Kind::Services,
            1,
            json!({"host": "pool", "read_timeout": 500}),
        ),
        route(2, "/unbuffered", false),
        entity(Kind::Upstreams, 3, json!({"name": "pool"})),
        target(4, first),
        target(5, second),
    ]
}

#[test]
fn beside_04_an_unbuffered_request_whose_body_is_complete_is_sent_again() {
    let silent = || {
        Upstream::start(|mut stream: TcpStream| {
            read_request(&mut stream);
            // The gateway gives up and closes.
            read_request(&mut stream);
        })
    };
    for failing in [Upstream::closing(), silent()] {
        let sound = Upstream::echo();
        let gateway = Running::start(two_targets(&failing, &sound));
        let head = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
        // Two of each: whichever target is first in turn, one of the two meets the failing one.
        for _ in 0..2 {
            let answer = gateway.ask(&format!("GET /unbuffered {head}\r\n"));
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            let put = format!("PUT /unbuffered {head}Content-Length: 5\r\n\r\nhello");
            let answer = gateway.ask(&put);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
        }
        assert!(failing.connections() >= 2, "{}", failing.connections());
        // What may not happen twice is not sent twice.
        let post = format!("POST /unbuffered {head}Content-Length: 5\r\n\r\nhello");
        let mut statuses =
            [gateway.ask(&post), gateway.ask(&post)].map(|answer| answer[9..12].to_owned());
        statuses.sort();
        assert_eq!(statuses[0], "200");
        assert!(matches!(&*statuses[1], "502" | "504"), "{statuses:?}");
    }
}

#[test]
fn trial_20_a_slow_body_holds_no_upstream_connection() {
    const CLIENTS: usize = 20;
    // Clients that were told to send their last byte.
    let finished = Arc::new(AtomicUsize::new(0));
    let early = Arc::new(AtomicUsize::new(0));
    let accepted = AtomicUsize::new(0);
    let (seen, count) = (Arc::clone(&finished), Arc::clone(&early));
    let upstream = Upstream::start(move |mut stream| {
        if accepted.fetch_add(1, Ordering::SeqCst) >= seen.load(Ordering::SeqCst) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        while let Some(request) = read_request(&mut stream) {
            let head = request
                .windows(4)
                .position(|end| end == b"\r\n\r\n")
                .expect("a head");
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let framed = text.contains("content-length: 100000");
            let sound = request[head + 4..] == pattern()[..];
            let body = format!("framed {framed}, sound {sound}");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let service =
        json!({"host": upstream.address.ip().to_string(), "port": upstream.address.port()});
    let gateway = Running::start(vec![
        entity(Kind::Services, 1, service),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/r"], "service": reference(1)}),
        ),
    ]);
    let body = pattern();
    let mut clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|n| {
            let mut client = gateway.client();
            let head = "POST /r HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
            // Half of them in chunks, which are sent on with a length as they are complete.
            let text = match n % 2 {
                0 => format!("{head}Content-Length: 100000\r\n\r\n"),
                _ => format!("{head}Transfer-Encoding: chunked\r\n\r\n186a0\r\n"),
            };
            client.write_all(text.as_bytes()).expect("writes");
            client.write_all(&body[..99_999]).expect("writes");
            client
        })
        .collect();
    eventually(|| gateway.server.counters().read().requests == CLIENTS as u64);
    for (n, client) in clients.iter_mut().enumerate() {
        finished.fetch_add(1, Ordering::SeqCst);
        client.write_all(&body[99_999..]).expect("writes");
        if n % 2 == 1 {
            client.write_all(b"\r\n0\r\n\r\n").expect("writes");
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("reads");
        assert!(answer.ends_with("framed true, sound true"), "{answer}");
    }
    assert_eq!(
        early.load(Ordering::SeqCst),
        0,
        "connections before a body was complete"
    );
}

fn pattern() -> Vec<u8> {
    (0..100_000u32).map(|n| (n % 251) as u8).collect()
}

fn eventually(mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it does not come true");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn trial_34_a_slow_client_does_not_hold_the_upstream() {
    // More than the sockets between hold: the upstream is done only if somebody reads on.
    const LENGTH: usize = 40_000_000;
    let (sender, written) = mpsc::channel();
    let sender = Mutex::new(sender);
    let upstream = Upstream::start(move |mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let chunked = request.starts_with(b"GET /chunked");
            let head = match chunked {
                true => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
                false => format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"),
            };
            stream.write_all(head.as_bytes()).expect("writes");
            for piece in large(LENGTH).chunks(1_000_003) {
                if chunked {
                    write!(stream, "{:x}\r\n", piece.len()).expect("writes");
                }
                stream.write_all(piece).expect("writes");
                if chunked {
                    stream.write_all(b"\r\n").expect("writes");
                }
            }
            if chunked {
                stream.write_all(b"0\r\n\r\n").expect("writes");
            }
            sender
                .lock()
                .expect("no panic")
                .send(())
                .expect("the test waits");
        }
    });
    let service =
        json!({"host": upstream.address.ip().to_string(), "port": upstream.address.port()});
    let gateway = Running::start(vec![
        entity(Kind::Services, 1, service),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/"], "service": reference(1)}),
        ),
    ]);
    for path in ["/length", "/chunked"] {
        let mut client = gateway.client();
        let request = format!("GET {path} HTTP/1.0\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).expect("writes");
        // The client has read nothing.
        written
            .recv_timeout(PATIENCE)
            .expect("the upstream is done");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("reads");
        assert!(answer.ends_with(&large(LENGTH)), "{path}");
    }
    assert_eq!(
        upstream.connections(),
        1,
        "the connection was free for the next request"
    );
}

fn large(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|n| (n % 65_521 % 251) as u8)
        .collect()
}
