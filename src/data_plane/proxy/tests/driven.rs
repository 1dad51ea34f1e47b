//! The pipeline under the real driver: sockets on both sides, bundled plugins between.

use super::super::testing::{entity, reference};
use super::super::{PRODUCT, Proxy, ProxySettings, Recorder};
use crate::data_plane::dns::Dns;
use crate::data_plane::listener::{Server, ServerConfig};
use crate::data_plane::router::{Options, RouterState};
use crate::data_plane::upstream::{UpstreamClient, UpstreamSettings};
use crate::model::{Config, Kind, Revision};
use crate::settings::parse_listen;
use crate::telemetry::record::Record;
use arc_swap::ArcSwap;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};

/// Answers every request with what it read, and closes.
fn echo_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let seen = read_request(&mut stream);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{seen}",
                seen.len()
            );
            stream.write_all(answer.as_bytes()).expect("writes");
        }
    });
    address
}

/// A head and as much of a body as its Content-Length names.
fn read_request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            if body.len() >= length {
                return text;
            }
        }
        let count = stream.read(&mut buffer).expect("reads");
        assert!(count > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..count]).expect("text"));
    }
}

#[derive(Clone)]
struct Sent(mpsc::Sender<Record>);

impl Recorder for Sent {
    fn record(&self, record: Record) {
        self.0.send(record).expect("the test listens");
    }
}

fn snapshots(upstream: SocketAddr) -> Arc<ArcSwap<crate::data_plane::router::Snapshot>> {
    let refused = crate::loopback::closed_address();
    let key_auth = json!({"hide_credentials": true, "key_in_body": true});
    let entities = vec![
        entity(
            Kind::Services,
            1,
            json!({"host": "127.0.0.1", "port": upstream.port()}),
        ),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/r"], "service": reference(1)}),
        ),
        entity(
            Kind::Routes,
            3,
            json!({"paths": ["/key"], "service": reference(1)}),
        ),
        entity(
            Kind::Services,
            4,
            json!({"host": refused.ip(), "port": refused.port()}),
        ),
        entity(
            Kind::Routes,
            5,
            json!({"paths": ["/refused"], "service": reference(4)}),
        ),
        entity(Kind::Consumers, 6, json!({"username": "alice"})),
        entity(
            Kind::KeyauthCredentials,
            7,
            json!({"consumer": reference(6), "key": "k1"}),
        ),
        entity(
            Kind::Plugins,
            8,
            json!({"name": "key-auth", "config": key_auth, "route": reference(3)}),
        ),
    ];
    let factory = Arc::new(crate::plugins::Factory::default());
    let mut state = RouterState::new(factory, Options::default());
    let outcome = state.replace(Config::from_rows(Revision(1), entities), 0.0);
    Arc::new(ArcSwap::from(outcome.snapshot))
}

/// Sends a request that ends its connection; the whole answer.
fn ask(gateway: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(gateway).expect("connects");
    stream.write_all(request.as_bytes()).expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    answer
}

/// Serves the routes of [`snapshots`] while the client talks to them.
fn serve(client: impl FnOnce(SocketAddr, mpsc::Receiver<Record>) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (sender, records) = mpsc::channel();
    let snapshots = snapshots(echo_upstream());
    let server = runtime.block_on(async {
        let config = ServerConfig {
            listens: parse_listen(&["127.0.0.1:0".to_owned()]).expect("an address"),
            ..ServerConfig::default()
        };
        let settings = Arc::new(ProxySettings::default());
        let parts = move |_| {
            let recorder = Sent(sender.clone());
            let proxy = Proxy::new(Arc::clone(&settings), Arc::clone(&snapshots), recorder);
            (
                proxy,
                UpstreamClient::new(UpstreamSettings::default(), Dns::for_tests()),
            )
        };
        Server::start(config, parts, None).expect("starts")
    });
    let gateway = server.addresses()[0];
    let client = std::thread::spawn(move || client(gateway, records));
    runtime.block_on(async {
        let joined = tokio::task::spawn_blocking(|| client.join()).await;
        server.stop().await;
        joined.expect("joins").expect("the client is content");
    });
}

#[test]
fn requests_pass_through_driver_and_pipeline() {
    serve(|gateway, records| {
        let check = |request: &str, status: u16, expected: &[&str]| {
            let answer = ask(gateway, request);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
            for part in expected {
                assert!(answer.contains(part), "{part:?} in {answer}");
            }
            let record = records.recv().expect("a record");
            assert_eq!(record.status, status);
            assert_eq!(record.response_bytes, answer.len() as u64);
        };
        let close = "Host: a\r\nConnection: close\r\n";
        let via = format!("Via: 1.1 {PRODUCT}\r\n");
        check(
            &format!("GET /r/x?y HTTP/1.1\r\n{close}\r\n"),
            200,
            &[
                "GET /x?y HTTP/1.1\r\n",
                "X-Forwarded-Path: /r/x\r\n",
                &via,
                "charset=UTF-8",
            ],
        );
        check(
            &format!("GET /none HTTP/1.1\r\n{close}\r\n"),
            404,
            &["no Route matched"],
        );
        check(
            &format!("GET /refused HTTP/1.1\r\n{close}\r\n"),
            502,
            &["An invalid response"],
        );
        check(
            &format!("GET /key HTTP/1.1\r\n{close}\r\n"),
            401,
            &["WWW-Authenticate: Key"],
        );
        check(
            &format!("GET /key?apikey=k1 HTTP/1.1\r\n{close}\r\n"),
            200,
            &["GET / HTTP/1.1\r\n", "X-Consumer-Username: alice\r\n"],
        );
        // Keys in bodies: with a length, in chunks, and in one that is too long to look at.
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let head = format!("POST /key HTTP/1.1\r\n{close}{form}");
        check(
            &format!("{head}Content-Length: 13\r\n\r\napikey=k1&a=b"),
            200,
            &["Content-Length: 3\r\n", "\r\n\r\na=b"],
        );
        check(
            &format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n5\r\napike\r\n8\r\ny=k1&a=b\r\n0\r\n\r\n"
            ),
            200,
            &["Content-Length: 3\r\n", "\r\n\r\na=b"],
        );
        let long = format!("apikey=k1&a={}", "b".repeat(70_000));
        let length = long.len();
        check(
            &format!("{head}Content-Length: {length}\r\n\r\n{long}"),
            401,
            &["No API key found in request"],
        );
        check(
            &format!("GET /key HTTP/1.1\r\n{close}apikey: k1\r\n\r\n"),
            200,
            &["X-Consumer-Username: alice\r\n"],
        );
    });
}

/// The status of the answer and the request line that the upstream got.
fn passed(gateway: SocketAddr, request: &str) -> (u16, String) {
    let answer = ask(gateway, request);
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let line = body.lines().next().unwrap_or_default();
    (status.expect("a status"), line.to_owned())
}

const CLOSE: &str = "Host: a\r\nConnection: close\r\n";

#[test]
fn beside_09_a_fragment_goes_no_further() {
    serve(|gateway, _records| {
        for (target, expected) in [
            ("/r/x?#f", "GET /x HTTP/1.1"),
            ("/r/x?y#f", "GET /x?y HTTP/1.1"),
            ("/r/x?y", "GET /x?y HTTP/1.1"),
            ("/key?apikey=k1#x", "GET / HTTP/1.1"),
        ] {
            let found = passed(gateway, &format!("GET {target} HTTP/1.1\r\n{CLOSE}\r\n"));
            assert_eq!(found, (200, expected.to_owned()), "{target}");
        }
    });
}

#[test]
fn beside_02_and_trial_25_ambiguous_requests_are_refused() {
    serve(|gateway, _records| {
        let status = |lines: &str, body: &str| {
            let request = format!("POST /r HTTP/1.1\r\n{CLOSE}{lines}\r\n{body}");
            passed(gateway, &request).0
        };
        for lines in [
            "Authorization: a\r\nAuthorization: b\r\n",
            "If-Match: a\r\nif-match: a\r\n",
            "nocolon\r\n",
            "x(y: 1\r\n",
            "x\u{e9}: 1\r\n",
        ] {
            assert_eq!(status(lines, ""), 400, "{lines:?}");
        }
        assert_eq!(status("Cookie: a\r\nCookie: b\r\n", ""), 200);
        let chunked = "Transfer-Encoding: chunked\r\n";
        for body in [
            "5 x\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\nnocolon\r\n\r\n",
            "5\r\nhello\r\n0\r\nx(y: 1\r\n\r\n",
        ] {
            assert_eq!(status(chunked, body), 400, "{body:?}");
        }
        assert_eq!(status(chunked, "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"), 200);
    });
}
