//! The telemetry record of a finished request.

use super::exchange::Exchange;
use crate::data_plane::listener::pipeline::Outcome;
use crate::data_plane::router::{CompiledConsumer, Matched, Snapshot};
use crate::data_plane::telemetry_buffer;
use crate::telemetry::record::{ConsumerLabels, Method, Record, RouteLabels, Source};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Where a worker's records go. Called once per request on the worker's thread: it must
/// neither wait nor allocate.
pub trait Recorder: 'static {
    fn record(&self, record: Record);
}

impl Recorder for telemetry_buffer::Recorder {
    fn record(&self, record: Record) {
        self.push(record);
    }
}

/// The status of a request whose client went away before the response began.
const CLIENT_CLOSED: u16 = 499;

/// The names of routes and consumers, made once per snapshot and worker.
#[derive(Default)]
pub struct Labels {
    /// The snapshot that the labels belong to.
    snapshot: Option<Arc<Snapshot>>,
    routes: HashMap<Uuid, Arc<RouteLabels>>,
    consumers: HashMap<Uuid, Arc<ConsumerLabels>>,
}

/// Consumers remembered per snapshot and worker.
const MAX_CONSUMERS: usize = 16 * 1024;

impl Labels {
    fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        let same = self.snapshot.as_ref();
        if same.is_some_and(|known| Arc::ptr_eq(known, snapshot)) {
            return;
        }
        self.routes.clear();
        self.consumers.clear();
        self.snapshot = Some(Arc::clone(snapshot));
    }

    fn route(&mut self, matched: &Matched) -> Arc<RouteLabels> {
        let labels = self.routes.entry(matched.route.id).or_insert_with(|| {
            let service = matched.service.as_ref();
            Arc::new(RouteLabels {
                route: matched.route.id,
                route_name: Arc::clone(&matched.route.label),
                service: service.map(|service| service.id),
                service_name: service.map_or_else(|| "".into(), |found| Arc::clone(&found.label)),
            })
        });
        Arc::clone(labels)
    }

    fn consumer(&mut self, consumer: &CompiledConsumer) -> Arc<ConsumerLabels> {
        if self.consumers.len() >= MAX_CONSUMERS {
            self.consumers.clear();
        }
        let labels = self.consumers.entry(consumer.id).or_insert_with(|| {
            Arc::new(ConsumerLabels {
                consumer: consumer.id,
                name: Arc::clone(&consumer.label),
            })
        });
        Arc::clone(labels)
    }

    /// The record of a request that ended at `now` (microseconds of the worker's clock).
    pub fn record(&mut self, exchange: &Exchange, outcome: Outcome, now: u64) -> Option<Record> {
        let current = exchange.current.as_ref()?;
        self.follow(&current.snapshot);
        let times = &exchange.times;
        let micros =
            |from: u64, to: u64| u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX);
        let answered_by_upstream = exchange.upstream_status != 0;
        let answered = if times.answered == 0 {
            now
        } else {
            times.answered
        };
        let gateway_end = if exchange.proxied {
            times.balanced
        } else {
            answered
        };
        let consumer = exchange.identity.consumer.as_ref();
        let consumer = consumer.and_then(|found| current.snapshot.consumer(found.id));
        Some(Record {
            started_at: times.begun_at,
            route: current.matched.as_ref().map(|matched| self.route(matched)),
            consumer: consumer.map(|consumer| self.consumer(consumer)),
            request_bytes: outcome.request_bytes,
            response_bytes: outcome.response_bytes,
            total_us: micros(times.begun, now),
            gateway_us: micros(times.begun, gateway_end),
            upstream_us: answered_by_upstream.then(|| micros(times.balanced, answered)),
            status: match exchange.status {
                0 => CLIENT_CLOSED,
                status => status,
            },
            upstream_status: exchange.upstream_status,
            source: match answered_by_upstream {
                true => Source::Service,
                false => Source::Gateway,
            },
            method: Method::parse(exchange.head.method()),
            client_ip: current.client.address.ip(),
        })
    }
}
