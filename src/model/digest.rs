//! An order-independent digest of a configuration.
//!
//! Each entity is hashed with SHA-256 and the hashes are added lane by lane, so that one
//! change costs one addition and both ends can prove after every step that applying the
//! difference gave what the whole would have given. It guards against bugs and lost
//! messages; against people the link is guarded by mutual TLS.

use super::{Kind, KindSet, Row};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The sum of the digests of all entities; all zeros when there are none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest([u64; 4]);

impl Digest {
    /// The digest of one entity.
    pub fn of(kind: Kind, id: Uuid, row: &Row) -> Digest {
        Digest::of_named(kind.as_str(), id, row.as_bytes())
    }

    /// The same for a kind of which only the name may be known.
    pub fn of_named(kind: &str, id: Uuid, row: &[u8]) -> Digest {
        let hash = Sha256::new()
            .chain_update(kind)
            .chain_update([0])
            .chain_update(id.as_bytes())
            .chain_update(row)
            .finalize();
        let mut lanes = [0u64; 4];
        for (lane, bytes) in lanes.iter_mut().zip(hash.chunks_exact(8)) {
            *lane = bytes.iter().fold(0, |acc, b| acc << 8 | u64::from(*b));
        }
        Digest(lanes)
    }

    #[must_use]
    pub fn plus(self, other: Digest) -> Digest {
        Digest(std::array::from_fn(|i| self.0[i].wrapping_add(other.0[i])))
    }

    #[must_use]
    pub fn minus(self, other: Digest) -> Digest {
        Digest(std::array::from_fn(|i| self.0[i].wrapping_sub(other.0[i])))
    }

    /// Kong's `config_hash`: 32 hex digits, all zeros for an empty configuration.
    pub fn config_hash(&self) -> String {
        format!("{:016x}{:016x}", self.0[0], self.0[1])
    }
}

/// The digests of a configuration kind by kind, so that the digest of any of its kinds is a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digests([Digest; Kind::COUNT]);

impl Digests {
    /// The digest of all entities of these kinds.
    #[must_use]
    pub fn of(&self, kinds: KindSet) -> Digest {
        let sum = |sum: Digest, kind| sum.plus(self.0[kind as usize]);
        kinds.iter().fold(Digest::default(), sum)
    }

    pub(super) fn add(&mut self, kind: Kind, id: Uuid, row: &Row) {
        self.0[kind as usize] = self.0[kind as usize].plus(Digest::of(kind, id, row));
    }

    pub(super) fn remove(&mut self, kind: Kind, id: Uuid, row: &Row) {
        self.0[kind as usize] = self.0[kind as usize].minus(Digest::of(kind, id, row));
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Digest({self})")
    }
}
