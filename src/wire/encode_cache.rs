//! Encode once: the frames of a change or snapshot, shared by all sessions that send it.

use super::{EncodeError, Limits, encode_change, encode_snapshot};
use crate::model::{Cause, Change, Config, KindSet, Revision};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Sessions at the same base share a change. The slow ones have bases of their own; beyond
/// this many the oldest is forgotten and encoded again when asked for.
const CHANGES: usize = 64;
/// Beyond this many bytes of changes the oldest are forgotten, too, but for the latest.
const CHANGE_BYTES: usize = 8 << 20;
/// The one that is current and the one that slow peers are still receiving, for two
/// generations of data planes.
const SNAPSHOTS: usize = 4;

/// A small, bounded cache of frames. It never grows with the number of data planes.
#[derive(Debug, Default)]
pub struct EncodeCache {
    limits: Limits,
    changes: VecDeque<(ChangeKey, Bytes)>,
    change_bytes: usize,
    snapshots: VecDeque<((u64, KindSet, Revision), SnapshotSlot)>,
    encoded: u64,
}

/// Which change: its epoch, the kinds it is about, where it starts, where it leads.
type ChangeKey = (u64, KindSet, Revision, Revision);

/// A snapshot that is encoded when it is first asked for. Encoding takes a while: it belongs
/// on a blocking thread; others who ask meanwhile wait there and get the same bytes.
#[derive(Clone, Debug)]
pub struct SnapshotSlot {
    epoch: u64,
    kinds: KindSet,
    limits: Limits,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Let go once encoded, so that the next change need not copy what nobody reads.
    config: Mutex<Option<Arc<Config>>>,
    chunks: OnceLock<Result<Arc<[Bytes]>, Arc<EncodeError>>>,
}

impl EncodeCache {
    #[must_use]
    pub fn new(limits: Limits) -> EncodeCache {
        EncodeCache {
            limits,
            ..EncodeCache::default()
        }
    }

    /// The frame of a change that has only these kinds.
    ///
    /// # Errors
    /// When it does not fit a frame: send the snapshot instead.
    pub fn change(
        &mut self,
        epoch: u64,
        kinds: KindSet,
        change: &Change,
        causes: &[Cause],
    ) -> Result<Bytes, EncodeError> {
        let key = (epoch, kinds, change.base, change.revision);
        if let Some((_, bytes)) = self.changes.iter().find(|(known, _)| *known == key) {
            return Ok(bytes.clone());
        }
        let bytes = encode_change(epoch, change, causes, &self.limits)?;
        self.encoded += 1;
        self.change_bytes += bytes.len();
        while self.changes.len() >= CHANGES || self.change_bytes > CHANGE_BYTES {
            let Some((_, oldest)) = self.changes.pop_front() else {
                break;
            };
            self.change_bytes -= oldest.len();
        }
        self.changes.push_back((key, bytes.clone()));
        Ok(bytes)
    }

    /// The frame of the change between two revisions, if it is remembered: spares computing
    /// the change.
    #[must_use]
    pub fn known_change(
        &self,
        epoch: u64,
        kinds: KindSet,
        base: Revision,
        revision: Revision,
    ) -> Option<Bytes> {
        let key = (epoch, kinds, base, revision);
        let known = self.changes.iter().find(|(known, _)| *known == key);
        known.map(|(_, bytes)| bytes.clone())
    }

    /// The snapshot of these kinds of a configuration, to be encoded by whoever asks first.
    pub fn snapshot(&mut self, epoch: u64, kinds: KindSet, config: &Arc<Config>) -> SnapshotSlot {
        let key = (epoch, kinds, config.revision());
        if let Some((_, slot)) = self.snapshots.iter().find(|(known, _)| *known == key) {
            return slot.clone();
        }
        let slot = SnapshotSlot {
            epoch,
            kinds,
            limits: self.limits,
            shared: Arc::new(Shared {
                config: Mutex::new(Some(Arc::clone(config))),
                chunks: OnceLock::new(),
            }),
        };
        self.encoded += 1;
        if self.snapshots.len() == SNAPSHOTS {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back((key, slot.clone()));
        slot
    }

    /// How many changes and snapshots were encoded so far.
    #[must_use]
    pub fn encoded(&self) -> u64 {
        self.encoded
    }
}

impl SnapshotSlot {
    /// The frames, encoded by the first call.
    ///
    /// # Errors
    /// When the configuration is larger than a data plane accepts.
    pub fn chunks(&self) -> Result<Arc<[Bytes]>, Arc<EncodeError>> {
        let encode = || {
            let mut config = self
                .shared
                .config
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // Taken once: `get_or_init` runs this once.
            let config = config.take().unwrap_or_default();
            encode_snapshot(self.epoch, &config, self.kinds, &self.limits).map_err(Arc::new)
        };
        self.shared.chunks.get_or_init(encode).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_sessions_cost_one_encoding() {
        let mut config = Config::default();
        let change = config.commit(Revision(1), vec![]);
        let config = Arc::new(config);
        let mut cache = EncodeCache::new(Limits::default());
        let first = cache
            .change(0, KindSet::ALL, &change, &[])
            .expect("encodes");
        let chunks = cache
            .snapshot(0, KindSet::ALL, &config)
            .chunks()
            .expect("encodes");
        for _ in 0..1000 {
            let again = cache
                .change(0, KindSet::ALL, &change, &[])
                .expect("encodes");
            assert_eq!(again.as_ptr(), first.as_ptr());
            let again = cache
                .snapshot(0, KindSet::ALL, &config)
                .chunks()
                .expect("encodes");
            assert!(Arc::ptr_eq(&again, &chunks));
        }
        assert_eq!(cache.encoded(), 2);
        let known = |epoch, kinds| cache.known_change(epoch, kinds, Revision(0), Revision(1));
        assert!(known(0, KindSet::ALL).is_some());
        assert!(known(1, KindSet::ALL).is_none());
        assert!(known(0, KindSet::FIRST).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut cache = EncodeCache::new(Limits::default());
        let mut config = Config::default();
        for n in 1..=200 {
            let change = config.commit(Revision(n), vec![]);
            cache
                .change(0, KindSet::ALL, &change, &[])
                .expect("encodes");
            cache.snapshot(0, KindSet::ALL, &Arc::new(config.clone()));
        }
        assert_eq!(cache.changes.len(), CHANGES);
        assert_eq!(cache.snapshots.len(), SNAPSHOTS);
    }

    #[test]
    fn trial_13_large_changes_are_forgotten_sooner() {
        use crate::model::{Kind, Op, Row};
        let mut cache = EncodeCache::new(Limits::default());
        let mut config = Config::default();
        for n in 1..=20 {
            let put = Op::Put {
                kind: Kind::Services,
                id: uuid::Uuid::from_u128(n.into()),
                row: Row::from_bytes(&vec![7; 1 << 20]),
            };
            let change = config.commit(Revision(n), vec![put]);
            let bytes = cache
                .change(0, KindSet::ALL, &change, &[])
                .expect("encodes");
            let known = cache.changes.iter().map(|(_, bytes)| bytes.len());
            assert_eq!(known.sum::<usize>(), cache.change_bytes);
            assert!(cache.change_bytes <= CHANGE_BYTES.max(bytes.len()));
            // The latest is there for the sessions that ask next.
            let (_, latest) = cache.changes.back().expect("some");
            assert_eq!(latest.as_ptr(), bytes.as_ptr());
        }
        assert!(cache.changes.len() >= 4, "{}", cache.changes.len());
    }
}
