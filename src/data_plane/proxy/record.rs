//! The telemetry record of a finished request.

use super::exchange::Exchange;
use crate::data_plane::telemetry_buffer;
use crate::plugins::{RequestLog, ResponseSource};
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

/// The record of a request that has ended.
pub fn record_of(exchange: &Exchange, log: &RequestLog<'_>) -> Option<Record> {
    let current = exchange.current.as_ref()?;
    let matched = current.matched.as_ref();
    let service = matched.and_then(|matched| matched.service.as_ref());
    let micros = |time: u64| u32::try_from(time).unwrap_or(u32::MAX);
    let consumer = exchange.identity.consumer.as_ref();
    let consumer = consumer.and_then(|found| current.snapshot.consumer(found.id));
    Some(Record {
        started_at: log.started_at,
        route: matched.map(|matched| Arc::clone(&matched.route).into()),
        service: service.map(|service| Arc::clone(service).into()),
        consumer: consumer.map(|consumer| Arc::clone(consumer).into()),
        request_bytes: log.request_bytes,
        response_bytes: log.response_bytes,
        total_us: micros(log.total_us),
        gateway_us: micros(log.gateway_us),
        upstream_us: log.upstream_us.map(micros),
        status: log.status,
        upstream_status: log.upstream_status,
        source: match log.source {
            ResponseSource::Upstream => Source::Service,
            ResponseSource::Gateway => Source::Gateway,
        },
        method: Method::parse(exchange.head.method()),
        client_ip: current.client.address.ip(),
        metrics: exchange.metrics,
    })
}
