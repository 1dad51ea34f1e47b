//! The records of a batch: labels once, records as arrays that refer to them.

use super::limited::{self, TOO_MANY};
use super::{BatchError, MAX_BATCH_RECORDS, pack};
use crate::telemetry::record::{Label, Method, MetricChoice, Named, Record, Source};
use bytes::Bytes;
use hashbrown::HashMap;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Labels in the order in which records first used them, found again by their address: the
/// records keep them alive meanwhile.
#[derive(Default)]
struct Index<'a> {
    places: HashMap<*const (), u32, foldhash::fast::FixedState>,
    labels: Vec<&'a Label>,
}

impl<'a> Index<'a> {
    fn place(&mut self, entity: &'a Option<Named>) -> Option<u32> {
        let entity = entity.as_ref()?;
        let next = self.labels.len() as u32;
        let place = *self.places.entry(entity.address()).or_insert(next);
        if place == next {
            self.labels.push(entity);
        }
        Some(place)
    }
}

/// Appends one record. The order of the elements is fixed; later versions append.
fn write_record(out: &mut Vec<u8>, record: &Record, labels: [Option<u32>; 3]) {
    out.reserve(MAX_RECORD_BYTES);
    pack::list(out, 14);
    pack::uint(out, record.started_at);
    for label in labels {
        pack::optional(out, label);
    }
    for number in [
        u64::from(record.status),
        u64::from(record.upstream_status),
        record.source as u64,
        record.method as u64,
        record.request_bytes,
        record.response_bytes,
        u64::from(record.total_us),
        u64::from(record.gateway_us),
    ] {
        pack::uint(out, number);
    }
    pack::optional(out, record.upstream_us);
    match record.client_ip {
        IpAddr::V4(v4) => pack::short_bytes(out, &v4.octets()),
        IpAddr::V6(v6) => pack::short_bytes(out, &v6.octets()),
    }
}

/// A record with every number at its largest.
const MAX_RECORD_BYTES: usize = 1 + 3 * 9 + 6 * 5 + 4 * 3 + 18;

/// An address as its 4 or 16 bytes.
struct Address(IpAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Octets;
        impl Visitor<'_> for Octets {
            type Value = Address;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address of 4 or 16 bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Address, E> {
                let v4 = <[u8; 4]>::try_from(bytes).map(|v4| Ipv4Addr::from(v4).into());
                let v6 = <[u8; 16]>::try_from(bytes).map(|v6| Ipv6Addr::from(v6).into());
                v4.or(v6)
                    .map(Address)
                    .map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }
        deserializer.deserialize_bytes(Octets)
    }
}

pub fn encode<'a>(records: impl ExactSizeIterator<Item = &'a Record>) -> Result<Bytes, BatchError> {
    let mut indexes: [Index<'a>; 3] = Default::default();
    let [routes, services, consumers] = &mut indexes;
    let mut packed = Vec::with_capacity(records.len() * 48 + 8);
    pack::list(&mut packed, records.len());
    for record in records {
        let labels = [
            routes.place(&record.route),
            services.place(&record.service),
            consumers.place(&record.consumer),
        ];
        write_record(&mut packed, record, labels);
    }
    let mut out = Vec::with_capacity(packed.len() + 256);
    pack::map(&mut out, 4);
    for (name, index) in ["routes", "services", "consumers"]
        .into_iter()
        .zip(&indexes)
    {
        pack::short_text(&mut out, name);
        out.extend_from_slice(&super::encode(&index.labels)?);
    }
    pack::short_text(&mut out, "records");
    out.extend_from_slice(&packed);
    Ok(out.into())
}

/// One record as it was read, its labels still indexes.
struct Received {
    record: Record,
    route: Option<u32>,
    service: Option<u32>,
    consumer: Option<u32>,
}

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Received;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record of at least 14 elements")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Received, A::Error> {
                let received = read_elements(&mut seq)?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(received)
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

fn read_elements<'de, A: SeqAccess<'de>>(seq: &mut A) -> Result<Received, A::Error> {
    let started_at = next(seq)?;
    let route = next(seq)?;
    let service = next(seq)?;
    let consumer = next(seq)?;
    let record = Record {
        started_at,
        route: None,
        service: None,
        consumer: None,
        status: next(seq)?,
        upstream_status: next(seq)?,
        source: source(next(seq)?),
        method: method(next(seq)?),
        request_bytes: next(seq)?,
        response_bytes: next(seq)?,
        total_us: next(seq)?,
        gateway_us: next(seq)?,
        upstream_us: next(seq)?,
        client_ip: next::<A, Address>(seq)?.0,
        metrics: MetricChoice::default(),
    };
    Ok(Received {
        record,
        route,
        service,
        consumer,
    })
}

fn next<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(seq: &mut A) -> Result<T, A::Error> {
    seq.next_element()?
        .ok_or_else(|| A::Error::custom("a record with too few elements"))
}

fn source(code: u8) -> Source {
    match code {
        0 => Source::Service,
        _ => Source::Gateway,
    }
}

fn method(code: u8) -> Method {
    const METHODS: [Method; 10] = [
        Method::Other,
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
        Method::Options,
        Method::Connect,
        Method::Trace,
    ];
    METHODS.get(usize::from(code)).copied().unwrap_or_default()
}

#[derive(Deserialize)]
struct Body {
    #[serde(deserialize_with = "limited::list::<_, _, MAX_BATCH_RECORDS>")]
    routes: Vec<Label>,
    #[serde(deserialize_with = "limited::list::<_, _, MAX_BATCH_RECORDS>")]
    services: Vec<Label>,
    #[serde(deserialize_with = "limited::list::<_, _, MAX_BATCH_RECORDS>")]
    consumers: Vec<Label>,
    #[serde(deserialize_with = "limited::list::<_, _, MAX_BATCH_RECORDS>")]
    records: Vec<Received>,
}

pub fn decode(body: &[u8]) -> Result<Vec<Record>, BatchError> {
    let body: Body = super::decode(body).map_err(|err| match err {
        BatchError::Malformed(text) if text.contains(TOO_MANY) => BatchError::TooManyRecords,
        other => other,
    })?;
    let named = |labels: Vec<Label>| -> Vec<Named> {
        let named = |label| Named::from(Arc::new(label));
        labels.into_iter().map(named).collect()
    };
    let routes = named(body.routes);
    let services = named(body.services);
    let consumers = named(body.consumers);
    body.records
        .into_iter()
        .map(|received| {
            Ok(Record {
                route: label("route", &routes, received.route)?,
                service: label("service", &services, received.service)?,
                consumer: label("consumer", &consumers, received.consumer)?,
                ..received.record
            })
        })
        .collect()
}

fn label(
    list: &'static str,
    labels: &[Named],
    index: Option<u32>,
) -> Result<Option<Named>, BatchError> {
    let Some(index) = index else {
        return Ok(None);
    };
    let index = index as usize;
    let found = labels.get(index).ok_or(BatchError::UnknownLabels {
        list,
        index,
        len: labels.len(),
    })?;
    Ok(Some(found.clone()))
}
