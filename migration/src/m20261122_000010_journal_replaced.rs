//! What each change of the journal replaced: by it a revision can be taken back.

use crate::ddl;
use sea_orm_migration::prelude::*;

/// NULL where an earlier version did not note it.
const COLUMN: &str = r#"
-- postgres
ALTER TABLE config_journal ADD COLUMN replaced BYTEA

-- sqlite
ALTER TABLE config_journal ADD COLUMN replaced BLOB
"#;

const DROP: &str = "ALTER TABLE config_journal DROP COLUMN replaced";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, COLUMN).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, DROP).await
    }
}
