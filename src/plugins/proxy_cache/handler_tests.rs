//! What is stored, what is answered from the store, and what is not.

use super::*;
use crate::plugins::runtime::testing::{Request, plugin};
use crate::plugins::{Consumer, Resources};
use serde_json::{Value, json};
use uuid::Uuid;

/// A node with one instance of the plugin.
struct Node(Arc<dyn Handler>);

/// What a client is told, if the cache answers.
#[derive(Debug, PartialEq)]
enum Seen {
    Hit {
        body: String,
        age: Option<String>,
    },
    /// `X-Cache-Status`, if it is shown.
    Upstream(Option<String>),
    Status(u16),
}

fn hit(body: &str, age: &str) -> Seen {
    Seen::Hit {
        body: body.to_owned(),
        age: Some(age.to_owned()),
    }
}

fn upstream(status: &str) -> Seen {
    Seen::Upstream(Some(status.to_owned()))
}

impl Node {
    fn new(mut config: Value) -> Node {
        config["strategy"] = json!("memory");
        let handler = build(&Build {
            plugin: &plugin("proxy-cache", config),
            resources: &Resources::default(),
        });
        Node(handler.expect("builds"))
    }

    fn ask(&self, request: &mut Request, response: &str, pieces: &[&str]) -> Seen {
        let value = |request: &Request, name: &str| {
            let value = request.response_edits.edited(name);
            value.map(|value| String::from_utf8_lossy(value).into_owned())
        };
        match request.access(&*self.0) {
            Flow::Continue => {}
            Flow::Status(status) => return Seen::Status(status),
            Flow::Respond(reply) => {
                assert!(reply.stored);
                assert_eq!(reply.header("x-cache-status"), Some(&b"Hit"[..]));
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                return Seen::Hit {
                    body: text(&reply.body),
                    age: reply.header("age").map(text),
                };
            }
            other => panic!("{other:?}"),
        }
        request.response(response);
        request.header_filter(&*self.0);
        if request.body_use(&*self.0) == BodyUse::Watch {
            let sent = request.body_filter(&*self.0, pieces).expect("goes on");
            assert_eq!(sent, pieces.concat().as_bytes());
        }
        Seen::Upstream(value(request, "x-cache-status"))
    }

    /// A request, so many milliseconds after the first.
    fn get(&self, after: u64, request: &str, response: &str) -> Seen {
        let mut request = Request::new(request);
        request.now.0 += after;
        self.ask(&mut request, response, &["bo", "dy"])
    }
}

const GET: &str = "GET /a HTTP/1.1\r\n";
const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";

#[test]
fn a_response_is_stored_and_found_as_long_as_it_is_fresh() {
    let node = Node::new(json!({"cache_ttl": 10}));
    assert_eq!(node.get(0, GET, PLAIN), upstream("Miss"));
    assert_eq!(node.get(0, GET, PLAIN), hit("body", "0"));
    assert_eq!(node.get(9_999, GET, PLAIN), hit("body", "9"));
    assert_eq!(node.get(10_000, GET, PLAIN), upstream("Miss"));
    // Kept longer than it is fresh: asked for anew.
    let node = Node::new(json!({"cache_ttl": 1, "storage_ttl": 10}));
    assert_eq!(node.get(0, GET, PLAIN), upstream("Miss"));
    assert_eq!(node.get(1_999, GET, PLAIN), hit("body", "1"));
    assert_eq!(node.get(2_000, GET, PLAIN), upstream("Refresh"));
    assert_eq!(node.get(2_000, GET, PLAIN), hit("body", "0"));
}

#[test]
fn some_requests_and_responses_bypass_the_cache() {
    let check = |config: Value, request: &str, response: &str| {
        let node = Node::new(config.clone());
        for _ in 0..2 {
            let seen = node.get(0, request, response);
            assert_eq!(seen, upstream("Bypass"), "{config} {request} {response}");
        }
    };
    let post = "POST /a HTTP/1.1\r\n";
    check(json!({}), post, PLAIN);
    check(json!({"request_method": ["POST"]}), GET, PLAIN);
    check(
        json!({}),
        GET,
        "HTTP/1.1 500 x\r\nContent-Type: text/plain\r\n",
    );
    check(
        json!({}),
        GET,
        "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n",
    );
    check(json!({}), GET, "HTTP/1.1 200 OK\r\n");
    for status in ["206", "304"] {
        let config = json!({"response_code": [200, 206, 304]});
        let response = format!("HTTP/1.1 {status} x\r\nContent-Type: text/plain\r\n");
        check(config, GET, &response);
    }
    let heeding = || json!({"cache_control": true});
    check(heeding(), GET, PLAIN);
    for directive in ["no-store", "private", "no-cache", "max-age=0", "public"] {
        let response = format!("{PLAIN}Cache-Control: {directive}\r\n");
        check(heeding(), GET, &response);
    }
    let long = format!("{PLAIN}Cache-Control: max-age=60\r\n");
    for directive in ["no-store", "no-cache"] {
        let request = format!("{GET}Cache-Control: {directive}\r\n");
        check(heeding(), &request, &long);
    }
    let authorized = format!("{GET}Authorization: x\r\n");
    check(heeding(), &authorized, &long);
    // A response that the gateway makes is not stored.
    let node = Node::new(json!({"response_code": [200, 502]}));
    let mut request = Request::new(GET);
    assert!(matches!(request.access(&*node.0), Flow::Continue));
    request.status = 502;
    request.header_filter(&*node.0);
    assert_eq!(request.body_use(&*node.0), BodyUse::None);
}

#[test]
fn cache_control_is_heeded_where_it_is_configured() {
    let node = Node::new(json!({"cache_control": true}));
    let long = format!("{PLAIN}Cache-Control: max-age=60\r\n");
    let asking = |directive: &str| format!("{GET}Cache-Control: {directive}\r\n");
    let only = asking("only-if-cached");
    assert_eq!(node.get(0, &only, &long), Seen::Status(504));
    assert_eq!(node.get(0, GET, &long), upstream("Miss"));
    assert_eq!(node.get(0, &only, &long), hit("body", "0"));
    assert_eq!(
        node.get(2000, &asking("max-age=2"), &long),
        hit("body", "2")
    );
    assert_eq!(
        node.get(2000, &asking("max-age=1"), &long),
        upstream("Refresh")
    );
    assert_eq!(
        node.get(2000, &asking("min-fresh=100"), &long),
        upstream("Refresh")
    );
    assert_eq!(
        node.get(61_000, &asking("max-stale=1"), &long),
        hit("body", "59")
    );
    let node = Node::new(json!({"cache_control": true}));
    let expires = format!("{PLAIN}Expires: Tue, 14 Nov 2023 22:13:25 GMT\r\n");
    assert_eq!(node.get(0, GET, &expires), upstream("Miss"));
    assert_eq!(node.get(4_000, GET, &expires), hit("body", "4"));
    // It is over by then, also for the response that has come.
    assert_eq!(node.get(5_000, GET, &expires), upstream("Bypass"));
    // Elsewhere nobody asks for it.
    let node = Node::new(json!({}));
    let none = format!("{PLAIN}Cache-Control: no-store\r\n");
    assert_eq!(node.get(0, &asking("no-store"), &none), upstream("Miss"));
    assert_eq!(node.get(0, &asking("no-store"), &none), hit("body", "0"));
}

#[test]
fn requests_are_told_apart() {
    let check = |config: Value, first: &str, second: &str, same: bool| {
        let node = Node::new(config.clone());
        node.get(0, first, PLAIN);
        let seen = node.get(0, second, PLAIN);
        let expected = if same {
            hit("body", "0")
        } else {
            upstream("Miss")
        };
        assert_eq!(seen, expected, "{config} {first} {second}");
    };
    let line = |target: &str| format!("GET {target} HTTP/1.1\r\n");
    let plain = |first: &str, second: &str, same| {
        check(json!({}), &line(first), &line(second), same);
    };
    plain("/a?x=1&y=2", "/a?y=2&x=1", true);
    plain("/a?x=1", "/a?x=2", false);
    plain("/a?x=1&x=2", "/a?x=2&x=1", false);
    plain("/a?x", "/a?x=", false);
    plain("/a?x=1", "/a", false);
    plain("/a?x=%31", "/a?x=1", true);
    plain("/a", "/A", false);
    check(
        json!({"ignore_uri_case": true}),
        &line("/a"),
        &line("/A"),
        true,
    );
    let some = json!({"vary_query_params": ["x"]});
    check(some.clone(), &line("/a?x=1&y=2"), &line("/a?x=1"), true);
    check(some, &line("/a?x=1"), &line("/a?x=2"), false);
    let header = |value: &str| format!("GET /a HTTP/1.1\r\nX-H: {value}\r\n");
    check(json!({}), &header("1"), &header("2"), true);
    let vary = json!({"vary_headers": ["x-h"]});
    check(vary.clone(), &header("1"), &header("2"), false);
    check(vary, &header("1"), &header("1"), true);
    check(json!({}), GET, "HEAD /a HTTP/1.1\r\n", false);
}

#[test]
fn consumers_have_responses_of_their_own() {
    let node = Node::new(json!({}));
    let ask = |consumer: u128| {
        let mut request = Request::new(GET);
        request.identity.consumer = Some(Consumer {
            id: Uuid::from_u128(consumer),
            username: None,
            custom_id: None,
        });
        node.ask(&mut request, PLAIN, &["x"])
    };
    assert_eq!(ask(1), upstream("Miss"));
    assert_eq!(ask(2), upstream("Miss"));
    assert_eq!(ask(1), hit("x", "0"));
}

#[test]
fn a_body_that_is_cut_short_is_not_kept() {
    let node = Node::new(json!({}));
    let mut request = Request::new(GET);
    assert!(matches!(request.access(&*node.0), Flow::Continue));
    request.response(PLAIN);
    request.header_filter(&*node.0);
    let mut chunk = Chunk {
        data: Bytes::from_static(b"bo"),
        last: false,
    };
    request.chunk(&*node.0, &mut chunk);
    drop(request);
    assert_eq!(node.get(0, GET, PLAIN), upstream("Miss"));
}

#[test]
fn headers_of_the_moment_are_not_kept() {
    let node = Node::new(json!({}));
    let response = format!(
        "{PLAIN}Content-Length: 4\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n\
         Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nAge: 7\r\nX-RateLimit-Remaining-Minute: 3\r\n\
         Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
    );
    let headers = |method: &str| {
        let text = format!("{method} /a HTTP/1.1\r\n");
        node.get(0, &text, &response);
        let mut request = Request::new(&text);
        let Flow::Respond(reply) = request.access(&*node.0) else {
            panic!("{method} is not a hit");
        };
        let names = reply.headers.iter().map(|(name, _)| name.to_string());
        names.collect::<Vec<_>>()
    };
    let kept = [
        "Content-Type",
        "Set-Cookie",
        "Set-Cookie",
        "Age",
        "X-Cache-Status",
    ];
    assert_eq!(headers("GET"), kept);
    // The length that a GET would have brought.
    assert_eq!(headers("HEAD")[1], "Content-Length");
}

#[test]
fn clients_are_told_what_is_configured() {
    let shown = json!({"age": false, "X-Cache-Status": true, "X-Cache-Key": false});
    let node = Node::new(json!({"response_headers": shown}));
    let mut request = Request::new(GET);
    assert_eq!(node.ask(&mut request, PLAIN, &["x"]), upstream("Miss"));
    assert_eq!(request.response_edits.edited("x-cache-key"), None);
    let seen = node.ask(&mut Request::new(GET), PLAIN, &["x"]);
    let expected = Seen::Hit {
        body: "x".to_owned(),
        age: None,
    };
    assert_eq!(seen, expected);
    let node = Node::new(json!({}));
    let mut request = Request::new(GET);
    node.ask(&mut request, PLAIN, &["x"]);
    let key = request.response_edits.edited("x-cache-key");
    assert_eq!(key.map(<[u8]>::len), Some(64));
}
