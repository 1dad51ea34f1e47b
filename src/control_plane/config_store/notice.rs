//! What control planes on one database tell each other, to be heard now or never.

use super::write::notify;
use super::{Store, StoreError};
use sea_orm::DbBackend;
use tokio::sync::broadcast;

/// The channel of notices on PostgreSQL.
pub(super) const NOTICES: &str = "langur_notice";

/// Notices that a slow listener may lag behind before it misses some.
pub(super) const BACKLOG: usize = 16;

impl Store {
    /// Tells all control planes that follow this database on PostgreSQL, this one included. At
    /// most 8000 bytes. On SQLite there is no other control plane, and nobody is told.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tell(&self, notice: &str) -> Result<(), StoreError> {
        match self.engine() {
            DbBackend::Postgres => notify(&self.db(), NOTICES, notice).await,
            _ => Ok(()),
        }
    }

    /// What is told from now on, while [`Store::follow`] runs.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<String> {
        self.0.notices.subscribe()
    }
}
