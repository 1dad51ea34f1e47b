//! What moves a configuration from one revision to a later one.

use super::{Digest, Kind, Row};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A committed state of the configuration. Revisions have no holes and commit in order;
/// zero is the empty configuration before the first write.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    #[must_use]
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }

    /// Of zero: zero.
    #[must_use]
    pub fn before(self) -> Revision {
        Revision(self.0.saturating_sub(1))
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One entity put (whole) or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    Put { kind: Kind, id: Uuid, row: Row },
    Delete { kind: Kind, id: Uuid },
}

impl Op {
    pub fn key(&self) -> (Kind, Uuid) {
        match self {
            Op::Put { kind, id, .. } | Op::Delete { kind, id } => (*kind, *id),
        }
    }
}

/// The difference between two revisions: at most one op per entity, sorted by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The revision this applies to.
    pub base: Revision,
    /// The revision it leads to.
    pub revision: Revision,
    /// The digest of the whole configuration at `revision`.
    pub digest: Digest,
    pub ops: Vec<Op>,
}

impl Change {
    /// Many ops in commit order as one op per entity, the last one winning.
    pub fn coalesce(ops: impl IntoIterator<Item = Op>) -> Vec<Op> {
        let last: BTreeMap<_, _> = ops.into_iter().map(|op| (op.key(), op)).collect();
        last.into_values().collect()
    }
}
