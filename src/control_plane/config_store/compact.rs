//! Gives back the room that a SQLite file has and does not use.
//!
//! Only for a store whose every revision may be a whole configuration: its file would keep the size
//! of the largest there ever was, and files of earlier versions hold a long journal.

use super::{Retention, Store, StoreError};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

impl Store {
    /// Forgets what need not be kept and makes the file as small as its content, if the settings ask
    /// for that.
    ///
    /// # Errors
    /// When the database fails; nothing is lost then.
    pub async fn compact(&self) -> Result<(), StoreError> {
        let Some(max_revisions) = self.0.keeps_revisions else {
            return Ok(());
        };
        self.prune_journal(Retention {
            max_revisions,
            ..Retention::default()
        })
        .await?;
        let _turn = self.0.writing.lock().await;
        let free = self.pragma("freelist_count").await?;
        // Writing the content anew costs less than what it gives back.
        if free * 2 > self.pragma("page_count").await? {
            // Without a limit: it takes as long as the file is large.
            self.0.db.execute_unprepared("VACUUM").await?;
        }
        Ok(())
    }

    pub(super) async fn pragma(&self, name: &str) -> Result<i64, StoreError> {
        let question = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {name}"));
        let row = self.db().query_one_raw(question).await?;
        Ok(match row {
            Some(row) => row.try_get_by_index(0)?,
            None => 0,
        })
    }
}
