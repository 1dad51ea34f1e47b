//! Plugins in the pipeline: order, precedence, phases, identity.

use super::super::ProxySettings;
use super::super::testing::{Harness, body, entity, header, reference};
use crate::data_plane::exchange::{Pipeline, Refusal};
use crate::data_plane::router::PluginFactory;
use crate::model::{Kind, Plugin, Row};
use crate::plugins::{Access, Built, Context, Flow, Handler, Phases, RequestLog};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

const ALL: Phases = Phases::ACCESS.and(Phases::HEADER_FILTER).and(Phases::LOG);

type Log = Arc<Mutex<Vec<String>>>;

/// Plugins named after their priority that note what happens to them.
struct Notes(Log);

struct Note {
    log: Log,
    label: String,
    action: String,
}

impl PluginFactory for Notes {
    fn build(&self, plugin: &Plugin) -> Result<Built, String> {
        let text = |name: &str| {
            plugin
                .config
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let priority = plugin.config.get("priority").and_then(Value::as_i64);
        Ok(Built {
            handler: Arc::new(Note {
                log: Arc::clone(&self.0),
                label: text("label").to_owned(),
                action: text("action").to_owned(),
            }),
            priority: priority.unwrap_or(0) as i32,
            phases: match text("action") {
                "light" => Phases::LOG_WITHOUT_HEADERS,
                _ => ALL,
            },
        })
    }
}

impl Note {
    fn note(&self, phase: &str) {
        let mut log = self.log.lock().expect("no panic");
        log.push(format!("{phase} {}", self.label));
    }
}

impl Handler for Note {
    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        self.note("access");
        match self.action.as_str() {
            "respond" => Flow::Respond(crate::http::Reply::new(418)).into(),
            "fail" => Flow::Fail("it broke".into()).into(),
            "identify" => {
                let consumer = context.directory.consumer_by_username("alice");
                context.authenticate(consumer.expect("alice"), Some(Uuid::nil()));
                Flow::Continue.into()
            }
            "wait" => Access::Pending(Box::pin(async move {
                yield_once().await;
                self.note("waited");
                context.response_edits.set("X-Waited", "1");
                Flow::Continue
            })),
            _ => Flow::Continue.into(),
        }
    }

    fn header_filter(&self, context: &mut Context<'_>) {
        self.note("header_filter");
        let response = context.response.as_mut().expect("a response");
        if self.action == "restatus" {
            *response.status = 299;
        }
        context.response_edits.add("X-Seen", &self.label);
    }

    fn log(&self, context: &mut Context<'_>, log: &RequestLog<'_>) {
        let response = context.response.as_ref().expect("a response");
        self.note(&format!("log {}", response.status));
        if matches!(&*self.action, "light" | "headers") {
            let sent = log.headers.iter().count() > 0;
            self.note(&format!("headers {sent}"));
        }
    }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        match std::mem::replace(&mut yielded, true) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

/// A plugin `name` with a label, a priority and an action.
fn note(n: u128, name: &str, priority: i32, action: &str, scope: Value) -> (Kind, Uuid, Row) {
    let label = format!("{name}{n}");
    let config = json!({"label": label, "priority": priority, "action": action});
    let mut fields = json!({"name": name, "config": config});
    let scope = scope.as_object().expect("an object").clone();
    fields.as_object_mut().expect("an object").extend(scope);
    entity(Kind::Plugins, n, fields)
}

fn notes(plugins: Vec<(Kind, Uuid, Row)>) -> (Harness, Log) {
    let log = Log::default();
    let mut entities = vec![
        entity(Kind::Services, 1, json!({"host": "svc.test"})),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/r"], "service": reference(1)}),
        ),
        entity(
            Kind::Routes,
            3,
            json!({"paths": ["/s"], "service": reference(1)}),
        ),
        entity(
            Kind::Routes,
            4,
            json!({"paths": ["/https"], "protocols": ["https"]}),
        ),
        entity(Kind::Consumers, 5, json!({"username": "alice"})),
    ];
    entities.extend(plugins);
    let factory = Arc::new(Notes(Arc::clone(&log)));
    (
        Harness::with(entities, ProxySettings::default(), factory),
        log,
    )
}

/// The phases that run for a request which the upstream answers with 200.
fn phases(plugins: Vec<(Kind, Uuid, Row)>, request: &str) -> Vec<String> {
    let (mut proxy, log) = notes(plugins);
    if proxy.access(request).is_ok() {
        proxy.attempt(None).expect("an address");
        proxy.response("HTTP/1.1 200 OK\r\n");
    }
    proxy.finish();
    let log = log.lock().expect("no panic");
    log.clone()
}

const REQUEST: &str = "GET /r HTTP/1.1\r\nHost: a\r\n";

#[test]
fn phases_run_by_priority() {
    let plugins = vec![
        note(10, "a", 5, "", json!({})),
        note(11, "b", 9, "", json!({"route": reference(2)})),
        note(12, "c", 5, "", json!({"service": reference(1)})),
    ];
    assert_eq!(
        phases(plugins, REQUEST),
        [
            "access b11",
            "access c12",
            "access a10",
            "header_filter b11",
            "header_filter c12",
            "header_filter a10",
            "log 200 b11",
            "log 200 c12",
            "log 200 a10",
        ]
    );
}

#[test]
fn sent_headers_are_kept_for_plugins_that_look_at_them() {
    for (action, expected) in [
        ("headers", "headers true a10"),
        ("light", "headers false a10"),
    ] {
        let noted = phases(vec![note(10, "a", 5, action, json!({}))], REQUEST);
        assert_eq!(noted.last().map(String::as_str), Some(expected));
    }
}

#[test]
fn a_refused_request_reaches_global_plugins_and_has_a_record() {
    let (mut proxy, log) = notes(vec![
        note(10, "a", 5, "", json!({})),
        note(11, "b", 9, "", json!({"route": reference(2)})),
    ]);
    let record = proxy.refused(None, Refusal::BadRequest);
    assert_eq!((record.status, record.upstream_status), (400, 0));
    let log = log.lock().expect("no panic");
    assert_eq!(*log, ["header_filter a10", "log 400 a10"]);
}

#[test]
fn an_answer_skips_access_alone() {
    let plugins = || {
        vec![
            note(10, "a", 9, "", json!({})),
            note(11, "b", 5, "respond", json!({})),
            note(12, "c", 1, "", json!({})),
        ]
    };
    assert_eq!(
        phases(plugins(), REQUEST),
        [
            "access a10",
            "access b11",
            "header_filter a10",
            "header_filter b11",
            "header_filter c12",
            "log 418 a10",
            "log 418 b11",
            "log 418 c12",
        ]
    );
}

#[test]
fn a_failure_is_a_500_in_json() {
    let (mut proxy, _) = notes(vec![note(10, "a", 9, "fail", json!({}))]);
    let reply = proxy.access("GET /r HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n");
    let reply = reply.expect_err("an answer");
    assert_eq!(reply.status, 500);
    assert_eq!(
        body(&reply),
        r#"{"message":"An unexpected error occurred"}"#
    );
}

#[test]
fn before_access_only_global_plugins_count() {
    let plugins = || {
        vec![
            note(10, "a", 9, "", json!({})),
            note(11, "b", 5, "", json!({"route": reference(4)})),
        ]
    };
    let expected = |status: u16| ["header_filter a10".to_owned(), format!("log {status} a10")];
    assert_eq!(
        phases(plugins(), "GET /none HTTP/1.1\r\nHost: a\r\n"),
        expected(404)
    );
    assert_eq!(
        phases(plugins(), "GET /https HTTP/1.1\r\nHost: a\r\n"),
        expected(426)
    );
    assert_eq!(
        phases(plugins(), "GET /%zz HTTP/1.1\r\nHost: a\r\n"),
        expected(400)
    );
}

#[test]
fn the_consumer_changes_what_follows() {
    let plugins = |action: &str| {
        vec![
            note(10, "auth", 9, action, json!({})),
            note(11, "b", 5, "", json!({"service": reference(1)})),
            note(12, "b", 5, "", json!({"consumer": reference(5)})),
            note(13, "early", 10, "", json!({})),
            note(14, "early", 10, "", json!({"consumer": reference(5)})),
            note(15, "only", 3, "", json!({"consumer": reference(5)})),
            note(16, "late", 1, "", json!({})),
        ]
    };
    let accesses = |action: &str| -> Vec<String> {
        let phases = phases(plugins(action), REQUEST);
        let found = phases
            .iter()
            .filter_map(|phase| phase.strip_prefix("access "));
        found.map(str::to_owned).collect()
    };
    assert_eq!(accesses(""), ["early13", "auth10", "b11", "late16"]);
    assert_eq!(
        accesses("identify"),
        ["early13", "auth10", "b12", "only15", "late16"]
    );
}

#[test]
fn the_most_specific_configuration_runs() {
    let plugins = || {
        vec![
            note(10, "a", 5, "", json!({})),
            note(11, "a", 5, "", json!({"service": reference(1)})),
            note(12, "a", 5, "", json!({"route": reference(2)})),
        ]
    };
    assert_eq!(phases(plugins(), REQUEST)[0], "access a12");
    assert_eq!(
        phases(plugins(), "GET /s HTTP/1.1\r\nHost: a\r\n")[0],
        "access a11"
    );
}

#[test]
fn a_plugin_may_wait() {
    let (mut proxy, log) = notes(vec![
        note(10, "a", 9, "wait", json!({})),
        note(11, "b", 5, "", json!({})),
    ]);
    proxy.access(REQUEST).expect("forwarded");
    assert_eq!(
        *log.lock().expect("no panic"),
        ["access a10", "waited a10", "access b11"]
    );
    proxy.attempt(None).expect("an address");
    let (_, lines) = proxy.response("HTTP/1.1 200 OK\r\nX-Waited: 0\r\n");
    assert!(lines.contains(&"X-Waited: 1".to_owned()), "{lines:?}");
    assert!(!lines.contains(&"X-Waited: 0".to_owned()), "{lines:?}");
}

#[test]
fn the_header_phase_changes_the_response() {
    let plugins = || vec![note(10, "a", 9, "restatus", json!({}))];
    let (mut proxy, _) = notes(plugins());
    proxy.forward(REQUEST).expect("forwarded");
    let (status, lines) = proxy.response("HTTP/1.1 200 OK\r\nX-Seen: upstream\r\n");
    assert_eq!(status, 299);
    assert!(lines.contains(&"X-Seen: upstream".to_owned()));
    assert!(lines.contains(&"X-Seen: a10".to_owned()));
    assert_eq!(proxy.finish().upstream_status, 200);

    let (mut proxy, _) = notes(plugins());
    let reply = proxy
        .access("GET /none HTTP/1.1\r\nHost: a\r\n")
        .expect_err("404");
    assert_eq!(reply.status, 299);
    assert_eq!(header(&reply, "x-seen").as_deref(), Some("a10"));
}

/// The bundled plugins together, on one route.
fn bundled() -> Harness {
    Harness::new(vec![
        entity(Kind::Services, 1, json!({"host": "svc.test"})),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/r"], "service": reference(1)}),
        ),
        entity(Kind::Consumers, 3, json!({"username": "alice"})),
        entity(
            Kind::KeyauthCredentials,
            4,
            json!({"consumer": reference(3), "key": "k1"}),
        ),
        entity(
            Kind::Plugins,
            5,
            json!({"name": "key-auth", "config": {"hide_credentials": true, "key_in_body": true}}),
        ),
        entity(
            Kind::Plugins,
            6,
            json!({"name": "rate-limiting", "config": {"minute": 1}, "consumer": reference(3)}),
        ),
        entity(
            Kind::Plugins,
            7,
            json!({"name": "correlation-id", "config": {"echo_downstream": true}}),
        ),
    ])
}

#[test]
fn bundled_plugins_work_together() {
    let mut proxy = bundled();
    let request = "GET /r?apikey=k1 HTTP/1.1\r\nHost: a\r\nKong-Request-ID: mine\r\n";
    let lines = proxy.forward(request).expect("forwarded");
    assert_eq!(lines[0], "GET / HTTP/1.1");
    assert!(
        lines.contains(&"X-Consumer-Username: alice".to_owned()),
        "{lines:?}"
    );
    let (_, lines) = proxy.response("HTTP/1.1 200 OK\r\nRateLimit-Limit: 99\r\n");
    for line in [
        "Kong-Request-ID: mine",
        "RateLimit-Limit: 1",
        "X-RateLimit-Remaining-Minute: 0",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line} in {lines:?}");
    }
    proxy.finish();

    let reply = proxy.access(request).expect_err("too many");
    assert_eq!(reply.status, 429);
    assert_eq!(header(&reply, "kong-request-id").as_deref(), Some("mine"));
    assert_eq!(
        header(&reply, "retry-after"),
        header(&reply, "ratelimit-reset")
    );
    assert!(header(&reply, "retry-after").is_some());
    assert!(header(&reply, "x-kong-response-latency").is_some());
    proxy.finish();

    let reply = proxy
        .access("GET /r HTTP/1.1\r\nHost: a\r\n")
        .expect_err("no key");
    assert_eq!(reply.status, 401);
    assert_eq!(header(&reply, "www-authenticate").as_deref(), Some("Key"));
    assert!(header(&reply, "kong-request-id").is_some());
    assert!(header(&reply, "ratelimit-limit").is_none());
}

#[test]
fn a_body_is_read_when_a_plugin_asks() {
    let mut proxy = bundled();
    let form = "Content-Type: application/x-www-form-urlencoded";
    let request = format!("POST /r HTTP/1.1\r\nHost: a\r\n{form}\r\n");
    proxy.begin(&request);
    assert_eq!(proxy.proxy.body_limit(&proxy.exchange), Some(64 * 1024));
    proxy
        .proxy
        .body(&mut proxy.exchange, Bytes::from_static(b"apikey=k1&a=b"));
    proxy.finish_access().expect("forwarded");
    let new_body = proxy.proxy.new_body(&mut proxy.exchange);
    assert_eq!(new_body, Some(Bytes::from_static(b"a=b")));
    proxy.finish();

    // Too long for the plugin: it goes on without.
    proxy.begin(&request);
    let reply = proxy.finish_access().expect_err("no key");
    assert_eq!(reply.status, 401);
    assert_eq!(proxy.proxy.new_body(&mut proxy.exchange), None);
}

/// Kong chooses plugins by subsystem, not by protocol.
#[test]
fn beside_01_plugins_for_other_http_protocols_run_for_plain_http() {
    let keyed = |n, protocols: Value, scope: Value| {
        let mut fields = json!({"name": "key-auth", "protocols": protocols});
        let scope = scope.as_object().expect("an object").clone();
        fields.as_object_mut().expect("an object").extend(scope);
        entity(Kind::Plugins, n, fields)
    };
    let check = |plugins: Vec<(Kind, Uuid, Row)>, expected: Result<(), u16>| {
        let mut entities = vec![
            entity(Kind::Services, 1, json!({"host": "svc.test"})),
            entity(
                Kind::Routes,
                2,
                json!({"paths": ["/r"], "service": reference(1)}),
            ),
            entity(Kind::Consumers, 3, json!({"username": "anonymous"})),
        ];
        entities.extend(plugins);
        let mut proxy = Harness::new(entities);
        let found = proxy.access(REQUEST).map_err(|reply| reply.status);
        assert_eq!(found, expected);
    };
    check(vec![keyed(10, json!(["http"]), json!({}))], Err(401));
    check(vec![keyed(10, json!(["https"]), json!({}))], Err(401));
    check(vec![keyed(10, json!(["grpc"]), json!({}))], Err(401));
    check(
        vec![keyed(10, json!(["grpcs", "https"]), json!({}))],
        Err(401),
    );
    check(vec![keyed(10, json!(["tcp", "tls"]), json!({}))], Ok(()));
    // A route's own plugin for other protocols wins over the global one of its name.
    let lenient = |protocols| {
        let scope = json!({"route": reference(2), "config": {"anonymous": "anonymous"}});
        keyed(11, protocols, scope)
    };
    let global = || keyed(10, json!(["http"]), json!({}));
    check(vec![global(), lenient(json!(["grpc"]))], Ok(()));
    check(vec![global(), lenient(json!(["https"]))], Ok(()));
    // Of the stream subsystem it does not.
    check(vec![global(), lenient(json!(["tcp"]))], Err(401));
}

#[test]
fn trial_03_a_closed_route_answers_503_and_runs_no_plugin() {
    /// As [`Notes`], without `unknown`.
    struct Some(Notes);
    impl PluginFactory for Some {
        fn build(&self, plugin: &Plugin) -> Result<Built, String> {
            match plugin.name.as_str() {
                "unknown" => Err("not here".to_owned()),
                _ => self.0.build(plugin),
            }
        }
    }
    let log = Log::default();
    let entities = vec![
        entity(Kind::Services, 1, json!({"host": "svc.test"})),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/r"], "service": reference(1)}),
        ),
        entity(Kind::Routes, 3, json!({"paths": ["/"]})),
        entity(
            Kind::Routes,
            4,
            json!({"paths": ["/s"], "service": reference(1)}),
        ),
        entity(Kind::Consumers, 5, json!({"username": "alice"})),
        note(10, "a", 9, "identify", json!({})),
        note(11, "unknown", 0, "", json!({"route": reference(2)})),
        note(12, "unknown", 0, "", json!({"consumer": reference(5)})),
    ];
    let factory = Arc::new(Some(Notes(Arc::clone(&log))));
    let (mut proxy, quarantined) =
        Harness::with_quarantine(entities, ProxySettings::default(), factory);
    let held: Vec<_> = quarantined.iter().map(|it| it.id.as_u128()).collect();
    assert_eq!(held, [2, 5, 11, 12]);
    let reply = proxy.access(REQUEST).expect_err("an answer");
    assert_eq!(reply.status, 503);
    assert!(
        body(&reply).contains("This route is closed"),
        "{}",
        body(&reply)
    );
    proxy.finish();
    assert_eq!(*log.lock().expect("no panic"), Vec::<String>::new());
    // A closed consumer is known once somebody has found out who it is.
    let other = "GET /s HTTP/1.1\r\nHost: a\r\n";
    let reply = proxy.access(other).expect_err("an answer");
    assert_eq!(reply.status, 503);
    assert_eq!(log.lock().expect("no panic")[0], "access a10");
}
