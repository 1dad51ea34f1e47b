//! What ingestion needs of a database.

use super::Counts;
use crate::telemetry::batch::BatchKey;
use std::future::Future;
use std::pin::Pin;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// Its counts are committed.
    Counted,
    /// They had been committed before, by this control plane or another.
    AlreadyCounted,
}

/// The database did not commit; the batch may be tried again.
#[derive(Debug, thiserror::Error)]
#[error("telemetry could not be stored: {0}")]
pub struct StoreFailure(#[source] pub Box<dyn std::error::Error + Send + Sync>);

pub type StoreFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Ingested>, StoreFailure>> + Send + 'a>>;

/// Where counts are kept, for all control planes of a cluster.
pub trait TelemetryStore: Send + Sync {
    /// All batches in one transaction, in this order. Of each: if the last sequence of (node,
    /// incarnation) is smaller than the key's, adds the counts and makes the key's sequence the
    /// last one; otherwise changes nothing. Sequences may have gaps. Two control planes may do so
    /// at the same time.
    ///
    /// # Errors
    /// Nothing is committed.
    fn ingest<'a>(&'a self, batches: &'a [(BatchKey, Counts)]) -> StoreFuture<'a>;
}
