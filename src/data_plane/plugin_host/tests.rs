//! Queues under their actor: nothing is lost but what is counted.

use super::{PluginHost, flush};
use crate::actor::{Registry, RestartPolicy, Slot, guard_on};
use crate::plugins::{Deliver, Delivery, Host, QueueParameters, queue_name};
use crate::telemetry::metrics::Metrics;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Takes batches, or does not.
#[derive(Clone, Default)]
struct Collector {
    got: Arc<Mutex<Vec<Vec<u32>>>>,
    refuses: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Deliver<u32> for Collector {
    fn deliver<'a>(&'a self, batch: &'a [u32]) -> Delivery<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            while self.hangs.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(!self.panics.load(Ordering::SeqCst), "as asked");
            if self.refuses.load(Ordering::SeqCst) {
                return Err("it refuses".into());
            }
            self.got.lock().expect("a list").push(batch.to_vec());
            Ok(())
        })
    }
}

impl Collector {
    fn batches(&self) -> Vec<Vec<u32>> {
        self.got.lock().expect("a list").clone()
    }

    fn entries(&self) -> Vec<u32> {
        self.batches().concat()
    }
}

struct World {
    host: Host,
    slot: Slot<PluginHost>,
    actors: Registry,
    metrics: Arc<Metrics>,
}

impl World {
    fn start() -> World {
        let metrics = Arc::new(Metrics::new());
        let host = Host::new(Some(Arc::clone(&metrics)));
        let actors = Registry::default();
        actors.set_pace(RestartPolicy {
            first_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(5),
            healthy_after: PATIENCE,
        });
        let own = host.clone();
        let arbiter = actix::Arbiter::new().handle();
        let policy = RestartPolicy::default();
        let slot = guard_on(&arbiter, &actors, "PluginHost", policy, move || {
            PluginHost::new(own.clone())
        });
        World {
            host,
            slot,
            actors,
            metrics,
        }
    }

    fn dropped(&self, reason: &str) -> u64 {
        let line =
            format!("langur_plugin_queue_dropped_total{{plugin=\"p\",reason=\"{reason}\"}} ");
        let text = self.metrics.scrape(|_| {});
        let found = text.lines().find_map(|found| found.strip_prefix(&*line));
        found
            .expect("exported from the start")
            .parse()
            .expect("a number")
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn quick() -> QueueParameters {
    QueueParameters {
        max_coalescing_delay: 0.0,
        initial_retry_delay: 0.001,
        max_retry_delay: 0.002,
        ..QueueParameters::default()
    }
}

#[actix::test]
async fn a_batch_is_delivered_together_and_again_after_a_failure() {
    let (world, collector) = (World::start(), Collector::default());
    let parameters = QueueParameters {
        max_batch_size: 3,
        max_coalescing_delay: 3600.0,
        ..quick()
    };
    collector.refuses.store(true, Ordering::SeqCst);
    let queue = world
        .host
        .queue("p", "q".into(), &parameters, collector.clone());
    (1..=3).for_each(|entry| queue.try_enqueue(entry, 1));
    until("it is tried again", || {
        collector.asked.load(Ordering::SeqCst) > 3
    })
    .await;
    assert!(collector.batches().is_empty());
    collector.refuses.store(false, Ordering::SeqCst);
    until("it is delivered", || collector.batches() == [[1, 2, 3]]).await;
}

#[actix::test]
async fn a_slow_consumer_holds_nobody_up_and_what_is_dropped_is_counted() {
    let (world, collector) = (World::start(), Collector::default());
    collector.hangs.store(true, Ordering::SeqCst);
    let parameters = QueueParameters {
        max_entries: 2,
        ..quick()
    };
    let queue = world
        .host
        .queue("p", "q".into(), &parameters, collector.clone());
    queue.try_enqueue(1, 1);
    until("the first is under way", || {
        collector.asked.load(Ordering::SeqCst) == 1
    })
    .await;
    (2..=7).for_each(|entry| queue.try_enqueue(entry, 1));
    assert_eq!(world.dropped("full"), 4);
    collector.hangs.store(false, Ordering::SeqCst);
    until("the newest are delivered", || {
        collector.entries() == [1, 6, 7]
    })
    .await;
}

#[actix::test]
async fn a_batch_is_given_up_after_its_time_and_counted() {
    let (world, collector) = (World::start(), Collector::default());
    collector.refuses.store(true, Ordering::SeqCst);
    let parameters = QueueParameters {
        max_retry_time: 0.01,
        max_bytes: Some(10),
        ..quick()
    };
    let queue = world
        .host
        .queue("p", "q".into(), &parameters, collector.clone());
    queue.try_enqueue(1, 11);
    assert_eq!(world.dropped("too_large"), 1);
    queue.try_enqueue(2, 1);
    until("it is given up", || world.dropped("undelivered") == 1).await;
    collector.refuses.store(false, Ordering::SeqCst);
    queue.try_enqueue(3, 1);
    until("the next one is delivered", || collector.entries() == [3]).await;
}

#[actix::test]
async fn a_panic_of_a_plugin_is_a_failed_attempt() {
    let (world, collector) = (World::start(), Collector::default());
    collector.panics.store(true, Ordering::SeqCst);
    let queue = world
        .host
        .queue("p", "q".into(), &quick(), collector.clone());
    queue.try_enqueue(1, 1);
    until("it panics", || collector.asked.load(Ordering::SeqCst) > 1).await;
    collector.panics.store(false, Ordering::SeqCst);
    until("it is delivered", || collector.entries() == [1]).await;
    assert_eq!(world.actors.panics("PluginHost"), 0);
}

#[actix::test]
async fn trial_28_a_host_that_dies_loses_no_entry() {
    let (world, collector) = (World::start(), Collector::default());
    let unordered = QueueParameters {
        concurrency_limit: -1,
        ..quick()
    };
    let queue = world
        .host
        .queue("p", "ordered".into(), &quick(), collector.clone());
    let other = world
        .host
        .queue("p", "unordered".into(), &unordered, collector.clone());
    let mut expected = BTreeSet::new();
    for round in 0..20 {
        // It dies with batches under way, and with entries that nobody has seen yet.
        collector.hangs.store(true, Ordering::SeqCst);
        for n in 0..10 {
            let entry = round * 100 + n;
            expected.extend([entry, entry + 50]);
            queue.try_enqueue(entry, 1);
            other.try_enqueue(entry + 50, 1);
        }
        let before = world.actors.panics("PluginHost");
        until("the host dies", || {
            world.actors.kill("PluginHost");
            world.actors.panics("PluginHost") > before
        })
        .await;
        collector.hangs.store(false, Ordering::SeqCst);
    }
    until("all arrive", || {
        let got: BTreeSet<u32> = collector.entries().into_iter().collect();
        got == expected
    })
    .await;
    assert_eq!(world.dropped("full"), 0);
}

#[actix::test]
async fn the_end_delivers_what_it_can_and_counts_the_rest() {
    let (world, collector) = (World::start(), Collector::default());
    let waits = QueueParameters {
        max_batch_size: 100,
        max_coalescing_delay: 3600.0,
        ..quick()
    };
    let queue = world
        .host
        .queue("p", "good".into(), &waits, collector.clone());
    let stubborn = Collector::default();
    stubborn.refuses.store(true, Ordering::SeqCst);
    let slow = QueueParameters {
        initial_retry_delay: 3600.0,
        max_retry_delay: 3600.0,
        ..QueueParameters::default()
    };
    let bad = world.host.queue("p", "bad".into(), &slow, stubborn.clone());
    (1..=3).for_each(|entry| queue.try_enqueue(entry, 1));
    (4..=5).for_each(|entry| bad.try_enqueue(entry, 1));
    until("the bad one pauses", || {
        stubborn.asked.load(Ordering::SeqCst) == 1
    })
    .await;
    let lost = flush(&world.slot, &world.host, Duration::from_millis(300)).await;
    assert_eq!(collector.batches(), [[1, 2, 3]]);
    assert_eq!((lost, world.dropped("shutdown")), (2, 2));
    assert!(
        stubborn.asked.load(Ordering::SeqCst) > 1,
        "the pause is cut short"
    );
}

#[actix::test]
async fn a_queue_is_shared_by_name_and_ends_when_it_is_empty_and_unused() {
    let (world, collector) = (World::start(), Collector::default());
    let name = || queue_name(&serde_json::json!({"endpoint": "x"}));
    collector.hangs.store(true, Ordering::SeqCst);
    let first = world.host.queue("p", name(), &quick(), collector.clone());
    first.try_enqueue(1, 1);
    until("it is under way", || {
        collector.asked.load(Ordering::SeqCst) == 1
    })
    .await;
    // The configuration changes: the new instance goes on with the queue of the old one.
    let second = world
        .host
        .queue("p", name(), &quick(), Collector::default());
    drop(first);
    second.try_enqueue(2, 1);
    assert_eq!(world.host.queues().len(), 1);
    drop(second);
    collector.hangs.store(false, Ordering::SeqCst);
    until("the queue is gone", || world.host.queues().is_empty()).await;
    assert_eq!(collector.entries(), [1, 2]);
    let third = world.host.queue("p", name(), &quick(), collector.clone());
    third.try_enqueue(3, 1);
    until("a new one works", || collector.entries() == [1, 2, 3]).await;
}
