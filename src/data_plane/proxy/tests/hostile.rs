//! Requests of people who mean harm, and configurations that would break a message.

use super::super::testing::{Harness, entity, reference};
use crate::data_plane::exchange::TlsInfo;
use crate::model::{Kind, Row};
use serde_json::{Value, json};
use uuid::Uuid;

fn route(n: u128, fields: Value) -> (Kind, Uuid, Row) {
    let mut route = json!({"name": format!("r{n}"), "service": reference(1)});
    let fields = fields.as_object().expect("an object").clone();
    route.as_object_mut().expect("an object").extend(fields);
    entity(Kind::Routes, n, route)
}

fn service(path: &str) -> (Kind, Uuid, Row) {
    entity(Kind::Services, 1, json!({"host": "svc.test", "path": path}))
}

/// What the upstream is asked for, or the status.
fn sent(proxy: &mut Harness, target: &str) -> Result<String, u16> {
    let lines = proxy.forward(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n"))?;
    let target = lines[0].split(' ').nth(1).expect("a target");
    Ok(target.to_owned())
}

#[test]
fn trial_21_no_spelling_of_a_host_misses_its_route() {
    let routes = |hosts: Value| {
        Harness::new(vec![
            service("/"),
            route(2, json!({"methods": ["GET"]})),
            route(3, json!({"hosts": hosts})),
        ])
    };
    let check = |hosts: Value, host: &str, expected: &str| {
        let mut proxy = routes(hosts.clone());
        proxy
            .access(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n"))
            .expect("forwarded");
        let found = proxy.exchange.matched().expect("a route");
        assert_eq!(
            found.route.name.as_deref(),
            Some(expected),
            "{hosts} {host}"
        );
    };
    for host in [
        "secret.example",
        "SECRET.example",
        "secret.example.",
        "secret.example:",
        "Secret.Example.:",
        "secret.example.:8000",
    ] {
        check(json!(["secret.example"]), host, "r3");
        check(json!(["Secret.EXAMPLE."]), host, "r3");
        check(json!(["*.example"]), host, "r3");
        check(json!(["*.EXAMPLE"]), host, "r3");
        check(json!(["secret.*"]), host, "r3");
        check(json!(["Secret.*"]), host, "r3");
        check(json!(["secret.example:8000"]), host, "r3");
        check(json!(["secret.example:81"]), host, "r2");
    }
}

#[test]
fn trial_21_no_spelling_of_a_server_name_misses_its_route() {
    let check = |pattern: &str, sni: &str| {
        let mut proxy = Harness::new(vec![
            service("/"),
            route(2, json!({"snis": [pattern], "protocols": ["https"]})),
        ]);
        proxy.connection.tls = Some(TlsInfo {
            sni: Some(sni.into()),
            ..TlsInfo::default()
        });
        proxy
            .access("GET / HTTP/1.1\r\nHost: a\r\n")
            .unwrap_or_else(|reply| panic!("{pattern} {sni}: {}", reply.status));
    };
    for pattern in ["secret.example", "SECRET.example.", "*.Example", "Secret.*"] {
        check(pattern, "secret.example");
        check(pattern, "secret.example.");
    }
}

#[test]
fn trial_22_an_encoded_slash_does_not_lead_out_of_the_service() {
    let mut proxy = Harness::new(vec![
        service("/api/v1"),
        route(2, json!({"paths": ["/pub"]})),
    ]);
    for target in [
        "/pub/..%2fsecret",
        "/pub/%2e%2e%2fsecret",
        "/pub/%2e%2e%2Fsecret",
        "/pub/a%2f..%2f..%2fsecret",
        "/pub/..%5csecret",
        "/pub/..\\secret",
        "/pub/..;/secret",
        "/pub/..;x=y/secret",
        "/pub/..%3bx/secret",
        "/pub%2f..%2f..%2fsecret",
        "/pub..%2fsecret",
        "/pub..;/secret",
    ] {
        assert_eq!(sent(&mut proxy, target), Err(400), "{target}");
    }
    for (target, expected) in [
        ("/pub/a%2fb", "/api/v1/a%2Fb"),
        ("/pub/a%2f..%2fb", "/api/v1/a%2F..%2Fb"),
        ("/pub/a..b/..c", "/api/v1/a..b/..c"),
        ("/pub/a;p=1/b", "/api/v1/a;p=1/b"),
        ("/pub/a/../b", "/api/v1/b"),
        ("/pub?x=../..%2f", "/api/v1?x=../..%2f"),
        // Encoded twice: one decoding does not make a dot segment of it.
        ("/pub/..%252fsecret", "/api/v1/..%252fsecret"),
    ] {
        assert_eq!(
            sent(&mut proxy, target).as_deref(),
            Ok(expected),
            "{target}"
        );
    }
}

#[test]
fn trial_22_an_encoded_slash_does_not_lead_past_a_guard() {
    let mut proxy = Harness::new(vec![
        service("/"),
        route(2, json!({"paths": ["/"], "strip_path": false})),
        route(3, json!({"paths": ["/admin"], "strip_path": false})),
        route(4, json!({"paths": ["~/re/[a-z]+/.*"], "strip_path": false})),
        entity(
            Kind::Plugins,
            5,
            json!({"name": "key-auth", "route": reference(3)}),
        ),
    ]);
    assert_eq!(sent(&mut proxy, "/admin/x"), Err(401));
    for target in [
        "/pub/..%2fadmin/x",
        "/pub/..;/admin/x",
        "/pub/x%2f..%2f..%5cadmin",
        "/re/a/..%2f..%2fadmin",
        "/re/a/..%2f..%2fpub",
    ] {
        assert_eq!(sent(&mut proxy, target), Err(400), "{target}");
    }
    let within = "/pub/..%2Fother";
    assert_eq!(sent(&mut proxy, within).as_deref(), Ok(within));
}

#[test]
fn trial_26_no_name_of_a_consumer_breaks_a_header() {
    let mut proxy = Harness::new(vec![
        service("/"),
        route(2, json!({"paths": ["/"]})),
        entity(
            Kind::Consumers,
            3,
            json!({"username": "a\r\nX-Admin: 1\u{0}\u{1b}\u{7f}", "custom_id": "b\nc\té"}),
        ),
        entity(
            Kind::KeyauthCredentials,
            4,
            json!({"consumer": reference(3), "key": "k1"}),
        ),
        entity(Kind::Plugins, 5, json!({"name": "key-auth"})),
        entity(
            Kind::Plugins,
            6,
            json!({"name": "correlation-id", "config": {
                "header_name": "my id: x", "echo_downstream": true, "generator": "uuid",
            }}),
        ),
    ]);
    let lines = proxy
        .forward("GET / HTTP/1.1\r\nHost: a\r\napikey: k1\r\n")
        .expect("forwarded");
    for line in [
        "X-Consumer-Username: a%0D%0AX-Admin: 1%00%1B%7F",
        "X-Consumer-Custom-ID: b%0Ac\té",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line:?} in {lines:?}");
    }
    let (_, answered) = proxy.response("HTTP/1.1 200 OK\r\n");
    for lines in [&lines[1..], &answered[..]] {
        let id = lines
            .iter()
            .filter(|line| line.starts_with("my%20id%3A%20x: "));
        assert_eq!(id.count(), 1, "{lines:?}");
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header");
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_%".contains(&byte);
            assert!(name.bytes().all(token), "{line:?}");
            assert!(
                !value.chars().any(|c| c.is_ascii_control() && c != '\t'),
                "{line:?}"
            );
        }
    }
}
