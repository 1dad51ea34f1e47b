//! Trial 29: whatever a plugin or a client does, a request ends exactly once, and nobody else
//! notices.

use super::super::testing::{entity, reference};
use super::super::{PluginPanics, ProxySettings};
use super::running::{Running, Upstream};
use crate::data_plane::listener::{DriverSettings, ServerConfig};
use crate::data_plane::router::PluginFactory;
use crate::model::{Kind, Plugin};
use crate::plugins::{Access, Built, Context, Flow, Handler, Phases, RequestLog};
use crate::telemetry::metrics::Metrics;
use serde_json::json;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// What happened to the plugins of a test.
#[derive(Default)]
struct Seen {
    log_phases: AtomicUsize,
    dropped: AtomicUsize,
}

/// Builds one plugin that misbehaves as its configuration says, and one that counts.
struct Misbehaving {
    seen: Arc<Seen>,
    waiting: mpsc::Sender<()>,
}

struct Instance {
    action: String,
    seen: Arc<Seen>,
    waiting: mpsc::Sender<()>,
}

impl PluginFactory for Misbehaving {
    fn build(&self, plugin: &Plugin) -> Result<Built, String> {
        let action = plugin
            .config
            .get("action")
            .and_then(|action| action.as_str());
        let action = action.unwrap_or_default();
        Ok(Built {
            handler: Arc::new(Instance {
                action: action.to_owned(),
                seen: Arc::clone(&self.seen),
                waiting: self.waiting.clone(),
            }),
            // The one that counts runs last.
            priority: if action == "count" { 1 } else { 10 },
            phases: Phases::ACCESS.and(Phases::HEADER_FILTER).and(Phases::LOG),
        })
    }
}

/// Counts that a future was dropped before its end.
struct Unfinished<'a>(&'a Seen);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Handler for Instance {
    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        match &*self.action {
            "access" => panic!("access of a test's plugin"),
            "waited" => Access::Pending(Box::pin(async move {
                tokio::task::yield_now().await;
                context.response_edits.set("X-Never", "1");
                assert!(context.route.is_none(), "waiting access of a test's plugin");
                Flow::Continue
            })),
            "forever" => Access::Pending(Box::pin(async move {
                let _unfinished = Unfinished(&self.seen);
                self.waiting.send(()).expect("the test waits");
                std::future::pending::<Flow>().await
            })),
            _ => Flow::Continue.into(),
        }
    }

    fn header_filter(&self, context: &mut Context<'_>) {
        match &*self.action {
            "header_filter" => panic!("header_filter of a test's plugin"),
            _ => context.response_edits.remove("X-Secret"),
        }
    }

    fn log(&self, _: &mut Context<'_>, _: &RequestLog<'_>) {
        match &*self.action {
            "log" => panic!("log of a test's plugin"),
            "count" => {
                self.seen.log_phases.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

struct Story {
    gateway: Running,
    seen: Arc<Seen>,
    metrics: Arc<Metrics>,
    /// A plugin waits.
    waiting: mpsc::Receiver<()>,
    _upstream: Upstream,
}

fn story(action: &str, driver: DriverSettings) -> Story {
    let upstream = Upstream::echo();
    let service =
        json!({"host": upstream.address.ip().to_string(), "port": upstream.address.port()});
    let plugin = |n, name: &str, action: &str| {
        let config = json!({"action": action});
        let fields = json!({"name": name, "config": config, "route": reference(2)});
        entity(Kind::Plugins, n, fields)
    };
    let entities = vec![
        entity(Kind::Services, 1, service),
        entity(
            Kind::Routes,
            2,
            json!({"paths": ["/bad"], "service": reference(1)}),
        ),
        entity(
            Kind::Routes,
            3,
            json!({"paths": ["/good"], "service": reference(1)}),
        ),
        plugin(4, "misbehaving", action),
        plugin(5, "counting", "count"),
    ];
    let (seen, metrics) = (Arc::<Seen>::default(), Arc::new(Metrics::new()));
    let (sender, waiting) = mpsc::channel();
    let factory = Misbehaving {
        seen: Arc::clone(&seen),
        waiting: sender,
    };
    let settings = ProxySettings {
        plugin_panics: PluginPanics::new(Arc::clone(&metrics), ["misbehaving"].into_iter()),
        ..ProxySettings::default()
    };
    let config = ServerConfig {
        driver,
        ..ServerConfig::default()
    };
    Story {
        gateway: Running::with(entities, Arc::new(factory), settings, config),
        seen,
        metrics,
        waiting,
        _upstream: upstream,
    }
}

const BAD: &str = "GET /bad HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn trial_29_a_panic_in_any_phase_costs_one_request() {
    for (action, status) in [
        ("access", 500),
        ("waited", 500),
        ("header_filter", 500),
        ("log", 200),
    ] {
        let story = story(action, DriverSettings::default());
        // A connection that is open meanwhile, on the same worker.
        let mut other = story.gateway.client();
        let mut client = story.gateway.client();
        client.write_all(BAD.as_bytes()).expect("writes");
        let mut answer = vec![0; 16 * 1024];
        let count = client.read(&mut answer).expect("reads");
        let answer = String::from_utf8_lossy(&answer[..count]);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{action}: {answer}"
        );
        let unexpected = answer.contains("An unexpected error occurred");
        assert_eq!(unexpected, status == 500, "{action}: {answer}");
        assert_eq!(story.gateway.record().status, status, "{action}");
        // The connection of a panic that was answered is as good as before.
        let good = b"GET /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        for stream in [&mut client, &mut other] {
            stream.write_all(good).expect("writes");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("reads");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{action}: {answer}");
            assert_eq!(story.gateway.record().status, 200, "{action}");
        }
        assert_eq!(story.seen.log_phases.load(Ordering::SeqCst), 1, "{action}");
        assert!(story.gateway.more_records().is_empty(), "{action}");
        let counted = "langur_plugin_panics_total{plugin=\"misbehaving\"} 1\n";
        let text = story.metrics.scrape(|_| {});
        // Own answers pass the header phase, too: a plugin that panics there does it twice.
        let twice = counted.replace(" 1\n", " 2\n");
        let expected = if action == "header_filter" {
            &*twice
        } else {
            counted
        };
        assert!(text.contains(expected), "{action}: {text}");
    }
}

#[test]
fn trial_29_access_ends_when_the_client_goes_away() {
    let story = story("forever", DriverSettings::default());
    for expected in 1..=3 {
        let mut client = story.gateway.client();
        client.write_all(BAD.as_bytes()).expect("writes");
        story.waiting.recv().expect("the plugin waits");
        drop(client);
        assert_eq!(story.gateway.record().status, 499);
        assert_eq!(story.seen.dropped.load(Ordering::SeqCst), expected);
        assert_eq!(story.seen.log_phases.load(Ordering::SeqCst), expected);
    }
    assert!(story.gateway.more_records().is_empty());
}

#[test]
fn trial_29_access_has_a_deadline() {
    let driver = DriverSettings {
        access_timeout: Duration::from_millis(300),
        ..DriverSettings::default()
    };
    let story = story("forever", driver);
    let answer = story.gateway.ask(BAD);
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    assert_eq!(story.gateway.record().status, 500);
    assert_eq!(story.seen.dropped.load(Ordering::SeqCst), 1);
    assert_eq!(story.seen.log_phases.load(Ordering::SeqCst), 1);
}

#[test]
fn trial_29_a_forced_stop_finishes_what_it_drops() {
    let mut story = story("forever", DriverSettings::default());
    let mut client = story.gateway.client();
    client.write_all(BAD.as_bytes()).expect("writes");
    story.waiting.recv().expect("the plugin waits");
    story.gateway.stop();
    assert_eq!(story.gateway.record().status, 500);
    assert!(story.gateway.more_records().is_empty());
    assert_eq!(story.seen.dropped.load(Ordering::SeqCst), 1);
    assert_eq!(story.seen.log_phases.load(Ordering::SeqCst), 1);
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    assert_eq!(rest, b"");
}
