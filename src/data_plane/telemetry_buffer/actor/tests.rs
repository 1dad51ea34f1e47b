//! The actor with a link in memory and a control plane that only answers.

use super::*;
use crate::actor::{Registry, Slot, guard};
use crate::data_plane::telemetry_buffer::{BufferOptions, Recorder};
use crate::link::{LocalFuture, MemoryEnd, memory_pair};
use crate::telemetry::batch::{BatchKey, decode_batch};
use crate::telemetry::metrics::{MetricOptions, Metrics};
use crate::telemetry::record::{Label, Named, Record};
use std::sync::Arc;
use uuid::Uuid;

const NODE: Uuid = Uuid::from_u128(1);
const INCARNATION: Uuid = Uuid::from_u128(2);

/// Opens links in memory and hands their other ends to the test; every second attempt fails.
struct Connector {
    opened: mpsc::UnboundedSender<MemoryEnd>,
    attempts: std::cell::Cell<u32>,
}

impl Connect for Connector {
    fn connect(&self) -> LocalFuture<'_, Result<Link, LinkError>> {
        self.attempts.set(self.attempts.get() + 1);
        Box::pin(async {
            if self.attempts.get().is_multiple_of(2) {
                return Err(LinkError::Failed("not this time".into()));
            }
            let (here, there) = memory_pair(4);
            self.opened.send(there).map_err(|_| LinkError::Closed)?;
            Ok(here.into())
        })
    }
}

struct Node {
    slot: Slot<TelemetryBuffer>,
    buffer: SharedBuffer,
    metrics: Arc<Metrics>,
    recorder: Recorder,
    links: mpsc::UnboundedReceiver<MemoryEnd>,
}

fn node() -> Node {
    node_with(BufferOptions::default())
}

fn node_with(buffer: BufferOptions) -> Node {
    let rings = Rings::default();
    let recorder = rings.recorder();
    let (opened, links) = mpsc::unbounded_channel();
    let at_once = RestartPolicy {
        first_delay: Duration::ZERO,
        max_delay: Duration::ZERO,
        healthy_after: Duration::from_secs(60),
    };
    let metrics = Arc::new(Metrics::new());
    let options = TelemetryOptions {
        buffer: SharedBuffer::new(buffer, NODE, INCARNATION),
        rings,
        metrics: metrics.clone(),
        requests: RequestMetrics::new(&metrics, MetricOptions::default()),
        connect: Some(Rc::new(Connector {
            opened,
            attempts: std::cell::Cell::new(0),
        })),
        reconnect: at_once,
    };
    let buffer = options.buffer.clone();
    let slot = guard(&Registry::default(), "telemetry", at_once, move || {
        TelemetryBuffer::new(options.clone())
    });
    Node {
        slot,
        buffer,
        metrics,
        recorder,
        links,
    }
}

impl Node {
    fn record(&self, n: u64) {
        self.recorder.push(Record {
            started_at: n,
            route: Some(Named::from(Arc::new(Label {
                id: Uuid::from_u128(3),
                name: "r".into(),
            }))),
            status: 200,
            ..Record::default()
        });
    }

    async fn link(&mut self) -> Link {
        self.links.recv().await.expect("a link").into()
    }
}

/// The next batch: its number and when its records began.
async fn batch(link: &mut Link) -> (u64, Vec<u64>) {
    let frame = link.receive().await.expect("a frame").expect("bytes");
    let batch = decode_batch(&frame).expect("a batch");
    let key = BatchKey {
        node_id: NODE,
        incarnation: INCARNATION,
        sequence: batch.key.sequence,
    };
    assert_eq!(batch.key, key);
    let records = batch.records().expect("records");
    let began = records.iter().map(|record| record.started_at).collect();
    (key.sequence, began)
}

async fn answer(link: &mut Link, sequence: u64) {
    let frame = Answer::counted(sequence).encode().expect("encodes");
    link.send(frame).await.expect("sent");
}

#[actix::test]
async fn records_are_measured_sent_and_kept_until_answered() {
    let mut node = node();
    let mut link = node.link().await;
    (0..3).for_each(|n| node.record(n));
    node.slot.ask(Drain).await.expect("drained");
    let text = node.metrics.scrape(|_| {});
    let line = r#"kong_http_requests_total{service="",route="r",code="200",source="service",workspace="default",consumer=""} 3"#;
    assert!(text.lines().any(|found| found == line), "{text}");

    assert_eq!(batch(&mut link).await, (1, vec![0, 1, 2]));
    assert_eq!(node.buffer.totals().held, 3);

    // The link breaks before the answer: the batch comes again, under its number.
    drop(link);
    let mut link = node.link().await;
    assert_eq!(batch(&mut link).await, (1, vec![0, 1, 2]));
    answer(&mut link, 1).await;

    node.record(3);
    assert_eq!(batch(&mut link).await, (2, vec![3]));
    let totals = node.buffer.totals();
    assert_eq!((totals.held, totals.delivered, totals.dropped), (1, 3, 0));
}

#[actix::test]
async fn finishing_delivers_everything_without_waiting_for_the_interval() {
    let mut node = node();
    let mut link = node.link().await;
    (0..2).for_each(|n| node.record(n));
    let within = Duration::from_secs(600);
    let finish = node.slot.ask(Finish { within });
    let control_plane = async {
        let (sequence, _) = batch(&mut link).await;
        answer(&mut link, sequence).await;
    };
    let (finished, ()) = futures_util::future::join(finish, control_plane).await;
    assert!(finished.expect("an answer"));
    assert_eq!(node.buffer.totals().held, 0);
    // Nothing left: answered at once.
    assert!(node.slot.ask(Finish { within }).await.expect("an answer"));
}

#[actix::test]
async fn finishing_gives_up_when_nobody_answers() {
    let mut node = node();
    let _link = node.link().await;
    node.record(1);
    let within = Duration::from_millis(5);
    assert!(!node.slot.ask(Finish { within }).await.expect("an answer"));
    assert_eq!(node.buffer.totals().held, 1);
}

#[actix::test]
async fn records_survive_a_restart_of_the_actor() {
    let mut node = node();
    let mut link = node.link().await;
    node.record(7);
    assert_eq!(batch(&mut link).await, (1, vec![7]));
    let addr = node.slot.addr().expect("running");
    addr.send(Die).await.expect_err("a panic");
    // The link of the first life ends with it.
    assert!(link.receive().await.is_none());
    let mut link = node.link().await;
    assert_eq!(batch(&mut link).await, (1, vec![7]));
    answer(&mut link, 1).await;
    node.record(8);
    assert_eq!(batch(&mut link).await, (2, vec![8]));
    assert_eq!(node.slot.vitals().panics(), 1);
}

#[actix::test]
async fn an_answer_that_came_before_the_link_broke_counts() {
    let mut node = node_with(BufferOptions {
        batch_limit: 2,
        ..BufferOptions::default()
    });
    let mut link = node.link().await;
    // More batches than the link holds: the writer is still sending when the link breaks.
    (0..2 * WINDOW as u64).for_each(|n| node.record(n));
    node.slot.ask(Drain).await.expect("drained");
    let (sequence, records) = batch(&mut link).await;
    answer(&mut link, sequence).await;
    drop(link);
    let mut link = node.link().await;
    assert_eq!(batch(&mut link).await.0, sequence + 1);
    assert_eq!(node.buffer.totals().delivered, records.len() as u64);
}

#[actix::test]
async fn nonsense_from_the_peer_ends_the_link() {
    let mut node = node();
    let mut link = node.link().await;
    link.send(Bytes::from_static(b"nonsense"))
        .await
        .expect("sent");
    assert!(link.receive().await.is_none());
    let _again = node.link().await;
    let seen = node.slot.ask(Observe).await.expect("an answer");
    assert_eq!(seen["links_opened"], 2);
    assert_eq!(seen["buffer"]["link_up"], true);
}

#[derive(Message)]
#[rtype(result = "()")]
struct Die;

impl Handler<Die> for TelemetryBuffer {
    type Result = ();
    fn handle(&mut self, _: Die, _: &mut Self::Context) {
        panic!("as asked");
    }
}
