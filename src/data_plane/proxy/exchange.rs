//! The state of one request, reused by later requests.

use super::facts::Client;
use super::request_id::RequestId;
use super::retry::status_of;
use crate::data_plane::balancer;
use crate::data_plane::exchange::{AttemptError, TlsInfo};
use crate::data_plane::router::{
    CompiledService, CompiledUpstream, Matched, Plan, PluginInstance, Snapshot,
};
use crate::http::{HeaderEdits, Reply, RequestHead, write};
use crate::plugins::{
    BodyUse, EntityRef, Identity, Part, PartTime, Peer, Phases, SentHeaders, Shared, State,
    Timestamp, Try, UpstreamRequest,
};
use crate::telemetry::record::MetricChoice;
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What `begin` found out and `access` acts on.
#[derive(Debug, Default)]
pub enum Start {
    #[default]
    NoRoute,
    /// Its path can be matched, and no route has been found.
    Unmatched,
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

/// A plugin of a request.
pub struct Running {
    pub instance: Arc<PluginInstance>,
    pub state: State,
    /// What it does with the body of the response.
    pub body_use: BodyUse,
}

/// The attempts of a request.
#[derive(Debug, Default)]
pub struct Tries {
    pub count: u32,
    /// What became of each, the current one last.
    pub log: Vec<Try>,
    /// When the current one began, in microseconds of the worker's clock.
    pub began: u64,
    /// What the system said to the last one that failed.
    pub cause: Option<std::io::Error>,
    /// The addresses of an upstream that were tried, the current one last.
    pub peers: Vec<Arc<balancer::Peer>>,
    /// The upstream of the current address, where its addresses get passive health checks.
    pub observed: Option<Arc<CompiledUpstream>>,
    /// Host for the current attempt.
    pub host: Vec<u8>,
    /// The target's scheme is HTTP/2 (gRPC).
    pub http2: bool,
}

impl Tries {
    /// An address was chosen at `now`; the choice began at `asked` (microseconds).
    pub fn begin(&mut self, asked: u64, now: u64, times: Times) {
        self.began = now;
        self.log.push(Try {
            address: None,
            started_at: times.begun_at + now.saturating_sub(times.begun) / 1000,
            balancer_us: now.saturating_sub(asked),
            took_us: 0,
            status: 0,
            failure: None,
            timed_out: false,
            connect_us: None,
            failure_status: 0,
        });
    }

    /// The current attempt failed at `now` (microseconds).
    pub fn failed(&mut self, error: AttemptError, now: u64) {
        if let Some(last) = self.log.last_mut().filter(|last| last.failure.is_none()) {
            last.took_us = now.saturating_sub(self.began);
            last.failure = Some(error.as_str());
            last.timed_out = matches!(
                error,
                AttemptError::ConnectTimeout | AttemptError::Timeout { .. }
            );
            last.failure_status = status_of(error);
        }
    }

    /// The request ends at `now` (microseconds), perhaps in the middle of an attempt: its client has gone.
    pub fn end(&mut self, now: u64) {
        let under_way = |last: &&mut Try| last.failure.is_none() && last.status == 0;
        if let Some(last) = self.log.last_mut().filter(under_way) {
            last.took_us = now.saturating_sub(self.began);
        }
    }

    /// The current attempt has brought a response head.
    pub fn answered(&mut self, status: u16, times: Times) {
        if let Some(last) = self.log.last_mut() {
            last.took_us = times.answered.saturating_sub(self.began);
            last.status = status;
        }
    }
}

/// The request that an exchange works on.
pub struct Current {
    pub snapshot: Arc<Snapshot>,
    pub client: Client,
    /// Set on TLS connections.
    pub tls: Option<TlsInfo>,
    pub matched: Option<Matched>,
}

/// One request from its head to its record. Buffers keep their capacity between requests.
#[derive(Default)]
pub struct Exchange {
    pub head: RequestHead,
    /// Set by `begin`.
    pub current: Option<Current>,
    pub start: Start,
    /// What a plugin has answered before a route was looked for.
    pub early_answer: Option<Reply>,
    pub request_id: RequestId,
    pub client_ip: AddressText,
    /// The normalised path; empty when it could not be normalised.
    pub path: String,
    /// For the work of normalising.
    pub path_buffer: Vec<u8>,
    /// Edits of the request's headers.
    pub request_edits: HeaderEdits,
    /// Edits of the response's headers, made before there is one.
    pub response_edits: HeaderEdits,
    /// What plugins change of the request for the upstream.
    pub upstream: UpstreamRequest,
    pub body: Option<Bytes>,
    pub identity: Identity,
    /// What plugins tell each other.
    pub shared: Shared,
    /// The plugins as they are before a consumer is known; access begins with them.
    pub plan: Plan,
    /// The plugins of this request, in order; filled during access.
    pub plugins: Vec<Running>,
    /// The phases that any of them takes part in.
    pub phases: Phases,
    /// All of them are collected: the access phase is over, or will not come.
    pub collected: bool,
    /// Plugins that have run before access and are not collected yet.
    early: Vec<Running>,
    /// The headers that were sent; kept only for who looks at them later.
    pub sent: SentHeaders,
    /// The headers of the upstream's response; kept only for an access log that tells of them.
    pub came: SentHeaders,
    /// The number of the connection in this process.
    pub connection: u64,
    /// What came instead of a request line; kept only for an access log.
    pub first_line: Vec<u8>,
    /// Path and query for the upstream.
    pub uri: Vec<u8>,
    pub tries: Tries,
    pub times: Times,
    /// What plugins and the router took; kept only where it is traced.
    pub parts: Vec<PartTime>,
    /// The gateway means to ask an upstream: its errors from here on count as proxied.
    pub proxied: bool,
    pub status: u16,
    /// Zero until an upstream answers.
    pub upstream_status: u16,
    /// What of the request is counted.
    pub metrics: MetricChoice,
    /// The number of this exchange, given with its first request.
    slot: u64,
    /// Requests on the current connection so far.
    of_connection: u64,
    /// Requests of this exchange so far.
    requests: u64,
}

/// The text of an address, made anew only where it is another than before.
#[derive(Default)]
pub struct AddressText {
    address: Option<IpAddr>,
    text: Vec<u8>,
}

impl AddressText {
    pub fn set(&mut self, address: IpAddr) {
        if self.address != Some(address) {
            self.text.clear();
            write::ip(&mut self.text, address);
            self.address = Some(address);
        }
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }
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
        self.early_answer = None;
        self.path.clear();
        self.request_edits.clear();
        self.response_edits.clear();
        self.collected = false;
        self.uri.clear();
        self.tries.count = 0;
        self.tries.log.clear();
        self.tries.cause = None;
        self.tries.host.clear();
        self.tries.http2 = false;
        self.times = Times::default();
        self.parts.clear();
        self.proxied = false;
        self.status = 0;
        self.upstream_status = 0;
        self.metrics = MetricChoice::default();
        self.sent.clear();
        self.came.clear();
        self.first_line.clear();
    }

    /// Which connection the request came on.
    pub fn came_on(&mut self, connection: u64) {
        match self.connection == connection {
            true => self.of_connection += 1,
            false => (self.connection, self.of_connection) = (connection, 1),
        }
    }

    /// Lets go of what an idle connection must not keep alive.
    pub fn release(&mut self) {
        self.current = None;
        self.tries.peers.clear();
        self.tries.observed = None;
        self.plan = Plan::Empty;
        self.plugins.clear();
        self.early.clear();
        self.phases = Phases::NONE;
        self.identity = Identity::default();
        self.body = None;
        self.upstream.clear();
        self.shared.clear();
    }

    /// Keeps when a part of the work was done, if its begin was looked at: `begun` and `now` are microseconds
    /// of the worker's clock.
    pub fn keep_time(
        &mut self,
        part: Part,
        plugin: Option<&Arc<str>>,
        begun: Option<u64>,
        now: impl FnOnce() -> u64,
    ) {
        if let Some(begun) = begun {
            let since = |time: u64| time.saturating_sub(self.times.begun);
            self.parts.push(PartTime {
                part,
                plugin: plugin.cloned(),
                from_us: since(begun),
                to_us: since(now()),
            });
        }
    }

    /// Whether anybody wants to know which headers were sent.
    pub fn is_watched(&self) -> bool {
        [Phases::BODY_FILTER, Phases::LOG]
            .iter()
            .any(|phase| self.phases.contains(*phase))
    }

    /// A plugin that is about to run, with the state of its earlier phases.
    pub fn take_running(&mut self, instance: &Arc<PluginInstance>) -> Running {
        let early = &mut self.early;
        match early
            .iter()
            .position(|running| Arc::ptr_eq(&running.instance, instance))
        {
            Some(at) => early.swap_remove(at),
            None => Running {
                instance: Arc::clone(instance),
                state: State::default(),
                body_use: BodyUse::None,
            },
        }
    }

    /// Keeps a plugin that has run before access.
    pub fn keep_early(&mut self, running: Running) {
        self.early.push(running);
    }

    /// Takes a plugin into the later phases.
    pub fn collect(&mut self, running: Running) {
        self.phases = self.phases.and(running.instance.phases);
        self.plugins.push(running);
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
        self.path.as_bytes().get(range).unwrap_or_default()
    }

    /// The time of the response, as its header phase sees it.
    pub fn answered_at(&self) -> Timestamp {
        let elapsed = self.times.answered.saturating_sub(self.times.begun);
        Timestamp(self.times.begun_at + elapsed / 1000)
    }

    pub fn peer(&self, client: &Client) -> Peer {
        Peer {
            client: client.address.ip(),
            client_port: client.address.port(),
            peer: client.peer,
            trusted: client.trusted,
            local: client.local,
            visible_port: client.port,
            https: client.https,
            tls: client.tls,
            connection: self.connection,
            connection_request: self.of_connection,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_connection() {
        let mut exchange = Exchange::default();
        let counted = [5, 5, 6, 6, 6, 5].map(|connection| {
            exchange.came_on(connection);
            exchange.of_connection
        });
        assert_eq!(counted, [1, 2, 1, 2, 3, 1]);
    }

    #[test]
    fn an_attempt_takes_until_its_end_whatever_that_is() {
        let took = |end: fn(&mut Tries)| {
            let mut tries = Tries::default();
            tries.begin(900, 1000, Times::default());
            end(&mut tries);
            tries.end(5000);
            (tries.log[0].took_us, tries.log[0].balancer_us)
        };
        let answered = Times {
            answered: 1300,
            ..Times::default()
        };
        assert_eq!(
            took(|tries| tries.failed(AttemptError::Connect, 1200)),
            (200, 100)
        );
        assert_eq!(took(|_| {}), (4000, 100), "the client has gone");
        let mut tries = Tries::default();
        tries.begin(900, 1000, Times::default());
        tries.answered(200, answered);
        tries.end(5000);
        assert_eq!(tries.log[0].took_us, 300);
    }
}
