//! What revisions changed, read from the journal alone.
//!
//! Every row of the journal holds an entity after its revision and before it. What a range of
//! revisions did to an entity is therefore in its first and its last row of that range.

use super::journal::{kind_from, stored};
use super::read::revision_from;
use super::{Store, StoreError};
use crate::model::{Kind, RequestId, Revision, Row};
use entity::config_journal;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect,
};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use uuid::Uuid;

/// Rows of the journal in one question; each is one OR, of which SQLite allows 1000.
const CHUNK: usize = 200;

/// Revisions of one request that are listed: it makes one, or none.
const MOST_OF_REQUEST: u64 = 1000;

/// Rows of the journal read at once: what each entity went through is not kept, and may be much
/// more than there are entities.
const ROWS: u64 = 1000;

/// One revision, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevisionSummary {
    pub revision: Revision,
    /// Epoch seconds.
    pub committed_at: i64,
    /// The request that wrote it; none when the control plane did by itself.
    pub request_id: Option<RequestId>,
    /// How many entities it put or deleted.
    pub changed: u64,
}

/// An entity that differs between two revisions; it is there in at least one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    pub kind: Kind,
    pub id: Uuid,
    pub before: Option<Row>,
    pub after: Option<Row>,
}

/// A part of a difference, sorted by kind and id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub deltas: Vec<Delta>,
    /// Where the next part begins: after this. None on the last.
    pub next: Option<(Kind, Uuid)>,
}

/// Which part of a difference is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub after: Option<(Kind, Uuid)>,
    pub size: usize,
}

impl Part {
    /// All of it.
    pub const WHOLE: Part = Part {
        after: None,
        size: usize::MAX,
    };
}

impl Store {
    /// The latest revisions of the journal below `before`, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revisions_before(
        &self,
        before: Option<Revision>,
        size: u64,
    ) -> Result<Vec<RevisionSummary>, StoreError> {
        let mut below = Condition::all();
        if let Some(before) = before {
            below = below.add(config_journal::Column::Revision.lt(stored(before)));
        }
        summaries(&self.db(), below, size).await
    }

    /// One revision of the journal.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRevision`], [`StoreError::OutOfReach`], or when the database fails.
    pub async fn revision(&self, revision: Revision) -> Result<RevisionSummary, StoreError> {
        let this = config_journal::Column::Revision.eq(stored(revision));
        let found = summaries(&self.db(), Condition::all().add(this), 1).await?;
        if let Some(found) = found.into_iter().next() {
            return Ok(found);
        }
        let latest = self.latest_revision().await?;
        Err(match revision > Revision(0) && revision <= latest {
            true => StoreError::OutOfReach(revision),
            false => StoreError::NoSuchRevision { revision, latest },
        })
    }

    /// What leads from the configuration at `from` to that at `to`, which may be the earlier one.
    ///
    /// # Errors
    /// As [`Store::revision`].
    pub async fn difference(
        &self,
        from: Revision,
        to: Revision,
        part: Part,
    ) -> Result<Difference, StoreError> {
        let latest = self.latest_revision().await?;
        let later = from.max(to);
        if later > latest {
            let revision = later;
            return Err(StoreError::NoSuchRevision { revision, latest });
        }
        difference(&self.db(), from, to, part).await
    }

    /// What a request wrote, newest first. Waits for a write that is under way: a revision that is
    /// not there then will not come, whatever its request was answered.
    ///
    /// # Errors
    /// When the database fails, or a write is under way for too long.
    pub async fn revisions_of(
        &self,
        request_id: RequestId,
    ) -> Result<Vec<RevisionSummary>, StoreError> {
        let this = config_journal::Column::RequestId.eq(request_id.0);
        // Every write holds this row until it is committed, or is not.
        let (_turn, transaction) = self.begin_read_locked().await?;
        let of_request = Condition::all().add(this);
        let found = summaries(&transaction.db(), of_request, MOST_OF_REQUEST).await?;
        transaction.rollback().await?;
        Ok(found)
    }
}

async fn summaries(
    db: &impl ConnectionTrait,
    which: Condition,
    size: u64,
) -> Result<Vec<RevisionSummary>, StoreError> {
    use config_journal::Column;
    let firsts: Vec<(i64, i64, Option<Uuid>)> = config_journal::Entity::find()
        .select_only()
        .columns([Column::Revision, Column::CommittedAt, Column::RequestId])
        // Every revision has a first row.
        .filter(which.add(Column::Seq.eq(0)))
        .order_by(Column::Revision, Order::Desc)
        .limit(size)
        .into_tuple()
        .all(db)
        .await?;
    let counts: HashMap<i64, i64> = config_journal::Entity::find()
        .select_only()
        .column(Column::Revision)
        .column_as(Column::Seq.count(), "changed")
        .filter(Column::Revision.is_in(firsts.iter().map(|(revision, ..)| *revision)))
        .group_by(Column::Revision)
        .into_tuple::<(i64, i64)>()
        .all(db)
        .await?
        .into_iter()
        .collect();
    let summary = |(revision, committed_at, request_id): (i64, i64, Option<Uuid>)| {
        Ok(RevisionSummary {
            revision: revision_from(revision)?,
            committed_at,
            request_id: request_id.map(RequestId),
            changed: counts
                .get(&revision)
                .map_or(0, |count| count.unsigned_abs()),
        })
    };
    firsts.into_iter().map(summary).collect()
}

/// A place in the journal: revision and place within it.
type Place = (i64, i64);

/// Where a range of revisions changed an entity first and last.
#[derive(Clone, Copy)]
struct Span {
    first: Place,
    last: Place,
}

/// What leads from `from` to `to`; both are committed.
pub(super) async fn difference(
    db: &impl ConnectionTrait,
    from: Revision,
    to: Revision,
    part: Part,
) -> Result<Difference, StoreError> {
    let (low, high) = (from.min(to), from.max(to));
    let spans = spans(db, low, high).await?;
    let start = part.after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut spans = spans.range((start, Bound::Unbounded)).peekable();
    let mut found = Difference::default();
    while spans.peek().is_some() {
        let chunk: Vec<_> = spans.by_ref().take(CHUNK / 2).collect();
        let rows = rows_at(db, chunk.iter().map(|(_, span)| **span)).await?;
        for ((kind, id), span) in chunk {
            let lost = || StoreError::OutOfReach(low);
            // Pruned meanwhile, or written by a version that did not note it.
            let before = rows.get(&span.first).and_then(|row| row.replaced.as_ref());
            let before = before.ok_or_else(lost)?.clone();
            let after = rows.get(&span.last).ok_or_else(lost)?.row.clone();
            // Changed and changed back.
            if before == after {
                continue;
            }
            let (before, after) = match from <= to {
                true => (before, after),
                false => (after, before),
            };
            if found.deltas.len() == part.size {
                found.next = found.deltas.last().map(|last| (last.kind, last.id));
                return Ok(found);
            }
            let (kind, id) = (*kind, *id);
            found.deltas.push(Delta {
                kind,
                id,
                before,
                after,
            });
        }
    }
    Ok(found)
}

/// Which entities the revisions after `low`, up to `high`, changed.
async fn spans(
    db: &impl ConnectionTrait,
    low: Revision,
    high: Revision,
) -> Result<BTreeMap<(Kind, Uuid), Span>, StoreError> {
    use config_journal::Column;
    let mut spans = BTreeMap::new();
    let mut read_to: Place = (stored(low), i64::MAX);
    loop {
        let place = Expr::tuple([Column::Revision, Column::Seq].map(Expr::col));
        let after = place.gt(Expr::tuple([read_to.0, read_to.1].map(Expr::val)));
        let rows: Vec<(i64, i64, String, Uuid)> = config_journal::Entity::find()
            .select_only()
            .columns([Column::Revision, Column::Seq, Column::Kind, Column::Id])
            .filter(after)
            .filter(Column::Revision.lte(stored(high)))
            .order_by(Column::Revision, Order::Asc)
            .order_by(Column::Seq, Order::Asc)
            .limit(ROWS)
            .into_tuple()
            .all(db)
            .await?;
        // There are no holes: if the first is there, all are.
        let first = rows.first().map(|(revision, ..)| *revision);
        if low < high && spans.is_empty() && first != Some(stored(low.next())) {
            return Err(StoreError::OutOfReach(low));
        }
        let is_last = (rows.len() as u64) < ROWS;
        for (revision, seq, kind, id) in rows {
            let place = (revision, seq);
            let span = spans.entry((kind_from(&kind)?, id)).or_insert(Span {
                first: place,
                last: place,
            });
            span.last = place;
            read_to = place;
        }
        if is_last {
            return Ok(spans);
        }
    }
}

/// A row of the journal: the entity after it and, if it was noted, before it.
struct Recorded {
    row: Option<Row>,
    replaced: Option<Option<Row>>,
}

/// The first and last rows of some entities.
async fn rows_at(
    db: &impl ConnectionTrait,
    spans: impl Iterator<Item = Span>,
) -> Result<HashMap<Place, Recorded>, StoreError> {
    use config_journal::Column;
    let mut any = Condition::any();
    for span in spans {
        for (revision, seq) in [span.first, span.last] {
            let this = Condition::all()
                .add(Column::Revision.eq(revision))
                .add(Column::Seq.eq(seq));
            any = any.add(this);
            if span.first == span.last {
                break;
            }
        }
    }
    let rows = config_journal::Entity::find().filter(any).all(db).await?;
    let recorded = |row: config_journal::Model| {
        let entity = |bytes: Vec<u8>| (!bytes.is_empty()).then(|| Row::from_bytes(&bytes));
        let recorded = Recorded {
            row: row.row.and_then(entity),
            replaced: row.replaced.map(entity),
        };
        ((row.revision, row.seq), recorded)
    };
    Ok(rows.into_iter().map(recorded).collect())
}
