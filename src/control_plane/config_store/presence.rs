//! Rows by which all control planes on one database show the same fleet.

use super::database::Db;
use super::{Store, StoreError, unix_seconds};
use entity::{control_planes, data_planes};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult,
    InsertMany, IntoActiveModel, Iterable, Order, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Statement,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// What is known of a data plane: one row of the database.
pub use entity::data_planes::Model as DataPlanePresence;

/// What is known of a control plane: one row of the database.
pub use entity::control_planes::Model as ControlPlanePresence;

/// How far a connected data plane of another control plane is.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Elsewhere {
    pub id: Uuid,
    /// What is in effect there, as far as it says so.
    pub revision: Option<i64>,
    pub updated_at: i64,
}

/// Rows of one statement: it may have 32 766 values on SQLite, and a row has twenty.
const ROWS_AT_ONCE: usize = 500;

/// What one control plane writes at once of the data planes it holds, and of itself.
#[derive(Clone, Debug, Default)]
pub struct PresenceBatch {
    pub control_plane: Uuid,
    /// This is the first batch of a life: what an earlier life held is gone with it.
    pub begins: bool,
    /// The last that is known of each data plane, also of those that have left.
    pub rows: BTreeMap<Uuid, DataPlanePresence>,
    pub pulse: Option<Pulse>,
}

/// A control plane says that it is there, and looks for others that are not.
#[derive(Clone, Debug)]
pub struct Pulse {
    pub hostname: String,
    /// A control plane that was not seen for so long holds no data planes.
    pub window: Duration,
}

impl Store {
    /// Writes a batch as one transaction. A row that says `connected` replaces whatever there is;
    /// one that does not leaves that of a data plane alone which another control plane holds now.
    ///
    /// # Errors
    /// When the database fails; then nothing of it is written.
    pub async fn write_presence(&self, batch: &PresenceBatch) -> Result<(), StoreError> {
        // Made before the turn is taken: who writes configuration waits for the statements alone.
        let rows: Vec<_> = batch.rows.values().cloned().collect();
        let upserts = rows.chunks(ROWS_AT_ONCE).map(upsert);
        let upserts: Vec<Statement> = upserts.map(|it| it.build(self.engine())).collect();
        let own = batch.control_plane;
        let (_turn, transaction) = self.begin_bookkeeping().await?;
        let db = transaction.db();
        if batch.begins {
            let held = Condition::all()
                .add(data_planes::Column::ControlPlane.eq(own))
                .add(data_planes::Column::Connected.eq(true));
            self.disconnect(&db, held).await?;
        }
        for upsert in upserts {
            db.execute_raw(upsert).await?;
        }
        if let Some(pulse) = &batch.pulse {
            self.touch(&db, own, &pulse.hostname).await?;
            self.expire(&db, pulse.window).await?;
        }
        transaction.commit().await
    }

    /// All data planes that have not expired, by ascending id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn data_planes(&self) -> Result<Vec<DataPlanePresence>, StoreError> {
        let now = unix_seconds(self.now());
        Ok(data_planes::Entity::find()
            .filter(data_planes::Column::Ttl.gt(now))
            .order_by(data_planes::Column::Id, Order::Asc)
            .all(&self.db())
            .await?)
    }

    /// The connected data planes that other control planes hold, by ascending id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn data_planes_elsewhere(&self, own: Uuid) -> Result<Vec<Elsewhere>, StoreError> {
        let other = Condition::any()
            .add(data_planes::Column::ControlPlane.is_null())
            .add(data_planes::Column::ControlPlane.ne(own));
        Ok(data_planes::Entity::find()
            .select_only()
            .column(data_planes::Column::Id)
            .column(data_planes::Column::Revision)
            .column(data_planes::Column::UpdatedAt)
            .filter(data_planes::Column::Connected.eq(true))
            .filter(data_planes::Column::Ttl.gt(unix_seconds(self.now())))
            .filter(other)
            .order_by(data_planes::Column::Id, Order::Asc)
            .into_model()
            .all(&self.db())
            .await?)
    }

    /// What is quarantined on these data planes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantined_on(&self, ids: &[Uuid]) -> Result<Vec<(Uuid, Value)>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(ROWS_AT_ONCE) {
            let rows = data_planes::Entity::find()
                .select_only()
                .column(data_planes::Column::Id)
                .column(data_planes::Column::Quarantined)
                .filter(data_planes::Column::Id.is_in(ids.iter().copied()))
                .into_tuple();
            found.extend(rows.all(&self.db()).await?);
        }
        Ok(found)
    }

    /// Says that a control plane is there, now.
    async fn touch(&self, db: &Db<'_>, id: Uuid, hostname: &str) -> Result<(), StoreError> {
        let presence = ControlPlanePresence {
            id,
            hostname: hostname.to_owned(),
            last_seen: unix_seconds(self.now()),
        };
        let replace = OnConflict::column(control_planes::Column::Id)
            .update_columns([
                control_planes::Column::Hostname,
                control_planes::Column::LastSeen,
            ])
            .to_owned();
        control_planes::Entity::insert(presence.into_active_model())
            .on_conflict(replace)
            .exec_without_returning(db)
            .await?;
        Ok(())
    }

    /// All control planes that were there within `window`, by ascending id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn control_planes(
        &self,
        window: Duration,
    ) -> Result<Vec<ControlPlanePresence>, StoreError> {
        Ok(control_planes::Entity::find()
            .filter(control_planes::Column::LastSeen.gte(self.before(window)))
            .order_by(control_planes::Column::Id, Order::Asc)
            .all(&self.db())
            .await?)
    }

    /// Forgets expired data planes, and control planes not seen for `window`; the data planes
    /// these held are disconnected.
    async fn expire(&self, db: &Db<'_>, window: Duration) -> Result<(), StoreError> {
        let now = unix_seconds(self.now());
        let live = control_planes::Entity::find()
            .select_only()
            .column(control_planes::Column::Id);
        let orphaned = Condition::all()
            .add(data_planes::Column::Connected.eq(true))
            .add(
                Condition::any()
                    .add(data_planes::Column::ControlPlane.is_null())
                    .add(data_planes::Column::ControlPlane.not_in_subquery(live.into_query())),
            );
        data_planes::Entity::delete_many()
            .filter(data_planes::Column::Ttl.lte(now))
            .exec(db)
            .await?;
        self.expire_identities(db).await?;
        control_planes::Entity::delete_many()
            .filter(control_planes::Column::LastSeen.lt(self.before(window)))
            .exec(db)
            .await?;
        self.disconnect(db, orphaned).await
    }

    async fn disconnect(&self, db: &Db<'_>, which: Condition) -> Result<(), StoreError> {
        data_planes::Entity::update_many()
            .col_expr(data_planes::Column::Connected, Expr::val(false))
            .col_expr(
                data_planes::Column::UpdatedAt,
                Expr::val(unix_seconds(self.now())),
            )
            .filter(which)
            .exec(db)
            .await?;
        Ok(())
    }

    /// Epoch seconds `window` ago.
    fn before(&self, window: Duration) -> i64 {
        let window = i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
        unix_seconds(self.now()).saturating_sub(window)
    }
}

/// The statement that writes these rows.
fn upsert(rows: &[DataPlanePresence]) -> InsertMany<data_planes::ActiveModel> {
    use data_planes::Column;
    let columns = Column::iter().filter(|column| !matches!(column, Column::Id));
    let there = |column: Column| Expr::col((data_planes::Entity, column));
    let new = |column: Column| Expr::col(("excluded", column));
    let may_replace = Condition::any()
        .add(new(Column::Connected))
        .add(there(Column::Connected).not())
        .add(there(Column::ControlPlane).eq(new(Column::ControlPlane)));
    let replace = OnConflict::column(Column::Id)
        .update_columns(columns)
        .action_cond_where(may_replace)
        .to_owned();
    let rows = rows.iter().cloned();
    data_planes::Entity::insert_many(rows.map(|row| row.into_active_model().reset_all()))
        .on_conflict(replace)
}

#[cfg(test)]
impl Store {
    /// Writes one row, as a batch of its control plane would.
    pub async fn present(&self, row: DataPlanePresence) {
        let batch = PresenceBatch {
            rows: [(row.id, row)].into(),
            ..PresenceBatch::default()
        };
        self.write_presence(&batch).await.expect("writes");
    }

    /// What a control plane does every so often.
    pub async fn pulse(&self, control_plane: Uuid, hostname: &str, window: Duration) {
        let batch = PresenceBatch {
            control_plane,
            pulse: Some(Pulse {
                hostname: hostname.to_owned(),
                window,
            }),
            ..PresenceBatch::default()
        };
        self.write_presence(&batch).await.expect("writes");
    }
}
