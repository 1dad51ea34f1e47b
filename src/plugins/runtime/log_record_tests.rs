//! The record of requests that ended in different ways.

use super::super::testing::{Request, ended, ended_with};
use super::super::{Consumer, LogFieldMode, SentHeaders};
use super::*;
use crate::tls::TlsSession;
use std::sync::Arc;
use uuid::Uuid;

fn try_of(address: Option<&str>, status: u16, failed: u16) -> Try {
    Try {
        address: address.map(|address| address.parse().expect("an address")),
        started_at: 1_700_000_000_251,
        balancer_us: 1_500,
        took_us: 30_000,
        status,
        failure: (failed != 0).then_some("connection failed"),
        timed_out: failed == 504,
        connect_us: None,
        failure_status: failed,
    }
}

fn record(request: &mut Request, log: &RequestLog<'_>) -> Value {
    request.log_phase(|context| log_record(context, log)).into()
}

#[test]
fn a_proxied_request_is_told_whole() {
    let mut request = Request::new(
        "GET /a/b?x=1&x=2&y=&z&%20k=a+b HTTP/1.1\r\nHost: API.test:99\r\nX-Multi: m1\r\nx-multi: m2\r\n\
         Authorization: Basic secret\r\nProxy-Authorization: x\r\n",
    );
    request.request_edits.set("X-Consumer-ID", "1");
    let mut sent = SentHeaders::default();
    for (name, value) in [
        ("Set-Cookie", "a=1"),
        ("Server", "s"),
        ("set-cookie", "b=2"),
    ] {
        sent.push(name.as_bytes(), value.as_bytes());
    }
    let tries = [
        try_of(Some("10.0.0.1:80"), 0, 502),
        try_of(Some("[::1]:81"), 200, 0),
    ];
    let found = ended_with(&tries, &sent, |log| record(&mut request, log));
    let attempt = json!({
        "balancer_start": 1_700_000_000_251_u64, "balancer_start_ns": 1_700_000_000_251_000_000_u64,
        "balancer_latency": 1, "balancer_latency_ns": 1_500_000,
    });
    let (mut first, mut second) = (attempt.clone(), attempt);
    first["ip"] = "10.0.0.1".into();
    first["port"] = 80.into();
    first["state"] = "failed".into();
    first["code"] = 502.into();
    second["ip"] = "::1".into();
    second["port"] = 81.into();
    assert_eq!(
        found,
        json!({
            "request": {
                "id": "0123456789abcdef0123456789abcdef",
                "method": "GET",
                "uri": "/a/b?x=1&x=2&y=&z&%20k=a+b",
                "url": "http://api.test:8000/a/b?x=1&x=2&y=&z&%20k=a+b",
                "querystring": {"x": ["1", "2"], "y": "", "z": true, " k": "a b"},
                "headers": {
                    "host": "API.test:99", "x-multi": ["m1", "m2"], "authorization": "REDACTED",
                    "proxy-authorization": "REDACTED", "x-consumer-id": "1",
                },
                "size": 123,
            },
            "response": {
                "status": 200,
                "headers": {
                    "set-cookie": ["a=1", "b=2"], "server": "s", "content-length": "7", "connection": "keep-alive",
                },
                "size": 456,
            },
            "latencies": {"kong": 2, "proxy": 30, "request": 50, "receive": 9},
            "upstream_uri": "/b?x=1",
            "upstream_status": "502, 200",
            "tries": [first, second],
            "route": {"name": "r"},
            "service": {"name": "s"},
            "client_ip": "127.0.0.1",
            "started_at": 1_700_000_000_250_u64,
            "source": "upstream",
            "workspace": WORKSPACE,
            "workspace_name": "default",
        })
    );
}

#[test]
fn who_asked_and_what_plugins_add_is_told() {
    let mut request = Request::new("GET / HTTP/1.1\r\n");
    request.people.add(5, "bob", None);
    request.identity.consumer = Some(Consumer {
        id: Uuid::from_u128(5),
        username: Some(Arc::from("bob")),
        custom_id: None,
    });
    request.identity.credential = Some(Uuid::from_u128(6));
    request.tls = Some(TlsSession {
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
    });
    let mut fields = LogFields::default();
    fields.put("response.status", Some(json!(1)), LogFieldMode::Set);
    fields.put("mine", Some(json!("v")), LogFieldMode::Set);
    request.shared.put(fields);
    let found = ended(|log| record(&mut request, log));
    let check = |pointer: &str, expected: Value| {
        assert_eq!(found.pointer(pointer), Some(&expected), "{pointer}");
    };
    check(
        "/consumer",
        json!({"id": Uuid::from_u128(5), "username": "bob"}),
    );
    check("/authenticated_entity", json!({"id": Uuid::from_u128(6)}));
    check("/request/url", json!("https://kong:8000/"));
    let tls =
        json!({"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "client_verify": "NONE"});
    check("/request/tls", tls);
    check("/response/status", json!(1));
    check("/mine", json!("v"));
}

#[test]
fn answers_without_an_upstream_say_whose_they_are() {
    let headers = SentHeaders::default();
    let unreached = [try_of(None, 0, 503)];
    let refused = [try_of(Some("10.0.0.1:80"), 0, 502)];
    let waiting = [try_of(Some("10.0.0.1:80"), 0, 0)];
    let check = |tries: &[Try], waited_us, client_closed, expected: Value| {
        let found = ended_with(tries, &headers, |log| {
            let log = RequestLog {
                upstream_us: None,
                waited_us,
                receive_us: None,
                upstream_status: 0,
                source: ResponseSource::Gateway,
                client_closed,
                ..*log
            };
            record(&mut Request::new("GET / HTTP/1.1\r\n"), &log)
        });
        let shown = json!([
            found["source"],
            found["upstream_status"],
            found["latencies"]["proxy"],
            found["latencies"]["receive"],
            found["tries"].as_array().map(Vec::len),
        ]);
        assert_eq!(shown, expected);
    };
    check(&[], None, false, json!(["kong", "", -1, 0, 0]));
    check(&unreached, None, false, json!(["kong", "", -1, 0, 0]));
    check(
        &refused,
        Some(4_000),
        false,
        json!(["kong", "502", 4, 0, 1]),
    );
    check(&waiting, None, true, json!(["upstream", "-", -1, 0, 1]));
    // It went away before anything was asked.
    check(&[], None, true, json!(["kong", "", -1, 0, 0]));
}
