//! Batches survive the wire, and foreign bytes are refused with a reason.

use super::*;
use crate::telemetry::record::{Label, Method, MetricChoice, Named, Source};
use proptest::prelude::*;
use std::net::IpAddr;
use std::sync::Arc;

fn key(sequence: u64) -> BatchKey {
    BatchKey {
        node_id: Uuid::from_u128(1),
        incarnation: Uuid::from_u128(2),
        sequence,
    }
}

fn label(id: u128, name: &str) -> Named {
    Named::from(Arc::new(Label {
        id: Uuid::from_u128(id),
        name: name.into(),
    }))
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let routes: Vec<_> = (0..3).map(|n| label(n, &format!("route-{n}"))).collect();
    let (service, consumer) = (label(8, "ü"), label(9, "alice"));
    let addresses: [IpAddr; 2] = [
        "192.0.2.1".parse().expect("an address"),
        "2001:db8::1".parse().expect("an address"),
    ];
    let record = (
        (any::<u64>(), 0usize..4, any::<bool>(), any::<u16>()),
        (
            any::<u64>(),
            any::<u64>(),
            any::<u32>(),
            any::<Option<u32>>(),
        ),
        (0u8..10, any::<bool>(), 0usize..2),
    )
        .prop_map(move |(a, b, c)| Record {
            started_at: a.0,
            route: routes.get(a.1).cloned(),
            service: (a.1 % 2 == 1).then(|| service.clone()),
            consumer: a.2.then(|| consumer.clone()),
            status: a.3,
            upstream_status: a.3 ^ 1,
            request_bytes: b.0,
            response_bytes: b.1,
            total_us: b.2,
            gateway_us: b.2 / 2,
            upstream_us: b.3,
            method: Method::parse([b"GET".as_slice(), b"PUT", b"FOO"][usize::from(c.0) % 3]),
            source: if c.1 {
                Source::Service
            } else {
                Source::Gateway
            },
            client_ip: addresses[c.2],
            metrics: MetricChoice::default(),
        });
    proptest::collection::vec(record, 0..20)
}

proptest! {
    #[test]
    fn a_batch_survives_the_wire(records in records(), sequence: u64, dropped: u64) {
        let frame = encode_batch(key(sequence), dropped, records.iter()).expect("encodes");
        let batch = decode_batch(&frame).expect("decodes");
        prop_assert_eq!((batch.key, batch.dropped), (key(sequence), dropped));
        prop_assert_eq!(batch.records().expect("records"), records);
    }

    #[test]
    fn foreign_bytes_are_an_error_and_never_a_panic(bytes: Vec<u8>) {
        prop_assert!(decode_batch(&bytes).is_err());
        prop_assert!(body::decode(&bytes).is_err());
    }

    #[test]
    fn a_damaged_batch_never_panics(records in records(), at: usize, byte: u8) {
        let mut frame = encode_batch(key(1), 0, records.iter()).expect("encodes").to_vec();
        let at = at % frame.len();
        frame[at] = byte;
        let _ = decode_batch(&frame).map(|batch| batch.records());
        let _ = decode_batch(&frame[..at]).map(|batch| batch.records());
    }
}

#[test]
fn names_are_sent_once_and_a_record_is_small() {
    let record = Record {
        started_at: 1_800_000_000_000,
        route: Some(label(1, "route-1")),
        service: Some(label(8, "echo")),
        status: 200,
        upstream_status: 200,
        request_bytes: 400,
        response_bytes: 1400,
        total_us: 1200,
        gateway_us: 300,
        upstream_us: Some(900),
        ..Record::default()
    };
    let of = |n: usize| {
        let records = vec![record.clone(); n];
        encode_batch(key(1), 0, records.iter())
            .expect("encodes")
            .len()
    };
    let each = (of(1001) - of(1)) / 1000;
    assert!(each <= 48, "{each} bytes a record");
}

#[test]
fn later_versions_may_append() {
    #[rustfmt::skip]
    type LaterRecord = (u64, (), (), (), u16, u16, u8, u8, u64, u64, u32, u32, (), Octets, Extra);
    #[derive(Serialize)]
    struct Later {
        routes: [u8; 0],
        services: [u8; 0],
        consumers: [u8; 0],
        records: Vec<LaterRecord>,
        colour: &'static str,
    }
    #[derive(Serialize)]
    struct Extra(u8, u8);
    struct Octets;
    impl Serialize for Octets {
        fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            s.serialize_bytes(&[127, 0, 0, 1])
        }
    }
    let later = Later {
        routes: [],
        services: [],
        consumers: [],
        records: vec![(
            5,
            (),
            (),
            (),
            200,
            0,
            7,
            99,
            1,
            2,
            3,
            4,
            (),
            Octets,
            Extra(1, 2),
        )],
        colour: "green",
    };
    let bytes = rmp_serde::to_vec_named(&later).expect("encodes");
    let expected = Record {
        started_at: 5,
        status: 200,
        source: Source::Gateway,
        method: Method::Other,
        request_bytes: 1,
        response_bytes: 2,
        total_us: 3,
        gateway_us: 4,
        client_ip: [127, 0, 0, 1].into(),
        ..Record::default()
    };
    assert_eq!(body::decode(&bytes).expect("decodes"), [expected]);
}

#[test]
fn limits_are_kept() {
    let many = vec![Record::default(); MAX_BATCH_RECORDS + 1];
    let records_of = |records: &[Record]| {
        let frame = encode_batch(key(1), 0, records.iter()).expect("encodes");
        decode_batch(&frame).expect("an envelope").records()
    };
    assert!(matches!(records_of(&many), Err(BatchError::TooManyRecords)));
    assert_eq!(
        records_of(&many[1..]).expect("records").len(),
        MAX_BATCH_RECORDS
    );
    let huge = vec![0; MAX_FRAME_BYTES + 1];
    assert!(matches!(
        decode_batch(&huge),
        Err(BatchError::TooLarge { .. })
    ));
    assert!(matches!(
        Answer::decode(&huge),
        Err(BatchError::TooLarge { .. })
    ));
}

#[test]
fn answers_survive_the_wire() {
    for answer in [Answer::counted(7), Answer::refused(8, "too odd")] {
        let frame = answer.encode().expect("encodes");
        assert_eq!(Answer::decode(&frame).expect("decodes"), answer);
    }
}
