//! Telemetry batches in, each counted once; fleet totals out.
//!
//! A batch is counted by its key (node, incarnation, sequence) in one transaction with its
//! counts, shared by all control planes. It is answered only after that transaction has
//! committed. A link whose batch cannot be counted now is ended, never skipped over: the data
//! plane sends the batch again, here or to another control plane.
//!
//! What is counted by are entities that exist: see `entities`.

mod counts;
mod database;
mod entities;
mod fleet;
mod ingest;
mod prune;
mod store;

pub use super::config_store::Count;
pub use counts::{CountKey, Counts};
pub use entities::{Entities, Names};
pub use fleet::FleetMetrics;
pub use ingest::{IngestError, Ingestor};
pub use prune::forget_old_telemetry;
pub use store::{Ingested, StoreFailure, StoreFuture, TelemetryStore};
