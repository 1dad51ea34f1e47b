//! What a control plane must remember to bring any data plane up to date.

use crate::model::{
    Cause, Change, Config, Digest, Digests, Kind, KindSet, Op, RequestId, Revision, Row,
};
use crate::wire::Position;
use std::collections::VecDeque;
use std::sync::Arc;
use uuid::Uuid;

/// The configuration and how it came about, as far back as is remembered. A peer sees of it
/// the kinds it knows: revisions are the same for all, digests and differences are not.
pub trait History {
    /// Where these kinds of the configuration stand.
    fn position(&self, kinds: KindSet) -> Position;

    /// The digest of these kinds at an earlier revision, if it is remembered.
    fn digest_at(&self, revision: Revision, kinds: KindSet) -> Option<Digest>;

    /// Whether [`History::since`] would answer.
    fn reaches(&self, base: Revision) -> bool;

    /// The coalesced difference in these kinds from `base` to now, or `None` when that is too
    /// far back or in the future.
    fn since(&self, base: Revision, kinds: KindSet) -> Option<Change>;

    /// The requests that the revisions after `base` came from, the latest ones in order.
    fn causes(&self, base: Revision) -> Vec<Cause>;

    /// The whole configuration.
    fn snapshot(&self) -> Arc<Config>;
}

/// Beyond this many revisions the oldest is forgotten.
const MOST_REVISIONS: usize = 10_000;
/// Beyond this many ops in all remembered revisions the oldest is forgotten; a difference of
/// that size is better sent as a snapshot.
pub const MOST_OPS: usize = 50_000;

/// A journal entry that does not follow the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision {found} does not follow revision {held}: read the configuration anew")]
pub struct Gap {
    pub held: Revision,
    pub found: Revision,
}

/// The history of one control plane, in memory: the configuration of the database and the
/// latest entries of its journal.
#[derive(Clone, Debug)]
pub struct MemoryHistory {
    epoch: u64,
    config: Arc<Config>,
    /// In order and without gaps, the last one leading to the configuration.
    recent: VecDeque<Entry>,
    ops: usize,
    most_revisions: usize,
    /// The digests before the oldest entry, if known.
    base_digests: Option<Digests>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Unknown for entries from before this process started. The data plane checks the
    /// digest after the last op in any case.
    digests: Option<Digests>,
    ops: Vec<Op>,
    request_id: Option<RequestId>,
}

impl MemoryHistory {
    /// An entity of the newest revision.
    #[must_use]
    pub fn get(&self, kind: Kind, id: Uuid) -> Option<&Row> {
        self.config.get(kind, id)
    }

    /// A history that starts at a configuration.
    #[must_use]
    pub fn new(epoch: u64, config: Config) -> MemoryHistory {
        MemoryHistory {
            epoch,
            base_digests: Some(*config.digests()),
            config: Arc::new(config),
            recent: VecDeque::new(),
            ops: 0,
            most_revisions: MOST_REVISIONS,
        }
    }

    /// The same, which remembers no more than these revisions: for data planes that are never far
    /// behind.
    #[must_use]
    pub fn keeping(mut self, revisions: usize) -> MemoryHistory {
        self.most_revisions = revisions;
        self.forget_beyond();
        self
    }

    /// How many revisions it remembers at most.
    #[must_use]
    pub fn most_revisions(&self) -> usize {
        self.most_revisions
    }

    /// A history that reaches back through the journal. `journal` holds the ops of the latest
    /// revisions and who asked for them, the last one being the configuration's.
    #[must_use]
    pub fn with_journal(
        epoch: u64,
        config: Config,
        journal: impl IntoIterator<Item = (Vec<Op>, Option<RequestId>)>,
    ) -> MemoryHistory {
        let mut history = MemoryHistory::new(epoch, config);
        for (ops, request_id) in journal {
            history.remember(Entry {
                digests: None,
                ops,
                request_id,
            });
        }
        if let Some(last) = history.recent.back_mut() {
            last.digests = Some(*history.config.digests());
            history.base_digests = None;
        }
        // Revisions count from 1: there cannot be more entries than that.
        while history.recent.len() as u64 > history.config.revision().0 {
            history.forget();
        }
        history
    }

    /// Takes the next revision from the journal and returns the difference it makes.
    ///
    /// # Errors
    /// When revisions are missing or come twice; the history is as before.
    pub fn record(
        &mut self,
        revision: Revision,
        ops: Vec<Op>,
        request_id: Option<RequestId>,
    ) -> Result<(), Gap> {
        if revision != self.config.revision().next() {
            return Err(Gap {
                held: self.config.revision(),
                found: revision,
            });
        }
        // Copies only while a snapshot of the old revision is being encoded.
        let config = Arc::make_mut(&mut self.config);
        let ops = config.commit(revision, ops).ops;
        let digests = Some(*config.digests());
        self.remember(Entry {
            digests,
            ops,
            request_id,
        });
        Ok(())
    }

    fn remember(&mut self, entry: Entry) {
        self.ops += entry.ops.len();
        self.recent.push_back(entry);
        self.forget_beyond();
    }

    fn forget_beyond(&mut self) {
        while self.recent.len() > self.most_revisions || self.ops > MOST_OPS {
            self.forget();
        }
    }

    fn forget(&mut self) {
        if let Some(oldest) = self.recent.pop_front() {
            self.ops -= oldest.ops.len();
            self.base_digests = oldest.digests;
        }
    }

    /// The revision before the oldest entry.
    fn oldest(&self) -> u64 {
        self.config.revision().0 - self.recent.len() as u64
    }
}

impl History for MemoryHistory {
    fn position(&self, kinds: KindSet) -> Position {
        Position::of_kinds(self.epoch, &self.config, kinds)
    }

    fn digest_at(&self, revision: Revision, kinds: KindSet) -> Option<Digest> {
        let digests = match revision.0.checked_sub(self.oldest())? {
            0 => self.base_digests,
            n => self.recent.get(n as usize - 1)?.digests,
        };
        Some(digests?.of(kinds))
    }

    fn reaches(&self, base: Revision) -> bool {
        (self.oldest()..=self.config.revision().0).contains(&base.0)
    }

    fn since(&self, base: Revision, kinds: KindSet) -> Option<Change> {
        if !self.reaches(base) {
            return None;
        }
        let skip = (base.0 - self.oldest()) as usize;
        let ops = self.recent.iter().skip(skip).flat_map(|entry| &entry.ops);
        let ops = ops.filter(|op| kinds.contains(op.key().0));
        Some(Change {
            base,
            revision: self.config.revision(),
            digest: self.config.digests().of(kinds),
            ops: Change::coalesce(ops.cloned()),
        })
    }

    fn causes(&self, base: Revision) -> Vec<Cause> {
        let latest = self.config.revision().0;
        let behind = usize::try_from(latest.saturating_sub(base.0)).unwrap_or(usize::MAX);
        let revisions = (1..=latest).rev();
        let entries = self.recent.iter().rev().take(behind);
        let cause = |(entry, revision): (&Entry, u64)| {
            Some(Cause {
                revision: Revision(revision),
                request_id: entry.request_id?,
            })
        };
        let causes = entries.zip(revisions).filter_map(cause).take(Cause::MOST);
        let mut causes: Vec<_> = causes.collect();
        causes.reverse();
        causes
    }

    fn snapshot(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Row};
    use uuid::Uuid;

    fn put(id: u128, value: u64) -> Op {
        Op::Put {
            kind: Kind::Services,
            id: Uuid::from_u128(id),
            row: Row::from_json(
                serde_json::json!({ "value": value })
                    .as_object()
                    .expect("an object"),
            ),
        }
    }

    fn writes(n: u64) -> Vec<Op> {
        let id = u128::from(n % 7);
        if n.is_multiple_of(5) {
            return vec![Op::Delete {
                kind: Kind::Services,
                id: Uuid::from_u128(id),
            }];
        }
        vec![put(id, n), put(id + 1, n)]
    }

    #[test]
    fn every_remembered_base_leads_to_the_present() {
        let mut states = vec![Config::default()];
        let mut history = MemoryHistory::new(0, Config::default());
        for n in 1..=40 {
            history
                .record(Revision(n), writes(n), None)
                .expect("follows");
            states.push((*history.snapshot()).clone());
        }
        for old in &states {
            assert_eq!(
                history.digest_at(old.revision(), KindSet::ALL),
                Some(old.digest())
            );
            let mut config = old.clone();
            let change = history
                .since(old.revision(), KindSet::ALL)
                .expect("reaches");
            assert_eq!(config.apply(&change), Ok(()));
            assert_eq!(config, *history.snapshot());
        }
        assert_eq!(history.since(Revision(41), KindSet::ALL), None);
        assert_eq!(history.digest_at(Revision(41), KindSet::ALL), None);
    }

    #[test]
    fn a_restarted_control_plane_reaches_back_through_its_journal() {
        let mut before = MemoryHistory::new(0, Config::default());
        for n in 1..=30 {
            before
                .record(Revision(n), writes(n), None)
                .expect("follows");
        }
        let config = (*before.snapshot()).clone();
        let mut after =
            MemoryHistory::with_journal(0, config, (21..=30).map(|n| (writes(n), None)));
        let all = KindSet::ALL;
        let since = |history: &MemoryHistory, base| history.since(Revision(base), all);
        assert_eq!(since(&after, 19), None);
        assert_eq!(since(&after, 20), since(&before, 20));
        assert_eq!(since(&after, 30), since(&before, 30));
        assert_eq!(after.digest_at(Revision(20), all), None);
        assert_eq!(after.digest_at(Revision(25), all), None);
        assert_eq!(
            after.digest_at(Revision(30), all),
            Some(before.position(all).digest)
        );
        after
            .record(Revision(31), writes(31), None)
            .expect("follows");
        before
            .record(Revision(31), writes(31), None)
            .expect("follows");
        assert_eq!(since(&after, 25), since(&before, 25));
    }

    #[test]
    fn causes_are_the_latest_that_are_known() {
        let request = |n: u64| RequestId(Uuid::from_u128(n.into()));
        let journal = (1..=3).map(|n| (writes(n), Some(request(n))));
        let mut config = Config::default();
        for n in 1..=3 {
            config.commit(Revision(n), writes(n));
        }
        let mut history = MemoryHistory::with_journal(0, config, journal);
        // What the control plane did by itself has no request.
        history
            .record(Revision(4), writes(4), None)
            .expect("follows");
        for n in 5..=100 {
            let done = history.record(Revision(n), writes(n), Some(request(n)));
            done.expect("follows");
        }
        let check = |base: u64, expected: &[u64]| {
            let found = history.causes(Revision(base));
            let expected: Vec<_> = expected
                .iter()
                .map(|n| Cause {
                    revision: Revision(*n),
                    request_id: request(*n),
                })
                .collect();
            assert_eq!(found, expected, "since {base}");
        };
        check(100, &[]);
        check(101, &[]);
        check(98, &[99, 100]);
        check(0, &(37..=100).collect::<Vec<_>>());
        let mut early = MemoryHistory::new(0, Config::default());
        early.record(Revision(1), writes(1), None).expect("follows");
        early
            .record(Revision(2), writes(2), Some(request(2)))
            .expect("follows");
        let causes = early.causes(Revision(0));
        assert_eq!(causes.len(), 1);
        assert_eq!(causes[0].revision, Revision(2));
    }

    #[test]
    fn gaps_are_refused() {
        let mut history = MemoryHistory::new(0, Config::default());
        let gap = |found| {
            Err(Gap {
                held: Revision(1),
                found: Revision(found),
            })
        };
        assert_eq!(history.record(Revision(1), vec![], None), Ok(()));
        assert_eq!(history.record(Revision(1), vec![], None), gap(1));
        assert_eq!(history.record(Revision(3), vec![], None), gap(3));
    }

    #[test]
    fn trial_13_what_one_data_plane_of_the_process_needs_is_remembered() {
        let mut history = MemoryHistory::new(0, Config::default()).keeping(2);
        for n in 1..=100 {
            history
                .record(Revision(n), vec![put(u128::from(n), n)], None)
                .expect("follows");
            assert!(history.recent.len() <= 2 && history.ops <= 2);
        }
        let reaches = |base| history.since(Revision(base), KindSet::ALL).is_some();
        assert_eq!([97, 98, 99, 100].map(reaches), [false, true, true, true]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut history = MemoryHistory::new(0, Config::default());
        for n in 1..=MOST_REVISIONS as u64 + 10 {
            history
                .record(Revision(n), vec![put(1, n)], None)
                .expect("follows");
        }
        assert_eq!(history.recent.len(), MOST_REVISIONS);
        assert!(history.since(Revision(9), KindSet::ALL).is_none());
        assert!(history.digest_at(Revision(9), KindSet::ALL).is_none());
        assert!(history.since(Revision(10), KindSet::ALL).is_some());
        assert!(history.digest_at(Revision(10), KindSet::ALL).is_some());
        let many = (0..MOST_OPS as u128 + 1).map(|id| put(id, 1)).collect();
        let next = history.position(KindSet::ALL).revision.next();
        history.record(next, many, None).expect("follows");
        assert!(history.recent.is_empty());
        assert_eq!(history.ops, 0);
        let digest = history.digest_at(next, KindSet::ALL);
        assert_eq!(digest, Some(history.snapshot().digest()));
    }
}
