//! One link after the other end: read a batch, count it, answer it.

use super::counts::{Counts, group};
use super::{FleetMetrics, Ingested, StoreFailure, TelemetryStore};
use crate::telemetry::batch::{Answer, Batch, BatchError, decode_batch};
use crate::telemetry::link::{Link, LinkError};
use std::sync::Arc;
use uuid::Uuid;

/// The largest number a database can keep.
const MAX_SEQUENCE: u64 = i64::MAX as u64;

/// Why a link ends. The data plane opens another and sends what is unanswered again.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("a frame is not a batch: {0}")]
    NotABatch(#[from] BatchError),
    #[error("a batch names node {found}, the link belongs to node {expected}")]
    WrongNode { expected: Uuid, found: Uuid },
    #[error(transparent)]
    Store(#[from] StoreFailure),
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Counts batches for all telemetry links of this control plane.
pub struct Ingestor {
    store: Arc<dyn TelemetryStore>,
    fleet: FleetMetrics,
}

impl Ingestor {
    pub fn new(store: Arc<dyn TelemetryStore>, fleet: FleetMetrics) -> Ingestor {
        Ingestor { store, fleet }
    }

    /// Serves one link until its end: one batch at a time, in order. `node_id` is the node
    /// that the link's peer has proved to be.
    ///
    /// # Errors
    /// Why the link had to be ended; its end by the peer is no error.
    pub async fn serve(&self, mut link: Link, node_id: Uuid) -> Result<(), IngestError> {
        while let Some(frame) = link.receive().await {
            let answer = self.ingest(&frame?, node_id).await?;
            link.send(answer.encode()?).await?;
        }
        Ok(())
    }

    /// Counts one batch. When this returns an answer, the batch is committed or will never
    /// be.
    ///
    /// # Errors
    /// The batch is not counted and must not be answered; the link has to end.
    pub async fn ingest(&self, frame: &[u8], node_id: Uuid) -> Result<Answer, IngestError> {
        let result = self.try_ingest(frame, node_id).await;
        if let Err(err) = &result {
            self.fleet.batch("failed");
            tracing::warn!(%node_id, error = %err, "telemetry batch not counted");
        }
        result
    }

    async fn try_ingest(&self, frame: &[u8], node_id: Uuid) -> Result<Answer, IngestError> {
        let batch = decode_batch(frame)?;
        let (key, dropped) = (batch.key, batch.dropped);
        if key.node_id != node_id {
            return Err(IngestError::WrongNode {
                expected: node_id,
                found: key.node_id,
            });
        }
        let groups = match checked_records(&batch) {
            Ok(records) => group(records),
            Err(reason) => {
                // It would be as bad the next time: the data plane counts it as lost.
                tracing::warn!(%node_id, sequence = key.sequence, reason, "telemetry batch refused");
                self.fleet.batch("refused");
                return Ok(Answer::refused(key.sequence, reason));
            }
        };
        let counts = Counts::of(&groups, dropped);
        match self.store.ingest(key, &counts).await? {
            Ingested::Counted => {
                self.fleet.count(node_id, &groups, dropped);
                self.fleet.batch("counted");
            }
            Ingested::AlreadyCounted => self.fleet.batch("already_counted"),
        }
        Ok(Answer::counted(key.sequence))
    }
}

fn checked_records(batch: &Batch) -> Result<Vec<crate::telemetry::record::Record>, String> {
    if !(1..=MAX_SEQUENCE).contains(&batch.key.sequence) {
        return Err(format!("sequence must be between 1 and {MAX_SEQUENCE}"));
    }
    batch.records().map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests;
