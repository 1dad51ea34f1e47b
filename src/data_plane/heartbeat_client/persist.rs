//! What the cache is to write next. While one write is under way the next ones coalesce, so
//! a slow disk has at most one write waiting.

use crate::data_plane::cache_writer::LastGood;
use crate::model::Change;
use std::sync::Arc;

/// Beyond this many ops a waiting write becomes a rewrite.
const MOST_OPS: usize = 100_000;

/// One write to the cache.
#[derive(Clone, Debug, PartialEq)]
pub enum Persist {
    /// The difference to what the cache holds.
    Change {
        epoch: u64,
        change: Arc<Change>,
        last_good: LastGood,
    },
    /// Everything, as it is in effect when the write begins.
    Live,
}

impl Persist {
    /// Both writes as one.
    #[must_use]
    pub fn then(self, later: Persist) -> Persist {
        let (
            Persist::Change {
                epoch: before,
                change: first,
                ..
            },
            Persist::Change {
                epoch,
                change: second,
                last_good,
            },
        ) = (self, later)
        else {
            return Persist::Live;
        };
        let fits = before == epoch && first.revision == second.base;
        if !fits || first.ops.len() + second.ops.len() > MOST_OPS {
            return Persist::Live;
        }
        let ops = first.ops.iter().chain(&second.ops).cloned();
        let change = Change {
            base: first.base,
            revision: second.revision,
            digest: second.digest,
            ops: Change::coalesce(ops),
        };
        Persist::Change {
            epoch,
            change: Arc::new(change),
            last_good,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Kind, Op, Revision, Row};
    use uuid::Uuid;

    fn change(config: &mut Config, id: u128) -> Persist {
        let put = Op::Put {
            kind: Kind::Services,
            id: Uuid::from_u128(id),
            row: Row::from_bytes(&[id as u8]),
        };
        let change = config.commit(config.revision().next(), vec![put]);
        Persist::Change {
            epoch: 0,
            change: Arc::new(change),
            last_good: LastGood::default(),
        }
    }

    #[test]
    fn writes_in_sequence_become_one() {
        let mut config = Config::default();
        let writes = [1, 2, 1].map(|id| change(&mut config, id));
        let all = writes.into_iter().reduce(Persist::then).expect("some");
        let Persist::Change { change, .. } = all else {
            panic!("stays a change");
        };
        assert_eq!(change.ops.len(), 2);
        let mut cache = Config::default();
        assert_eq!(cache.apply(&change), Ok(()));
        assert_eq!(cache, config);
    }

    #[test]
    fn what_does_not_follow_is_rewritten() {
        let mut config = Config::default();
        let [first, _, third] = [1, 2, 3].map(|id| change(&mut config, id));
        assert_eq!(first.clone().then(third.clone()), Persist::Live);
        assert_eq!(Persist::Live.then(third.clone()), Persist::Live);
        assert_eq!(third.then(Persist::Live), Persist::Live);
        let Persist::Change { change, .. } = &first else {
            panic!("is a change");
        };
        let far = Persist::Change {
            epoch: 1,
            change: Arc::new(Change {
                base: Revision(1),
                ..(**change).clone()
            }),
            last_good: LastGood::default(),
        };
        assert_eq!(first.then(far), Persist::Live);
    }
}
