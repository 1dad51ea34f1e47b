//! Every batch is counted once, whoever dies when.

use super::*;
use crate::control_plane::telemetry::{Count, CountKey, Entities, StoreFuture};
use crate::link::memory_pair;
use crate::model::{Kind, Row};
use crate::telemetry::batch::{BatchKey, encode_batch};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::record::{Label, Named, Record};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

const KEEP: Duration = Duration::from_secs(3600);
const NODE: Uuid = Uuid::from_u128(1);

/// Both tables of the real store, and what goes wrong with the next transactions.
#[derive(Default)]
struct Tables {
    positions: HashMap<(Uuid, Uuid), u64>,
    counts: BTreeMap<(Uuid, CountKey), Count>,
    dropped: u64,
    transactions: usize,
    failures: Vec<Failure>,
}

#[derive(Clone, Copy, PartialEq)]
enum Failure {
    BeforeCommit,
    /// The commit happened, the control plane never hears of it.
    AfterCommit,
}

#[derive(Default)]
struct MemoryStore(Mutex<Tables>);

impl TelemetryStore for MemoryStore {
    fn ingest<'a>(&'a self, batches: &'a [(BatchKey, Counts)]) -> StoreFuture<'a> {
        let mut tables = self.0.lock().expect("tables");
        tables.transactions += 1;
        let failure = tables.failures.pop();
        if failure == Some(Failure::BeforeCommit) {
            return Box::pin(std::future::ready(Err(StoreFailure("gone".into()))));
        }
        let results = batches
            .iter()
            .map(|(key, counts)| tables.ingest(*key, counts))
            .collect();
        let result = match failure {
            Some(_) => Err(StoreFailure("gone".into())),
            None => Ok(results),
        };
        Box::pin(std::future::ready(result))
    }
}

impl Tables {
    fn ingest(&mut self, key: BatchKey, counts: &Counts) -> Ingested {
        let place = (key.node_id, key.incarnation);
        let last = self.positions.entry(place).or_default();
        if *last >= key.sequence {
            return Ingested::AlreadyCounted;
        }
        *last = key.sequence;
        for (by, count) in &counts.by_key {
            *self.counts.entry((key.node_id, *by)).or_default() += *count;
        }
        self.dropped += counts.dropped;
        Ingested::Counted
    }
}

/// A route `r`, a service `s` and a consumer `alice`, and nothing else.
struct OneOfEach;

impl Entities for OneOfEach {
    fn rows(&self, keys: &[(Kind, Uuid)]) -> Vec<Option<Row>> {
        let row = |(kind, id): &(Kind, Uuid)| {
            let name = match (kind, id.as_u128()) {
                (Kind::Routes, 10) => "r",
                (Kind::Services, 11) => "s",
                (Kind::Consumers, 12) => "alice",
                _ => return None,
            };
            let entity = serde_json::json!({ "id": id, "name": name });
            Some(Row::from_json(entity.as_object()?))
        };
        keys.iter().map(row).collect()
    }
}

struct Cluster {
    store: Arc<MemoryStore>,
    metrics: Arc<Metrics>,
    ingestor: Ingestor,
}

fn cluster() -> Cluster {
    let store = Arc::new(MemoryStore::default());
    let metrics = Arc::new(Metrics::new());
    let ingestor = Ingestor::new(
        store.clone(),
        Names::new(Arc::new(OneOfEach)),
        FleetMetrics::new(metrics.clone(), false, KEEP),
    );
    Cluster {
        store,
        metrics,
        ingestor,
    }
}

impl Cluster {
    fn requests(&self) -> u64 {
        let tables = self.store.0.lock().expect("tables");
        tables.counts.values().map(|count| count.requests).sum()
    }

    /// Ingests one batch of a node.
    async fn ingest_of(&self, frame: Bytes, node_id: Uuid) -> Result<Answer, IngestError> {
        let (mut answers, result) = self.ingestor.ingest(&[frame], node_id).await;
        result.map(|()| answers.pop().expect("an answer"))
    }

    async fn ingest(&self, frame: Bytes) -> Result<Answer, IngestError> {
        self.ingest_of(frame, NODE).await
    }

    fn transactions(&self) -> usize {
        self.store.0.lock().expect("tables").transactions
    }

    fn fail(&self, failures: &[Failure]) {
        self.store.0.lock().expect("tables").failures = failures.to_vec();
    }

    fn has_line(&self, line: &str) {
        let text = self.metrics.scrape(|_| {});
        assert!(
            text.lines().any(|found| found == line),
            "{line} not in\n{text}"
        );
    }
}

fn label(id: u128, name: &str) -> Option<Named> {
    Some(Named::from(Arc::new(Label {
        id: Uuid::from_u128(id),
        name: name.into(),
    })))
}

fn record(status: u16) -> Record {
    Record {
        route: label(10, "r"),
        service: label(11, "s"),
        status,
        request_bytes: 10,
        response_bytes: 100,
        ..Record::default()
    }
}

fn frame(sequence: u64, dropped: u64, records: &[Record]) -> Bytes {
    let key = BatchKey {
        node_id: NODE,
        incarnation: Uuid::from_u128(2),
        sequence,
    };
    encode_batch(key, dropped, records.iter()).expect("encodes")
}

#[actix::test]
async fn a_batch_is_added_up_by_service_route_consumer_and_status() {
    let cluster = cluster();
    let of_alice = Record {
        consumer: label(12, "alice"),
        ..record(200)
    };
    let unmatched = Record {
        route: None,
        service: None,
        ..record(404)
    };
    let records = [record(200), record(200), record(401), of_alice, unmatched];
    let answer = cluster.ingest(frame(1, 3, &records)).await;
    assert_eq!(answer.expect("an answer"), Answer::counted(1));

    let key = |consumer: Option<u128>, status| CountKey {
        service: Some(Uuid::from_u128(11)),
        route: Some(Uuid::from_u128(10)),
        consumer: consumer.map(Uuid::from_u128),
        status,
    };
    let count = |requests| Count {
        requests,
        request_bytes: 10 * requests,
        response_bytes: 100 * requests,
    };
    let none = CountKey {
        service: None,
        route: None,
        ..key(None, 404)
    };
    let expected = BTreeMap::from([
        ((NODE, key(None, 200)), count(2)),
        ((NODE, key(None, 401)), count(1)),
        ((NODE, key(Some(12), 200)), count(1)),
        ((NODE, none), count(1)),
    ]);
    {
        let tables = cluster.store.0.lock().expect("tables");
        assert_eq!(tables.counts, expected);
        assert_eq!(tables.dropped, 3);
    }
    for line in [
        format!(
            r#"langur_fleet_http_requests_total{{data_plane="{NODE}",service="s",route="r",code="200",consumer=""}} 3"#
        ),
        format!(
            r#"langur_fleet_http_requests_total{{data_plane="{NODE}",service="",route="",code="404",consumer=""}} 1"#
        ),
        format!(
            r#"langur_fleet_bandwidth_bytes_total{{data_plane="{NODE}",service="s",route="r",direction="egress",consumer=""}} 400"#
        ),
        format!(r#"langur_fleet_records_dropped_total{{data_plane="{NODE}"}} 3"#),
    ] {
        cluster.has_line(&line);
    }
}

#[actix::test]
async fn a_batch_sent_again_is_answered_and_not_counted() {
    let cluster = cluster();
    for _ in 0..3 {
        let answer = cluster.ingest(frame(7, 1, &[record(200)])).await;
        assert_eq!(answer.expect("an answer"), Answer::counted(7));
    }
    assert_eq!(cluster.requests(), 1);
    cluster.has_line(&format!(
        r#"langur_fleet_http_requests_total{{data_plane="{NODE}",service="s",route="r",code="200",consumer=""}} 1"#
    ));
    cluster.has_line(r#"langur_fleet_batches_total{result="counted"} 1"#);
    cluster.has_line(r#"langur_fleet_batches_total{result="already_counted"} 2"#);
}

#[actix::test]
async fn a_death_before_or_after_the_commit_loses_and_doubles_nothing() {
    for failure in [Failure::BeforeCommit, Failure::AfterCommit] {
        let cluster = cluster();
        cluster.fail(&[failure]);
        let batch = frame(1, 0, &[record(200), record(200)]);
        let first = cluster.ingest(batch.clone()).await;
        assert!(matches!(first, Err(IngestError::Store(_))));
        let again = cluster.ingest(batch.clone()).await;
        assert_eq!(again.expect("an answer"), Answer::counted(1));
        assert_eq!(cluster.requests(), 2);
    }
}

#[actix::test]
async fn a_link_is_answered_in_order_until_the_peer_ends_it() {
    let cluster = cluster();
    let (here, there) = memory_pair(8);
    let mut peer = Link::from(here);
    let peer_side = async move {
        for sequence in 1..=3 {
            let batch = frame(sequence, 0, &[record(200)]);
            peer.send(batch).await.expect("sent");
        }
        for sequence in 1..=3 {
            let answer = peer.receive().await.expect("an answer").expect("a frame");
            let answer = Answer::decode(&answer).expect("decodes");
            assert_eq!(answer, Answer::counted(sequence));
        }
    };
    let served = cluster.ingestor.serve(there.into(), NODE);
    let (ended, ()) = futures_util::future::join(served, peer_side).await;
    assert!(ended.is_ok());
    assert_eq!(cluster.requests(), 3);
}

#[actix::test]
async fn batches_that_wait_are_committed_together() {
    let cluster = cluster();
    let (here, there) = memory_pair(2 * COMMITTED_AT_ONCE);
    let mut peer = Link::from(here);
    let mut frames = Vec::new();
    for sequence in 1..=2 * COMMITTED_AT_ONCE as u64 {
        frames.push(frame(sequence, 1, &[record(200)]));
    }
    // One of them once more: it is answered as the others.
    frames[COMMITTED_AT_ONCE - 1] = frames[0].clone();
    for frame in frames {
        peer.send(frame).await.expect("sent");
    }
    let peer_side = async move {
        let mut answers = Vec::new();
        for _ in 0..2 * COMMITTED_AT_ONCE {
            let answer = peer.receive().await.expect("an answer").expect("a frame");
            answers.push(Answer::decode(&answer).expect("decodes").sequence);
        }
        answers
    };
    let served = cluster.ingestor.serve(there.into(), NODE);
    let (ended, answers) = futures_util::future::join(served, peer_side).await;
    assert!(ended.is_ok());
    assert_eq!(answers, [1, 2, 3, 1, 5, 6, 7, 8]);
    assert_eq!(cluster.requests(), 7);
    assert!(cluster.transactions() <= 3, "{}", cluster.transactions());
    cluster.has_line(&format!(
        r#"langur_fleet_records_dropped_total{{data_plane="{NODE}"}} 7"#
    ));
}

#[actix::test]
async fn what_came_before_garbage_is_counted_and_answered() {
    let cluster = cluster();
    let (here, there) = memory_pair(8);
    let mut peer = Link::from(here);
    for batch in [
        frame(1, 0, &[record(200)]),
        frame(2, 0, &[record(200)]),
        Bytes::from_static(b"garbage"),
        frame(3, 0, &[record(200)]),
    ] {
        peer.send(batch).await.expect("sent");
    }
    let served = cluster.ingestor.serve(there.into(), NODE);
    let ended = served.await;
    assert!(matches!(ended, Err(IngestError::NotABatch(_))));
    for sequence in 1..=2 {
        let answer = peer.receive().await.expect("an answer").expect("a frame");
        let answer = Answer::decode(&answer).expect("decodes");
        assert_eq!(answer, Answer::counted(sequence));
    }
    assert!(peer.receive().await.is_none());
    assert_eq!(cluster.requests(), 2);
}

#[actix::test]
async fn after_a_failure_no_later_batch_of_the_link_is_read() {
    let cluster = cluster();
    cluster.fail(&[Failure::BeforeCommit]);
    let (here, there) = memory_pair(8);
    let mut peer = Link::from(here);
    for sequence in 1..=2 {
        peer.send(frame(sequence, 0, &[record(200)]))
            .await
            .expect("sent");
    }
    let ended = cluster.ingestor.serve(there.into(), NODE).await;
    assert!(matches!(ended, Err(IngestError::Store(_))));
    assert!(peer.receive().await.is_none());
    assert_eq!(cluster.requests(), 0);
    cluster.has_line(r#"langur_fleet_batches_total{result="failed"} 1"#);
}

#[actix::test]
async fn what_is_no_batch_of_this_node_ends_the_link() {
    let cluster = cluster();
    let other = cluster
        .ingest_of(frame(1, 0, &[record(200)]), Uuid::from_u128(99))
        .await;
    assert!(matches!(other, Err(IngestError::WrongNode { .. })));
    let garbage = cluster.ingest(Bytes::from_static(b"garbage")).await;
    assert!(matches!(garbage, Err(IngestError::NotABatch(_))));
    assert_eq!(cluster.requests(), 0);
}

#[actix::test]
async fn a_batch_that_will_never_be_understood_is_refused_and_the_link_goes_on() {
    let cluster = cluster();
    for bad in [
        frame(0, 0, &[record(200)]),
        frame(u64::MAX, 0, &[record(200)]),
        frame(
            1,
            0,
            &vec![record(200); crate::telemetry::batch::MAX_BATCH_RECORDS + 1],
        ),
    ] {
        let answer = cluster.ingest(bad).await.expect("an answer");
        assert!(answer.refused.is_some());
    }
    assert_eq!(cluster.requests(), 0);
    let answer = cluster.ingest(frame(2, 0, &[record(200)])).await;
    assert_eq!(answer.expect("an answer"), Answer::counted(2));
    cluster.has_line(r#"langur_fleet_batches_total{result="refused"} 3"#);
}

/// 30 batches of invented services used to make 300 000 series; now they are one.
#[actix::test]
async fn trial_16_made_up_names_are_one_series() {
    let cluster = cluster();
    for sequence in 1..=30 {
        let records: Vec<Record> = (0..100)
            .map(|n| Record {
                route: label(1000 + sequence * 100 + n, &format!("r{sequence}-{n}")),
                service: label(1, &format!("s{n}")),
                status: 600 + n as u16,
                ..Record::default()
            })
            .collect();
        let key = BatchKey {
            node_id: NODE,
            incarnation: Uuid::from_u128(2),
            sequence: sequence as u64,
        };
        let frame = encode_batch(key, 0, records.iter()).expect("a frame");
        cluster.ingest(frame).await.expect("counted");
    }
    assert_eq!(cluster.requests(), 3000);
    assert_eq!(cluster.store.0.lock().expect("tables").counts.len(), 1);
    let text = cluster.metrics.scrape(|_| {});
    let series = text
        .lines()
        .filter(|line| line.starts_with("langur_fleet_http_requests_total{"));
    let series: Vec<&str> = series.collect();
    assert_eq!(series.len(), 1, "{series:?}");
    assert!(
        series[0].contains(r#"service="unknown",route="unknown",code="0""#),
        "{series:?}"
    );
    assert!(series[0].ends_with(" 3000"), "{series:?}");
}
