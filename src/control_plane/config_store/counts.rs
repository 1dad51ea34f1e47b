//! Telemetry: requests counted once, however often a batch arrives.

use super::database::Tx;
use super::{Store, StoreError, unix_seconds};
use entity::{data_planes, telemetry_counts, telemetry_positions};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;
use uuid::Uuid;

/// Rows in one INSERT.
const CHUNK: usize = 500;

/// What makes a batch unlike all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchKey {
    /// The data plane.
    pub node: Uuid,
    /// One run of its process.
    pub incarnation: Uuid,
    /// Ascending within the incarnation; batches are sent, and sent again, in this order.
    pub sequence: u64,
}

/// What requests are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dimensions {
    pub service: Option<Uuid>,
    pub route: Option<Uuid>,
    pub consumer: Option<Uuid>,
    /// The HTTP status sent to the client.
    pub status: u16,
    pub data_plane: Uuid,
}

/// A sum over requests: how many, and the bytes read from and written to their clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub requests: u64,
    /// Bytes.
    pub request_bytes: u64,
    /// Bytes.
    pub response_bytes: u64,
}

impl AddAssign for Count {
    /// Sums stop at the largest number instead of wrapping: the sizes come from elsewhere.
    fn add_assign(&mut self, other: Count) {
        self.requests = self.requests.saturating_add(other.requests);
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
    }
}

/// What sums of requests are asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedBy {
    Service,
    Route,
    Consumer,
    Status,
    DataPlane,
}

impl CountedBy {
    pub const ALL: [CountedBy; 5] = [
        CountedBy::Service,
        CountedBy::Route,
        CountedBy::Consumer,
        CountedBy::Status,
        CountedBy::DataPlane,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            CountedBy::Service => "service",
            CountedBy::Route => "route",
            CountedBy::Consumer => "consumer",
            CountedBy::Status => "status",
            CountedBy::DataPlane => "data_plane",
        }
    }
}

/// What the requests of one sum have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InCommon {
    Status(u16),
    /// The service, the route or another entity; `None` of requests without one.
    Entity(Option<Uuid>),
}

/// Whether a batch was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Counted,
    /// This batch or a later one of the same incarnation was counted before.
    AlreadyCounted,
}

impl Store {
    /// Adds batches to the counts, each once: positions and counts commit together, for all
    /// control planes on the database. Acknowledge the batches after this returned.
    ///
    /// # Errors
    /// When the database fails; the batches may be sent again.
    pub async fn ingest(
        &self,
        batches: &[(BatchKey, BTreeMap<Dimensions, Count>)],
    ) -> Result<Vec<Counted>, StoreError> {
        let (_turn, transaction) = self.begin_bookkeeping().await?;
        let mut results = Vec::with_capacity(batches.len());
        let mut sums = BTreeMap::new();
        for (key, counts) in batches {
            if !self.advance(&transaction, *key).await? {
                results.push(Counted::AlreadyCounted);
                continue;
            }
            results.push(Counted::Counted);
            for (by, count) in counts {
                *sums.entry(*by).or_default() += *count;
            }
        }
        // Ordered by the map, so that two control planes never wait for each other in a circle.
        let rows: Vec<_> = sums.iter().map(row).collect();
        for chunk in rows.chunks(CHUNK) {
            telemetry_counts::Entity::insert_many(chunk.iter().cloned())
                .on_conflict(add_up())
                .exec_without_returning(&transaction.db())
                .await?;
        }
        transaction.commit().await?;
        Ok(results)
    }

    /// Moves the position of the incarnation to this batch; false when it is there already.
    async fn advance(&self, transaction: &Tx, key: BatchKey) -> Result<bool, StoreError> {
        let position = telemetry_positions::ActiveModel {
            node: Set(key.node),
            incarnation: Set(key.incarnation),
            sequence: Set(clamp(key.sequence)),
            updated_at: Set(unix_seconds(self.now())),
        };
        let only_forward = OnConflict::columns([
            telemetry_positions::Column::Node,
            telemetry_positions::Column::Incarnation,
        ])
        .update_columns([
            telemetry_positions::Column::Sequence,
            telemetry_positions::Column::UpdatedAt,
        ])
        .action_and_where(
            telemetry_positions::Column::Sequence
                .into_expr()
                .lt(clamp(key.sequence)),
        )
        .to_owned();
        let inserted = telemetry_positions::Entity::insert(position)
            .on_conflict(only_forward)
            .exec_without_returning(&transaction.db())
            .await?;
        Ok(inserted > 0)
    }

    /// The sums of all requests that were ever counted, the largest number of requests first; at most
    /// `limit` of them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request_sums(
        &self,
        by: CountedBy,
        limit: u64,
    ) -> Result<Vec<(InCommon, Count)>, StoreError> {
        use telemetry_counts::Column;
        let column = match by {
            CountedBy::Service => Column::Service,
            CountedBy::Route => Column::Route,
            CountedBy::Consumer => Column::Consumer,
            CountedBy::Status => Column::Status,
            CountedBy::DataPlane => Column::DataPlane,
        };
        // PostgreSQL adds up to a type that has no end, and no counterpart here.
        let sum = |column: Column| Expr::col(column).sum().cast_as("bigint");
        let sums = telemetry_counts::Entity::find()
            .select_only()
            .column(column)
            .column_as(sum(Column::Requests), "sum_of_requests")
            .column_as(sum(Column::RequestBytes), "sum_of_request_bytes")
            .column_as(sum(Column::ResponseBytes), "sum_of_response_bytes")
            .group_by(column)
            .order_by_desc(sum(Column::Requests))
            .order_by_asc(column)
            .limit(limit);
        let count = |requests: i64, request_bytes: i64, response_bytes: i64| Count {
            requests: requests.unsigned_abs(),
            request_bytes: request_bytes.unsigned_abs(),
            response_bytes: response_bytes.unsigned_abs(),
        };
        let db = self.db();
        if by == CountedBy::Status {
            let rows: Vec<(i64, i64, i64, i64)> = sums.into_tuple().all(&db).await?;
            return Ok(rows
                .into_iter()
                .map(|(status, n, read, sent)| {
                    (
                        InCommon::Status(u16::try_from(status).unwrap_or_default()),
                        count(n, read, sent),
                    )
                })
                .collect());
        }
        let rows: Vec<(Uuid, i64, i64, i64)> = sums.into_tuple().all(&db).await?;
        Ok(rows
            .into_iter()
            .map(|(id, n, read, sent)| {
                (
                    InCommon::Entity((!id.is_nil()).then_some(id)),
                    count(n, read, sent),
                )
            })
            .collect())
    }

    /// Forgets positions not moved for `age`: such a process will not send again. It must be
    /// longer than a data plane can hold batches back. The counts of a data plane that has no
    /// position left and is not listed any more go, too. How many rows that were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expire_telemetry(&self, age: Duration) -> Result<u64, StoreError> {
        let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        let horizon = unix_seconds(self.now()).saturating_sub(age);
        let (_turn, transaction) = self.begin_bookkeeping().await?;
        let positions = telemetry_positions::Entity::delete_many()
            .filter(telemetry_positions::Column::UpdatedAt.lt(horizon))
            .exec(&transaction.db())
            .await?;
        let sending = telemetry_positions::Entity::find()
            .select_only()
            .column(telemetry_positions::Column::Node);
        let listed = data_planes::Entity::find()
            .select_only()
            .column(data_planes::Column::Id);
        let counts = telemetry_counts::Entity::delete_many()
            .filter(telemetry_counts::Column::DataPlane.not_in_subquery(sending.into_query()))
            .filter(telemetry_counts::Column::DataPlane.not_in_subquery(listed.into_query()))
            .exec(&transaction.db())
            .await?;
        transaction.commit().await?;
        Ok(positions.rows_affected + counts.rows_affected)
    }
}

/// What a conflicting row becomes: the sum of both.
fn add_up() -> OnConflict {
    use telemetry_counts::Column;
    let sum = |column: Column| {
        let held = Expr::col((telemetry_counts::Entity, column));
        (column, held.add(Expr::col(("excluded", column))))
    };
    OnConflict::columns([
        Column::Service,
        Column::Route,
        Column::Consumer,
        Column::Status,
        Column::DataPlane,
    ])
    .values([
        sum(Column::Requests),
        sum(Column::RequestBytes),
        sum(Column::ResponseBytes),
    ])
    .to_owned()
}

fn row((by, count): (&Dimensions, &Count)) -> telemetry_counts::ActiveModel {
    telemetry_counts::Model {
        service: by.service.unwrap_or_default(),
        route: by.route.unwrap_or_default(),
        consumer: by.consumer.unwrap_or_default(),
        status: by.status.into(),
        data_plane: by.data_plane,
        requests: clamp(count.requests),
        request_bytes: clamp(count.request_bytes),
        response_bytes: clamp(count.response_bytes),
    }
    .into_active_model()
}

/// As the database holds it.
fn clamp(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
