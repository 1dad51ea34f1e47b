//! Batches of records on the wire: one numbered MessagePack map per frame, and its answer.
//!
//! The envelope is a map with named fields; unknown fields are ignored, so that it can grow.
//! The records inside are arrays with a fixed order of elements, to which later versions may
//! append; names are sent once per batch and referred to by index.

mod body;
mod limited;
mod pack;

use super::record::Record;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The most records one batch may hold.
pub const MAX_BATCH_RECORDS: usize = 10_000;

/// The largest frame either end of the telemetry link reads, bytes. A WebSocket that carries
/// the link must take frames of this size.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// What a batch is counted once by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchKey {
    pub node_id: Uuid,
    /// Chosen anew by every start of the data plane's process; sequences start over with it.
    pub incarnation: Uuid,
    /// Starts at 1 and only grows; a number may be missing when its records were dropped.
    pub sequence: u64,
}

/// A batch as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub key: BatchKey,
    /// Records lost on the data plane since the batch before this one was numbered.
    pub dropped: u64,
    /// The records, not decoded yet: see [`Batch::records`].
    body: Bytes,
}

/// The control plane's answer to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub sequence: u64,
    /// Why the batch will never be counted. `None`: it is counted and may be forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Why a frame or its records are not understood.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error("the frame has {bytes} bytes, at most {MAX_FRAME_BYTES} are read")]
    TooLarge { bytes: usize },
    #[error("the batch is malformed: {0}")]
    Malformed(String),
    #[error("the batch has more than {MAX_BATCH_RECORDS} records")]
    TooManyRecords,
    #[error("a record refers to the {list} at index {index}, the batch has {len}")]
    UnknownLabels {
        list: &'static str,
        index: usize,
        len: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    node_id: Uuid,
    incarnation: Uuid,
    sequence: u64,
    #[serde(default)]
    dropped: u64,
    #[serde(with = "limited::binary")]
    records: Bytes,
}

/// Encodes one batch as one frame.
///
/// # Errors
/// [`BatchError::TooLarge`]: nobody would read it. Nothing else of a record makes it fail.
pub fn encode_batch<'a>(
    key: BatchKey,
    dropped: u64,
    records: impl ExactSizeIterator<Item = &'a Record>,
) -> Result<Bytes, BatchError> {
    let envelope = Envelope {
        node_id: key.node_id,
        incarnation: key.incarnation,
        sequence: key.sequence,
        dropped,
        records: body::encode(records)?,
    };
    let frame = encode(&envelope)?;
    match frame.len() {
        bytes if bytes > MAX_FRAME_BYTES => Err(BatchError::TooLarge { bytes }),
        _ => Ok(frame),
    }
}

/// Decodes a batch's envelope; its records stay as they are.
///
/// # Errors
/// [`BatchError::TooLarge`] and [`BatchError::Malformed`].
pub fn decode_batch(frame: &[u8]) -> Result<Batch, BatchError> {
    let envelope: Envelope = decode(frame)?;
    Ok(Batch {
        key: BatchKey {
            node_id: envelope.node_id,
            incarnation: envelope.incarnation,
            sequence: envelope.sequence,
        },
        dropped: envelope.dropped,
        body: envelope.records,
    })
}

impl Batch {
    /// Decodes the records.
    ///
    /// # Errors
    /// Any [`BatchError`].
    pub fn records(&self) -> Result<Vec<Record>, BatchError> {
        body::decode(&self.body)
    }
}

impl Answer {
    pub fn counted(sequence: u64) -> Answer {
        Answer {
            sequence,
            refused: None,
        }
    }

    pub fn refused(sequence: u64, reason: impl Into<String>) -> Answer {
        Answer {
            sequence,
            refused: Some(reason.into()),
        }
    }

    /// # Errors
    /// Only when the encoder fails, which an answer cannot make it do.
    pub fn encode(&self) -> Result<Bytes, BatchError> {
        encode(self)
    }

    /// # Errors
    /// [`BatchError::TooLarge`] and [`BatchError::Malformed`].
    pub fn decode(frame: &[u8]) -> Result<Answer, BatchError> {
        decode(frame)
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, BatchError> {
    rmp_serde::to_vec_named(value)
        .map(Bytes::from)
        .map_err(|err| BatchError::Malformed(err.to_string()))
}

fn decode<'de, T: Deserialize<'de>>(frame: &'de [u8]) -> Result<T, BatchError> {
    if frame.len() > MAX_FRAME_BYTES {
        return Err(BatchError::TooLarge { bytes: frame.len() });
    }
    rmp_serde::from_slice(frame).map_err(|err| BatchError::Malformed(err.to_string()))
}

#[cfg(test)]
mod tests;
