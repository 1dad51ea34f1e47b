//! What the proxy's tests drive a pipeline with: entities in, heads in, text out.

use super::{Clock, Exchange, Proxy, ProxySettings, Recorder};
use crate::data_plane::exchange::{
    Attempt, AttemptError, Connection, Outcome, Pipeline, Refusal, RefusedRequest, Reply, Verdict,
};
use crate::data_plane::router::{Options, PluginFactory, Quarantined, RouterState, Snapshot};
use crate::http::{HeaderEdits, RequestHead, ResponseHead, Span, Version};
use crate::model::{Config, Kind, Revision, Row};
use crate::plugins::Factory;
use crate::telemetry::record::Record;
use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use uuid::Uuid;

/// A request head from its text; the version is the request line's.
pub fn request_head(text: &str) -> RequestHead {
    let (line, lines) = text.split_once("\r\n").expect("a line end");
    let mut words = line.split(' ');
    let mut word = || Span::of(text.as_bytes(), words.next().expect("a word").as_bytes());
    let (method, target, version) = (word(), word(), word());
    let version = match version.slice(text.as_bytes()) {
        b"HTTP/1.0" => Version::Http10,
        b"HTTP/2" => Version::Http2,
        _ => Version::Http11,
    };
    let mut head = RequestHead::default();
    head.reset(Bytes::from(text.to_owned()), version, method, target);
    for (name, value) in header_spans(text, lines) {
        head.headers.push(name, value);
    }
    head
}

/// A response head from its text.
pub fn response_head(text: &str) -> ResponseHead {
    let (line, lines) = text.split_once("\r\n").expect("a line end");
    let status = line.split(' ').nth(1).expect("a status");
    let mut head = ResponseHead::default();
    head.reset(
        Bytes::from(text.to_owned()),
        Version::Http11,
        status.parse().expect("a number"),
        Span::default(),
    );
    for (name, value) in header_spans(text, lines) {
        head.headers.push(name, value);
    }
    head
}

fn header_spans<'a>(whole: &'a str, lines: &'a str) -> impl Iterator<Item = (Span, Span)> + 'a {
    lines.split_terminator("\r\n").map(move |line| {
        let (name, value) = line.split_once(':').expect("a colon");
        let span = |part: &str| Span::of(whole.as_bytes(), part.as_bytes());
        (span(name), span(value.trim()))
    })
}

/// A plain connection from this machine to port 8000.
pub fn connection() -> Connection {
    Connection {
        peer: "127.0.0.1:5000".parse().expect("an address"),
        local: "127.0.0.1:8000".parse().expect("an address"),
        client: None,
        tls: None,
        number: 1,
    }
}

/// A clock that tests set.
#[derive(Clone, Default)]
pub struct TestClock(pub Rc<Cell<u64>>);

impl Clock for TestClock {
    fn monotonic_us(&self) -> u64 {
        self.0.get() * 1000
    }

    fn epoch_ms(&self) -> u64 {
        1_700_000_000_000 + self.0.get()
    }
}

#[derive(Clone, Default)]
pub struct Records(pub Rc<RefCell<Vec<Record>>>);

impl Recorder for Records {
    fn record(&self, record: Record) {
        self.0.borrow_mut().push(record);
    }
}

pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// An entity with the defaults of its kind.
pub fn entity(kind: Kind, n: u128, fields: Value) -> (Kind, Uuid, Row) {
    let mut entity = match kind {
        Kind::Services => json!({
            "protocol": "http", "host": "svc.test", "port": 80, "retries": 5,
            "connect_timeout": 60000, "write_timeout": 60000, "read_timeout": 60000,
            "enabled": true,
        }),
        Kind::Routes => json!({
            "protocols": ["http", "https"], "https_redirect_status_code": 426,
            "regex_priority": 0, "strip_path": true, "preserve_host": false,
            "request_buffering": true, "response_buffering": true,
        }),
        Kind::Plugins => json!({
            "config": {}, "protocols": ["grpc", "grpcs", "http", "https"], "enabled": true,
        }),
        _ => json!({}),
    };
    let object = entity.as_object_mut().expect("an object");
    object.insert("id".into(), json!(id(n)));
    object.extend(fields.as_object().expect("an object").clone());
    (kind, id(n), Row::from_json(object))
}

pub fn reference(n: u128) -> Value {
    json!({"id": id(n)})
}

/// A pipeline with its exchange: one connection of one worker.
pub struct Harness {
    pub proxy: Proxy<Records, TestClock>,
    pub exchange: Exchange,
    pub connection: Connection,
    pub clock: TestClock,
    pub records: Records,
    pub snapshots: Arc<ArcSwap<Snapshot>>,
}

impl Harness {
    pub fn new(entities: Vec<(Kind, Uuid, Row)>) -> Harness {
        Harness::with(
            entities,
            ProxySettings::default(),
            Arc::new(Factory::default()),
        )
    }

    pub fn with(
        entities: Vec<(Kind, Uuid, Row)>,
        settings: ProxySettings,
        factory: Arc<dyn PluginFactory>,
    ) -> Harness {
        let (harness, quarantined) = Harness::with_quarantine(entities, settings, factory);
        assert!(quarantined.is_empty(), "{quarantined:?}");
        harness
    }

    /// Also what could not be put in effect.
    pub fn with_quarantine(
        entities: Vec<(Kind, Uuid, Row)>,
        settings: ProxySettings,
        factory: Arc<dyn PluginFactory>,
    ) -> (Harness, Vec<Quarantined>) {
        let mut state = RouterState::new(factory, Options::default());
        let outcome = state.replace(Config::from_rows(Revision(1), entities), 0.0);
        let snapshots = Arc::new(ArcSwap::from(outcome.snapshot));
        let (clock, records) = (TestClock::default(), Records::default());
        let settings = Arc::new(settings);
        let harness = Harness {
            proxy: Proxy::with_clock(
                settings,
                Arc::clone(&snapshots),
                records.clone(),
                clock.clone(),
            ),
            snapshots,
            exchange: Exchange::default(),
            connection: connection(),
            clock,
            records,
        };
        (harness, outcome.quarantined)
    }

    pub fn pass(&self, milliseconds: u64) {
        self.clock.0.set(self.clock.0.get() + milliseconds);
    }

    pub fn begin(&mut self, request: &str) {
        let mut head = request_head(request);
        self.proxy
            .begin(&mut self.exchange, &self.connection, &mut head);
    }

    /// `begin` and `access`; an answer comes with all its headers.
    pub fn access(&mut self, request: &str) -> Result<(), Reply> {
        self.begin(request);
        self.finish_access()
    }

    pub fn finish_access(&mut self) -> Result<(), Reply> {
        let verdict = block_on(self.proxy.access(&mut self.exchange));
        match verdict {
            Verdict::Forward => Ok(()),
            Verdict::Respond(mut reply) => {
                self.proxy.respond(&mut self.exchange, &mut reply);
                Err(reply)
            }
        }
    }

    /// One attempt; an answer comes with all its headers.
    pub fn attempt(&mut self, failed: Option<AttemptError>) -> Result<Attempt, Reply> {
        let attempt = self.proxy.attempt(&mut self.exchange, failed);
        attempt.map_err(|mut reply| {
            self.proxy.respond(&mut self.exchange, &mut reply);
            reply
        })
    }

    /// The request as the upstream gets it.
    pub fn upstream_request(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.proxy.write_request_head(&self.exchange, &mut out);
        let text = String::from_utf8_lossy(&out);
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }

    /// From the head to the first attempt's request; the answer's status otherwise.
    pub fn forward(&mut self, request: &str) -> Result<Vec<String>, u16> {
        self.access(request).map_err(|reply| reply.status)?;
        self.attempt(None).map_err(|reply| reply.status)?;
        Ok(self.upstream_request())
    }

    /// The upstream's response as the client gets it: status and header lines.
    pub fn response(&mut self, text: &str) -> (u16, Vec<String>) {
        let mut head = response_head(text);
        let mut edits = HeaderEdits::default();
        self.proxy
            .response(&mut self.exchange, &mut head, &mut edits)
            .expect("it passes");
        let lines = edits.apply(&head.headers).map(|(name, value)| {
            let text = |bytes| String::from_utf8_lossy(bytes);
            format!("{}: {}", text(name), text(value))
        });
        (head.status, lines.collect())
    }

    /// The reply to a request that the driver refuses.
    pub fn refuse(&self, head: Option<&RequestHead>, refusal: Refusal) -> Reply {
        let (connection, exchange) = (&self.connection, &mut Exchange::default());
        let refused = RefusedRequest {
            head,
            first_line: b"",
        };
        self.proxy.refuse(exchange, connection, refused, refusal)
    }

    /// A request that the driver refuses, to its end.
    pub fn refused(&mut self, head: Option<&RequestHead>, refusal: Refusal) -> Record {
        let (connection, exchange) = (&self.connection, &mut self.exchange);
        let refused = RefusedRequest {
            head,
            first_line: b"",
        };
        self.proxy.refuse(exchange, connection, refused, refusal);
        self.proxy.refused(exchange, Outcome::default());
        self.records.0.borrow_mut().pop().expect("a record")
    }

    pub fn finish(&mut self) -> Record {
        let outcome = Outcome {
            request_bytes: 10,
            response_bytes: 20,
            ..Outcome::default()
        };
        self.proxy.finish(&mut self.exchange, outcome);
        self.records.0.borrow_mut().pop().expect("a record")
    }
}

/// Runs a future that never waits for anything outside.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}

pub fn body(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

pub fn header(reply: &Reply, name: &str) -> Option<String> {
    let value = reply.header(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}
