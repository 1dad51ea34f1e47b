//! The spans of requests that ended in different ways.

use super::super::config::Config;
use super::*;
use crate::plugins::SentHeaders;
use crate::plugins::runtime::testing::{ROUTE, Request, SERVICE, ended, ended_with};

const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";

fn describe(config: Value) -> Describe {
    let mut whole = json!({"local_service_name": "kong", "include_credential": true, "traceid_byte_count": 16, "tags_header": "Zipkin-Tags"});
    for (field, value) in config.as_object().expect("an object") {
        whole[field] = value.clone();
    }
    let config: Config = serde_json::from_value(whole).expect("a configuration");
    Describe::new(&config, Uuid::from_u128(9))
}

fn traced(trace: &str) -> Traced {
    Traced {
        trace: TraceId::parse(trace).expect("an id"),
        span: SpanId([1; 8]),
        parent: None,
        proxy: SpanId([2; 8]),
        sampled: true,
        debug: false,
    }
}

fn tried(address: &str, failed: u16) -> Try {
    Try {
        address: Some(address.parse().expect("an address")),
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

#[test]
fn a_request_has_spans_for_itself_the_upstream_and_each_attempt() {
    let describe = describe(json!({"static_tags": [{"name": "color", "value": "green"}]}));
    let mut request =
        Request::new("GET /a/x?q=1 HTTP/1.1\r\nHost: API.test:99\r\nZipkin-Tags: a=1; b = 2;c\r\n");
    let tries = [tried("10.0.0.1:80", 502), tried("[::1]:81", 0)];
    let spans = request.log_phase(|context| {
        ended_with(&tries, &SentHeaders::default(), |log| {
            describe.spans(&traced(TRACE), context, log)
        })
    });
    let [first, proxy, failed, last] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(
        Value::from(first.clone()),
        json!({
            "traceId": TRACE, "id": "0101010101010101", "name": "GET", "kind": "SERVER",
            "timestamp": 1_700_000_000_250_000_u64, "duration": 50_999,
            "localEndpoint": {"serviceName": "kong"}, "remoteEndpoint": {"ipv4": "127.0.0.1", "port": 4000},
            "annotations": [{"timestamp": 1_700_000_000_250_000_u64, "value": "krs"}, {"timestamp": 1_700_000_000_250_000_u64, "value": "krf"}],
            "tags": {
                "lc": "kong", "kong.node.id": Uuid::from_u128(9), "http.method": "GET", "http.host": "api.test",
                "http.path": "/a/x", "http.protocol": "HTTP/1.1", "http.status_code": "200",
                "color": "green", "a": "1", "b": "2",
            },
        })
    );
    assert_eq!(proxy["id"], "0202020202020202");
    assert_eq!(proxy["parentId"], "0101010101010101");
    assert_eq!(proxy["name"], "GET (proxy)");
    assert_eq!(
        proxy["remoteEndpoint"],
        json!({"serviceName": "s", "ipv6": "::1", "port": 81})
    );
    let values: Vec<&Value> = proxy["annotations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["value"])
        .collect();
    assert_eq!(values, ["kas", "kaf", "khs", "khf", "kbs", "kbf"]);
    let owned = json!({
        "kong.service": SERVICE.id, "kong.service_name": "s", "kong.route": ROUTE.id, "kong.route_name": "r",
    });
    assert_eq!(proxy["tags"], owned);
    let mut tags = owned.clone();
    tags["kong.balancer.try"] = "1".into();
    tags["error"] = "true".into();
    tags["kong.balancer.state"] = "failed".into();
    tags["http.status_code"] = "502".into();
    assert_eq!(
        (&failed["tags"], &failed["name"]),
        (&tags, &json!("GET (balancer try 1)"))
    );
    let mut tags = owned;
    tags["kong.balancer.try"] = "2".into();
    assert_eq!((&last["tags"], &last["duration"]), (&tags, &json!(30_000)));
}

#[test]
fn names_ids_and_durations_are_as_configured() {
    let short = "0000000000000000463ac35c9f6413ad";
    let check = |config: Value, trace: &str, id: &str, name: &str| {
        let mut request = Request::new("POST /p HTTP/1.1\r\n");
        let spans = request.log_phase(|context| {
            ended(|log| describe(config.clone()).spans(&traced(trace), context, log))
        });
        assert_eq!(
            (&spans[0]["traceId"], &spans[0]["name"]),
            (&json!(id), &json!(name)),
            "{config}"
        );
        spans
    };
    check(json!({}), short, short, "POST");
    check(
        json!({"traceid_byte_count": 8}),
        short,
        "463ac35c9f6413ad",
        "POST",
    );
    check(json!({"traceid_byte_count": 8}), TRACE, TRACE, "POST");
    check(
        json!({"http_span_name": "method_path"}),
        TRACE,
        TRACE,
        "POST /p",
    );
    let spans = check(
        json!({"phase_duration_flavor": "tags"}),
        TRACE,
        TRACE,
        "POST",
    );
    assert_eq!(spans[0]["tags"]["kong.rewrite.duration_ms"], "0");
    assert_eq!(spans[1]["tags"]["kong.access.duration_ms"], "2.001");
    assert_eq!(spans[1]["tags"]["kong.body_filter.duration_ms"], "18.498");
    assert!(spans.iter().all(|span| !span.contains_key("annotations")));
    // Nothing was asked: the port is not known here, and the service is.
    let spans = check(json!({"default_service_name": "d"}), TRACE, TRACE, "POST");
    assert_eq!(
        (spans.len(), &spans[1]["remoteEndpoint"]),
        (2, &json!({"serviceName": "s"}))
    );
    assert_eq!(spans[0]["remoteEndpoint"]["serviceName"], "d");
}
