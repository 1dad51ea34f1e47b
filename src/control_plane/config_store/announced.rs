//! When this process learned of a revision: of its own at the commit, of others when it was told, or
//! read of it.

use crate::model::Revision;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Beyond this many announcements the oldest is forgotten.
const MOST: usize = 4096;

/// The latest announcements, in ascending order.
#[derive(Debug, Default)]
pub(super) struct Announced(Mutex<VecDeque<(Revision, Instant)>>);

impl Announced {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Revision, Instant)>> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Only the first announcement of a revision counts, and none of an earlier one.
    pub fn note(&self, revision: Revision, at: Instant) {
        let mut known = self.lock();
        if known.back().is_some_and(|(last, _)| *last >= revision) {
            return;
        }
        known.push_back((revision, at));
        if known.len() > MOST {
            known.pop_front();
        }
    }

    /// When the revision was first known to be committed; `None` before that, and when it is
    /// older than all that is remembered.
    pub fn at(&self, revision: Revision) -> Option<Instant> {
        let known = self.lock();
        let place = known.partition_point(|(announced, _)| *announced < revision);
        // Several revisions may be announced at once, by the last of them.
        let (first, at) = known.get(place)?;
        (place > 0 || *first == revision).then_some(*at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_revision_is_announced_once_or_with_a_later_one() {
        let start = Instant::now();
        let at = |n: u64| start + Duration::from_secs(n);
        let announced = Announced::default();
        for (revision, second) in [(5, 1), (6, 2), (6, 3), (9, 4), (8, 5)] {
            announced.note(Revision(revision), at(second));
        }
        for (revision, expected) in [
            (4, None),
            (5, Some(at(1))),
            (6, Some(at(2))),
            (7, Some(at(4))),
            (9, Some(at(4))),
            (10, None),
        ] {
            assert_eq!(announced.at(Revision(revision)), expected, "{revision}");
        }
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let announced = Announced::default();
        let now = Instant::now();
        for revision in 1..=MOST as u64 + 1 {
            announced.note(Revision(revision), now);
        }
        assert_eq!(announced.at(Revision(1)), None);
        assert_eq!(announced.at(Revision(2)), Some(now));
    }
}
