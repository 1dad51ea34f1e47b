//! What the plugins' own tests drive handlers with.

use super::{
    Access, BodyUse, Captures, Chunk, Consumer, Context, Directory, EntityRef, Factory, Flow,
    Handler, HeaderName, Identity, KeyOwner, Peer, RequestLog, Response, ResponseSource, RouteView,
    SentFraming, SentHeaders, Shared, State, Timestamp, Try, UpstreamRequest,
};
use crate::http::{HeaderEdits, RequestHead, ResponseHead, Span, Version};
use crate::model::Plugin;
use crate::telemetry::record::MetricChoice;
use crate::tls::TlsSession;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// An enabled global plugin.
pub fn plugin(name: &str, config: Value) -> Plugin {
    serde_json::from_value(json!({
        "id": Uuid::from_u128(0xF00D),
        "name": name,
        "config": config,
        "protocols": ["http", "https"],
        "enabled": true,
    }))
    .expect("a plugin")
}

/// An instance of a bundled plugin.
pub fn built(name: &str, config: Value) -> Arc<dyn Handler> {
    let built = Factory::default().build(&plugin(name, config));
    built.expect("builds").handler
}

/// A request head from its text: request line and header lines.
pub fn head(text: &str) -> RequestHead {
    let bytes = Bytes::from(text.to_owned());
    let mut lines = text.split("\r\n");
    let line = lines.next().expect("a request line");
    let mut words = line.split(' ');
    let method = words.next().expect("a method");
    let target = words.next().expect("a target");
    let whole = text.as_bytes();
    let mut head = RequestHead::default();
    head.reset(
        bytes,
        Version::Http11,
        Span::of(whole, method.as_bytes()),
        Span::of(whole, target.as_bytes()),
    );
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a header line");
        head.headers.push(
            Span::of(whole, name.as_bytes()),
            Span::of(whole, value.trim().as_bytes()),
        );
    }
    head
}

/// A directory of a few consumers, each with some keys.
#[derive(Default)]
pub struct People {
    pub consumers: Vec<Consumer>,
    pub keys: Vec<(String, KeyOwner)>,
}

impl People {
    pub fn add(&mut self, id: u128, username: &str, custom_id: Option<&str>) -> &mut Self {
        self.consumers.push(Consumer {
            id: Uuid::from_u128(id),
            username: Some(username.into()),
            custom_id: custom_id.map(Into::into),
        });
        self
    }

    pub fn key(
        &mut self,
        id: u128,
        consumer: u128,
        key: &str,
        expires_at: Option<i64>,
    ) -> &mut Self {
        let owner = KeyOwner {
            credential: Uuid::from_u128(id),
            consumer: Uuid::from_u128(consumer),
            expires_at,
        };
        self.keys.push((key.to_owned(), owner));
        self
    }
}

impl Directory for People {
    fn key_owner(&self, key: &str) -> Option<KeyOwner> {
        let found = self.keys.iter().find(|(found, _)| found == key);
        found.map(|(_, owner)| *owner)
    }

    fn consumer(&self, id: Uuid) -> Option<Consumer> {
        self.consumers.iter().find(|found| found.id == id).cloned()
    }

    fn consumer_by_username(&self, username: &str) -> Option<Consumer> {
        self.consumers
            .iter()
            .find(|found| found.username.as_deref() == Some(username))
            .cloned()
    }

    fn consumer_entity(&self, id: Uuid) -> Option<Map<String, Value>> {
        let found = self.consumer(id)?;
        let entity = json!({"id": found.id, "username": found.username});
        entity.as_object().cloned()
    }

    fn has_upstream(&self, name: &str) -> bool {
        name == "u"
    }
}

/// A request that a handler under test works on.
pub struct Request {
    pub head: RequestHead,
    pub request_edits: HeaderEdits,
    pub upstream: UpstreamRequest,
    pub state: State,
    pub shared: Shared,
    pub response_edits: HeaderEdits,
    pub body: Option<Vec<u8>>,
    pub identity: Identity,
    pub people: People,
    pub now: Timestamp,
    pub client: &'static str,
    pub request_number: u64,
    pub status: u16,
    pub metrics: MetricChoice,
    /// The upstream's, once there is one.
    pub response: Option<ResponseHead>,
    pub tls: Option<TlsSession>,
}

/// The route and service of every request here.
struct View;

impl RouteView for View {
    fn captures(&self, path: &str) -> Captures {
        assert_eq!(path, "/normal");
        Captures {
            unnamed: vec!["x".to_owned(), "y".to_owned()],
            named: vec![("b".to_owned(), "y".to_owned())],
        }
    }

    fn captured(&self, path: &str) -> Option<String> {
        Some(path.to_owned())
    }

    fn stripped_prefix<'p>(&self, _: &'p str) -> Option<&'p str> {
        None
    }

    fn upstream_path(&self, path: &str) -> Vec<u8> {
        path.as_bytes().to_vec()
    }

    fn route(&self) -> Map<String, Value> {
        Map::from_iter([("name".to_owned(), json!("r"))])
    }

    fn service(&self) -> Option<Map<String, Value>> {
        Some(Map::from_iter([("name".to_owned(), json!("s"))]))
    }
}

pub const ROUTE: EntityRef<'static> = EntityRef {
    id: Uuid::from_u128(0xAA),
    name: Some("r"),
};
pub const SERVICE: EntityRef<'static> = EntityRef {
    id: Uuid::from_u128(0xBB),
    name: Some("s"),
};

impl Request {
    pub fn new(text: &str) -> Request {
        Request {
            head: head(text),
            request_edits: HeaderEdits::default(),
            upstream: UpstreamRequest::default(),
            state: State::default(),
            shared: Shared::default(),
            response_edits: HeaderEdits::default(),
            body: None,
            identity: Identity::default(),
            people: People::default(),
            now: Timestamp(1_700_000_000_250),
            client: "127.0.0.1",
            request_number: 1,
            status: 200,
            metrics: MetricChoice::default(),
            response: None,
            tls: None,
        }
    }

    /// An upstream has answered with this status line and these header lines.
    pub fn response(&mut self, text: &str) {
        let (line, _) = text.split_once("\r\n").expect("a status line");
        let status = line.split(' ').nth(1).expect("a status");
        self.status = status.parse().expect("a number");
        let mut response = ResponseHead::default();
        response.status = self.status;
        response.headers = head(text).headers;
        self.response = Some(response);
    }

    fn with<T>(&mut self, phase_is_response: bool, run: impl FnOnce(&mut Context<'_>) -> T) -> T {
        run(&mut self.context(phase_is_response))
    }

    fn context(&mut self, phase_is_response: bool) -> Context<'_> {
        let mut context = Context {
            head: &self.head,
            request_edits: &mut self.request_edits,
            upstream: &mut self.upstream,
            response_edits: &mut self.response_edits,
            body: self.body.as_deref(),
            state: &mut self.state,
            shared: &mut self.shared,
            peer: Peer {
                client: self.client.parse().expect("an address"),
                client_port: 4000,
                peer: "127.0.0.1:4000".parse().expect("an address"),
                trusted: false,
                visible_port: 8000,
                local: "127.0.0.1:8000".parse().expect("an address"),
                https: self.tls.is_some(),
                tls: self.tls,
                connection: 3,
                connection_request: 2,
                slot: 7,
                request: self.request_number,
            },
            normal_path: "/normal",
            matched: Some(&View),
            route: Some(ROUTE),
            service: Some(SERVICE),
            identity: &mut self.identity,
            directory: &self.people,
            metrics: &mut self.metrics,
            request_id: "0123456789abcdef0123456789abcdef",
            now: self.now,
            started: self.now,
            sni: None,
            tls_protocol: None,
            tries: &[],
            upstream_uri: b"",
            response: None,
        };
        if phase_is_response {
            context.response = Some(Response {
                status: &mut self.status,
                head: self.response.as_ref(),
                upstream_status: 0,
                sent: None,
                failed: false,
            });
        }
        context
    }

    /// Shows the request as the access phase sees it.
    pub fn seen<T>(&mut self, look: impl FnOnce(&Context<'_>) -> T) -> T {
        self.with(false, |context| look(context))
    }

    /// Runs the access phase of a handler that does not wait.
    pub fn access(&mut self, handler: &dyn Handler) -> Flow {
        self.with(false, |context| match handler.access(context) {
            Access::Ready(flow) => flow,
            Access::Pending(_) => panic!("the handler waits"),
        })
    }

    pub fn rewrite(&mut self, handler: &dyn Handler) -> Flow {
        handler.rewrite(&mut self.context(false))
    }

    /// Runs the access phase of a handler to its end.
    pub async fn access_that_waits(&mut self, handler: &dyn Handler) -> Flow {
        let mut context = self.context(false);
        match handler.access(&mut context) {
            Access::Ready(flow) => flow,
            Access::Pending(flow) => flow.await,
        }
    }

    pub fn header_filter(&mut self, handler: &dyn Handler) {
        self.with(true, |context| handler.header_filter(context));
    }

    pub fn body_use(&mut self, handler: &dyn Handler) -> BodyUse {
        self.with(true, |context| handler.body_use(context))
    }

    pub fn chunk(&mut self, handler: &dyn Handler, chunk: &mut Chunk) -> bool {
        self.with(true, |context| handler.body_filter(context, chunk))
    }

    /// What the body phase makes of a body in these pieces; `None` where it ends the response.
    pub fn body_filter(&mut self, handler: &dyn Handler, pieces: &[&str]) -> Option<Vec<u8>> {
        let mut sent = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let mut chunk = Chunk {
                data: Bytes::copy_from_slice(piece.as_bytes()),
                last: at + 1 == pieces.len(),
            };
            if !self.chunk(handler, &mut chunk) {
                return None;
            }
            sent.extend_from_slice(&chunk.data);
        }
        Some(sent)
    }

    /// Runs something in the log phase.
    pub fn log_phase<T>(&mut self, run: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.with(true, run)
    }

    /// The values of a header that a configuration names.
    pub fn configured(&self, name: &str) -> Vec<String> {
        let mut request = Request::new("GET / HTTP/1.1\r\n");
        request.head = self.head.clone();
        let name = HeaderName::from(name);
        request.with(false, |context| {
            let values = context.configured_headers(&name);
            values
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .collect()
        })
    }

    /// The request's headers as the upstream gets them.
    pub fn upstream_headers(&self) -> Vec<String> {
        lines(self.request_edits.apply(&self.head.headers))
    }

    /// The headers that plugins gave the response.
    pub fn response_headers(&self) -> Vec<String> {
        let none = crate::http::HeaderIndex::default();
        lines(self.response_edits.apply(&none))
    }
}

/// What a request that went well has come to: 200 after 50 ms, of which an upstream took 30.
pub fn ended<T>(look: impl FnOnce(&RequestLog<'_>) -> T) -> T {
    ended_with(&[], &SentHeaders::default(), look)
}

/// The same after these attempts, with these headers sent.
pub fn ended_with<T>(
    tries: &[Try],
    headers: &SentHeaders,
    look: impl FnOnce(&RequestLog<'_>) -> T,
) -> T {
    look(&RequestLog {
        started_at: 1_700_000_000_250,
        total_us: 50_999,
        gateway_us: 2_001,
        upstream_us: Some(30_500),
        waited_us: Some(30_500),
        receive_us: Some(9_000),
        request_bytes: 123,
        response_bytes: 456,
        status: 200,
        upstream_status: 200,
        source: ResponseSource::Upstream,
        client_closed: false,
        upstream_uri: b"/b?x=1",
        upstream_host: b"upstream",
        tries,
        parts: &[],
        headers,
        framing: SentFraming {
            content_length: Some(7),
            chunked: false,
            connection: Some("keep-alive"),
        },
    })
}

fn lines<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers
        .map(|(name, value)| format!("{}: {}", text(name), text(value)))
        .collect()
}
