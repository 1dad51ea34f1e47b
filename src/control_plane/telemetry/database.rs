//! Counts in the control plane's database.

use super::store::{Ingested, StoreFailure, StoreFuture, TelemetryStore};
use super::{CountKey, Counts};
use crate::control_plane::config_store as store;
use crate::telemetry::batch::BatchKey;
use std::collections::BTreeMap;

impl TelemetryStore for store::Store {
    fn ingest<'a>(&'a self, batches: &'a [(BatchKey, Counts)]) -> StoreFuture<'a> {
        let batches: Vec<_> = batches
            .iter()
            .map(|(key, counts)| (batch_key(key), rows(key, counts)))
            .collect();
        Box::pin(async move {
            let results = store::Store::ingest(self, &batches)
                .await
                .map_err(|err| StoreFailure(Box::new(err)))?;
            Ok(results.into_iter().map(ingested).collect())
        })
    }
}

fn batch_key(key: &BatchKey) -> store::BatchKey {
    store::BatchKey {
        node: key.node_id,
        incarnation: key.incarnation,
        sequence: key.sequence,
    }
}

fn rows(key: &BatchKey, counts: &Counts) -> BTreeMap<store::Dimensions, store::Count> {
    let row = |(by, count): (&CountKey, &store::Count)| {
        let dimensions = store::Dimensions {
            service: by.service,
            route: by.route,
            consumer: by.consumer,
            status: by.status,
            data_plane: key.node_id,
        };
        (dimensions, *count)
    };
    counts.by_key.iter().map(row).collect()
}

fn ingested(result: store::Counted) -> Ingested {
    match result {
        store::Counted::Counted => Ingested::Counted,
        store::Counted::AlreadyCounted => Ingested::AlreadyCounted,
    }
}
