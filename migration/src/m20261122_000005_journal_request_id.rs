//! Which request of the Admin API a revision came from.

use crate::ddl;
use sea_orm_migration::prelude::*;

const COLUMN: &str = r#"
-- postgres
ALTER TABLE config_journal ADD COLUMN request_id UUID

-- sqlite
ALTER TABLE config_journal ADD COLUMN request_id BLOB CHECK (length(request_id) = 16)
"#;

const DROP: &str = "ALTER TABLE config_journal DROP COLUMN request_id";

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
