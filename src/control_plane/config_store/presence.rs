//! Rows by which all control planes on one database show the same fleet.

use super::{Store, StoreError, unix_seconds};
use crate::model::Revision;
use entity::{control_planes, data_planes};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, Iterable, Order,
    QueryFilter, QueryOrder, QuerySelect,
};
use std::time::Duration;
use uuid::Uuid;

/// What is known of a data plane: one row of the database.
pub use entity::data_planes::Model as DataPlanePresence;

/// What is known of a control plane: one row of the database.
pub use entity::control_planes::Model as ControlPlanePresence;

impl Store {
    /// Writes what this control plane knows of a data plane.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn upsert_data_plane(&self, presence: DataPlanePresence) -> Result<(), StoreError> {
        let columns =
            data_planes::Column::iter().filter(|column| !matches!(column, data_planes::Column::Id));
        let replace = OnConflict::column(data_planes::Column::Id)
            .update_columns(columns)
            .to_owned();
        let (_turn, transaction) = self.begin_bookkeeping().await?;
        data_planes::Entity::insert(presence.into_active_model().reset_all())
            .on_conflict(replace)
            .exec_without_returning(&transaction.db())
            .await?;
        transaction.commit().await
    }

    /// Marks a data plane as disconnected, unless it has moved on to another control plane.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn disconnect_data_plane(
        &self,
        id: Uuid,
        control_plane: Uuid,
    ) -> Result<(), StoreError> {
        let held_here = Condition::all()
            .add(data_planes::Column::Id.eq(id))
            .add(data_planes::Column::ControlPlane.eq(control_plane));
        self.disconnect(held_here).await
    }

    /// Marks all data planes of a control plane as disconnected.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn disconnect_data_planes_of(&self, control_plane: Uuid) -> Result<(), StoreError> {
        let held_here = data_planes::Column::ControlPlane.eq(control_plane);
        let connected = data_planes::Column::Connected.eq(true);
        self.disconnect(Condition::all().add(held_here).add(connected))
            .await
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

    /// The connected data planes, of whichever control plane, on which this revision is not yet in
    /// effect, by ascending id. One that does not say what is in effect is among them, and one
    /// that is ahead of the database: what it has was before that was restored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn data_planes_before(&self, revision: Revision) -> Result<Vec<Uuid>, StoreError> {
        let revision = i64::try_from(revision.0).unwrap_or(i64::MAX);
        let held = data_planes::Column::Revision;
        let latest = Expr::cust("(SELECT revision FROM config_revision)");
        let elsewhere = Condition::any()
            .add(held.is_null())
            .add(held.lt(revision))
            .add(held.into_expr().gt(latest));
        Ok(data_planes::Entity::find()
            .select_only()
            .column(data_planes::Column::Id)
            .filter(data_planes::Column::Connected.eq(true))
            .filter(data_planes::Column::Ttl.gt(unix_seconds(self.now())))
            .filter(elsewhere)
            .order_by(data_planes::Column::Id, Order::Asc)
            .into_tuple()
            .all(&self.db())
            .await?)
    }

    /// Says that a control plane is there, now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn touch_control_plane(&self, id: Uuid, hostname: &str) -> Result<(), StoreError> {
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
        let (_turn, transaction) = self.begin_bookkeeping().await?;
        control_planes::Entity::insert(presence.into_active_model())
            .on_conflict(replace)
            .exec_without_returning(&transaction.db())
            .await?;
        transaction.commit().await
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
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expire_presence(&self, window: Duration) -> Result<(), StoreError> {
        let now = unix_seconds(self.now());
        let live = control_planes::Entity::find()
            .select_only()
            .column(control_planes::Column::Id);
        let orphaned = Condition::all()
            .add(data_planes::Column::Connected.eq(true))
            .add(
                Condition::any()
                    .add(data_planes::Column::ControlPlane.is_null())
                    .add(
                        data_planes::Column::ControlPlane
                            .not_in_subquery(sea_orm::QueryTrait::into_query(live)),
                    ),
            );
        let (turn, transaction) = self.begin_bookkeeping().await?;
        data_planes::Entity::delete_many()
            .filter(data_planes::Column::Ttl.lte(now))
            .exec(&transaction.db())
            .await?;
        self.expire_identities(&transaction.db()).await?;
        control_planes::Entity::delete_many()
            .filter(control_planes::Column::LastSeen.lt(self.before(window)))
            .exec(&transaction.db())
            .await?;
        transaction.commit().await?;
        drop(turn);
        self.disconnect(orphaned).await
    }

    async fn disconnect(&self, which: Condition) -> Result<(), StoreError> {
        let (_turn, transaction) = self.begin_bookkeeping().await?;
        data_planes::Entity::update_many()
            .col_expr(data_planes::Column::Connected, Expr::val(false))
            .col_expr(
                data_planes::Column::UpdatedAt,
                Expr::val(unix_seconds(self.now())),
            )
            .filter(which)
            .exec(&transaction.db())
            .await?;
        transaction.commit().await
    }

    /// Epoch seconds `window` ago.
    fn before(&self, window: Duration) -> i64 {
        let window = i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
        unix_seconds(self.now()).saturating_sub(window)
    }
}
