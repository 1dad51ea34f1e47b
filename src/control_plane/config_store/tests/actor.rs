//! The actor: order, overflow, maintenance.

use super::support::{Database, insert, on_both_engines};
use crate::actor::Registry;
use crate::control_plane::config_store::actor::MAILBOX;
use crate::control_plane::config_store::measure::WriteMetrics;
use crate::control_plane::config_store::{
    ConfigStore, ConfigStoreHandle, Maintain, Retention, Store, StoreError,
};
use crate::model::{Kind, Revision};
use crate::telemetry::metrics::Metrics;
use actix::Actor;
use futures_util::future::join_all;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{LocalSet, spawn_local, yield_now};

/// An actor that has begun.
fn start(store: &Store) -> ConfigStoreHandle {
    let (actors, metrics) = (Registry::default(), Metrics::new());
    ConfigStoreHandle::start(store.clone(), Retention::default(), &metrics, &actors)
}

on_both_engines!(writes_are_answered_in_order, async |database: &Database| {
    let test = async {
        let handle = start(&database.store);
        let writes = (1..=20).map(|n| handle.write(vec![insert(Kind::Routes, n, json!({}))]));
        for (answer, expected) in join_all(writes).await.into_iter().zip(1..) {
            assert_eq!(answer.expect("is written").revision, Revision(expected));
        }
        let duplicate = handle.write(vec![insert(Kind::Routes, 1, json!({}))]).await;
        assert!(matches!(
            duplicate,
            Err(StoreError::PrimaryKeyViolation { .. })
        ));
    };
    LocalSet::new().run_until(test).await;
});

on_both_engines!(
    /// The queue is bounded, whoever asks, and says so at once.
    a_full_queue_is_busy,
    async |database: &Database| {
        let test = async {
            let store = &database.store;
            let handle = start(store);
            // Nothing is written while this is held.
            let held = store.begin_write().await.expect("begins");
            // Each through a clone of its own, as requests are.
            let ask = |n| {
                let handle = handle.clone();
                async move { handle.write(vec![insert(Kind::Routes, n, json!({}))]).await }
            };
            let waiting: Vec<_> = (1..).take(MAILBOX).map(|n| spawn_local(ask(n))).collect();
            while handle.free_slots() > 0 {
                yield_now().await;
            }
            let busy = ask(0).await;
            assert!(matches!(busy, Err(StoreError::Busy)), "{busy:?}");
            drop(held);
            for answer in waiting {
                answer.await.expect("no panic").expect("is written");
            }
            let count = store.entities().count(Kind::Routes).await.expect("counts");
            assert_eq!(count, MAILBOX as u64);
            ask(1000).await.expect("there is room again");
        };
        LocalSet::new().run_until(test).await;
    }
);

on_both_engines!(writes_are_measured, async |database: &Database| {
    let test = async {
        let metrics = Metrics::new();
        let handle = ConfigStoreHandle::start(
            database.store.clone(),
            Retention::default(),
            &metrics,
            &Registry::default(),
        );
        let routes = [1, 2].map(|n| insert(Kind::Routes, n, json!({})));
        handle.write(routes.into()).await.expect("is written");
        let twice = handle.write(vec![insert(Kind::Routes, 1, json!({}))]).await;
        assert!(twice.is_err());
        let route = |operation, count| {
            format!(
                "langur_config_writes_total{{entity=\"routes\",operation=\"{operation}\"}} {count}"
            )
        };
        let text = metrics.scrape(|_| {});
        for line in [
            &route("create", 2),
            &route("delete", 0),
            "langur_config_writes_failed_total{reason=\"refused\"} 1",
            "langur_config_writes_failed_total{reason=\"database\"} 0",
            "langur_config_write_duration_ms_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let (first, now) = (database.store.announced_at(Revision(1)), Instant::now());
        assert!(first.is_some_and(|at| at <= now));
        assert_eq!(database.store.announced_at(Revision(2)), None);
    };
    LocalSet::new().run_until(test).await;
});

on_both_engines!(maintenance_tidies, async |database: &Database| {
    let test = async {
        let store = &database.store;
        store
            .must(vec![
                insert(Kind::Consumers, 1, json!({})),
                insert(Kind::KeyauthCredentials, 1, json!({"ttl": 1_700_000_001})),
            ])
            .await;
        database.pass(Duration::from_secs(2));
        let retention = Retention {
            max_revisions: 1,
            max_age: Duration::from_secs(100),
        };
        let metrics = Metrics::new();
        let measure = Arc::new(WriteMetrics::new(&metrics));
        let address = ConfigStore::new(store.clone(), retention, measure).start();
        // The second is taken when the first is done.
        for _ in 0..2 {
            address.send(Maintain).await.expect("is taken");
        }
        let latest = store.latest_revision().await.expect("reads");
        let oldest = store.oldest_journal_revision().await.expect("reads");
        assert_eq!((latest, oldest), (Revision(2), Some(Revision(2))));
        let deleted =
            "langur_config_writes_total{entity=\"keyauth_credentials\",operation=\"delete\"} 1";
        let text = metrics.scrape(|_| {});
        assert!(text.lines().any(|line| line == deleted), "{text}");
    };
    LocalSet::new().run_until(test).await;
});
