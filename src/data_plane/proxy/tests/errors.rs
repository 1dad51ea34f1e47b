//! Answers of the gateway itself: status, producer, headers.

use super::super::testing::{Harness, body, entity, header, reference, request_head};
use crate::data_plane::exchange::{Pipeline, Refusal, Reply};
use crate::model::Kind;
use serde_json::json;

fn proxy() -> Harness {
    Harness::new(vec![
        entity(Kind::Services, 1, json!({"host": "svc.test"})),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/r"], "service": reference(1)}),
        ),
        entity(Kind::Routes, 3, json!({"paths": ["/nosvc"]})),
        entity(
            Kind::Services,
            4,
            json!({"host": "off.test", "enabled": false}),
        ),
        entity(
            Kind::Routes,
            5,
            json!({"paths": ["/off"], "service": reference(4)}),
        ),
        entity(Kind::Upstreams, 6, json!({"name": "empty-up"})),
        entity(Kind::Services, 7, json!({"host": "empty-up"})),
        entity(
            Kind::Routes,
            8,
            json!({"paths": ["/emptyup"], "service": reference(7)}),
        ),
    ])
}

fn names(reply: &Reply) -> Vec<&str> {
    reply.headers.iter().map(|(name, _)| &**name).collect()
}

#[test]
fn own_answers_look_like_kongs() {
    let check = |request: &str, status: u16, message: &str| {
        let mut proxy = proxy();
        let reply = match proxy.access(request) {
            Err(reply) => reply,
            Ok(()) => proxy.attempt(None).expect_err(request),
        };
        assert_eq!(reply.status, status, "{request}");
        let id = proxy.exchange.request_id.as_str();
        assert_eq!(
            body(&reply),
            format!("{{\n  \"message\":\"{message}\",\n  \"request_id\":\"{id}\"\n}}")
        );
        assert_eq!(
            names(&reply),
            [
                "Content-Type",
                "X-Kong-Response-Latency",
                "Server",
                "X-Kong-Request-Id"
            ]
        );
        assert_eq!(header(&reply, "x-kong-request-id").as_deref(), Some(id));
        assert_eq!(
            header(&reply, "server").as_deref(),
            Some(super::super::PRODUCT)
        );
        assert!(!reply.close);
    };
    let no_route = "no Route matched with those values";
    check("GET /none HTTP/1.1\r\nHost: a\r\n", 404, no_route);
    check("GET /%ff HTTP/1.1\r\nHost: a\r\n", 404, no_route);
    check("GET /off HTTP/1.1\r\nHost: a\r\n", 404, no_route);
    let no_service = "no Service found with those values";
    check("GET /nosvc HTTP/1.1\r\nHost: a\r\n", 503, no_service);
    let no_peer = "failure to get a peer from the ring-balancer";
    check("GET /emptyup HTTP/1.1\r\nHost: a\r\n", 503, no_peer);
}

#[test]
fn malformed_paths_are_the_engines() {
    for target in ["/%zz", "/a%00", "/a/../../b"] {
        let mut proxy = proxy();
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n");
        let reply = proxy.access(&request).expect_err("400");
        let id = proxy.exchange.request_id.as_str();
        assert_eq!(reply.status, 400, "{target}");
        assert_eq!(body(&reply), format!("Bad request\nrequest_id: {id}\n"));
    }
}

#[test]
fn latencies_are_measured() {
    let mut proxy = proxy();
    proxy.begin("GET /none HTTP/1.1\r\nHost: a\r\n");
    proxy.pass(7);
    let reply = proxy.finish_access().expect_err("404");
    assert_eq!(
        header(&reply, "x-kong-response-latency").as_deref(),
        Some("7")
    );
}

#[test]
fn a_refused_body_counts_as_proxied_once_an_upstream_was_chosen() {
    let check = |attempted: bool, refusal: Refusal, status: u16, message: &str, own: &[&str]| {
        let mut proxy = proxy();
        let request = "POST /r HTTP/1.1\r\nHost: a\r\n";
        match attempted {
            true => {
                proxy.access(request).expect("forwarded");
                proxy.attempt(None).expect("an address");
            }
            false => proxy.begin(request),
        }
        let mut reply = proxy.proxy.refuse_body(&mut proxy.exchange, refusal);
        proxy.proxy.respond(&mut proxy.exchange, &mut reply);
        assert_eq!((reply.status, reply.close), (status, true), "{refusal:?}");
        let id = proxy.exchange.request_id.as_str();
        assert_eq!(body(&reply), format!("{message}\nrequest_id: {id}\n"));
        assert_eq!(header(&reply, "x-kong-request-id").as_deref(), Some(id));
        assert_eq!(names(&reply)[1..names(&reply).len() - 2], *own);
        assert_eq!(proxy.exchange.status, status);
    };
    let proxied = &["X-Kong-Upstream-Latency", "X-Kong-Proxy-Latency", "Via"];
    let made = &["X-Kong-Response-Latency"];
    check(true, Refusal::BadRequest, 400, "Bad request", proxied);
    check(true, Refusal::Timeout, 408, "Request timeout", proxied);
    check(false, Refusal::BodyTooLarge, 413, "Payload too large", made);
}

#[test]
fn refused_requests_get_an_answer_and_are_closed() {
    let check = |refusal: Refusal, head: Option<&str>, status: u16, expected: &str| {
        let proxy = proxy();
        let head = head.map(request_head);
        let reply = proxy.refuse(head.as_ref(), refusal);
        let id = header(&reply, "x-kong-request-id").expect("an id");
        assert_eq!((reply.status, reply.close), (status, true), "{refusal:?}");
        assert_eq!(body(&reply), expected.replace("ID", &id), "{refusal:?}");
        assert_eq!(
            names(&reply),
            [
                "Content-Type",
                "X-Kong-Response-Latency",
                "Server",
                "X-Kong-Request-Id"
            ]
        );
    };
    let plain = |message: &str| format!("{message}\nrequest_id: ID\n");
    check(Refusal::BadRequest, None, 400, &plain("Bad request"));
    let large = plain("Request header or cookie too large");
    check(Refusal::HeaderTooLarge, None, 400, &large);
    check(Refusal::UriTooLong, None, 414, &plain("URI too long"));
    check(Refusal::Timeout, None, 408, &plain("Request timeout"));
    check(
        Refusal::BodyTooLarge,
        None,
        413,
        &plain("Payload too large"),
    );
    check(
        Refusal::MethodNotAllowed,
        None,
        405,
        &plain("Method not allowed"),
    );
    check(
        Refusal::ExpectationFailed,
        None,
        417,
        &plain("Expectation failed"),
    );
    check(
        Refusal::MethodNotAllowed,
        Some("TRACE / HTTP/1.1\r\nAccept: application/json\r\n"),
        405,
        "{\n  \"message\":\"Method not allowed\",\n  \"request_id\":\"ID\"\n}",
    );
    let page = "<html>\r\n<head><title>505 HTTP Version Not Supported</title></head>\r\n<body>\r\n<center><h1>505 HTTP Version Not Supported</h1></center>\r\n</body>\r\n</html>\r\n";
    let proxy = proxy();
    let reply = proxy.refuse(None, Refusal::VersionNotSupported);
    assert_eq!((reply.status, body(&reply).as_str()), (505, page));
    assert_eq!(
        header(&reply, "content-type").as_deref(),
        Some("text/html; charset=UTF-8")
    );
}
