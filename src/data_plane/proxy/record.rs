//! The telemetry record of a finished request.

use super::exchange::Exchange;
use crate::data_plane::exchange::Outcome;
use crate::data_plane::telemetry_buffer;
use crate::telemetry::record::{Method, Record, Source};
use std::sync::Arc;

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
/// The status of a request that the gateway dropped before the response began.
const ABORTED: u16 = 500;

/// The record of a request that ended at `now` (microseconds of the worker's clock).
pub fn record_of(exchange: &Exchange, outcome: Outcome, now: u64) -> Option<Record> {
    let current = exchange.current.as_ref()?;
    let matched = current.matched.as_ref();
    let service = matched.and_then(|matched| matched.service.as_ref());
    let times = &exchange.times;
    let micros = |from: u64, to: u64| u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX);
    let answered_by_upstream = exchange.upstream_status != 0;
    let answered = if times.answered == 0 {
        now
    } else {
        times.answered
    };
    let gateway_end = if exchange.proxied && times.balanced != 0 {
        times.balanced
    } else {
        answered
    };
    let consumer = exchange.identity.consumer.as_ref();
    let consumer = consumer.and_then(|found| current.snapshot.consumer(found.id));
    Some(Record {
        started_at: times.begun_at,
        route: matched.map(|matched| Arc::clone(&matched.route).into()),
        service: service.map(|service| Arc::clone(service).into()),
        consumer: consumer.map(|consumer| Arc::clone(consumer).into()),
        request_bytes: outcome.request_bytes,
        response_bytes: outcome.response_bytes,
        total_us: micros(times.begun, now),
        gateway_us: micros(times.begun, gateway_end),
        upstream_us: answered_by_upstream.then(|| micros(times.balanced, answered)),
        status: match exchange.status {
            0 if outcome.aborted => ABORTED,
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
