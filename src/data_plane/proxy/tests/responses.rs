//! From the upstream's response to the client's, and to the record.

use super::super::testing::{Harness, entity, id, reference};
use super::super::{PRODUCT, ProxySettings, ResponseTokens};
use crate::data_plane::exchange::{AttemptError, Outcome, Pipeline};
use crate::model::Kind;
use crate::telemetry::record::{Method, Named, Source};
use serde_json::json;
use std::sync::Arc;

fn proxy(settings: ProxySettings) -> Harness {
    let entities = vec![
        entity(Kind::Services, 1, json!({"name": "s", "host": "svc.test"})),
        entity(
            Kind::Routes,
            2,
            json!({"name": "r", "paths": ["/r"], "service": reference(1)}),
        ),
        entity(Kind::Consumers, 3, json!({"username": "alice"})),
        entity(
            Kind::KeyauthCredentials,
            4,
            json!({"consumer": reference(3), "key": "k1"}),
        ),
        entity(
            Kind::Routes,
            5,
            json!({"paths": ["/k"], "service": reference(1)}),
        ),
        entity(
            Kind::Plugins,
            6,
            json!({"name": "key-auth", "route": reference(5)}),
        ),
    ];
    Harness::with(
        entities,
        settings,
        Arc::new(crate::plugins::Factory::default()),
    )
}

const REQUEST: &str = "GET /r HTTP/1.1\r\nHost: a\r\n";

#[test]
fn a_response_gets_the_gateways_headers() {
    let mut proxy = proxy(ProxySettings::default());
    proxy.begin(REQUEST);
    proxy.pass(3);
    proxy.finish_access().expect("forwarded");
    proxy.attempt(None).expect("an address");
    proxy.pass(12);
    let (status, lines) = proxy.response(
        "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a\r\n",
    );
    assert_eq!(status, 201);
    let request_id = proxy.exchange.request_id.as_str();
    assert_eq!(
        lines,
        [
            "Set-Cookie: a".to_owned(),
            "Content-Type: text/plain; charset=UTF-8".to_owned(),
            "X-Kong-Upstream-Latency: 12".to_owned(),
            "X-Kong-Proxy-Latency: 3".to_owned(),
            format!("Via: 1.1 {PRODUCT}"),
            format!("Server: {PRODUCT}"),
            format!("X-Kong-Request-Id: {request_id}"),
        ]
    );
}

#[test]
fn settings_choose_the_headers() {
    let settings = ProxySettings {
        headers: ResponseTokens::from_words(&["x-kong-upstream-status"]),
        charset: None,
        request_id_upstream: false,
        ..ProxySettings::default()
    };
    let mut proxy = proxy(settings);
    let lines = proxy.forward(REQUEST).expect("forwarded");
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("X-Kong-Request-Id"))
    );
    let (_, lines) = proxy.response("HTTP/1.1 404 No\r\nContent-Type: text/html\r\n");
    assert_eq!(
        lines,
        ["Content-Type: text/html", "X-Kong-Upstream-Status: 404"]
    );
}

#[test]
fn a_proxied_request_is_recorded() {
    let mut proxy = proxy(ProxySettings::default());
    proxy.begin("POST /k HTTP/1.1\r\nHost: a\r\napikey: k1\r\n");
    proxy.pass(2);
    proxy.finish_access().expect("forwarded");
    proxy.attempt(None).expect("an address");
    proxy.pass(10);
    proxy.response("HTTP/1.1 500 Err\r\n");
    proxy.pass(5);
    let record = proxy.finish();
    let label = |label: &Option<Named>| {
        let label = label.as_ref().expect("a label");
        (label.id, label.name.to_string())
    };
    assert_eq!(label(&record.route), (id(5), id(5).to_string()));
    assert_eq!(label(&record.service), (id(1), "s".to_owned()));
    assert_eq!(label(&record.consumer), (id(3), "alice".to_owned()));
    assert_eq!((record.status, record.upstream_status), (500, 500));
    assert_eq!(
        (record.source, record.method),
        (Source::Service, Method::Post)
    );
    assert_eq!(
        (record.total_us, record.gateway_us, record.upstream_us),
        (17_000, 2000, Some(10_000))
    );
    assert_eq!((record.request_bytes, record.response_bytes), (10, 20));
    assert_eq!(record.started_at, 1_700_000_000_000);
    assert_eq!(record.client_ip.to_string(), "127.0.0.1");
}

#[test]
fn an_own_answer_is_recorded() {
    let mut proxy = proxy(ProxySettings::default());
    proxy.begin("GET /k HTTP/1.1\r\nHost: a\r\n");
    proxy.pass(2);
    proxy.finish_access().expect_err("401");
    let record = proxy.finish();
    assert_eq!((record.status, record.upstream_status), (401, 0));
    assert_eq!((record.source, record.upstream_us), (Source::Gateway, None));
    assert_eq!((record.total_us, record.gateway_us), (2000, 2000));
    assert!(record.route.is_some() && record.consumer.is_none());

    proxy
        .access("GET /none HTTP/1.1\r\nHost: a\r\n")
        .expect_err("404");
    let record = proxy.finish();
    assert_eq!((record.status, record.route), (404, None));

    proxy.access(REQUEST).expect("forwarded");
    proxy.attempt(None).expect("an address");
    proxy
        .attempt(Some(AttemptError::BadResponse))
        .expect_err("502");
    let record = proxy.finish();
    assert_eq!((record.status, record.upstream_status), (502, 0));
    assert_eq!(record.source, Source::Gateway);
}

#[test]
fn a_client_that_leaves_early_is_recorded() {
    let mut proxy = proxy(ProxySettings::default());
    proxy.access(REQUEST).expect("forwarded");
    proxy.attempt(None).expect("an address");
    let outcome = Outcome {
        client_closed: true,
        ..Outcome::default()
    };
    proxy.proxy.finish(&mut proxy.exchange, outcome);
    let record = proxy.records.0.borrow_mut().pop().expect("a record");
    assert_eq!((record.status, record.upstream_us), (499, None));
}
