//! The journal: what each revision put and deleted, and how far back it reaches.

use super::read::revision_from;
use super::{Store, StoreError, unix_seconds};
use crate::model::{Kind, Op, RequestId, Revision, Row};
use entity::config_journal;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect,
};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;
use uuid::Uuid;

/// Rows in one INSERT.
const CHUNK: usize = 500;

/// What came after a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// The revisions that follow, in order and without holes; none when it is the latest.
    /// There may be more when as many came as were asked for.
    Since(Vec<JournalEntry>),
    /// The journal does not reach back this far, or the revision is ahead of the database:
    /// only the whole configuration will do.
    OutOfReach,
}

/// One committed revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    pub revision: Revision,
    /// At most one per entity, sorted by key.
    pub ops: Vec<Op>,
    /// The request that wrote it; none when the control plane did by itself.
    pub request_id: Option<RequestId>,
}

/// An op of a revision, and what it replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub op: Op,
    /// The entity before the revision; none when there was none.
    pub replaced: Option<Row>,
}

impl Step {
    /// Many steps in order as one per entity, sorted by key: what the first one replaced, and the
    /// last op. An entity that was there neither before nor after is left out.
    pub fn coalesce(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
        let mut by_key = BTreeMap::<_, Step>::new();
        for step in steps {
            match by_key.entry(step.op.key()) {
                Entry::Vacant(place) => drop(place.insert(step)),
                Entry::Occupied(mut earlier) => earlier.get_mut().op = step.op,
            }
        }
        let is_change = |step: &Step| step.replaced.is_some() || matches!(step.op, Op::Put { .. });
        by_key.into_values().filter(is_change).collect()
    }
}

/// How much of the journal is kept. A data plane that is further behind gets the whole.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub max_revisions: u64,
    pub max_age: Duration,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            max_revisions: 100_000,
            max_age: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

impl Store {
    /// At most `limit` revisions that follow `revision`. They are known from then on: whoever follows
    /// the journal may be ahead of what this process was told.
    ///
    /// # Errors
    /// When the database fails or holds what this version cannot read.
    pub async fn changes_since(
        &self,
        revision: Revision,
        limit: u64,
    ) -> Result<Changes, StoreError> {
        let latest = self.latest_revision().await?;
        if latest == revision {
            return Ok(Changes::Since(Vec::new()));
        }
        if latest < revision {
            return Ok(Changes::OutOfReach);
        }
        let last = Revision(revision.0.saturating_add(limit.max(1)));
        let rows: Vec<Recorded> = config_journal::Entity::find()
            .select_only()
            // Not what was replaced: nobody who follows needs it.
            .columns([
                config_journal::Column::Revision,
                config_journal::Column::Kind,
                config_journal::Column::Id,
                config_journal::Column::Row,
                config_journal::Column::RequestId,
            ])
            .filter(config_journal::Column::Revision.gt(stored(revision)))
            .filter(config_journal::Column::Revision.lte(stored(last)))
            .order_by(config_journal::Column::Revision, Order::Asc)
            .order_by(config_journal::Column::Seq, Order::Asc)
            .into_tuple()
            .all(&self.db())
            .await?;
        let mut entries: Vec<JournalEntry> = Vec::new();
        for (revision, kind, id, row, request_id) in rows {
            let revision = revision_from(revision)?;
            let op = op_from(kind_from(&kind)?, id, row);
            let request_id = request_id.map(RequestId);
            match entries.last_mut() {
                Some(entry) if entry.revision == revision => entry.ops.push(op),
                _ => entries.push(JournalEntry {
                    revision,
                    ops: vec![op],
                    request_id,
                }),
            }
        }
        if let Some(newest) = entries.last() {
            self.announce(newest.revision);
        }
        match entries.first() {
            Some(first) if first.revision == revision.next() => Ok(Changes::Since(entries)),
            _ => Ok(Changes::OutOfReach),
        }
    }

    /// The oldest revision the journal still has; none when it is empty.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn oldest_journal_revision(&self) -> Result<Option<Revision>, StoreError> {
        let oldest: Option<Option<i64>> = config_journal::Entity::find()
            .select_only()
            .column_as(config_journal::Column::Revision.min(), "oldest")
            .into_tuple()
            .one(&self.db())
            .await?;
        oldest.flatten().map(revision_from).transpose()
    }

    /// The revision at or after `start` behind which the journal has at most this many ops.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn journal_start(
        &self,
        start: Revision,
        most_ops: u64,
    ) -> Result<Revision, StoreError> {
        // The index alone answers this, however large the entities are.
        let beyond: Option<i64> = config_journal::Entity::find()
            .select_only()
            .column(config_journal::Column::Revision)
            .filter(config_journal::Column::Revision.gt(stored(start)))
            .order_by(config_journal::Column::Revision, Order::Desc)
            .order_by(config_journal::Column::Seq, Order::Desc)
            .offset(most_ops)
            .limit(1)
            .into_tuple()
            .one(&self.db())
            .await?;
        beyond.map_or(Ok(start), revision_from)
    }

    /// Forgets the beginning of the journal: what is older than either limit. Returns how many
    /// rows went.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_journal(&self, retention: Retention) -> Result<u64, StoreError> {
        let horizon = unix_seconds(self.now())
            .saturating_sub(i64::try_from(retention.max_age.as_secs()).unwrap_or(i64::MAX));
        let latest = self.latest_revision().await?;
        let by_count = stored(Revision(latest.0.saturating_sub(retention.max_revisions)));
        // The clocks of control planes may differ: everything before an old revision goes with it.
        let aged: Option<Option<i64>> = config_journal::Entity::find()
            .select_only()
            .column_as(config_journal::Column::Revision.max(), "aged")
            .filter(config_journal::Column::CommittedAt.lt(horizon))
            .into_tuple()
            .one(&self.db())
            .await?;
        let last = by_count.max(aged.flatten().unwrap_or_default());
        if last == 0 {
            return Ok(0);
        }
        let (_turn, transaction) = self.begin_bookkeeping().await?;
        let last = revision_from(last)?;
        let pruned = forget(&transaction.db(), last).await?;
        transaction.commit().await?;
        Ok(pruned)
    }
}

/// Deletes the journal up to a revision, and says how many rows that were.
pub(super) async fn forget(db: &impl ConnectionTrait, last: Revision) -> Result<u64, StoreError> {
    let pruned = config_journal::Entity::delete_many()
        .filter(config_journal::Column::Revision.lte(stored(last)))
        .exec(db)
        .await?;
    Ok(pruned.rows_affected)
}

/// A row of the journal: revision, kind, id, the entity, the request.
type Recorded = (i64, String, Uuid, Option<Vec<u8>>, Option<Uuid>);

/// Writes the steps of a revision, inside its transaction.
pub(super) async fn append(
    db: &impl ConnectionTrait,
    revision: Revision,
    steps: &[Step],
    request_id: Option<RequestId>,
    committed_at: i64,
) -> Result<(), StoreError> {
    for (chunk, first) in steps.chunks(CHUNK).zip((0i64..).step_by(CHUNK)) {
        let rows = chunk.iter().zip(first..).map(|(step, seq)| {
            let (kind, id) = step.op.key();
            let bytes = |row: &Row| row.as_bytes().to_vec();
            let row = match &step.op {
                Op::Put { row, .. } => Some(bytes(row)),
                Op::Delete { .. } => None,
            };
            config_journal::ActiveModel {
                revision: Set(stored(revision)),
                seq: Set(seq),
                kind: Set(kind.as_str().to_owned()),
                id: Set(id),
                row: Set(row),
                committed_at: Set(committed_at),
                request_id: Set(request_id.map(|id| id.0)),
                // No entity has no bytes.
                replaced: Set(Some(step.replaced.as_ref().map(bytes).unwrap_or_default())),
            }
        });
        config_journal::Entity::insert_many(rows)
            .exec_without_returning(db)
            .await?;
    }
    Ok(())
}

pub(super) fn kind_from(name: &str) -> Result<Kind, StoreError> {
    Kind::parse(name).ok_or_else(|| StoreError::Unreadable(format!("journal of kind {name}")))
}

fn op_from(kind: Kind, id: Uuid, row: Option<Vec<u8>>) -> Op {
    match row {
        Some(bytes) => Op::Put {
            kind,
            id,
            row: Row::from_bytes(&bytes),
        },
        None => Op::Delete { kind, id },
    }
}

/// A revision as the database holds it; beyond i64 there are none.
pub(super) fn stored(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}
