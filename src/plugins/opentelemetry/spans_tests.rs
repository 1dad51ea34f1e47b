//! The spans of requests, with different parts traced.

use super::*;
use crate::plugins::SentHeaders;
use crate::plugins::runtime::testing::{Request, ended_with};
use std::sync::Arc;

const ALL: Instrumentations = Instrumentations {
    on: true,
    router: true,
    balancer: true,
    plugin_rewrite: true,
    plugin_access: true,
    plugin_header_filter: true,
};

fn tried(failed: u16) -> Try {
    Try {
        address: Some("10.0.0.1:9000".parse().expect("an address")),
        started_at: 1_700_000_000_251,
        balancer_us: 1_500,
        took_us: 30_000,
        status: if failed == 0 { 200 } else { 0 },
        failure: (failed != 0).then_some("connection failed"),
        timed_out: false,
        connect_us: None,
        failure_status: failed,
    }
}

fn traced() -> Traced {
    Traced {
        trace: TraceId::parse("463ac35c9f6413ad48485a3953bb6124").expect("an id"),
        span: SpanId([1; 8]),
        parent: Some(SpanId([9; 8])),
        balancer: SpanId([2; 8]),
        sampled: true,
    }
}

fn made(parts: Instrumentations) -> Vec<Span> {
    let mut request = Request::new("GET /a/x?q=1 HTTP/1.1\r\nHost: API.test:80\r\n");
    let times = [
        (Part::Router, None, 10, 20),
        (Part::Access, Some("key-auth"), 30, 40),
        (Part::HeaderFilter, Some("cors"), 50, 60),
    ];
    let times = times.map(|(part, plugin, from_us, to_us)| PartTime {
        part,
        plugin: plugin.map(Arc::from),
        from_us,
        to_us,
    });
    request.log_phase(|context| {
        ended_with(&[tried(502), tried(0)], &SentHeaders::default(), |log| {
            let log = RequestLog {
                parts: &times,
                ..*log
            };
            spans(&traced(), parts, context, &log)
        })
    })
}

#[test]
fn every_part_that_is_traced_has_a_span() {
    let spans = made(ALL);
    let shown: Vec<_> = spans
        .iter()
        .map(|span| {
            (
                &*span.name,
                span.kind,
                span.start_time_unix_nano % 1_000_000_000,
                span.end_time_unix_nano - span.start_time_unix_nano,
            )
        })
        .collect();
    let (internal, server, client) = (1, 2, 3);
    assert_eq!(
        shown,
        [
            ("kong", server, 250_000_000, 50_999_000),
            ("kong.router", internal, 250_010_000, 10_000),
            ("kong.access.plugin.key-auth", internal, 250_030_000, 10_000),
            (
                "kong.header_filter.plugin.cors",
                internal,
                250_050_000,
                10_000
            ),
            ("kong.balancer", client, 251_000_000, 30_000_000),
            ("kong.balancer", client, 251_000_000, 30_000_000),
        ]
    );
    for span in &spans {
        assert_eq!(span.trace_id, traced().trace.bytes, "{span:?}");
        let parent = if span.name == "kong" { [9; 8] } else { [1; 8] };
        assert_eq!(span.parent_span_id, parent, "{span:?}");
    }
    // The upstream was told of the attempt that reached it.
    assert_ne!(spans[4].span_id, [2; 8]);
    assert_eq!(spans[5].span_id, [2; 8]);
    let code = |span: &Span| span.status.as_ref().map(|status| status.code);
    assert_eq!((code(&spans[4]), code(&spans[5])), (Some(ERROR), None));
    let attribute = |span: &Span, key: &str| {
        let found = span
            .attributes
            .iter()
            .find(|attribute| attribute.key == key);
        found.and_then(|found| found.value.clone()?.value)
    };
    let text = |value: &str| Some(Value::String(value.to_owned()));
    for (key, value) in [
        ("http.method", text("GET")),
        ("http.url", text("http://api.test/a/x?q=1")),
        ("http.host", text("api.test")),
        ("http.flavor", text("1.1")),
        ("http.client_ip", text("127.0.0.1")),
        ("kong.request.id", text("0123456789abcdef0123456789abcdef")),
        ("http.route", text("")),
        ("http.status_code", Some(Value::Int(200))),
    ] {
        assert_eq!(attribute(&spans[0], key), value, "{key}");
    }
    assert_eq!(attribute(&spans[4], "try_count"), Some(Value::Double(1.0)));
    assert_eq!(
        attribute(&spans[4], "net.peer.port"),
        Some(Value::Double(9000.0))
    );
    assert_eq!(attribute(&spans[4], "net.peer.name"), text("10.0.0.1"));
    assert_eq!(
        attribute(&spans[4], "http.status_code"),
        Some(Value::Int(502))
    );
    assert_eq!(attribute(&spans[5], "http.status_code"), None);
}

#[test]
fn parts_that_are_not_traced_have_none() {
    let on = Instrumentations {
        on: true,
        ..Instrumentations::default()
    };
    let check = |parts: Instrumentations, expected: &[&str]| {
        let names: Vec<String> = made(parts).into_iter().map(|span| span.name).collect();
        assert_eq!(names, expected, "{parts:?}");
    };
    check(on, &["kong"]);
    check(
        Instrumentations {
            balancer: true,
            ..on
        },
        &["kong", "kong.balancer", "kong.balancer"],
    );
    check(
        Instrumentations {
            plugin_access: true,
            ..on
        },
        &["kong", "kong.access.plugin.key-auth"],
    );
}
