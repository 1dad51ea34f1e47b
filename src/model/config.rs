//! A whole configuration at one revision.

use super::{Change, Digest, Digests, Kind, KindSet, Op, Revision, Row};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Every entity of one revision. Control and data plane run the same `apply` on the same
/// changes; the digest proves that they agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    revision: Revision,
    digests: Digests,
    /// Shared by clones until one of them changes: a copy is made to be written, not to be changed.
    rows: Arc<BTreeMap<(Kind, Uuid), Row>>,
}

/// Why a change was not applied. The configuration is unchanged in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error("the change starts from revision {base}, the configuration is at {held}")]
    WrongBase { base: Revision, held: Revision },
    #[error("the change leads from revision {base} back to {revision}")]
    Backwards { base: Revision, revision: Revision },
    #[error("the change names one entity twice or out of order")]
    Unsorted,
    #[error("the digest after the change is {found}, expected {expected}")]
    DigestMismatch { expected: Digest, found: Digest },
}

impl Config {
    /// A configuration from all its rows, as read from a snapshot, a cache or a database.
    pub fn from_rows(
        revision: Revision,
        rows: impl IntoIterator<Item = (Kind, Uuid, Row)>,
    ) -> Config {
        let rows: BTreeMap<_, _> = rows
            .into_iter()
            .map(|(kind, id, row)| ((kind, id), row))
            .collect();
        let mut digests = Digests::default();
        for ((kind, id), row) in &rows {
            digests.add(*kind, *id, row);
        }
        Config {
            revision,
            digests,
            rows: Arc::new(rows),
        }
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn digest(&self) -> Digest {
        self.digests.of(KindSet::ALL)
    }

    /// The digests kind by kind.
    pub fn digests(&self) -> &Digests {
        &self.digests
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn get(&self, kind: Kind, id: Uuid) -> Option<&Row> {
        self.rows.get(&(kind, id))
    }

    /// All entities, parents before children.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, Uuid, &Row)> {
        self.rows.iter().map(|((kind, id), row)| (*kind, *id, row))
    }

    /// The entities of one kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (Uuid, &Row)> {
        self.rows
            .range((kind, Uuid::nil())..=(kind, Uuid::max()))
            .map(|((_, id), row)| (*id, row))
    }

    /// Moves to the change's revision, or says why not and stays as it is.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub fn apply(&mut self, change: &Change) -> Result<(), ApplyError> {
        if change.base != self.revision {
            return Err(ApplyError::WrongBase {
                base: change.base,
                held: self.revision,
            });
        }
        if change.revision < change.base {
            return Err(ApplyError::Backwards {
                base: change.base,
                revision: change.revision,
            });
        }
        if !change.ops.is_sorted_by(|a, b| a.key() < b.key()) {
            return Err(ApplyError::Unsorted);
        }
        let digests = self.digests_after(&change.ops);
        let found = digests.of(KindSet::ALL);
        if found != change.digest {
            return Err(ApplyError::DigestMismatch {
                expected: change.digest,
                found,
            });
        }
        self.write(&change.ops);
        self.digests = digests;
        self.revision = change.revision;
        Ok(())
    }

    /// Commits ops as the next revision and returns the change: what the control plane does
    /// with a write that its database has accepted.
    pub fn commit(&mut self, revision: Revision, ops: Vec<Op>) -> Change {
        let ops = Change::coalesce(ops);
        self.digests = self.digests_after(&ops);
        let change = Change {
            base: self.revision,
            revision,
            digest: self.digest(),
            ops,
        };
        self.write(&change.ops);
        self.revision = revision;
        change
    }

    /// The change that leads from `self` to `newer`.
    pub fn diff(&self, newer: &Config) -> Change {
        let puts = newer
            .iter()
            .filter(|(kind, id, row)| self.get(*kind, *id) != Some(row))
            .map(|(kind, id, row)| Op::Put {
                kind,
                id,
                row: row.clone(),
            });
        let deletes = self
            .iter()
            .filter(|(kind, id, _)| newer.get(*kind, *id).is_none())
            .map(|(kind, id, _)| Op::Delete { kind, id });
        Change {
            base: self.revision,
            revision: newer.revision,
            digest: newer.digest(),
            ops: Change::coalesce(puts.chain(deletes)),
        }
    }

    fn digests_after(&self, ops: &[Op]) -> Digests {
        let mut digests = self.digests;
        for op in ops {
            let (kind, id) = op.key();
            if let Some(old) = self.rows.get(&(kind, id)) {
                digests.remove(kind, id, old);
            }
            if let Op::Put { row, .. } = op {
                digests.add(kind, id, row);
            }
        }
        digests
    }

    fn write(&mut self, ops: &[Op]) {
        let rows = Arc::make_mut(&mut self.rows);
        for op in ops {
            match op {
                Op::Put { kind, id, row } => {
                    rows.insert((*kind, *id), row.clone());
                }
                Op::Delete { kind, id } => {
                    rows.remove(&(*kind, *id));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn row(n: u8) -> Row {
        Row::from_json(json!({ "n": n }).as_object().expect("an object"))
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = (
            0usize..Kind::ALL.len(),
            0u8..6,
            proptest::option::of(any::<u8>()),
        )
            .prop_map(|(kind, id, value)| {
                let (kind, id) = (Kind::ALL[kind], Uuid::from_u128(u128::from(id)));
                match value {
                    Some(n) => Op::Put {
                        kind,
                        id,
                        row: row(n),
                    },
                    None => Op::Delete { kind, id },
                }
            });
        proptest::collection::vec(op, 0..20)
    }

    proptest! {
        #[test]
        fn the_delta_path_equals_the_full_path(writes in proptest::collection::vec(ops(), 0..8)) {
            let mut control_plane = Config::default();
            let mut data_plane = Config::default();
            let mut states = vec![Config::default()];
            for ops in writes {
                let change = control_plane.commit(control_plane.revision().next(), ops);
                prop_assert_eq!(data_plane.apply(&change), Ok(()));
                prop_assert_eq!(&data_plane, &control_plane);
                let rows = control_plane.iter().map(|(k, id, r)| (k, id, r.clone()));
                prop_assert_eq!(&Config::from_rows(control_plane.revision(), rows), &control_plane);
                states.push(control_plane.clone());
            }
            for old in &states {
                let mut jumped = old.clone();
                prop_assert_eq!(jumped.apply(&old.diff(&control_plane)), Ok(()));
                prop_assert_eq!(&jumped, &control_plane);
            }
        }
    }

    #[test]
    fn a_refused_change_changes_nothing() {
        let mut config = Config::default();
        let put = |id| Op::Put {
            kind: Kind::Services,
            id: Uuid::from_u128(id),
            row: row(1),
        };
        let good = config.clone().commit(Revision(1), vec![put(1)]);
        let cases = [
            Change {
                base: Revision(7),
                ..good.clone()
            },
            Change {
                digest: Digest::default(),
                ..good.clone()
            },
            Change {
                ops: vec![put(2), put(1)],
                ..good.clone()
            },
            Change {
                ops: vec![put(1), put(1)],
                ..good.clone()
            },
        ];
        for change in cases {
            assert!(config.apply(&change).is_err());
            assert_eq!(config, Config::default());
        }
        assert_eq!(config.apply(&good), Ok(()));
        assert_eq!(
            config.apply(&Change {
                base: Revision(1),
                revision: Revision(0),
                ..good
            }),
            Err(ApplyError::Backwards {
                base: Revision(1),
                revision: Revision(0)
            })
        );
    }

    #[test]
    fn the_empty_configuration_hashes_to_zeros() {
        assert_eq!(Config::default().digest().config_hash(), "0".repeat(32));
        let mut config = Config::default();
        config.commit(
            Revision(1),
            vec![Op::Put {
                kind: Kind::Routes,
                id: Uuid::nil(),
                row: row(1),
            }],
        );
        assert_ne!(config.digest().config_hash(), "0".repeat(32));
        config.commit(
            Revision(2),
            vec![Op::Delete {
                kind: Kind::Routes,
                id: Uuid::nil(),
            }],
        );
        assert_eq!(config.digest().config_hash(), "0".repeat(32));
    }
}
