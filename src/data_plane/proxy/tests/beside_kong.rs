//! What differed when the same requests went to a real Kong.

use super::super::ProxySettings;
use super::super::testing::{Harness, body, entity, header, id, reference, request_head};
use crate::data_plane::exchange::{Pipeline, Refusal, Reply};
use crate::model::{Kind, Row};
use crate::plugins::{BUNDLED, EnabledPlugins, Factory, NodeName, Resources};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// A route `/a` of a service, with a global plugin and more.
fn proxy(plugin: &str, config: Value, more: Vec<(Kind, Uuid, Row)>) -> Harness {
    let mut entities = vec![
        entity(Kind::Services, 1, json!({"name": "s", "host": "svc.test"})),
        entity(
            Kind::Routes,
            2,
            json!({"name": "r", "paths": ["/a", "~/re/(?<word>[a-z]+)/(\\d*)$"], "service": reference(1)}),
        ),
        entity(Kind::Plugins, 3, json!({"name": plugin, "config": config})),
    ];
    entities.extend(more);
    let node = NodeName {
        id: id(99),
        hostname: "here".into(),
    };
    let factory = Factory::new(BUNDLED, EnabledPlugins::default()).with(Resources::named(node));
    Harness::with(entities, ProxySettings::default(), Arc::new(factory))
}

fn answer(proxy: &mut Harness, request: &str) -> Reply {
    proxy.access(request).expect_err("an answer of the gateway")
}

#[test]
fn beside_05_a_termination_without_a_message_says_what_kong_says() {
    let check = |status: u16, expected_status: u16, content_type: Option<&str>, text: &str| {
        let mut proxy = proxy(
            "request-termination",
            json!({"status_code": status}),
            vec![],
        );
        let reply = answer(&mut proxy, "GET /a HTTP/1.1\r\nHost: a\r\n");
        assert_eq!(reply.status, expected_status, "{status}");
        assert_eq!(
            header(&reply, "content-type").as_deref(),
            content_type,
            "{status}"
        );
        let request_id = proxy.exchange.request_id.as_str();
        assert_eq!(body(&reply), text.replace("ID", request_id), "{status}");
        assert_eq!(reply.close, status < 200, "{status}");
    };
    let pages = [
        (301, "301 Moved Permanently"),
        (302, "302 Found"),
        (403, "403 Forbidden"),
        (406, "406 Not Acceptable"),
        (409, "409 Conflict"),
        (410, "410 Gone"),
        (415, "415 Unsupported Media Type"),
        (416, "416 Requested Range Not Satisfiable"),
        (421, "421 Misdirected Request"),
        (429, "429 Too Many Requests"),
        (501, "501 Not Implemented"),
        (505, "505 HTTP Version Not Supported"),
        (507, "507 Insufficient Storage"),
    ];
    for (status, title) in pages {
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
        );
        let content_type = match status {
            301 | 302 => "text/html",
            _ => "text/html; charset=UTF-8",
        };
        check(status, status, Some(content_type), &page);
    }
    let texts = [
        (400, 400, "Bad request"),
        (411, 411, "Length required"),
        (412, 412, "Precondition failed"),
        (413, 413, "Payload too large"),
        (414, 414, "URI too long"),
        (417, 417, "Expectation failed"),
        (494, 400, "Request header or cookie too large"),
        (504, 504, "The upstream server is timing out"),
        // Kong closes the connection without an answer.
        (408, 408, "Request timeout"),
    ];
    for (status, expected, text) in texts {
        let text = format!("{text}\nrequest_id: ID\n");
        check(status, expected, Some("text/plain; charset=utf-8"), &text);
    }
    for status in [101, 200, 204, 304, 418, 422, 499, 599] {
        check(status, status, None, "");
    }
}

#[test]
fn beside_05_the_text_is_in_the_format_that_the_client_accepts() {
    let mut proxy = proxy("request-termination", json!({"status_code": 413}), vec![]);
    let reply = answer(
        &mut proxy,
        "GET /a HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n",
    );
    let message = "\"message\":\"Payload too large\"";
    assert!(body(&reply).contains(message), "{}", body(&reply));
}

#[test]
fn beside_07_a_correlation_id_is_on_answers_without_a_route() {
    let config = json!({"echo_downstream": true, "generator": "uuid", "header_name": "X-Cid"});
    let correlated = || proxy("correlation-id", config.clone(), vec![]);
    for (request, status) in [
        ("GET /none HTTP/1.1\r\nHost: a\r\n", 404),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n", 400),
    ] {
        let reply = answer(&mut correlated(), request);
        assert_eq!(reply.status, status);
        let made = header(&reply, "x-cid").expect("an id");
        assert!(Uuid::parse_str(&made).is_ok(), "{made}");
        let reply = answer(&mut correlated(), &format!("{request}x-cid: mine\r\n"));
        assert_eq!(header(&reply, "x-cid").as_deref(), Some("mine"));
    }

    // Refused by the driver, with and without a head that could be read.
    let proxy = correlated();
    let head = request_head("GET /a HTTP/1.1\r\nHost: a\r\nX-Cid: mine\r\n");
    for (head, expected) in [(Some(&head), Some("mine")), (None, None)] {
        let reply = proxy.refuse(head, Refusal::BadRequest);
        assert_eq!((reply.status, reply.close), (400, true));
        let found = header(&reply, "x-cid").expect("an id");
        match expected {
            Some(expected) => assert_eq!(found, expected),
            None => assert!(Uuid::parse_str(&found).is_ok(), "{found}"),
        }
    }
}

#[test]
fn beside_07_a_correlation_id_is_echoed_though_it_is_hidden() {
    let credentials = vec![
        entity(Kind::Consumers, 4, json!({"username": "alice"})),
        entity(
            Kind::KeyauthCredentials,
            5,
            json!({"consumer": reference(4), "key": "k1"}),
        ),
        entity(
            Kind::Plugins,
            6,
            json!({"name": "key-auth", "config": {"hide_credentials": true}}),
        ),
    ];
    let config = json!({"echo_downstream": true, "header_name": "apikey"});
    let mut proxy = proxy("correlation-id", config, credentials);
    let lines = proxy
        .forward("GET /a HTTP/1.1\r\nHost: a\r\napikey: k1\r\n")
        .expect("forwarded");
    assert!(
        !lines.iter().any(|line| line.starts_with("apikey")),
        "{lines:?}"
    );
    let (_, lines) = proxy.response("HTTP/1.1 200 OK\r\n");
    assert!(lines.contains(&"apikey: k1".to_owned()), "{lines:?}");
}

#[test]
fn trial_12_an_echo_has_the_route_the_service_and_the_captures() {
    let mut proxy = proxy("request-termination", json!({"echo": true}), vec![]);
    proxy.begin("POST /re/abc/ HTTP/1.1\r\nHost: a\r\n");
    assert_eq!(proxy.proxy.body_limit(&proxy.exchange), Some(64 * 1024));
    proxy
        .proxy
        .body(&mut proxy.exchange, Bytes::from_static(b"text"));
    let reply = proxy.finish_access().expect_err("terminated");
    let echo: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(echo["message"], "Service unavailable");
    assert_eq!(echo["request"]["raw_body"], "text");
    assert_eq!(echo["request"]["path"], "/re/abc/");
    assert_eq!(
        echo["request"]["uri_captures"],
        json!({"unnamed": ["abc", ""], "named": {"word": "abc"}})
    );
    assert_eq!(echo["kong"]["node_id"], json!(id(99)));
    assert_eq!(echo["kong"]["hostname"], "here");
    let route = &echo["matched_route"];
    for (field, value) in [
        ("name", json!("r")),
        ("id", json!(id(2))),
        ("service", reference(1)),
        ("protocols", json!(["http", "https"])),
        ("https_redirect_status_code", json!(426)),
        ("ws_id", json!("0dc6f45b-8f8d-40d2-a504-473544ee190b")),
    ] {
        assert_eq!(route[field], value, "{field}");
    }
    let service = &echo["matched_service"];
    assert_eq!(
        (&service["host"], &service["port"]),
        (&json!("svc.test"), &json!(80))
    );
    assert_eq!(service["connect_timeout"], 60000);
}
