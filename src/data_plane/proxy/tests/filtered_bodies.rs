//! Bodies that plugins look at, change, or end, with sockets on both sides.

use super::super::testing::{entity, reference};
use super::super::{PluginPanics, ProxySettings};
use super::running::{PATIENCE, Running, Upstream, read_request};
use crate::data_plane::listener::ServerConfig;
use crate::data_plane::router::PluginFactory;
use crate::model::{Kind, Plugin};
use crate::plugins::{Access, BodyUse, Built, Chunk, Context, Flow, Handler, Phases};
use crate::telemetry::metrics::Metrics;
use bytes::Bytes;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};

/// What the plugins of these tests do, each on a route of its own.
const ACTIONS: &[&str] = &[
    "double", "collect", "watch", "refuse", "panic", "whole", "small", "shown",
];

struct Actions;

struct Instance(String);

impl PluginFactory for Actions {
    fn build(&self, plugin: &Plugin) -> Result<Built, String> {
        let action = plugin.config.get("action").and_then(|text| text.as_str());
        let action = action.unwrap_or_default().to_owned();
        let phases = match &*action {
            "whole" | "small" => Phases::RESPONSE,
            "shown" => Phases::ACCESS,
            _ => Phases::BODY_FILTER,
        };
        Ok(Built {
            handler: Arc::new(Instance(action)),
            priority: 1,
            phases,
        })
    }
}

impl Handler for Instance {
    fn body_limit(&self) -> Option<usize> {
        (self.0 == "shown").then_some(1 << 20)
    }

    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        let sum = context.body.map(checksum);
        context.request_edits.set("X-Shown", format!("{sum:?}"));
        Flow::Continue.into()
    }

    fn response_limit(&self) -> usize {
        if self.0 == "small" { 4 } else { 1 << 20 }
    }

    fn response<'c>(&'c self, context: &'c mut Context<'_>, body: &'c mut Vec<u8>) -> Access<'c> {
        context
            .response_edits
            .set("X-Whole", body.len().to_string());
        body.insert(0, b'[');
        body.push(b']');
        Flow::Continue.into()
    }

    fn body_use(&self, _: &mut Context<'_>) -> BodyUse {
        match &*self.0 {
            "watch" => BodyUse::Watch,
            _ => BodyUse::Transform,
        }
    }

    fn body_filter(&self, context: &mut Context<'_>, chunk: &mut Chunk) -> bool {
        let is_end = chunk.data.contains(&b'!');
        match &*self.0 {
            "double" => chunk.data = [&*chunk.data, &*chunk.data].concat().into(),
            "collect" => {
                let all = context.state.get_or_default::<Vec<u8>>();
                all.extend_from_slice(&chunk.data);
                chunk.data = match chunk.last {
                    true => Bytes::from([b"<", &all[..], b">"].concat()),
                    false => Bytes::new(),
                };
            }
            // What is only watched is not changed.
            "watch" => chunk.data = Bytes::new(),
            "refuse" => return !is_end,
            _ => assert!(!is_end, "body_filter of a test's plugin"),
        }
        true
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let numbered = bytes.iter().zip(1..);
    numbered.fold(bytes.len() as u64, |sum, (byte, at): (&u8, u64)| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*byte) ^ at)
    })
}

/// Answers by the path of the request; keeps connections where the answer lets it.
fn answer(mut stream: TcpStream) {
    while let Some(request) = read_request(&mut stream) {
        let text = String::from_utf8_lossy(&request).into_owned();
        let path = text.split(' ').nth(1).expect("a path").to_owned();
        let to_head = text.starts_with("HEAD ");
        let (head, body) = match &*path {
            "/length" => ("200 OK\r\nContent-Length: 5", "hello"),
            "/chunked" => (
                "200 OK\r\nTransfer-Encoding: chunked",
                "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            ),
            "/close" => ("200 OK\r\nConnection: close", "hello"),
            "/none" => ("204 No Content", ""),
            "/same" => ("304 Not Modified\r\nContent-Length: 5", ""),
            "/cut" => ("200 OK\r\nContent-Length: 9", "hello"),
            "/cut-chunked" => ("200 OK\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n"),
            "/end" => ("200 OK\r\nContent-Length: 4", "end!"),
            other => panic!("{other}"),
        };
        let body = if to_head { "" } else { body };
        // In one piece, so that the body is there when the head is.
        let sent = stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n{body}").as_bytes());
        if sent.is_err() || path.contains("cut") || path == "/close" {
            return;
        }
    }
}

struct Story {
    gateway: Running,
    metrics: Arc<Metrics>,
    upstream: Upstream,
}

impl Story {
    fn new(upstream: Upstream) -> Story {
        let address = upstream.address;
        let service = json!({"host": address.ip().to_string(), "port": address.port()});
        let mut entities = vec![entity(Kind::Services, 1, service)];
        for (action, n) in ACTIONS.iter().zip(10..) {
            let route = json!({"paths": [format!("/{action}")], "service": reference(1)});
            entities.push(entity(Kind::Routes, n, route));
            let plugin = json!({
                "name": "a", "route": reference(n), "config": {"action": action},
                "protocols": ["http"], "enabled": true,
            });
            entities.push(entity(Kind::Plugins, n + 100, plugin));
        }
        let metrics = Arc::new(Metrics::new());
        let settings = ProxySettings {
            plugin_panics: PluginPanics::new(Arc::clone(&metrics), std::iter::empty()),
            ..ProxySettings::default()
        };
        let config = ServerConfig::default();
        Story {
            gateway: Running::with(entities, Arc::new(Actions), settings, config),
            metrics,
            upstream,
        }
    }

    fn answering() -> Story {
        Story::new(Upstream::start(answer))
    }

    fn ask(&self, method: &str, target: &str, version: &str) -> Answer {
        let connection = "Host: a\r\nConnection: close";
        let request = format!("{method} {target} {version}\r\n{connection}\r\n\r\n");
        Answer::of(&self.gateway.ask(&request))
    }
}

/// An answer as it came over the wire.
#[derive(Debug)]
struct Answer {
    /// In lower case.
    head: String,
    body: String,
}

impl Answer {
    fn of(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        Answer {
            head: format!("{}\r\n", head.to_lowercase()),
            body: body.to_owned(),
        }
    }

    fn status(&self) -> &str {
        self.head.get(9..12).unwrap_or("")
    }

    fn has(&self, line: &str) -> bool {
        self.head.contains(&format!("\r\n{line}"))
    }

    /// The body without its chunks; `None` when its end is missing.
    fn decoded(&self) -> Option<String> {
        if !self.has("transfer-encoding: chunked") {
            return Some(self.body.clone());
        }
        let mut rest = &*self.body;
        let mut decoded = String::new();
        loop {
            let (size, after) = rest.split_once("\r\n")?;
            let size = usize::from_str_radix(size, 16).expect("a size");
            if size == 0 {
                assert_eq!(after, "\r\n", "{self:?}");
                return Some(decoded);
            }
            decoded.push_str(after.get(..size)?);
            rest = after.get(size + 2..)?;
        }
    }
}

#[test]
fn a_changed_length_is_framed_anew() {
    let story = Story::answering();
    for path in ["/length", "/chunked", "/close"] {
        for (action, expected) in [("double", "he"), ("collect", "<hello>")] {
            let target = format!("/{action}{path}");
            let answer = story.ask("GET", &target, "HTTP/1.1");
            assert!(answer.has("transfer-encoding: chunked"), "{answer:?}");
            assert!(!answer.has("content-length"), "{answer:?}");
            let body = answer.decoded().expect("an end");
            assert!(body.starts_with(expected), "{answer:?}");
            // Nothing but its end tells a client of HTTP/1.0 how long it is.
            let old = story.ask("GET", &target, "HTTP/1.0");
            assert!(!old.has("transfer-encoding"), "{old:?}");
            assert!(!old.has("content-length"), "{old:?}");
            assert!(old.has("connection: close"), "{old:?}");
            assert_eq!(old.body.len(), body.len(), "{old:?}");
        }
        assert_eq!(
            story
                .ask("GET", &format!("/watch{path}"), "HTTP/1.1")
                .decoded(),
            Some("hello".to_owned())
        );
    }
    let watched = story.ask("GET", "/watch/length", "HTTP/1.1");
    assert!(watched.has("content-length: 5\r\n"), "{watched:?}");
}

#[test]
fn a_response_without_a_body_stays_without_one_and_its_connection_is_kept() {
    let story = Story::answering();
    let mut client = story.gateway.client();
    for (method, path, status) in [
        ("HEAD", "/length", "200"),
        ("HEAD", "/chunked", "200"),
        ("GET", "/none", "204"),
        ("GET", "/same", "304"),
    ] {
        for action in ["double", "collect", "whole"] {
            write!(
                client,
                "{method} /{action}{path} HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            .expect("writes");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).expect("a whole head");
                head.push(byte[0]);
            }
            let answer = Answer::of(&String::from_utf8_lossy(&head));
            assert_eq!(answer.status(), status, "{action} {path} {answer:?}");
            assert!(!answer.has("content-length"), "{action} {path} {answer:?}");
            assert!(
                !answer.has("transfer-encoding"),
                "{action} {path} {answer:?}"
            );
        }
    }
    // No byte of a body came between: the last answer is whole.
    write!(
        client,
        "GET /double/length HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .expect("writes");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("reads");
    assert_eq!(Answer::of(&text).decoded().as_deref(), Some("hellohello"));
    assert_eq!(story.upstream.connections(), 1);
}

#[test]
fn a_response_that_is_cut_short_has_no_end() {
    let story = Story::answering();
    for path in ["/cut", "/cut-chunked"] {
        for (action, passed) in [("double", "hellohello"), ("collect", "")] {
            let answer = story.ask("GET", &format!("/{action}{path}"), "HTTP/1.1");
            assert_eq!(answer.decoded(), None, "{answer:?}");
            // What came was passed on; what waits for the end is never made up.
            assert!(answer.body.contains(passed), "{answer:?}");
            assert!(!answer.body.contains('<'), "{answer:?}");
        }
        let answer = story.ask("GET", &format!("/whole{path}"), "HTTP/1.1");
        assert_ne!(answer.status(), "200", "{answer:?}");
    }
}

#[test]
fn a_body_phase_that_fails_before_anything_is_sent_is_answered_with_500() {
    let story = Story::answering();
    for action in ["refuse", "panic"] {
        let answer = story.ask("GET", &format!("/{action}/end"), "HTTP/1.1");
        assert_eq!(answer.status(), "500", "{answer:?}");
        let body = answer.decoded().unwrap_or_default();
        assert!(body.contains("An unexpected error occurred"), "{answer:?}");
        assert!(!answer.body.contains("end!"), "{answer:?}");
        let record = story.gateway.record();
        assert_eq!(
            (record.status, record.upstream_status),
            (500, 200),
            "{action}"
        );
        // Other responses pass, and the upstream's connection, read to its end, is used again.
        let answer = story.ask("GET", &format!("/{action}/length"), "HTTP/1.1");
        assert_eq!(answer.decoded().as_deref(), Some("hello"));
        story.gateway.record();
    }
    let counted = story.metrics.scrape(|_| {});
    assert!(
        counted.contains("langur_plugin_panics_total{plugin=\"a\"} 1"),
        "{counted}"
    );
}

#[test]
fn a_whole_response_is_changed_before_it_is_sent() {
    let story = Story::answering();
    for path in ["/length", "/chunked", "/close"] {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let answer = story.ask("GET", &format!("/whole{path}"), version);
            assert_eq!((answer.status(), &*answer.body), ("200", "[hello]"));
            assert!(answer.has("content-length: 7\r\n"), "{answer:?}");
            assert!(answer.has("x-whole: 5\r\n"), "{answer:?}");
            story.gateway.record();
        }
        let answer = story.ask("GET", &format!("/small{path}"), "HTTP/1.1");
        assert_eq!(answer.status(), "502", "{answer:?}");
        assert!(!answer.body.contains("hello"), "{answer:?}");
        // The upstream has answered, although the client did not get it.
        let record = story.gateway.record();
        assert_eq!((record.status, record.upstream_status), (502, 200));
    }
    // A connection serves one response after the other.
    let story = Story::answering();
    let mut client = story.gateway.client();
    let request = "GET /whole/length HTTP/1.1\r\nHost: a\r\n\r\n";
    write!(
        client,
        "{request}{request}{}",
        request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    )
    .expect("writes");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("reads");
    assert_eq!(text.matches("[hello]").count(), 3, "{text}");
    assert_eq!(story.upstream.connections(), 1);
}

/// A response of so many bytes, in chunks; tells when all of it is written.
fn large(length: usize) -> (Upstream, mpsc::Receiver<()>) {
    let (sender, written) = mpsc::channel();
    let sender = Mutex::new(sender);
    let upstream = Upstream::start(move |mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let piece = format!("{:x}\r\n{}\r\n", 1_000_000, "x".repeat(1_000_000));
            let end = match request.starts_with(b"GET /marked") {
                true => "1\r\n!\r\n0\r\n\r\n",
                false => "0\r\n\r\n",
            };
            let mut sent = stream.write_all(head.as_bytes());
            for _ in 0..length / 1_000_000 {
                sent = sent.and_then(|()| stream.write_all(piece.as_bytes()));
            }
            let _ = sent.and_then(|()| stream.write_all(end.as_bytes()));
            let _ = sender.lock().expect("no panic").send(());
        }
    });
    (upstream, written)
}

#[test]
fn a_slow_client_gets_what_plugins_have_made_of_the_body() {
    const LENGTH: usize = 20_000_000;
    let (upstream, written) = large(LENGTH);
    let story = Story::new(upstream);
    for (action, length) in [
        ("double", 2 * LENGTH),
        ("collect", LENGTH + 2),
        ("watch", LENGTH),
    ] {
        let mut client = story.gateway.client();
        write!(client, "GET /{action}/plain HTTP/1.0\r\nHost: a\r\n\r\n").expect("writes");
        // The client has read nothing.
        written
            .recv_timeout(PATIENCE)
            .expect("the upstream is done");
        let mut text = String::new();
        client.read_to_string(&mut text).expect("reads");
        let body = Answer::of(&text).body;
        assert_eq!(body.len(), length, "{action}");
        let marks = body.bytes().filter(|byte| *byte != b'x').count();
        assert_eq!(marks, length - (length / LENGTH) * LENGTH, "{action}");
    }
    assert_eq!(
        story.upstream.connections(),
        1,
        "it was free for the next request"
    );
    // What fails while nobody reads ends there, without an end that could be believed.
    for action in ["refuse", "panic"] {
        let mut client = story.gateway.client();
        write!(client, "GET /{action}/marked HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
        written
            .recv_timeout(PATIENCE)
            .expect("the upstream is done");
        let mut text = String::new();
        client.read_to_string(&mut text).expect("reads");
        let answer = Answer::of(&text);
        assert_eq!(answer.status(), "200");
        assert_eq!(answer.decoded(), None, "{action}");
        assert!(!answer.body.contains('!'), "{action}");
    }
}

#[test]
fn a_large_request_body_is_shown_and_sent_as_it_came() {
    // More than is read at once, and than is kept in memory; the first upstream fails.
    let failures = Arc::new(Mutex::new(1));
    let left = Arc::clone(&failures);
    let upstream = Upstream::start(move |mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let mut left = left.lock().expect("no panic");
            if *left > 0 {
                *left -= 1;
                return;
            }
            drop(left);
            let end = request.windows(4).position(|end| end == b"\r\n\r\n");
            let (head, body) = request.split_at(end.expect("a head") + 4);
            let head = String::from_utf8_lossy(head).into_owned();
            let shown = head.lines().find(|line| line.starts_with("X-Shown"));
            let text = format!("{shown:?} {}", checksum(body));
            let length = text.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}"
            );
        }
    });
    let story = Story::new(upstream);
    for (length, is_shown) in [(200_000, true), (1 << 20, true), ((1 << 20) + 1, false)] {
        for chunked in [false, true] {
            let body: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
            *failures.lock().expect("no panic") = 1;
            let mut client = story.gateway.client();
            let mut request = b"PUT /shown HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".to_vec();
            if chunked {
                request.extend(format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n").bytes());
                request.extend(&body);
                request.extend(b"\r\n0\r\n\r\n");
            } else {
                request.extend(format!("Content-Length: {length}\r\n\r\n").bytes());
                request.extend(&body);
            }
            client.write_all(&request).expect("writes");
            let mut text = String::new();
            client.read_to_string(&mut text).expect("reads");
            let sum = checksum(&body);
            let shown = is_shown.then_some(sum);
            let expected = format!("Some(\"X-Shown: {shown:?}\") {sum}");
            assert_eq!(Answer::of(&text).body, expected, "{length} {chunked}");
        }
    }
}
