//! Every answer of the status API, over actix's own test service.

use super::*;
use crate::link::LocalFuture;
use crate::telemetry::status::{ControlPlaneState, NodeState, WorkerReadiness};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, http::StatusCode};
use uuid::Uuid;

struct Node(NodeState);

impl NodeStatus for Node {
    fn state(&self) -> LocalFuture<'_, NodeState> {
        Box::pin(std::future::ready(self.0.clone()))
    }
}

fn data_plane() -> NodeState {
    NodeState {
        configuration_hash: Some("405770f4fb29f7a097fd0c7888d990ea".into()),
        workers: Some(WorkerReadiness {
            workers: 1,
            with_router: 1,
            with_plugins: 1,
        }),
        ..NodeState::default()
    }
}

fn control_plane(reachable: bool) -> NodeState {
    NodeState {
        database_reachable: Some(reachable),
        ..NodeState::default()
    }
}

/// A control plane that has read its configuration, or has not yet.
fn reading(is_read: bool) -> NodeState {
    NodeState {
        control_plane: Some(ControlPlaneState {
            revision: 0,
            is_read,
            journal_revisions: None,
            writes_waiting: 0,
            sessions: None,
            cluster_cert_expiry: None,
        }),
        ..control_plane(true)
    }
}

fn context(state: NodeState) -> Data<StatusContext> {
    Data::new(StatusContext {
        identity: NodeIdentity {
            node_id: Uuid::from_u128(1),
            hostname: "cp-1".into(),
            role: "control_plane",
            version: "3.9.3".into(),
        },
        counters: Arc::default(),
        metrics: Arc::new(Metrics::new()),
        metric_options: MetricOptions::default(),
        actors: Registry::default(),
        node: Arc::new(Node(state)),
        upstreams: None,
        draining: AtomicBool::new(false),
    })
}

struct Seen {
    status: StatusCode,
    headers: header::HeaderMap,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).expect("the header");
        value.to_str().expect("text")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// Sends requests one after the other to one status API.
async fn ask(context: Data<StatusContext>, requests: Vec<TestRequest>) -> Vec<Seen> {
    let app = init_service(App::new().configure(configure(context))).await;
    let mut seen = Vec::new();
    for request in requests {
        let response = call_service(&app, request.to_request()).await;
        seen.push(Seen {
            status: response.status(),
            headers: response.headers().clone(),
            body: String::from_utf8(read_body(response).await.to_vec()).expect("text"),
        });
    }
    seen
}

async fn get(state: NodeState, path: &str) -> Seen {
    let request = TestRequest::get().uri(path);
    ask(context(state), vec![request]).await.remove(0)
}

#[actix::test]
async fn status_of_a_data_plane() {
    let seen = get(data_plane(), "/status").await;
    assert_eq!(seen.status, StatusCode::OK);
    assert_eq!(
        seen.header("content-type"),
        "application/json; charset=utf-8"
    );
    assert_eq!(seen.header("access-control-allow-origin"), "*");
    assert!(seen.headers.contains_key("x-kong-admin-latency"));
    let document = seen.json();
    assert_eq!(
        document["configuration_hash"],
        "405770f4fb29f7a097fd0c7888d990ea"
    );
    assert!(document.get("database").is_none());
    assert_eq!(document["memory"]["lua_shared_dicts"], json!({}));
    let worker = &document["memory"]["workers_lua_vms"][0];
    assert_eq!(worker["pid"], std::process::id());
    let memory = worker["http_allocated_gc"].as_str().expect("text");
    assert!(memory.ends_with(" MiB"), "{memory}");
    let mut names: Vec<_> = document["server"]
        .as_object()
        .expect("an object")
        .keys()
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "connections_accepted",
            "connections_active",
            "connections_handled",
            "connections_reading",
            "connections_waiting",
            "connections_writing",
            "total_requests"
        ]
    );
}

#[actix::test]
async fn status_of_a_data_plane_without_a_configuration() {
    let document = get(NodeState::default(), "/status").await.json();
    assert_eq!(document["configuration_hash"], "0".repeat(32));
}

#[actix::test]
async fn status_of_a_control_plane() {
    for reachable in [true, false] {
        let seen = get(control_plane(reachable), "/status").await;
        assert_eq!(seen.status, StatusCode::OK);
        let document = seen.json();
        assert_eq!(document["database"], json!({ "reachable": reachable }));
        assert!(document.get("configuration_hash").is_none());
    }
}

#[actix::test]
async fn memory_in_another_unit() {
    let document = get(data_plane(), "/status?unit=b").await.json();
    assert!(document["memory"]["workers_lua_vms"][0]["http_allocated_gc"].is_u64());
    for (path, expected) in [
        (
            "/status?unit=V",
            "invalid unit 'V' (expected 'k/K', 'm/M', or 'g/G')",
        ),
        ("/status?scale=-1", "scale must be equal or greater than 0"),
        (
            "/status?unit=%00&unit=m",
            "invalid unit '\0' (expected 'k/K', 'm/M', or 'g/G')",
        ),
    ] {
        let seen = get(data_plane(), path).await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST);
        assert_eq!(seen.json(), json!({ "message": expected }));
    }
}

#[actix::test]
async fn ready_and_not_ready() {
    for (state, status, expected) in [
        (data_plane(), 200, "ready"),
        (control_plane(true), 200, "ready"),
        (control_plane(false), 503, "failed to connect to database"),
        (reading(true), 200, "ready"),
        (
            reading(false),
            503,
            "the configuration is being read, data planes cannot connect yet",
        ),
    ] {
        let seen = get(state, "/status/ready").await;
        assert_eq!(seen.status.as_u16(), status);
        assert_eq!(seen.body, format!("{{\"message\":\"{expected}\"}}"));
    }
}

#[actix::test]
async fn draining_in_every_form() {
    let post = || TestRequest::post().uri("/status/ready");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let json = ("content-type", "application/json");
    for (request, accepted) in [
        (
            post().insert_header(form).set_payload("status=draining"),
            true,
        ),
        (
            post()
                .insert_header(json)
                .set_payload(r#"{"status":"draining"}"#),
            true,
        ),
        (
            TestRequest::post().uri("/status/ready?status=draining"),
            true,
        ),
        (
            post().insert_header(form).set_payload("status=ready"),
            false,
        ),
        (post().insert_header(json).set_payload("nonsense"), false),
        (
            post().insert_header(json).set_payload(r#"{"status":7}"#),
            false,
        ),
        (post(), false),
    ] {
        let after = TestRequest::get().uri("/status/ready");
        let seen = ask(context(data_plane()), vec![request, after]).await;
        let (posted, after) = (&seen[0], &seen[1]);
        match accepted {
            true => {
                assert_eq!(posted.status, StatusCode::NO_CONTENT);
                assert_eq!(posted.body, "");
                assert_eq!(after.status, StatusCode::SERVICE_UNAVAILABLE);
                assert_eq!(after.json(), json!({ "message": "draining" }));
            }
            false => {
                assert_eq!(posted.status, StatusCode::BAD_REQUEST, "{}", posted.body);
                assert_eq!(after.status, StatusCode::OK);
            }
        }
    }
}

#[actix::test]
async fn an_oversized_body_is_refused() {
    let big = TestRequest::post()
        .uri("/status/ready")
        .set_payload(vec![b'x'; MAX_BODY_BYTES + 1]);
    let seen = ask(context(data_plane()), vec![big]).await;
    assert_eq!(seen[0].status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[actix::test]
async fn metrics_are_kongs_text() {
    let seen = get(data_plane(), "/metrics").await;
    assert_eq!(seen.header("content-type"), CONTENT_TYPE);
    let id = "00000000-0000-0000-0000-000000000001";
    let line = format!("kong_node_info{{node_id=\"{id}\",version=\"3.9.3\"}} 1");
    assert!(
        seen.body.lines().any(|found| found == line),
        "{}",
        seen.body
    );
}

#[actix::test]
async fn actors_are_shown() {
    let seen = get(data_plane(), "/debug/actors").await;
    assert_eq!(seen.json(), json!({ "actors": [] }));
}

#[actix::test]
async fn unknown_paths_and_methods() {
    for path in ["/", "/nothing", "/upstreams"] {
        let seen = get(data_plane(), path).await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(seen.json(), json!({ "message": "Not found" }));
        assert_eq!(seen.header("access-control-allow-origin"), "*");
    }
    for path in ["/status", "/status/ready", "/metrics", "/debug/actors"] {
        let requests = vec![
            TestRequest::delete().uri(path),
            TestRequest::with_uri(path).method(actix_web::http::Method::OPTIONS),
            TestRequest::with_uri(path).method(actix_web::http::Method::HEAD),
        ];
        let seen = ask(context(data_plane()), requests).await;
        assert_eq!(seen[0].status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(seen[0].json(), json!({ "message": "Method not allowed" }));
        assert_eq!(seen[1].status, StatusCode::NO_CONTENT);
        assert!(seen[1].headers.contains_key("allow"));
        assert_eq!(seen[2].status, StatusCode::OK);
    }
}

#[actix::test]
async fn trial_13a_a_slash_at_the_end_changes_nothing() {
    for path in ["/status", "/status/ready", "/metrics", "/debug/actors"] {
        let both = [path.to_owned(), format!("{path}/")];
        let asked = both.map(|path| TestRequest::with_uri(&path));
        let seen = ask(context(control_plane(true)), asked.into()).await;
        assert_eq!(seen[0].status, StatusCode::OK, "{path}");
        assert_eq!(seen[1].status, StatusCode::OK, "{path}/");
    }
    // Of a node that balances nothing, these pages say that there is nothing; they are there.
    for path in ["health", "targets", "targets/all", "targets/t"] {
        let path = format!("/upstreams/u/{path}/");
        let asked = TestRequest::with_uri(&path).method(actix_web::http::Method::OPTIONS);
        let seen = ask(context(control_plane(true)), vec![asked]).await;
        assert_eq!(seen[0].status, StatusCode::NO_CONTENT, "{path}");
    }
}

#[actix::test]
async fn trial_14_a_foreign_page_does_not_drain_the_node() {
    let context = context(control_plane(true));
    let draining = || TestRequest::post().uri("/status/ready?status=draining");
    let asked = vec![
        draining().insert_header(("Origin", "http://evil.example")),
        draining().insert_header(("Host", "evil.example")),
        draining().insert_header(("Sec-Fetch-Site", "cross-site")),
        TestRequest::with_uri("/status").insert_header(("Origin", "http://evil.example")),
        TestRequest::with_uri("/status"),
    ];
    let seen = ask(context.clone(), asked).await;
    let statuses: Vec<_> = seen.iter().map(|seen| seen.status.as_u16()).collect();
    assert_eq!(statuses, [403, 403, 403, 200, 200]);
    let shown = |seen: &Seen| {
        let origin = seen.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        origin.map(|origin| origin.to_str().expect("text").to_owned())
    };
    assert_eq!(shown(&seen[3]), None);
    assert_eq!(shown(&seen[4]).as_deref(), Some("*"));
    assert!(!context.draining.load(Ordering::Relaxed));
}
