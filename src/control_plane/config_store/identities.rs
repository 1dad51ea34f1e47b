//! What data planes prove themselves by, for all control planes of the database.

use super::{Store, StoreError, unix_seconds};
use entity::{data_planes, node_identities};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect,
};
use std::time::Duration;
use uuid::Uuid;

/// An identity goes with the row of its data plane; one that is younger has perhaps none yet.
const YOUNG: Duration = Duration::from_secs(3600);

/// SHA-256 of a node's secret.
type Hash = [u8; 32];

impl Store {
    /// The hash of the secret that a node has proved itself by.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn node_secret(&self, node: Uuid) -> Result<Option<Hash>, StoreError> {
        let row = node_identities::Entity::find_by_id(node)
            .one(&self.db())
            .await?;
        row.map(|row| hash(&row.secret_hash)).transpose()
    }

    /// Binds a node's id to the hash of its secret. Of several that try, the first one wins; a
    /// node that has proved itself in another way may replace what is there. Returns what is
    /// bound in the end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bind_node_secret(
        &self,
        node: Uuid,
        secret_hash: Hash,
        replace: bool,
    ) -> Result<Hash, StoreError> {
        let row = node_identities::ActiveModel {
            id: Set(node),
            secret_hash: Set(secret_hash.to_vec()),
            bound_at: Set(unix_seconds(self.now())),
        };
        let mut conflict = OnConflict::column(node_identities::Column::Id);
        let conflict = match replace {
            true => conflict.update_columns([
                node_identities::Column::SecretHash,
                node_identities::Column::BoundAt,
            ]),
            false => conflict.do_nothing(),
        };
        let (_turn, transaction) = self.begin_bookkeeping().await?;
        node_identities::Entity::insert(row)
            .on_conflict(conflict.to_owned())
            .exec_without_returning(&transaction.db())
            .await?;
        let bound = node_identities::Entity::find_by_id(node)
            .one(&transaction.db())
            .await?;
        transaction.commit().await?;
        bound.map_or(Ok(secret_hash), |row| hash(&row.secret_hash))
    }

    /// Forgets a data plane: its row in the fleet, and what it has proved itself by. Returns
    /// whether there was anything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_data_plane(&self, node: Uuid) -> Result<bool, StoreError> {
        let (_turn, transaction) = self.begin_bookkeeping().await?;
        let identity = node_identities::Entity::delete_by_id(node)
            .exec(&transaction.db())
            .await?;
        let row = data_planes::Entity::delete_by_id(node)
            .exec(&transaction.db())
            .await?;
        transaction.commit().await?;
        Ok(identity.rows_affected + row.rows_affected > 0)
    }

    /// Forgets the identities of data planes whose rows are gone, inside a transaction.
    pub(super) async fn expire_identities(
        &self,
        db: &impl ConnectionTrait,
    ) -> Result<(), StoreError> {
        let known = data_planes::Entity::find()
            .select_only()
            .column(data_planes::Column::Id);
        let before = unix_seconds(self.now()).saturating_sub(YOUNG.as_secs() as i64);
        node_identities::Entity::delete_many()
            .filter(node_identities::Column::BoundAt.lt(before))
            .filter(
                node_identities::Column::Id.not_in_subquery(sea_orm::QueryTrait::into_query(known)),
            )
            .exec(db)
            .await?;
        Ok(())
    }
}

fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    let bytes = bytes.try_into();
    bytes.map_err(|_| StoreError::Unreadable("a hash of a node's secret".to_owned()))
}
