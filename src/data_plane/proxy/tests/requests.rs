//! From the client's head to the upstream's: route, gates, URI, Host.

use super::super::testing::{Harness, body, entity, header, reference};
use super::super::{ProxySettings, Trust};
use crate::data_plane::exchange::Pipeline;
use crate::data_plane::exchange::{TlsInfo, Upgrade};
use crate::model::Kind;
use serde_json::{Value, json};
use std::sync::Arc;

/// A route for `/r` of a service at `10.0.0.1:19000`.
fn proxy(route: Value, service: Value) -> Harness {
    with(route, service, ProxySettings::default())
}

fn with(route: Value, service: Value, settings: ProxySettings) -> Harness {
    let mut service_fields = json!({"name": "s", "host": "10.0.0.1", "port": 19000});
    let mut route_fields = json!({"name": "r", "paths": ["/r"], "service": reference(1)});
    let merge = |into: &mut Value, from: Value| {
        let from = from.as_object().expect("an object").clone();
        into.as_object_mut().expect("an object").extend(from);
    };
    merge(&mut service_fields, service);
    merge(&mut route_fields, route);
    let entities = vec![
        entity(Kind::Services, 1, service_fields),
        entity(Kind::Routes, 2, route_fields),
    ];
    Harness::with(
        entities,
        settings,
        Arc::new(crate::plugins::Factory::default()),
    )
}

#[test]
fn a_request_goes_to_its_service() {
    let mut proxy = proxy(json!({}), json!({"path": "/base"}));
    proxy
        .access("GET /r/%7Ex?y=1&z HTTP/1.1\r\nHost: Client.Example:1234\r\n")
        .expect("forwarded");
    let attempt = proxy.attempt(None).expect("an address");
    assert_eq!(
        (&*attempt.address.host, attempt.address.port),
        ("10.0.0.1", 19000)
    );
    assert!(attempt.tls.is_none());
    let buffering = proxy.proxy.buffering(&proxy.exchange);
    assert!(buffering.request && buffering.response);
    let lines = proxy.upstream_request();
    let id = proxy.exchange.request_id.as_str().to_owned();
    assert_eq!(
        lines,
        [
            "GET /base/~x?y=1&z HTTP/1.1",
            "Host: 10.0.0.1:19000",
            "Connection: keep-alive",
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: client.example",
            "X-Forwarded-Port: 8000",
            "X-Forwarded-Path: /r/%7Ex",
            "X-Forwarded-Prefix: /r",
            "X-Real-IP: 127.0.0.1",
            &format!("Via: 1.1 {}", super::super::PRODUCT),
            &format!("X-Kong-Request-Id: {id}"),
        ]
    );
}

#[test]
fn the_host_is_the_upstreams_unless_preserved() {
    let check = |route: Value, service: Value, expected: &str| {
        let mut proxy = proxy(route.clone(), service.clone());
        let lines = proxy.forward("GET /r HTTP/1.1\r\nHost: Client.Example:1234\r\n");
        let lines = lines.expect("forwarded");
        assert_eq!(lines[1], format!("Host: {expected}"), "{route} {service}");
    };
    check(json!({}), json!({}), "10.0.0.1:19000");
    check(
        json!({"preserve_host": true}),
        json!({}),
        "Client.Example:1234",
    );
    check(json!({}), json!({"host": "svc.test"}), "svc.test:19000");
    check(
        json!({}),
        json!({"host": "svc.test", "port": 80}),
        "svc.test",
    );
    check(
        json!({}),
        json!({"host": "svc.test", "port": 443}),
        "svc.test:443",
    );
    let https = json!({"host": "svc.test", "port": 443, "protocol": "https"});
    check(json!({}), https, "svc.test");
    let odd = json!({"host": "svc.test", "port": 80, "protocol": "https"});
    check(json!({}), odd, "svc.test:80");
    check(json!({}), json!({"host": "::1"}), "[::1]:19000");
}

#[test]
fn an_upstream_brings_targets_and_a_host() {
    let check = |upstream: Value, route: Value, expected: &str| {
        let mut upstream_fields = json!({"name": "up"});
        let fields = upstream.as_object().expect("an object").clone();
        upstream_fields
            .as_object_mut()
            .expect("an object")
            .extend(fields);
        let mut route_fields = json!({"paths": ["/r"], "service": reference(1)});
        let fields = route.as_object().expect("an object").clone();
        route_fields
            .as_object_mut()
            .expect("an object")
            .extend(fields);
        let mut proxy = Harness::new(vec![
            entity(Kind::Services, 1, json!({"host": "up", "port": 1})),
            entity(Kind::Routes, 2, route_fields),
            entity(Kind::Upstreams, 3, upstream_fields),
            entity(
                Kind::Targets,
                4,
                json!({"upstream": reference(3), "target": "t.test:19000"}),
            ),
        ]);
        proxy
            .access("GET /r HTTP/1.1\r\nHost: cli.com\r\n")
            .expect("forwarded");
        let attempt = proxy.attempt(None).expect("an address");
        assert_eq!(
            (&*attempt.address.host, attempt.address.port),
            ("t.test", 19000)
        );
        assert_eq!(proxy.upstream_request()[1], format!("Host: {expected}"));
    };
    check(json!({}), json!({}), "t.test:19000");
    check(
        json!({"host_header": "from.upstream"}),
        json!({}),
        "from.upstream:19000",
    );
    check(
        json!({"host_header": "from.upstream"}),
        json!({"preserve_host": true}),
        "cli.com",
    );
}

#[test]
fn https_routes_redirect_plain_requests() {
    let check = |code: u16, request: &str, status: u16, location: Option<&str>| {
        let route = json!({"protocols": ["https"], "https_redirect_status_code": code});
        let reply = proxy(route, json!({}))
            .access(request)
            .expect_err("an answer");
        assert_eq!(reply.status, status);
        assert_eq!(header(&reply, "location").as_deref(), location);
        reply
    };
    let request = "GET /r/z?q=1 HTTP/1.1\r\nHost: Host.Com:8000\r\n";
    let location = Some("https://host.com/r/z?q=1");
    for code in [301, 302, 307, 308] {
        let reply = check(code, request, code, location);
        let content_type = match code {
            301 | 302 => "text/html",
            _ => "text/html; charset=UTF-8",
        };
        assert_eq!(
            header(&reply, "content-type").as_deref(),
            Some(content_type)
        );
        assert!(body(&reply).contains(&format!("<title>{code} ")));
    }
    let reply = check(426, request, 426, None);
    assert!(body(&reply).contains("\"message\":\"Please use HTTPS protocol\""));
    assert_eq!(
        header(&reply, "upgrade").as_deref(),
        Some("TLS/1.2, HTTP/1.1")
    );
    assert_eq!(header(&reply, "connection").as_deref(), Some("Upgrade"));
    // An untrusted peer cannot claim to have come by TLS.
    check(
        426,
        "GET /r HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n",
        426,
        None,
    );
}

#[test]
fn what_counts_as_https() {
    let check = |tls: bool, trusted: bool, scheme: &str, forwarded: bool| {
        let settings = ProxySettings {
            trust: Trust {
                proxies: "127.0.0.1"
                    .parse()
                    .into_iter()
                    .filter(|_| trusted)
                    .collect(),
                ..Trust::default()
            },
            ..ProxySettings::default()
        };
        let mut proxy = with(json!({"protocols": ["https"]}), json!({}), settings);
        proxy.connection.tls = tls.then(TlsInfo::default);
        let request = format!("GET /r HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: {scheme}\r\n");
        assert_eq!(
            proxy.access(&request).is_ok(),
            forwarded,
            "{tls} {trusted} {scheme}"
        );
    };
    check(true, false, "", true);
    check(true, false, "http", true);
    check(false, false, "https", false);
    check(false, true, "https", true);
    check(false, true, "", false);
    check(true, true, "http", false);
}

#[test]
fn a_trusted_redirect_names_the_forwarded_host() {
    let settings = ProxySettings {
        trust: Trust {
            proxies: vec!["127.0.0.1".parse().expect("an address")],
            ..Trust::default()
        },
        ..ProxySettings::default()
    };
    let route = json!({"protocols": ["https"], "https_redirect_status_code": 301});
    let mut proxy = with(route, json!({}), settings);
    let request = "GET /r HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: Public.Example\r\n";
    let reply = proxy.access(request).expect_err("a redirect");
    assert_eq!(
        header(&reply, "location").as_deref(),
        Some("https://Public.Example/r")
    );
}

#[test]
fn grpc_routes_take_grpc_alone() {
    let check = |protocols: Value, request: &str, status: u16, expected: &str| {
        let route = json!({"protocols": protocols, "strip_path": false});
        let reply = proxy(route, json!({}))
            .access(request)
            .expect_err("an answer");
        assert_eq!(reply.status, status);
        let text = format!("{}{:?}", body(&reply), header(&reply, "grpc-message"));
        assert!(text.contains(expected), "{text}");
    };
    check(
        json!(["grpc"]),
        "GET /r HTTP/1.1\r\nHost: a\r\n",
        415,
        "\"message\":\"Non-gRPC request matched gRPC route\"",
    );
    let grpc = "POST /r HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n";
    check(json!(["grpc"]), grpc, 426, "Please use HTTP2 protocol");
    check(
        json!(["grpcs"]),
        &grpc.replace("HTTP/1.1", "HTTP/2"),
        200,
        "gRPC request matched gRPCs route",
    );
}

#[test]
fn websockets_may_be_asked_for() {
    let check = |request: &str, expected: Upgrade| {
        let mut proxy = proxy(json!({}), json!({}));
        let lines = proxy.forward(request).expect("forwarded");
        assert_eq!(proxy.proxy.upgrade(&proxy.exchange), expected);
        let asked = lines.contains(&"Upgrade: websocket".to_owned());
        assert_eq!(asked, expected == Upgrade::WebSocket);
    };
    check("GET /r HTTP/1.1\r\nHost: a\r\n", Upgrade::None);
    let upgrade = "GET /r HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n";
    check(upgrade, Upgrade::WebSocket);
    check(&upgrade.replace("HTTP/1.1", "HTTP/1.0"), Upgrade::None);
    check(&upgrade.replace("WebSocket", "h2c"), Upgrade::None);
}

#[test]
fn debug_headers_tell_route_and_service() {
    let check = |allowed: bool, request: &str, expected: bool| {
        let settings = ProxySettings {
            allow_debug_header: allowed,
            ..ProxySettings::default()
        };
        let mut proxy = with(json!({}), json!({}), settings);
        proxy.forward(request).expect("forwarded");
        let (_, lines) = proxy.response("HTTP/1.1 200 OK\r\nKong-Route-Id: fake\r\n");
        let found: Vec<&str> = lines
            .iter()
            .map(String::as_str)
            .filter(|line| line.starts_with("Kong-"))
            .collect();
        let told = [
            "Kong-Route-Id: 00000000-0000-0000-0000-000000000002",
            "Kong-Route-Name: r",
            "Kong-Service-Id: 00000000-0000-0000-0000-000000000001",
            "Kong-Service-Name: s",
        ];
        match expected {
            true => assert_eq!(found, told),
            false => assert_eq!(found, ["Kong-Route-Id: fake"]),
        }
    };
    let debug = "GET /r HTTP/1.1\r\nHost: a\r\nKong-Debug: 1\r\n";
    check(true, debug, true);
    check(false, debug, false);
    check(true, "GET /r HTTP/1.1\r\nHost: a\r\n", false);

    // Gates and plugins answer with them too.
    let settings = ProxySettings {
        allow_debug_header: true,
        ..ProxySettings::default()
    };
    let mut proxy = with(json!({"protocols": ["https"]}), json!({}), settings);
    let reply = proxy.access(debug).expect_err("426");
    assert_eq!(header(&reply, "kong-route-name").as_deref(), Some("r"));
}

#[test]
fn an_exchange_forgets_the_request_before() {
    let mut proxy = proxy(json!({}), json!({}));
    let first = proxy.forward("GET /r/%7Ea?q HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n");
    proxy.response("HTTP/1.1 200 OK\r\n");
    proxy.finish();
    assert!(
        proxy.exchange.current.is_none(),
        "an idle connection holds no snapshot"
    );
    assert!(proxy.access("GET /other HTTP/1.1\r\nHost: a\r\n").is_err());
    proxy.finish();
    let third = proxy.forward("GET /r HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(first.expect("forwarded")[0], "GET /~a?q HTTP/1.1");
    assert_eq!(third.expect("forwarded")[0], "GET / HTTP/1.1");
}

#[test]
fn requests_keep_their_snapshot() {
    let mut proxy = proxy(json!({}), json!({}));
    proxy
        .access("GET /r HTTP/1.1\r\nHost: a\r\n")
        .expect("forwarded");
    proxy.snapshots.store(Arc::default());
    proxy.attempt(None).expect("the service of its snapshot");
    proxy.finish();
    let reply = proxy.access("GET /r HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(reply.map_err(|reply| reply.status), Err(404));
}
