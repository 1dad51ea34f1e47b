//! Open transactions: what they see, what others see, and how they end.

use super::journal::fold;
use super::support::{Database, delete, document, id, insert, on_both_engines, reference, upsert};
use crate::actor::Registry;
use crate::control_plane::config_store::{
    ConfigStoreHandle, Key, Retention, Store, StoreError, Transaction,
};
use crate::model::{Kind, RequestId, Revision};
use crate::telemetry::metrics::Metrics;
use futures_util::future::join;
use serde_json::json;
use tokio::task::LocalSet;

fn start(store: &Store) -> ConfigStoreHandle {
    let (actors, metrics) = (Registry::default(), Metrics::new());
    ConfigStoreHandle::start(store.clone(), Retention::default(), &metrics, &actors)
}

async fn begin(handle: &ConfigStoreHandle) -> Transaction {
    handle.begin().await.expect("begins")
}

on_both_engines!(
    only_the_transaction_sees_what_it_writes,
    async |database: &Database| {
        let test = async {
            let store = &database.store;
            let handle = start(store).on_behalf_of(RequestId(id(9)));
            let transaction = begin(&handle).await;
            assert_eq!(transaction.base(), Revision(0));
            transaction
                .write(vec![insert(Kind::Services, 1, json!({"name": "s"}))])
                .await
                .expect("writes");
            let key = Key::Unique("name", json!("s"));
            let inside = transaction.entities().get(Kind::Services, &key).await;
            assert!(inside.expect("reads").is_some());
            let outside = store.entities().get(Kind::Services, &key).await;
            assert_eq!(outside.expect("reads"), None);
            transaction
                .write(vec![
                    insert(Kind::Routes, 1, json!({"service": reference(1)})),
                    insert(Kind::Routes, 2, json!({"service": reference(1)})),
                ])
                .await
                .expect("writes");
            transaction
                .write(vec![delete(Kind::Routes, 2)])
                .await
                .expect("writes");
            let keys = |deltas: &[crate::control_plane::config_store::Delta]| -> Vec<_> {
                deltas.iter().map(|delta| delta.kind).collect()
            };
            let difference = transaction.difference();
            assert_eq!(keys(&difference), [Kind::Services, Kind::Routes]);
            let done = transaction.commit().await.expect("commits");
            assert_eq!((done.revision, done.ops.len()), (Revision(1), 2));
            assert!(
                store
                    .entities()
                    .get(Kind::Services, &key)
                    .await
                    .expect("reads")
                    .is_some()
            );
            let summary = store.revision(Revision(1)).await.expect("reads");
            assert_eq!(summary.request_id, Some(RequestId(id(9))));
            assert_eq!(fold(store).await, store.config().await.expect("reads"));
        };
        LocalSet::new().run_until(test).await;
    }
);

on_both_engines!(
    /// The database's refusal is explained, and the transaction goes on.
    a_refused_write_leaves_no_trace_in_its_transaction,
    async |database: &Database| {
        let test = async {
            let store = &database.store;
            let handle = start(store);
            let transaction = begin(&handle).await;
            let named = |n, name: &str| insert(Kind::Consumers, n, json!({"username": name}));
            transaction.write(vec![named(1, "a")]).await.expect("writes");
            let refused = transaction.write(vec![named(2, "b"), named(3, "a")]).await;
            assert!(
                matches!(refused, Err(StoreError::UniqueViolation { kind: Kind::Consumers, .. })),
                "{refused:?}"
            );
            let orphan = insert(Kind::Acls, 1, json!({"consumer": reference(7)}));
            let refused = transaction.write(vec![orphan]).await;
            assert!(
                matches!(refused, Err(StoreError::ForeignKeyMissing { .. })),
                "{refused:?}"
            );
            transaction
                .write(vec![upsert(Kind::Consumers, 1, json!({"username": "c"}))])
                .await
                .expect("writes");
            let done = transaction.commit().await.expect("commits");
            assert_eq!(done.ops.len(), 1);
            let config = store.config().await.expect("reads");
            assert_eq!(config.len(), 1);
            assert_eq!(fold(store).await, config);
            let stored = store.entities().get(Kind::Consumers, &Key::Id(id(1))).await;
            let stored = stored.expect("reads").expect("a consumer");
            assert_eq!(stored["username"], document(Kind::Consumers, 1, json!({"username": "c"}))["username"]);
        };
        LocalSet::new().run_until(test).await;
    }
);

on_both_engines!(
    what_is_not_committed_leaves_no_trace,
    async |database: &Database| {
        let test = async {
            let store = &database.store;
            let handle = start(store);
            for explicit in [true, false] {
                let transaction = begin(&handle).await;
                transaction
                    .write(vec![insert(Kind::Services, 1, json!({}))])
                    .await
                    .expect("writes");
                match explicit {
                    true => transaction.roll_back().await.expect("rolls back"),
                    false => drop(transaction),
                }
                assert!(store.config().await.expect("reads").is_empty());
            }
            // Whoever waited meanwhile gets the same revision, and the slot is free again.
            let transaction = begin(&handle).await;
            let waiting = handle.write(vec![insert(Kind::Services, 1, json!({}))]);
            let (done, ended) = join(waiting, transaction.roll_back()).await;
            ended.expect("rolls back");
            assert_eq!(done.expect("writes").revision, Revision(1));
            assert_eq!(handle.waiting(), 0);
            // What comes to nothing is no revision.
            let transaction = begin(&handle).await;
            let writes = vec![insert(Kind::Routes, 1, json!({})), delete(Kind::Routes, 1)];
            transaction.write(writes).await.expect("writes");
            let done = transaction.commit().await.expect("commits");
            assert_eq!((done.revision, done.ops.len()), (Revision(1), 0));
        };
        LocalSet::new().run_until(test).await;
    }
);
