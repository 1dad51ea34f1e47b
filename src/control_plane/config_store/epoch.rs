//! Which history the database has: its epoch.
//!
//! Data planes never go back within an epoch. A database that was restored from a backup lacks
//! revisions that they hold, and its next revisions are others of the same numbers: that is another
//! history, and a greater epoch says so. An epoch is the time at which it was raised, so that it is
//! greater than any that was raised before, also by a database of which nothing is left.

use super::read::revision_from;
use super::{Store, StoreError, unix_seconds};
use crate::model::Revision;
use entity::config_revision;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

impl Store {
    /// The epoch and the latest revision, as they are committed now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tip(&self) -> Result<(u64, Revision), StoreError> {
        read(&self.db()).await
    }

    /// Begins another history with the configuration as it is; the epochs before and after.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn raise_epoch(&self) -> Result<(u64, u64), StoreError> {
        let (_turn, transaction) = self.begin_write().await?;
        let (before, _) = read(&transaction.db()).await?;
        let after = self.next_epoch(before);
        config_revision::Entity::update_many()
            .col_expr(config_revision::Column::Epoch, Expr::val(stored(after)))
            .exec(&transaction.db())
            .await?;
        transaction.commit().await?;
        Ok((before, after))
    }

    /// The same, if the database is in this epoch and does not have what was held: a revision that
    /// it lacks, or any of a later epoch. Of several control planes that see it at once one does it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn raise_epoch_without(
        &self,
        epoch: u64,
        held: (u64, Revision),
    ) -> Result<Option<u64>, StoreError> {
        let (_turn, transaction) = self.begin_write().await?;
        let after = self.next_epoch(epoch.max(held.0));
        let lacks = match held.0 > epoch {
            true => i64::MAX,
            false => i64::try_from(held.1.0).unwrap_or(i64::MAX),
        };
        let raised = config_revision::Entity::update_many()
            .col_expr(config_revision::Column::Epoch, Expr::val(stored(after)))
            .filter(config_revision::Column::Epoch.eq(stored(epoch)))
            .filter(config_revision::Column::Revision.lt(lacks))
            .exec(&transaction.db())
            .await?;
        transaction.commit().await?;
        Ok((raised.rows_affected > 0).then_some(after))
    }

    fn next_epoch(&self, epoch: u64) -> u64 {
        let now = u64::try_from(unix_seconds(self.now())).unwrap_or_default();
        now.max(epoch.saturating_add(1))
    }
}

async fn read(db: &impl ConnectionTrait) -> Result<(u64, Revision), StoreError> {
    let row = config_revision::Entity::find_by_id(1).one(db).await?;
    let row = row.ok_or_else(|| StoreError::Unreadable("config_revision is empty".to_owned()))?;
    let epoch = u64::try_from(row.epoch);
    let epoch = epoch.map_err(|_| StoreError::Unreadable(format!("epoch {}", row.epoch)))?;
    Ok((epoch, revision_from(row.revision)?))
}

fn stored(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}
