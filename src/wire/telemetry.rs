//! The messages of the telemetry link. What a record looks like is not known here.

use super::Blob;
use super::frame::messages;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Records of one data plane. Counted once by (node, incarnation, sequence).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub node_id: Uuid,
    /// One life of the data plane's process; sequence numbers start anew with it.
    pub incarnation: Uuid,
    /// Counts up by one from 1.
    pub sequence: u64,
    /// Records this incarnation has had to drop so far because its buffer was full.
    #[serde(default)]
    pub dropped: u64,
    /// The records, encoded by the telemetry modules.
    pub records: Blob,
}

/// Everything up to this sequence of this incarnation is counted and committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAck {
    pub incarnation: Uuid,
    pub sequence: u64,
}

messages! {
    /// What a data plane sends on the telemetry link.
    TelemetryUp { Batch = "batch" }
}
messages! {
    /// What a control plane sends on the telemetry link.
    TelemetryDown { BatchAck = "batch_ack" }
}
