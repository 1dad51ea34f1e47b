//! What key-auth lets in, refuses and tells the upstream.

use super::*;
use crate::plugins::Identity;
use crate::plugins::runtime::testing::{People, Request, built};
use serde_json::{Value, json};

const ALICE: u128 = 1;
const BOB: u128 = 2;
const ANON: u128 = 3;

fn people() -> People {
    let mut people = People::default();
    people
        .add(ALICE, "alice", Some("alice-cid"))
        .add(BOB, "bob", None)
        .add(ANON, "anon", None)
        .key(0x11, ALICE, "k1", None)
        .key(0x22, BOB, "k2", None)
        .key(0x33, BOB, "old", Some(1_700_000_000))
        .key(0x44, BOB, "young", Some(1_700_000_001))
        .key(0x55, 99, "orphan", None);
    people
}

fn request(text: &str) -> Request {
    let mut request = Request::new(text);
    request.people = people();
    request
}

/// The outcome as text: the consumer's name, or the answer.
fn outcome(config: Value, request: &mut Request) -> String {
    let handler = built("key-auth", config);
    match request.access(&*handler) {
        Flow::Continue => match &request.identity.consumer {
            Some(consumer) => consumer.username.as_deref().expect("a name").to_owned(),
            None => "nobody".to_owned(),
        },
        Flow::Refuse(refusal) => {
            let headers: Vec<String> = refusal
                .headers
                .iter()
                .map(|(name, value)| format!(" {name}: {}", String::from_utf8_lossy(value)))
                .collect();
            format!("{} {}{}", refusal.status, refusal.message, headers.concat())
        }
        Flow::Fail(reason) => format!("fail: {reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_are_found_by_name_and_place() {
    let check = |config: Value, text: &str, expected: &str| {
        let found = outcome(config.clone(), &mut request(text));
        assert_eq!(found, expected, "{config} {text}");
    };
    let none = "401 No API key found in request WWW-Authenticate: Key";
    let duplicate = "401 Duplicate API key found WWW-Authenticate: Key";
    let bad = "401 Unauthorized WWW-Authenticate: Key";
    let plain = || json!({});
    check(plain(), "GET / HTTP/1.1\r\n", none);
    check(plain(), "GET / HTTP/1.1\r\napikey: k1\r\n", "alice");
    check(plain(), "GET / HTTP/1.1\r\nApiKey: k2\r\n", "bob");
    check(plain(), "GET / HTTP/1.1\r\napikey: bad\r\n", bad);
    check(plain(), "GET / HTTP/1.1\r\napikey: \r\n", none);
    check(plain(), "GET /?apikey=k1&z=1 HTTP/1.1\r\n", "alice");
    check(plain(), "GET /?apikey=%6B1 HTTP/1.1\r\n", "alice");
    check(plain(), "GET /?apikey=bad HTTP/1.1\r\n", bad);
    check(plain(), "GET /?apikey HTTP/1.1\r\n", none);
    check(plain(), "GET /?apikey= HTTP/1.1\r\n", none);
    check(plain(), "GET /?apikey=k1&apikey=k1 HTTP/1.1\r\n", duplicate);
    check(
        plain(),
        "GET / HTTP/1.1\r\napikey: k1\r\napikey: k2\r\n",
        duplicate,
    );
    // A header comes before the query, and even an empty one ends the search.
    check(plain(), "GET /?apikey=k1 HTTP/1.1\r\napikey: k2\r\n", "bob");
    check(plain(), "GET /?apikey=k1 HTTP/1.1\r\napikey: \r\n", none);
    let names = || json!({"key_names": ["x-key", "apikey"]});
    check(names(), "GET /?x-key=k1&apikey=k2 HTTP/1.1\r\n", "alice");
    check(names(), "GET / HTTP/1.1\r\napikey: k2\r\n", "bob");
    let query_only = || json!({"key_in_header": false, "realm": "my-realm"});
    check(
        query_only(),
        "GET / HTTP/1.1\r\napikey: k1\r\n",
        "401 No API key found in request WWW-Authenticate: Key realm=\"my-realm\"",
    );
    check(query_only(), "GET /?apikey=k1 HTTP/1.1\r\n", "alice");
    let header_only = || json!({"key_in_query": false});
    check(header_only(), "GET /?apikey=k1 HTTP/1.1\r\n", none);
    // Keys with an end.
    check(plain(), "GET / HTTP/1.1\r\napikey: old\r\n", bad);
    check(plain(), "GET / HTTP/1.1\r\napikey: young\r\n", "bob");
    check(
        plain(),
        "GET / HTTP/1.1\r\napikey: orphan\r\n",
        "fail: a key belongs to a consumer that is missing",
    );
}

#[test]
fn beside_03_an_argument_without_a_value_is_one_too() {
    let check = |target: &str, expected: &str| {
        let found = outcome(
            json!({}),
            &mut request(&format!("GET {target} HTTP/1.1\r\n")),
        );
        assert_eq!(
            found,
            format!("401 {expected} WWW-Authenticate: Key"),
            "{target}"
        );
    };
    let duplicate = "Duplicate API key found";
    check("/a?apikey=k1&apikey", duplicate);
    check("/a?apikey&apikey=k1", duplicate);
    check("/a?apikey&apikey", duplicate);
    check("/a?apikey=&apikey=k1", duplicate);
    check("/a?apikey", "No API key found in request");

    // A name that is there is not looked for in the body, but the next one is.
    let names = json!({"key_names": ["a", "b"], "key_in_body": true});
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let mut request = request(&format!("POST /?a HTTP/1.1\r\n{form}"));
    request.body = Some(b"a=k1&b=k2".to_vec());
    assert_eq!(outcome(names, &mut request), "bob");
}

#[test]
fn beside_06_a_key_name_with_underscores_finds_hyphens() {
    let check = |name: &str, lines: &str, expected: &str, upstream: &[&str]| {
        let config = json!({"key_names": [name], "hide_credentials": true});
        let mut request = request(&format!("GET / HTTP/1.1\r\n{lines}"));
        assert_eq!(outcome(config, &mut request), expected, "{name} {lines:?}");
        let keys = |line: &String| line.to_lowercase().starts_with("api");
        let mut sent = request.upstream_headers();
        sent.retain(keys);
        assert_eq!(sent, upstream, "{name} {lines:?}");
    };
    let none = "401 No API key found in request WWW-Authenticate: Key";
    check("api_key", "api-key: k1\r\n", "alice", &[]);
    check("api_key", "api_key: k1\r\n", "alice", &[]);
    check("api_key", "api-key: k2\r\napi_key: k1\r\n", "alice", &[]);
    check("api-key", "api_key: k1\r\n", none, &["api_key: k1"]);
}

#[test]
fn keys_are_found_in_the_body() {
    let check = |content_type: &str, body: &str, expected: &str, rest: Option<&str>| {
        let text = format!("POST / HTTP/1.1\r\nContent-Type: {content_type}\r\n");
        let mut request = request(&text);
        request.body = Some(body.as_bytes().to_vec());
        let config = json!({"key_in_body": true, "hide_credentials": true});
        assert_eq!(outcome(config, &mut request), expected, "{body}");
        let left = request
            .upstream
            .body
            .as_deref()
            .map(String::from_utf8_lossy);
        assert_eq!(left.as_deref(), rest, "{body}");
    };
    let none = "401 No API key found in request WWW-Authenticate: Key";
    let form = "application/x-www-form-urlencoded";
    check(form, "apikey=k1&a=b", "alice", Some("a=b"));
    check(
        "application/json",
        r#"{"apikey":"k1","a":1}"#,
        "alice",
        Some(r#"{"a":1}"#),
    );
    check("text/plain", "apikey=k1", none, None);

    // Not looked at unless configured.
    let mut request = request(&format!("POST / HTTP/1.1\r\nContent-Type: {form}\r\n"));
    request.body = Some(b"apikey=k1".to_vec());
    assert_eq!(outcome(json!({}), &mut request), none);
}

#[test]
fn preflights_may_pass() {
    let preflight = "OPTIONS / HTTP/1.1\r\n";
    let check = |config: Value, text: &str, expected: &str| {
        assert_eq!(outcome(config, &mut request(text)), expected);
    };
    let none = "401 No API key found in request WWW-Authenticate: Key";
    check(json!({"run_on_preflight": false}), preflight, "nobody");
    check(json!({}), preflight, none);
    check(
        json!({"run_on_preflight": false}),
        "GET / HTTP/1.1\r\n",
        none,
    );
}

#[test]
fn anonymous_stands_in() {
    let check = |anonymous: &str, text: &str, expected: &str| {
        let found = outcome(json!({"anonymous": anonymous}), &mut request(text));
        assert_eq!(found, expected, "{anonymous} {text}");
    };
    let with = "GET / HTTP/1.1\r\napikey: k1\r\n";
    let without = "GET / HTTP/1.1\r\n";
    check("anon", without, "anon");
    check("anon", "GET / HTTP/1.1\r\napikey: bad\r\n", "anon");
    check("anon", with, "alice");
    check("00000000-0000-0000-0000-000000000003", without, "anon");
    check("nobody", without, "500 An unexpected error occurred");
    check("nobody", with, "alice");

    // Another plugin has already authenticated the request.
    let mut twice = request(with);
    twice.identity = Identity {
        consumer: Some(twice.people.consumers[1].clone()),
        credential: Some(Uuid::from_u128(9)),
    };
    assert_eq!(outcome(json!({"anonymous": "anon"}), &mut twice), "bob");
    // Without `anonymous` the later plugin must pass too, and its identity wins.
    assert_eq!(outcome(json!({}), &mut twice), "alice");
}

#[test]
fn the_upstream_learns_who_it_is() {
    let check = |config: Value, text: &str, expected: &[&str]| {
        let mut request = request(text);
        outcome(config, &mut request);
        assert_eq!(request.upstream_headers(), expected, "{text}");
    };
    check(
        json!({}),
        "GET / HTTP/1.1\r\napikey: k1\r\nX-Consumer-ID: spoof\r\nX-Anonymous-Consumer: true\r\n",
        &[
            "apikey: k1",
            "X-Consumer-ID: 00000000-0000-0000-0000-000000000001",
            "X-Consumer-Custom-ID: alice-cid",
            "X-Consumer-Username: alice",
            "X-Credential-Identifier: 00000000-0000-0000-0000-000000000011",
        ],
    );
    check(
        json!({"anonymous": "anon"}),
        "GET / HTTP/1.1\r\nX-Credential-Identifier: s\r\nX-Consumer-Custom-ID: c\r\n",
        &[
            "X-Consumer-ID: 00000000-0000-0000-0000-000000000003",
            "X-Consumer-Username: anon",
            "X-Anonymous-Consumer: true",
        ],
    );
    // A refused request keeps what the client sent.
    check(
        json!({}),
        "GET / HTTP/1.1\r\nX-Consumer-ID: spoof\r\n",
        &["X-Consumer-ID: spoof"],
    );
}

#[test]
fn credentials_are_hidden() {
    let check = |text: &str, headers: &[&str], query: Option<&str>| {
        let mut request = request(text);
        let config = json!({"hide_credentials": true, "key_names": ["x-key", "apikey"]});
        outcome(config, &mut request);
        let left: Vec<String> = request
            .upstream_headers()
            .into_iter()
            .filter(|line| !line.starts_with("X-C"))
            .collect();
        assert_eq!(left, headers, "{text}");
        let query_left = request
            .upstream
            .query
            .as_deref()
            .map(String::from_utf8_lossy);
        assert_eq!(query_left.as_deref(), query, "{text}");
    };
    check("GET / HTTP/1.1\r\napikey: k1\r\nA: b\r\n", &["A: b"], None);
    check("GET /?apikey=k1&z=%31 HTTP/1.1\r\n", &[], Some("z=%31"));
    check("GET /?apikey=k1 HTTP/1.1\r\napikey: k2\r\n", &[], Some(""));
    // Only the name that the key was found under.
    check(
        "GET /?x-key=k1&apikey=k2 HTTP/1.1\r\n",
        &[],
        Some("apikey=k2"),
    );
}
