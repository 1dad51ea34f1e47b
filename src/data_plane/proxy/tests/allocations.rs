//! The promise of the hot path: a plain request allocates nothing, and no request allocates
//! per header.

use super::super::testing::{TestClock, block_on, entity, reference, request_head, response_head};
use super::super::{Exchange, Proxy, ProxySettings, Recorder};
use crate::access_log::{AccessLog, AccessLogs, Destination, Wanted, ready_made};
use crate::data_plane::exchange::{Outcome, Pipeline};
use crate::data_plane::router::{Options, RouterState};
use crate::http::HeaderEdits;
use crate::model::{Config, Kind, Revision};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::record::Record;
use arc_swap::ArcSwap;
use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// The system's allocator, counting the calls of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Nowhere;

impl Recorder for Nowhere {
    fn record(&self, record: Record) {
        drop(record);
    }
}

fn proxy(access_log: Option<AccessLog>) -> Proxy<Nowhere, TestClock> {
    let entities = vec![
        entity(
            Kind::Services,
            1,
            json!({"host": "10.0.0.1", "port": 19000}),
        ),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/plain"], "service": reference(1)}),
        ),
        entity(
            Kind::Routes,
            3,
            json!({"paths": ["/key"], "service": reference(1)}),
        ),
        entity(Kind::Consumers, 4, json!({"username": "alice"})),
        entity(
            Kind::KeyauthCredentials,
            5,
            json!({"consumer": reference(4), "key": "k1"}),
        ),
        entity(
            Kind::Plugins,
            6,
            json!({"name": "key-auth", "route": reference(3)}),
        ),
        entity(
            Kind::Plugins,
            7,
            json!({"name": "rate-limiting", "config": {"hour": 1000}, "route": reference(3)}),
        ),
        entity(Kind::Services, 8, json!({"host": "pool"})),
        entity(
            Kind::Routes,
            9,
            json!({"paths": ["/pool"], "service": reference(8)}),
        ),
        entity(
            Kind::Upstreams,
            10,
            json!({"name": "pool", "healthchecks": {"threshold": 10, "passive": {
                "healthy": {"http_statuses": [200], "successes": 1},
                "unhealthy": {"tcp_failures": 1},
            }}}),
        ),
        entity(
            Kind::Targets,
            11,
            json!({"upstream": reference(10), "target": "10.0.0.2:80", "weight": 10}),
        ),
    ];
    let factory = Arc::new(crate::plugins::Factory::default());
    let mut state = RouterState::new(factory, Options::default());
    let outcome = state.replace(Config::from_rows(Revision(1), entities), 0.0);
    let snapshots = Arc::new(ArcSwap::from(outcome.snapshot));
    let settings = Arc::new(ProxySettings {
        access_log,
        ..ProxySettings::default()
    });
    Proxy::with_clock(settings, snapshots, Nowhere, TestClock::default())
}

/// Allocations of the third request on a connection: the first ones grow the buffers.
fn allocations(path: &str, headers: usize) -> u64 {
    allocations_with(None, path, headers)
}

/// The same, with an access log or without.
fn allocations_with(access_log: Option<AccessLog>, path: &str, headers: usize) -> u64 {
    let proxy = proxy(access_log);
    let connection = super::super::testing::connection();
    let lines = |prefix: &str| -> String {
        (0..headers)
            .map(|n| format!("{prefix}-{n}: value\r\n"))
            .collect()
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\napikey: k1\r\n{}",
        lines("X-Q")
    );
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{}",
        lines("X-A")
    );
    let (mut exchange, mut edits, mut out) =
        (Exchange::default(), HeaderEdits::default(), Vec::new());
    let mut counted = 0;
    for _ in 0..3 {
        let (mut request, mut response) = (request_head(&request), response_head(&response));
        out.clear();
        let before = ALLOCATIONS.get();
        proxy.begin(&mut exchange, &connection, &mut request);
        block_on(proxy.access(&mut exchange));
        proxy.attempt(&mut exchange, None).expect("an address");
        proxy.write_request_head(&exchange, &mut out);
        let passed = proxy.response(&mut exchange, &mut response, &mut edits);
        assert!(passed.is_ok());
        let written: usize = edits
            .apply(&response.headers)
            .map(|(name, _)| name.len())
            .sum();
        proxy.finish(&mut exchange, Outcome::default());
        counted = ALLOCATIONS.get() - before;
        assert!(written > 0 && out.len() > 100);
    }
    counted
}

#[test]
fn a_plain_request_allocates_nothing() {
    assert_eq!(allocations("/plain/x?y=1", 10), 0);
    assert_eq!(allocations("/plain/x?y=1", 60), 0);
    assert_eq!(allocations("/pool", 10), 0, "with passive health checks");
}

#[test]
fn a_line_of_the_access_log_allocates_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    for name in ["kong_log_format", "json"] {
        let wanted = Wanted {
            setting: "proxy_access_log",
            name: "proxy",
            destination: Destination::File(path.clone()),
            format: Arc::new(ready_made(name).expect(name)),
            given: true,
        };
        let metrics = Metrics::new();
        let logs = AccessLogs::open(&[wanted], "host", &metrics).expect("a file");
        let log = logs.of("proxy_access_log").cloned();
        assert_eq!(allocations_with(log, "/plain/x?y=1", 10), 0, "{name}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let finished = async { logs.finish(Duration::from_secs(60)).await };
        let written = runtime.expect("a runtime").block_on(finished);
        assert!(written, "{name}");
    }
    let text = std::fs::read_to_string(&path).expect("the log");
    assert_eq!(text.lines().count(), 6, "{text}");
}

#[test]
fn plugins_do_not_allocate_per_header() {
    let few = allocations("/key", 1);
    assert_eq!(few, allocations("/key", 60));
    assert!(few <= 4, "{few} allocations");
}
