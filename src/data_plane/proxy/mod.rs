//! The life of a request: route, plugins by phase, balancer, upstream, response, record.
//!
//! [`Proxy`] implements [`Pipeline`]: it decides, a driver moves the bytes. This is the hot
//! path: no lock, no mailbox, no allocation per header, no info log. A request keeps the
//! snapshot that it began with to its end.

mod access_log;
mod attempts;
mod clock;
mod errors;
mod exchange;
mod facts;
mod failure_log;
mod finish;
mod gates;
mod hop_by_hop;
mod negotiation;
mod panics;
mod passive;
mod plugin_context;
mod plugin_run;
mod record;
mod request_headers;
mod request_id;
mod request_log;
mod response_headers;
mod response_run;
mod retry;
mod route_view;
mod settings;
mod target;
mod trusted;
mod upstream_tls;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use clock::{Clock, SystemClock};
pub use exchange::Exchange;
pub use panics::PluginPanics;
pub use record::Recorder;
pub use request_headers::PRODUCT;
pub use settings::{ProxySettings, ResponseTokens};
pub use trusted::{RealIpSource, Trust};

use crate::access_log::{AccessLog, Lane};
use crate::data_plane::exchange::{
    Attempt, AttemptError, Buffering, Connection, Contact, Outcome, Piece, Pipeline, Refusal,
    RefusedRequest, Reply, Upgrade, Verdict,
};
use crate::data_plane::router::{Scratch, Snapshot};
use crate::http::{HeaderEdits, RequestHead, ResponseHead, Version};
use crate::plugins::{BodyUse, Part};
use arc_swap::ArcSwap;
use bytes::Bytes;
use errors::{Asked, default_message, engine, engine_page, engine_with, negotiated, plain_json};
use exchange::{Current, Start};
use facts::Client;
use failure_log::FailureLog;
use request_headers::UpstreamHead;
use response_headers::{Own, Timing};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use target::{find_route, normalise, write_uri};
use upstream_tls::TlsProfiles;

const NO_SERVICE: &str = "no Service found with those values";
const NO_ROUTE: &str = "no Route matched with those values";

type SnapshotCache = arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>;

/// The pipeline of one worker.
pub struct Proxy<R, C = SystemClock> {
    settings: Arc<ProxySettings>,
    recorder: R,
    clock: C,
    worker: RefCell<Worker>,
    failures: Cell<FailureLog>,
    /// `None` where it is off.
    access_log: Option<Lane>,
}

/// What a worker keeps between requests. Never borrowed across an await.
struct Worker {
    snapshots: SnapshotCache,
    scratch: Scratch,
    profiles: TlsProfiles,
}

impl<R: Recorder> Proxy<R> {
    /// The pipeline of a worker that follows `snapshots`.
    pub fn new(
        settings: Arc<ProxySettings>,
        snapshots: Arc<ArcSwap<Snapshot>>,
        recorder: R,
    ) -> Proxy<R> {
        Proxy::with_clock(settings, snapshots, recorder, SystemClock::default())
    }
}

impl<R: Recorder, C: Clock> Proxy<R, C> {
    /// Like [`Proxy::new`], with a clock of the caller's.
    pub fn with_clock(
        settings: Arc<ProxySettings>,
        snapshots: Arc<ArcSwap<Snapshot>>,
        recorder: R,
        clock: C,
    ) -> Proxy<R, C> {
        Proxy {
            access_log: settings.access_log.as_ref().map(AccessLog::lane),
            settings,
            recorder,
            clock,
            worker: RefCell::new(Worker {
                snapshots: SnapshotCache::from(snapshots),
                scratch: Scratch::default(),
                profiles: TlsProfiles::default(),
            }),
            failures: Cell::default(),
        }
    }

    /// What every request begins with, also one that is refused.
    fn start(&self, exchange: &mut Exchange, connection: &Connection, head: &mut RequestHead) {
        exchange.reset(head);
        exchange.times.begun = self.clock.monotonic_us();
        exchange.times.begun_at = self.clock.epoch_ms();
        exchange.request_id.renew();
        let client = Client::of(connection, &exchange.head, &self.settings);
        exchange.client_ip.set(client.address.ip());
        exchange.current = Some(Current {
            snapshot: Arc::clone(self.worker.borrow_mut().snapshots.load()),
            client,
            tls: connection.tls.clone(),
            matched: None,
        });
        exchange.came_on(connection.number);
    }

    /// Whether anybody will want to know which headers were sent.
    fn is_watched(&self, exchange: &Exchange) -> bool {
        let lane = self.access_log.as_ref();
        exchange.is_watched() || lane.is_some_and(|lane| lane.format().uses_sent_headers())
    }

    /// A request that no upstream answered: what its client is told, by its id.
    fn log_failure(
        &self,
        exchange: &Exchange,
        failed: Option<AttemptError>,
        status: u16,
        now_us: u64,
    ) {
        let mut failures = self.failures.get();
        let admitted = failures.admit(now_us);
        self.failures.set(failures);
        let Some(suppressed) = admitted else {
            return;
        };
        let service = exchange.service().map(|service| &*service.label.name);
        tracing::error!(
            request_id = exchange.request_id.as_str(),
            service,
            status,
            failed = failed.map(tracing::field::debug),
            cause = exchange.tries.cause.as_ref().map(tracing::field::display),
            attempts = exchange.tries.count,
            suppressed,
            "no upstream answered"
        );
    }

    /// The upstream's response head has come.
    fn answered(&self, exchange: &mut Exchange, head: &ResponseHead) {
        if exchange.upstream_status != 0 {
            return;
        }
        let status = head.status;
        let lane = self.access_log.as_ref();
        if lane.is_some_and(|lane| lane.format().uses_upstream_headers()) {
            exchange.came.fill(head.headers.iter());
        }
        exchange.times.answered = self.clock.monotonic_us();
        exchange.upstream_status = status;
        exchange.tries.answered(status, exchange.times);
        passive::answered(exchange, status);
    }

    /// What ends a request before any plugin's access phase: no route, or one that wants the
    /// request to come another way.
    fn before_access(&self, exchange: &mut Exchange) -> Option<Reply> {
        let id = exchange.request_id.as_str();
        match exchange.start {
            Start::Matched => {}
            Start::NoRoute | Start::Unmatched => {
                return Some(negotiated(404, NO_ROUTE, &Asked::of(&exchange.head), id));
            }
            Start::BadPath => {
                let default_type = &self.settings.error_default_type;
                return Some(engine(400, &Asked::of(&exchange.head), default_type, id));
            }
        }
        let current = exchange.current.as_ref()?;
        let matched = current.matched.as_ref()?;
        let wants_debug = |head: &RequestHead| head.headers.get("kong-debug").is_some();
        if self.settings.allow_debug_header && wants_debug(&exchange.head) {
            let service = matched.service.as_deref();
            let edits = &mut exchange.response_edits;
            gates::write_debug_headers(&matched.route, service, edits);
        }
        gates::check(&matched.route, &current.client, &exchange.head, id)
    }

    /// What a refused request is told, without the gateway's own headers.
    fn refusal(&self, refusal: Refusal, asked: &Asked<'_>, request_id: &str) -> Reply {
        let status = status_of(refusal);
        let default_type = &self.settings.error_default_type;
        match refusal {
            Refusal::NotImplemented | Refusal::VersionNotSupported => engine_page(status),
            Refusal::Internal => plain_json(status, plugin_run::UNEXPECTED),
            // nginx's own status for it; clients get 400 with its message.
            Refusal::HeaderTooLarge => {
                let message = default_message(494);
                engine_with(status, message, asked, default_type, request_id)
            }
            _ => engine(status, asked, default_type, request_id),
        }
    }

    /// The headers that the gateway adds, with the times so far.
    fn own<'a>(&'a self, exchange: &'a Exchange) -> Own<'a> {
        let times = &exchange.times;
        let millis = |from: u64, to: u64| to.saturating_sub(from) / 1000;
        Own {
            tokens: self.settings.headers,
            request_id: exchange.request_id.as_str(),
            timing: match exchange.proxied {
                true => Timing::Proxied {
                    proxy: millis(times.begun, times.balanced),
                    upstream: millis(times.balanced, times.answered),
                    upstream_status: Some(exchange.upstream_status).filter(|status| *status != 0),
                    http2: exchange.tries.http2,
                },
                false => Timing::Made {
                    response: millis(times.begun, times.answered),
                },
            },
            charset: self.settings.charset.as_deref(),
            status: exchange.status,
        }
    }
}

impl<R: Recorder, C: Clock> Pipeline for Proxy<R, C> {
    type Exchange = Exchange;

    fn begin(&self, exchange: &mut Exchange, connection: &Connection, head: &mut RequestHead) {
        self.start(exchange, connection, head);
        normalise(exchange);
        exchange.early_answer = plugin_run::rewrite(exchange, &self.settings, &self.clock);
        if exchange.early_answer.is_some() {
            return;
        }
        if let Some(mut current) = exchange.current.take() {
            let scratch = &mut self.worker.borrow_mut().scratch;
            let most_headers = self.settings.max_req_headers;
            let timed = self.settings.instrumentations.router;
            let begun = timed.then(|| self.clock.monotonic_us());
            find_route(exchange, &mut current, connection, most_headers, scratch);
            exchange.keep_time(Part::Router, None, begun, || self.clock.monotonic_us());
            exchange.plan = plugin_run::plan(&current, None);
            exchange.current = Some(current);
        }
    }

    fn request_id<'a>(&self, exchange: &'a Exchange) -> &'a str {
        exchange.request_id.as_str()
    }

    fn body_limit(&self, exchange: &Exchange) -> Option<usize> {
        plugin_run::body_limit(exchange)
    }

    fn body(&self, exchange: &mut Exchange, body: Bytes) {
        exchange.body = Some(body);
    }

    fn new_body(&self, exchange: &mut Exchange) -> Option<Bytes> {
        exchange.upstream.body.take().map(Bytes::from)
    }

    async fn access(&self, exchange: &mut Exchange) -> Verdict {
        let early = exchange.early_answer.take();
        if let Some(reply) = early.or_else(|| self.before_access(exchange)) {
            plugin_run::collect_rest(exchange);
            return Verdict::Respond(reply);
        }
        let answer = plugin_run::access(exchange, &self.settings, &self.clock).await;
        exchange.collected = true;
        if let Some(reply) = answer {
            if reply.stored {
                // It once came from an upstream, so its own headers are those of a proxied response.
                exchange.proxied = true;
                exchange.times.balanced = self.clock.monotonic_us();
            }
            return Verdict::Respond(reply);
        }
        if exchange.service().is_none() {
            let id = exchange.request_id.as_str();
            let reply = negotiated(503, NO_SERVICE, &Asked::of(&exchange.head), id);
            return Verdict::Respond(reply);
        }
        write_uri(exchange);
        // Its errors from here on are those of a proxied request, also while its body is read.
        exchange.proxied = true;
        Verdict::Forward
    }

    fn buffering(&self, exchange: &Exchange) -> Buffering {
        let route = exchange.matched().map(|matched| &matched.route);
        Buffering {
            request: route.is_none_or(|route| route.request_buffering),
            response: route.is_none_or(|route| route.response_buffering),
        }
    }

    fn attempt(
        &self,
        exchange: &mut Exchange,
        failed: Option<AttemptError>,
    ) -> Result<Attempt, Reply> {
        let asked = self.clock.monotonic_us();
        if let Some(failed) = failed {
            exchange.tries.failed(failed, asked);
            passive::attempt_failed(exchange, failed);
        }
        let profiles = &mut self.worker.borrow_mut().profiles;
        let attempt = attempts::next_attempt(exchange, failed, &self.settings, profiles);
        // Where there was nothing to choose from, no time has passed.
        let now = match exchange.tries.peers.is_empty() && attempt.is_ok() {
            true => asked,
            false => self.clock.monotonic_us(),
        };
        match attempt {
            Ok(attempt) => {
                exchange.times.balanced = now;
                exchange.tries.begin(asked, now, exchange.times);
                Ok(attempt)
            }
            Err(reply) => {
                if reply.status == 502 {
                    passive::answered(exchange, reply.status);
                }
                self.log_failure(exchange, failed, reply.status, now);
                Err(reply)
            }
        }
    }

    fn contact(&self, exchange: &mut Exchange, contact: Contact) {
        let lane = self.access_log.as_ref();
        let timed = lane.is_some_and(|lane| lane.format().uses_connect_time());
        if let Some(last) = exchange.tries.log.last_mut() {
            last.address = contact.address;
            if timed && contact.error.is_none() && contact.address.is_some() {
                let now = self.clock.monotonic_us();
                last.connect_us = Some(now.saturating_sub(exchange.tries.began));
            }
        }
        exchange.tries.cause = contact.error;
    }

    fn give_up(&self, exchange: &mut Exchange, failed: AttemptError) -> Reply {
        let now = self.clock.monotonic_us();
        exchange.tries.failed(failed, now);
        passive::attempt_failed(exchange, failed);
        let reply = attempts::give_up(exchange, failed, &self.settings);
        if reply.status == 502 {
            passive::answered(exchange, reply.status);
        }
        self.log_failure(exchange, Some(failed), reply.status, now);
        reply
    }

    fn write_request_head(&self, exchange: &Exchange, out: &mut Vec<u8>) {
        let Some(current) = &exchange.current else {
            return;
        };
        let id = exchange.request_id.as_str();
        UpstreamHead {
            head: &exchange.head,
            method: exchange
                .upstream
                .method
                .as_deref()
                .unwrap_or_else(|| exchange.head.method()),
            edits: &exchange.request_edits,
            client: &current.client,
            client_ip: exchange.client_ip.text(),
            uri: &exchange.uri,
            host: &exchange.tries.host,
            stripped_prefix: exchange.stripped_prefix(),
            websocket: self.upgrade(exchange) == Upgrade::WebSocket,
            request_id: self.settings.request_id_upstream.then_some(id),
        }
        .write(out);
    }

    fn upgrade(&self, exchange: &Exchange) -> Upgrade {
        let http11 = exchange.head.version == Version::Http11;
        match http11 && hop_by_hop::wants_websocket(&exchange.head.headers) {
            true => Upgrade::WebSocket,
            false => Upgrade::None,
        }
    }

    fn response(
        &self,
        exchange: &mut Exchange,
        head: &mut ResponseHead,
        edits: &mut HeaderEdits,
    ) -> Result<BodyUse, Reply> {
        self.answered(exchange, head);
        // What plugins wanted of the response before there was one.
        edits.clear();
        std::mem::swap(edits, &mut exchange.response_edits);
        let asked = response_headers::Asked {
            trailers: hop_by_hop::accepts_trailers(&exchange.head.headers),
            websocket: self.upgrade(exchange) == Upgrade::WebSocket,
        };
        response_headers::clean(head, edits, asked);
        let (status, filtered) = response_run::header_filter(
            exchange,
            Some(head),
            edits,
            head.status,
            &self.settings,
            &self.clock,
        );
        let Ok(body_use) = filtered else {
            return Err(plain_json(500, plugin_run::UNEXPECTED));
        };
        head.status = status;
        exchange.status = status;
        self.own(exchange).write(head, edits);
        if self.is_watched(exchange) {
            exchange.sent.fill(edits.apply(&head.headers));
        }
        Ok(body_use)
    }

    fn whole_response(&self, exchange: &Exchange) -> Option<usize> {
        response_run::whole_response(exchange)
    }

    async fn response_phase(
        &self,
        exchange: &mut Exchange,
        head: &mut ResponseHead,
        body: &mut Vec<u8>,
    ) -> Result<(), Reply> {
        self.answered(exchange, head);
        response_run::response(exchange, head, body, &self.settings).await
    }

    fn too_large(&self, exchange: &mut Exchange, head: &ResponseHead, limit: usize) -> Reply {
        self.answered(exchange, head);
        response_run::too_large(exchange, limit)
    }

    fn piece(&self, exchange: &mut Exchange, data: Bytes, last: bool) -> Piece {
        response_run::body_filter(exchange, data, last, &self.settings.plugin_panics)
    }

    fn respond(&self, exchange: &mut Exchange, reply: &mut Reply) {
        exchange.times.answered = self.clock.monotonic_us();
        let mut edits = std::mem::take(&mut exchange.response_edits);
        response_headers::take_headers(reply, &mut edits);
        // The reply is the gateway's own: it holds nothing that a plugin had to take away.
        let (status, filtered) = response_run::header_filter(
            exchange,
            None,
            &mut edits,
            reply.status,
            &self.settings,
            &self.clock,
        );
        reply.status = status;
        exchange.status = status;
        self.own(exchange)
            .write(&ResponseHead::default(), &mut edits);
        response_headers::put_headers(reply, &edits);
        exchange.response_edits = edits;
        self.keep_sent(exchange, reply);
        if filtered.is_ok_and(|body_use| body_use != BodyUse::None) {
            match self.piece(exchange, reply.body.clone(), true) {
                Piece::Send(body) => reply.body = body,
                // What stands there may be what had to be changed.
                Piece::Abort => self.fail(exchange, reply),
            }
        }
    }

    fn refuse(
        &self,
        exchange: &mut Exchange,
        connection: &Connection,
        refused: RefusedRequest<'_>,
        refusal: Refusal,
    ) -> Reply {
        let mut head = refused.head.cloned().unwrap_or_default();
        self.start(exchange, connection, &mut head);
        if self.access_log.is_some() {
            exchange.first_line.extend_from_slice(refused.first_line);
        }
        let asked = Asked::of(&exchange.head);
        let mut reply = self.refusal(refusal, &asked, exchange.request_id.as_str());
        // Global plugins see such an answer as they see any other without a route.
        plugin_run::collect_global(exchange);
        self.respond(exchange, &mut reply);
        reply.close = true;
        reply
    }

    fn refused(&self, exchange: &mut Exchange, outcome: Outcome) {
        self.end(exchange, outcome);
    }

    fn refuse_body(&self, exchange: &mut Exchange, refusal: Refusal) -> Reply {
        plugin_run::collect_rest(exchange);
        if exchange.proxied && exchange.times.balanced == 0 {
            exchange.times.balanced = self.clock.monotonic_us();
        }
        let id = exchange.request_id.as_str();
        let reply = self.refusal(refusal, &Asked::of(&exchange.head), id);
        Reply {
            close: true,
            ..reply
        }
    }

    fn finish(&self, exchange: &mut Exchange, outcome: Outcome) {
        plugin_run::collect_rest(exchange);
        self.end(exchange, outcome);
    }
}

/// The status that clients get for a refused request.
fn status_of(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::BadRequest | Refusal::HeaderTooLarge => 400,
        Refusal::UriTooLong => 414,
        Refusal::Timeout => 408,
        Refusal::BodyTooLarge => 413,
        Refusal::MethodNotAllowed => 405,
        Refusal::ExpectationFailed => 417,
        Refusal::Internal => 500,
        Refusal::NotImplemented => 501,
        Refusal::NoRoom => 503,
        Refusal::VersionNotSupported => 505,
    }
}
