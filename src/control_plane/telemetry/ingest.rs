//! One link after the other end: read batches, count them, answer them.
//!
//! With many routes a batch touches rows all over the table of counts, and the next one the same
//! pages again. Batches that come soon after one another are therefore committed together.

use super::counts::{Counts, Group, group};
use super::{FleetMetrics, Ingested, Names, StoreFailure, TelemetryStore};
use crate::link::{Link, LinkError};
use crate::telemetry::batch::{Answer, Batch, BatchError, BatchKey, decode_batch};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// Batches of one transaction at most: half of what a data plane sends without an answer, so that
/// it goes on sending meanwhile.
const COMMITTED_AT_ONCE: usize = 4;

/// Between two transactions of a link, unless so many batches wait: a data plane that sends one
/// batch in each flush interval never waits for it.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);

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
    names: Names,
    fleet: FleetMetrics,
}

impl Ingestor {
    pub fn new(store: Arc<dyn TelemetryStore>, names: Names, fleet: FleetMetrics) -> Ingestor {
        Ingestor {
            store,
            names,
            fleet,
        }
    }

    /// Serves one link until its end, batch by batch in order. `node_id` is the node that the
    /// link's peer has proved to be.
    ///
    /// # Errors
    /// Why the link had to be ended; its end by the peer is no error.
    pub async fn serve(&self, mut link: Link, node_id: Uuid) -> Result<(), IngestError> {
        let mut next_commit = Instant::now();
        loop {
            let (frames, end) = gather(&mut link, next_commit).await;
            let (answers, result) = self.ingest(&frames, node_id).await;
            next_commit = Instant::now() + COMMIT_INTERVAL;
            for answer in answers {
                link.send(answer.encode()?).await?;
            }
            result?;
            if let Some(end) = end {
                return end.map_err(IngestError::from);
            }
        }
    }

    /// Counts batches, in one transaction. What is answered is committed or will never be; at the
    /// first error, whose batch is neither counted nor answered, the link has to end.
    pub async fn ingest(
        &self,
        frames: &[Bytes],
        node_id: Uuid,
    ) -> (Vec<Answer>, Result<(), IngestError>) {
        let mut read = Vec::with_capacity(frames.len());
        let mut result = Ok(());
        for frame in frames {
            match self.read(frame, node_id) {
                Ok(batch) => read.push(batch),
                Err(err) => {
                    result = Err(err);
                    break;
                }
            }
        }
        let answers = match self.count(read).await {
            Ok(answers) => answers,
            Err(err) => {
                result = Err(err.into());
                Vec::new()
            }
        };
        if let Err(err) = &result {
            self.fleet.batch("failed");
            tracing::warn!(%node_id, error = %err, "telemetry batch not counted");
        }
        (answers, result)
    }

    fn read(&self, frame: &[u8], node_id: Uuid) -> Result<Read, IngestError> {
        let batch = decode_batch(frame)?;
        let key = batch.key;
        if key.node_id != node_id {
            return Err(IngestError::WrongNode {
                expected: node_id,
                found: key.node_id,
            });
        }
        Ok(match checked_records(&batch) {
            Ok(records) => {
                let mut groups = group(records);
                self.names.name(&mut groups);
                let counts = Counts::of(&groups, batch.dropped);
                Read::Counts(key, groups, counts)
            }
            Err(reason) => {
                // It would be as bad the next time: the data plane counts it as lost.
                tracing::warn!(%node_id, sequence = key.sequence, reason, "telemetry batch refused");
                self.fleet.batch("refused");
                Read::Refused(key.sequence, reason)
            }
        })
    }

    async fn count(&self, read: Vec<Read>) -> Result<Vec<Answer>, StoreFailure> {
        let mut answers = Vec::with_capacity(read.len());
        let mut batches = Vec::with_capacity(read.len());
        let mut groups_of = Vec::with_capacity(read.len());
        for batch in read {
            match batch {
                Read::Counts(key, groups, counts) => {
                    answers.push(Answer::counted(key.sequence));
                    batches.push((key, counts));
                    groups_of.push(groups);
                }
                Read::Refused(sequence, reason) => answers.push(Answer::refused(sequence, reason)),
            }
        }
        if batches.is_empty() {
            return Ok(answers);
        }
        let results = self.store.ingest(&batches).await?;
        for ((result, (key, counts)), groups) in results.into_iter().zip(batches).zip(groups_of) {
            match result {
                Ingested::Counted => {
                    self.fleet.count(key.node_id, &groups, counts.dropped);
                    self.fleet.batch("counted");
                }
                Ingested::AlreadyCounted => self.fleet.batch("already_counted"),
            }
        }
        Ok(answers)
    }
}

/// A batch that was read: what it adds, or why it will never be counted.
enum Read {
    Counts(BatchKey, Vec<Group>, Counts),
    Refused(u64, String),
}

/// The next frames, and how the link ended if it did. Waits for one, and until `not_before` for
/// more, but not for so many that the data plane would have to wait.
async fn gather(
    link: &mut Link,
    not_before: Instant,
) -> (Vec<Bytes>, Option<Result<(), LinkError>>) {
    let mut frames = Vec::new();
    while frames.len() < COMMITTED_AT_ONCE {
        let received = match frames.is_empty() {
            true => link.receive().await,
            // What has arrived is taken also when that time is over.
            false => match timeout_at(not_before, link.receive()).await {
                Ok(received) => received,
                Err(_) => break,
            },
        };
        match received {
            Some(Ok(frame)) => frames.push(frame),
            Some(Err(err)) => return (frames, Some(Err(err))),
            None => return (frames, Some(Ok(()))),
        }
    }
    (frames, None)
}

fn checked_records(batch: &Batch) -> Result<Vec<crate::telemetry::record::Record>, String> {
    if !(1..=MAX_SEQUENCE).contains(&batch.key.sequence) {
        return Err(format!("sequence must be between 1 and {MAX_SEQUENCE}"));
    }
    batch.records().map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests;
