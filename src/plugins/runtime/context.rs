//! What a plugin sees of a request, and what it may change.

use super::{HeaderName, SentHeaders, Shared, State, Try, UpstreamRequest};
use crate::http::{HeaderEdits, HeaderIndex, RequestHead};
use crate::telemetry::record::MetricChoice;
use crate::tls::TlsSession;
use serde_json::{Map, Value};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// The headers of a response that the gateway makes itself: all of them are edits.
static NO_HEADERS: LazyLock<HeaderIndex> = LazyLock::new(HeaderIndex::default);

/// A point in time as milliseconds since the epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// A consumer as plugins see it; clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    pub id: Uuid,
    pub username: Option<Arc<str>>,
    pub custom_id: Option<Arc<str>>,
}

/// Whose a key is, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// The id of the credential.
    pub credential: Uuid,
    /// The id of the consumer.
    pub consumer: Uuid,
    /// Epoch seconds from which on the key is no longer valid.
    pub expires_at: Option<i64>,
}

/// Look-ups in the configuration that the request keeps to its end.
pub trait Directory {
    fn key_owner(&self, key: &str) -> Option<KeyOwner>;
    fn consumer(&self, id: Uuid) -> Option<Consumer>;
    fn consumer_by_username(&self, username: &str) -> Option<Consumer>;
    /// The whole consumer, without the fields that have no value.
    fn consumer_entity(&self, id: Uuid) -> Option<Map<String, Value>>;
    /// Whether there is an upstream of this name.
    fn has_upstream(&self, name: &str) -> bool;
}

/// The route or service of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityRef<'a> {
    pub id: Uuid,
    pub name: Option<&'a str>,
}

/// What the groups of a route's pattern found; those that took no part are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// In order, from the first group on.
    pub unnamed: Vec<String>,
    pub named: Vec<(String, String)>,
}

/// The route that a request was matched with, for plugins that tell of it. Costs something
/// only when it is asked.
pub trait RouteView {
    /// `path` is [`Context::path`].
    fn captures(&self, path: &str) -> Captures;
    /// The part of the path that the route's pattern matched; `None` where it has no pattern.
    fn captured(&self, path: &str) -> Option<String>;
    /// The part of the path that the route strips; `None` where it strips nothing.
    fn stripped_prefix<'p>(&self, path: &'p str) -> Option<&'p str>;
    /// The path that route and service make of it for the upstream.
    fn upstream_path(&self, path: &str) -> Vec<u8>;
    /// The whole entity, without the fields that have no value.
    fn route(&self) -> Map<String, Value>;
    /// The whole entity; `None` when the route has no service.
    fn service(&self) -> Option<Map<String, Value>>;
}

/// Who the request is from, as far as an authentication plugin has found out.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub consumer: Option<Consumer>,
    /// The id of the credential that was presented; `None` for an anonymous consumer.
    pub credential: Option<Uuid>,
}

/// The connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's address after real-ip processing.
    pub client: IpAddr,
    /// The client's port, likewise.
    pub client_port: u16,
    /// The other end of the TCP connection.
    pub peer: SocketAddr,
    /// The peer's forwarded headers are believed.
    pub trusted: bool,
    /// The listener's port after `port_maps`.
    pub visible_port: u16,
    /// The address that accepted the connection.
    pub local: SocketAddr,
    pub https: bool,
    /// Set on TLS connections.
    pub tls: Option<TlsSession>,
    /// The number of the connection in this process.
    pub connection: u64,
    /// The number of this request on its connection, from 1.
    pub connection_request: u64,
    /// The number of the slot that serves the request; connections may share slots, one
    /// after the other. Together with `request` it is unique in this process.
    pub slot: u64,
    /// The number of this request in its slot, from 1.
    pub request: u64,
}

/// What is known of the response from its head on.
pub struct Response<'a> {
    /// May be changed in `response` and `header_filter`.
    pub status: &'a mut u16,
    /// As it came from the upstream; `None` when the gateway answers itself, and in `log`.
    pub head: Option<&'a crate::http::ResponseHead>,
    /// The upstream's own status; 0 when none has answered.
    pub upstream_status: u16,
    /// The headers that were sent, in `body_filter` and `log`.
    pub sent: Option<&'a SentHeaders>,
    /// A plugin sets it in `header_filter` where it could not do what it must: the client then gets a
    /// 500 in place of the response.
    pub failed: bool,
}

/// One request in one phase.
pub struct Context<'a> {
    pub head: &'a RequestHead,
    /// Edits of the request's headers, applied when the request is sent upstream.
    pub request_edits: &'a mut HeaderEdits,
    /// What else is changed of the request on its way to the upstream.
    pub upstream: &'a mut UpstreamRequest,
    /// Edits of the response's headers. In `access` they are kept for the response,
    /// whoever makes it.
    pub response_edits: &'a mut HeaderEdits,
    /// The request body, when a plugin of this request asked for it by
    /// [`Handler::body_limit`](super::Handler::body_limit) and it was not longer.
    pub body: Option<&'a [u8]>,
    /// What this instance keeps from phase to phase of the request.
    pub state: &'a mut State,
    /// What the plugins of the request tell each other.
    pub shared: &'a mut Shared,
    pub peer: Peer,
    /// See [`Context::path`].
    pub normal_path: &'a str,
    /// `None` when no route was found.
    pub matched: Option<&'a dyn RouteView>,
    pub route: Option<EntityRef<'a>>,
    pub service: Option<EntityRef<'a>>,
    pub identity: &'a mut Identity,
    pub directory: &'a dyn Directory,
    /// What of the request is counted for `/metrics`; heeded after `log`.
    pub metrics: &'a mut MetricChoice,
    /// 32 lower-case hex digits.
    pub request_id: &'a str,
    pub now: Timestamp,
    /// When the request's head was there.
    pub started: Timestamp,
    /// The server name that the client asked for in its TLS handshake.
    pub sni: Option<&'a str>,
    /// The version of TLS that the client speaks, such as `TLSv1.3`.
    pub tls_protocol: Option<&'static str>,
    /// The attempts so far; empty in `log`, where [`RequestLog`](super::RequestLog) has them.
    pub tries: &'a [Try],
    /// Path and query that the upstream is asked for; empty until that is known, and in `log`.
    pub upstream_uri: &'a [u8],
    /// `None` in `rewrite` and `access`.
    pub response: Option<Response<'a>>,
}

impl Context<'_> {
    /// The path as routes are matched with it: decoded, without dot segments.
    pub fn path(&self) -> &str {
        self.normal_path
    }

    /// The first value of a request header, with earlier plugins' edits applied.
    pub fn request_header<'b>(&'b self, name: &'b str) -> Option<&'b [u8]> {
        self.request_edits.get(&self.head.headers, name)
    }

    /// Every value of a request header, with earlier plugins' edits applied.
    pub fn request_headers<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b [u8]> {
        self.request_edits.get_all(&self.head.headers, name)
    }

    /// Every value of a header that a configuration names.
    pub fn configured_headers<'b>(
        &'b self,
        name: &'b HeaderName,
    ) -> impl Iterator<Item = &'b [u8]> {
        let exact = name.as_str();
        let found = match name.hyphenated() {
            Some(other) if self.request_header(exact).is_none() => other,
            _ => exact,
        };
        self.request_headers(found)
    }

    /// The first value of a header that a configuration names.
    pub fn configured_header<'b>(&'b self, name: &'b HeaderName) -> Option<&'b [u8]> {
        self.configured_headers(name).next()
    }

    /// The first value of a response header, with the edits so far.
    pub fn response_header<'b>(&'b self, name: &'b str) -> Option<&'b [u8]> {
        let response = self.response.as_ref();
        match response.map(|response| (response.sent, response.head)) {
            Some((Some(sent), _)) => sent.get(name),
            Some((None, Some(head))) => self.response_edits.get(&head.headers, name),
            _ => self.response_edits.edited(name),
        }
    }

    /// Every value of a response header, with the edits so far. Only before the headers are sent.
    pub fn response_headers<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b [u8]> {
        let response = self.response.as_ref();
        let head = response.and_then(|response| response.head);
        let headers = head.map_or(&*NO_HEADERS, |head| &head.headers);
        self.response_edits.get_all(headers, name)
    }

    /// Removes a request header; costs nothing when there is none.
    pub fn clear_request_header(&mut self, name: &str) {
        if self.request_header(name).is_some() {
            self.request_edits.remove(name);
        }
    }

    /// The query that would be sent upstream now; `None` when there is no `?`.
    pub fn effective_query(&self) -> Option<&[u8]> {
        match &self.upstream.query {
            Some(query) => Some(query),
            None => self.head.query(),
        }
    }

    /// Makes `consumer` the request's identity and tells the upstream: the identity headers
    /// are all set or cleared, so that a client cannot supply them itself.
    /// Without `credential` the consumer is anonymous.
    pub fn authenticate(&mut self, consumer: Consumer, credential: Option<Uuid>) {
        let mut buffer = Uuid::encode_buffer();
        let id = &*consumer.id.hyphenated().encode_lower(&mut buffer);
        self.request_edits.set_legal("X-Consumer-ID", id.as_bytes());
        self.set_or_clear("X-Consumer-Custom-ID", consumer.custom_id.as_deref());
        self.set_or_clear("X-Consumer-Username", consumer.username.as_deref());
        match credential {
            Some(credential) => {
                let id = &*credential.hyphenated().encode_lower(&mut buffer);
                let header = "X-Credential-Identifier";
                self.request_edits.set_legal(header, id.as_bytes());
                self.clear_request_header("X-Anonymous-Consumer");
            }
            None => {
                self.clear_request_header("X-Credential-Identifier");
                self.request_edits
                    .set_legal("X-Anonymous-Consumer", b"true");
            }
        }
        *self.identity = Identity {
            consumer: Some(consumer),
            credential,
        };
    }

    fn set_or_clear(&mut self, name: &'static str, value: Option<&str>) {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => self.request_edits.set_value(name, value.as_bytes()),
            None => self.clear_request_header(name),
        }
    }
}
