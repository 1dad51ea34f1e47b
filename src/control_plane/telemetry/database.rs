//! Counts in the control plane's database.

use super::store::{Ingested, StoreFailure, StoreFuture, TelemetryStore};
use super::{Count, Counts};
use crate::control_plane::config_store as store;
use crate::telemetry::batch::BatchKey;
use std::collections::BTreeMap;

impl TelemetryStore for store::Store {
    fn ingest<'a>(&'a self, key: BatchKey, counts: &'a Counts) -> StoreFuture<'a> {
        let rows: BTreeMap<_, _> = counts
            .by_key
            .iter()
            .map(|(by, count)| {
                let dimensions = store::Dimensions {
                    service: by.service,
                    route: by.route,
                    consumer: by.consumer,
                    status: by.status,
                    data_plane: key.node_id,
                };
                (dimensions, row(*count))
            })
            .collect();
        Box::pin(async move {
            let key = store::BatchKey {
                node: key.node_id,
                incarnation: key.incarnation,
                sequence: key.sequence,
            };
            match store::Store::ingest(self, key, &rows).await {
                Ok(store::Counted::Counted) => Ok(Ingested::Counted),
                Ok(store::Counted::AlreadyCounted) => Ok(Ingested::AlreadyCounted),
                Err(err) => Err(StoreFailure(Box::new(err))),
            }
        })
    }
}

fn row(count: Count) -> store::Count {
    store::Count {
        requests: count.requests,
        request_bytes: count.request_bytes,
        response_bytes: count.response_bytes,
    }
}
