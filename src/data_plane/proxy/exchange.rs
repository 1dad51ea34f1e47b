//! The state of one request, reused by later requests.

use super::facts::Client;
use super::request_id::RequestId;
use crate::data_plane::balancer;
use crate::data_plane::router::{CompiledService, Matched, PluginInstance, Snapshot};
use crate::http::{HeaderEdits, RequestHead};
use crate::plugins::{EntityRef, Identity, Peer, Timestamp};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What `begin` found out and `access` acts on.
#[derive(Debug, Default)]
pub enum Start {
    #[default]
    NoRoute,
    /// The path is malformed: 400.
    BadPath,
    Matched,
}

/// Microseconds of the worker's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    pub begun: u64,
    /// The end of the last choice of an address.
    pub balanced: u64,
    /// The upstream's response head, or the gateway's own answer.
    pub answered: u64,
    /// Epoch milliseconds.
    pub begun_at: u64,
}

/// The attempts of a request.
#[derive(Debug, Default)]
pub struct Tries {
    pub count: u32,
    /// The addresses of an upstream that were tried, the current one last.
    pub peers: Vec<Arc<balancer::Peer>>,
    /// The current address gets passive health checks.
    pub observed: bool,
    /// Host for the current attempt.
    pub host: Vec<u8>,
    /// The target's scheme is HTTP/2 (gRPC).
    pub http2: bool,
}

/// The request that an exchange works on.
pub struct Current {
    pub snapshot: Arc<Snapshot>,
    pub client: Client,
    pub matched: Option<Matched>,
}

/// One request from its head to its record. Buffers keep their capacity between requests.
#[derive(Default)]
pub struct Exchange {
    pub head: RequestHead,
    /// Set by `begin`.
    pub current: Option<Current>,
    pub start: Start,
    pub request_id: RequestId,
    /// The normalised path, unless the raw one already is.
    pub path_buffer: Vec<u8>,
    pub path_is_raw: bool,
    /// Edits of the request's headers.
    pub request_edits: HeaderEdits,
    /// Edits of the response's headers, made before there is one.
    pub response_edits: HeaderEdits,
    pub query: Option<Vec<u8>>,
    pub body: Option<Bytes>,
    pub new_body: Option<Vec<u8>>,
    pub identity: Identity,
    /// The plugins of this request, in order; filled during access.
    pub plugins: Vec<Arc<PluginInstance>>,
    /// All of them are: the access phase is over, or will not come.
    pub collected: bool,
    /// Path and query for the upstream.
    pub uri: Vec<u8>,
    pub tries: Tries,
    pub times: Times,
    /// The gateway means to ask an upstream: its errors from here on count as proxied.
    pub proxied: bool,
    pub status: u16,
    /// Zero until an upstream answers.
    pub upstream_status: u16,
    /// The number of this exchange, given with its first request.
    slot: u64,
    /// Requests of this exchange so far.
    requests: u64,
}

static SLOTS: AtomicU64 = AtomicU64::new(0);

impl Exchange {
    /// Forgets the last request and takes the head of the next.
    pub fn reset(&mut self, head: &mut RequestHead) {
        std::mem::swap(&mut self.head, head);
        if self.requests == 0 {
            self.slot = SLOTS.fetch_add(1, Ordering::Relaxed) + 1;
        }
        self.requests += 1;
        self.release();
        self.start = Start::NoRoute;
        self.path_is_raw = false;
        self.request_edits.clear();
        self.response_edits.clear();
        self.query = None;
        self.collected = false;
        self.uri.clear();
        self.tries.count = 0;
        self.tries.observed = false;
        self.tries.host.clear();
        self.tries.http2 = false;
        self.times = Times::default();
        self.proxied = false;
        self.status = 0;
        self.upstream_status = 0;
    }

    /// Lets go of what an idle connection must not keep alive.
    pub fn release(&mut self) {
        self.current = None;
        self.tries.peers.clear();
        self.plugins.clear();
        self.identity = Identity::default();
        self.body = None;
        self.new_body = None;
    }

    /// Runs what reads `current` and changes the rest. `current` is back in its place afterwards,
    /// even after a panic, so that the request still reaches its log phase.
    pub fn with_current<T>(&mut self, run: impl FnOnce(&mut Exchange, &Current) -> T) -> Option<T> {
        struct Loan<'a> {
            exchange: &'a mut Exchange,
            current: Option<Current>,
        }
        impl Drop for Loan<'_> {
            fn drop(&mut self) {
                self.exchange.current = self.current.take();
            }
        }
        let current = self.current.take();
        let loan = &mut Loan {
            exchange: self,
            current,
        };
        let current = loan.current.as_ref()?;
        Some(run(loan.exchange, current))
    }

    /// The normalised path; empty when it could not be normalised.
    pub fn path(&self) -> &str {
        let bytes = match self.path_is_raw {
            true => self.head.path(),
            false => &self.path_buffer,
        };
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    pub fn matched(&self) -> Option<&Matched> {
        self.current.as_ref()?.matched.as_ref()
    }

    pub fn service(&self) -> Option<&Arc<CompiledService>> {
        self.matched()?.service.as_ref()
    }

    /// The part of the path that the route stripped.
    pub fn stripped_prefix(&self) -> &[u8] {
        let Some(matched) = self.matched().filter(|matched| matched.route.strip_path) else {
            return &[];
        };
        let range = matched.matched_path().unwrap_or_default();
        self.path().as_bytes().get(range).unwrap_or_default()
    }

    /// The time of the response, as its header phase sees it.
    pub fn answered_at(&self) -> Timestamp {
        let elapsed = self.times.answered.saturating_sub(self.times.begun);
        Timestamp(self.times.begun_at + elapsed / 1000)
    }

    pub fn peer(&self, client: &Client) -> Peer {
        Peer {
            client: client.address.ip(),
            local: client.local,
            https: client.https,
            slot: self.slot,
            request: self.requests,
        }
    }
}

/// Route and service as plugins know them.
pub fn entities(matched: &Matched) -> (EntityRef<'_>, Option<EntityRef<'_>>) {
    let route = EntityRef {
        id: matched.route.id,
        name: matched.route.name.as_deref(),
    };
    let service = matched.service.as_ref().map(|service| EntityRef {
        id: service.id,
        name: service.name.as_deref(),
    });
    (route, service)
}
