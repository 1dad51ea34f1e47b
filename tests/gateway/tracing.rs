//! zipkin and opentelemetry: what upstreams are told, and what a server of spans gets.

use crate::harness::{Both, Upstream, call, eventually, free_address, get, post, unique_loopback};
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The parts of OTLP that are looked at.
#[derive(Clone, PartialEq, Message)]
struct Traces {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
}

/// The heads and bodies of requests.
type Requests = Mutex<Vec<(String, Vec<u8>)>>;

/// An HTTP server that keeps what it is sent.
struct Server {
    address: SocketAddr,
    taken: Arc<Requests>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let taken = Arc::new(Requests::default());
        let list = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let list = Arc::clone(&list);
                // A client that goes away is no news.
                std::thread::spawn(move || drop(serve(&stream, &list)));
            }
        });
        Server { address, taken }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn taken(&self) -> Vec<(String, Vec<u8>)> {
        self.taken.lock().expect("a list").clone()
    }
}

fn serve(stream: &TcpStream, taken: &Requests) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        taken.lock().expect("a list").push((head, body));
        write!(&*stream, "HTTP/1.1 202 x\r\nContent-Length: 0\r\n\r\n")?;
    }
}

/// A node with a route `/r` and this plugin.
fn node(plugin: &str, config: &Value, settings: &[(&str, &str)]) -> (Both, Upstream) {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut given: BTreeMap<String, String> = settings.iter().map(own).collect();
    given.insert("shutdown_timeout".to_owned(), "1s".to_owned());
    let both = Both::start_with(|_| given);
    let upstream = Upstream::start("echo");
    let url = format!("http://{}", upstream.address);
    for (path, entity) in [
        ("/services", json!({"name": "s", "url": url})),
        ("/services/s/routes", json!({"name": "r", "paths": ["/r"]})),
        ("/plugins", json!({"name": plugin, "config": config})),
    ] {
        post(&both.admin(path), &entity)
            .expect("an answer")
            .expect(201);
    }
    both.settle();
    (both, upstream)
}

/// The value of a header that the upstream saw; its answer tells of them.
fn seen<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let lines = answer.lines().filter_map(|line| line.split_once(": "));
    let mut values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn opentelemetry_sends_the_spans_that_upstreams_and_clients_are_told_of() {
    let server = Server::start();
    let config = json!({
        "traces_endpoint": server.url("/v1/traces"), "headers": {"X-Key": "k"}, "queue": {"max_batch_size": 200, "max_coalescing_delay": 0.05},
        "http_response_header_for_traceid": "X-Trace",
    });
    let settings = [
        ("tracing_instrumentations", "all"),
        ("tracing_sampling_rate", "1"),
    ];
    let (both, _upstream) = node("opentelemetry", &config, &settings);
    let trace = "463ac35c9f6413ad48485a3953bb6124";
    let parent = format!("00-{trace}-a2fb4a1d1a96d312-01");
    let answer = call(
        "GET",
        &both.url("proxy_listen", "/r/1"),
        &[("traceparent", &parent), ("tracestate", "a=b")],
        None,
    );
    let answer = answer.expect("an answer");
    assert_eq!(answer.header("x-trace"), Some(trace));
    let told = seen(&answer.text, "traceparent")
        .expect("a header")
        .to_owned();
    assert!(
        told.starts_with(&format!("00-{trace}-")) && told.ends_with("-01"),
        "{told}"
    );
    assert_ne!(told, parent);
    assert_eq!(seen(&answer.text, "tracestate"), Some("a=b"));
    let spans = || {
        let batches = server.taken().into_iter().map(|(head, body)| {
            assert!(
                head.contains("x-key: k") && head.contains("application/x-protobuf"),
                "{head}"
            );
            Traces::decode(&*body).expect("a message")
        });
        let resources = batches.flat_map(|batch| batch.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect::<Vec<_>>()
    };
    let names = [
        "kong",
        "kong.access.plugin.opentelemetry",
        "kong.balancer",
        "kong.header_filter.plugin.opentelemetry",
        "kong.router",
    ];
    eventually("all spans have arrived", || {
        let mut found: Vec<String> = spans().into_iter().map(|span| span.name).collect();
        found.sort();
        (found == names).then_some(()).ok_or(format!("{found:?}"))
    });
    let spans = spans();
    let named = |name: &str| spans.iter().find(|span| span.name == name).expect("a span");
    let (root, balancer) = (named("kong"), named("kong.balancer"));
    assert_eq!(hex(&root.parent_span_id), "a2fb4a1d1a96d312");
    assert_eq!(told, format!("00-{trace}-{}-01", hex(&balancer.span_id)));
    for span in &spans {
        assert_eq!(hex(&span.trace_id), trace, "{span:?}");
        assert!(
            span.start_time_unix_nano <= span.end_time_unix_nano,
            "{span:?}"
        );
        if span.name != "kong" {
            assert_eq!(span.parent_span_id, root.span_id, "{span:?}");
        }
    }
    // A client that wants no spans gets none, and one without a trace gets a new one.
    let unsampled = parent.replace("-01", "-00");
    let answer = call(
        "GET",
        &both.url("proxy_listen", "/r/2"),
        &[("traceparent", &unsampled)],
        None,
    );
    let told = answer.expect("an answer").text;
    assert!(
        seen(&told, "traceparent").is_some_and(|told| told.ends_with("-00")),
        "{told}"
    );
    let answer = get(&both.url("proxy_listen", "/none")).expect("an answer");
    let fresh = answer.header("x-trace").expect("a trace").to_owned();
    eventually("the request without a route is told of", || {
        let bodies = server.taken();
        let last = bodies
            .last()
            .map(|(_, body)| Traces::decode(&**body).expect("a message"));
        let last = format!("{last:?}");
        let bytes: Vec<u8> = (0..16)
            .map(|at| u8::from_str_radix(&fresh[2 * at..2 * at + 2], 16).expect("hex"))
            .collect();
        let found = last.contains(&format!("{bytes:?}"));
        found.then_some(()).ok_or(last)
    });
}

#[test]
fn zipkin_sends_spans_and_nobody_is_told_that_is_not_there() {
    let server = Server::start();
    let config = json!({"http_endpoint": server.url("/api/v2/spans"), "sample_ratio": 1, "queue": {"max_coalescing_delay": 0.05}});
    let (both, _upstream) = node("zipkin", &config, &[]);
    let (status, answer) = both.proxy("/r/1");
    assert_eq!(status, 200);
    let (trace, span) = (seen(&answer, "x-b3-traceid"), seen(&answer, "x-b3-spanid"));
    let parent = seen(&answer, "x-b3-parentspanid");
    assert_eq!(seen(&answer, "x-b3-sampled"), Some("1"));
    eventually("the spans have arrived", || match server.taken().first() {
        Some(_) => Ok(()),
        None => Err("none".to_owned()),
    });
    let (head, body) = server.taken().remove(0);
    assert!(head.contains("application/json"), "{head}");
    let spans: Vec<Value> = serde_json::from_slice(&body).expect("JSON");
    let of = |kind: &str| {
        spans
            .iter()
            .find(|span| span["name"] == kind)
            .expect("a span")
    };
    let (first, proxy, attempt) = (of("GET"), of("GET (proxy)"), of("GET (balancer try 1)"));
    assert_eq!(first["traceId"].as_str(), trace);
    assert_eq!((first["id"].as_str(), proxy["id"].as_str()), (parent, span));
    assert_eq!(
        (&proxy["parentId"], &attempt["parentId"]),
        (&first["id"], &first["id"])
    );
    assert_eq!(first["tags"]["http.path"], "/r/1");
}

#[test]
fn spans_that_no_server_takes_are_bounded_and_counted() {
    let address = free_address(unique_loopback());
    let config = json!({
        "http_endpoint": format!("http://{address}/"), "sample_ratio": 1,
        "queue": {"max_entries": 2, "max_retry_time": 3600, "initial_retry_delay": 0.05, "max_retry_delay": 0.05},
    });
    let (both, _upstream) = node("zipkin", &config, &[]);
    for n in 0..10 {
        assert_eq!(both.proxy(&format!("/r/{n}")).0, 200);
    }
    eventually("what does not fit is counted", || {
        let text = get(&both.url("status_listen", "/metrics"))?.text;
        let series = "langur_plugin_queue_dropped_total{plugin=\"zipkin\",reason=\"full\"} ";
        let dropped = text.lines().find_map(|line| line.strip_prefix(series));
        // One is under way, two wait.
        (dropped == Some("7")).then_some(()).ok_or(text)
    });
}
