//! What routes have when the router's flavor is `expressions`.

use crate::ddl;
use sea_orm_migration::prelude::*;

const COLUMNS: &str = r#"
ALTER TABLE routes ADD COLUMN expression TEXT

-- postgres
ALTER TABLE routes ADD COLUMN priority BIGINT

-- sqlite
ALTER TABLE routes ADD COLUMN priority INTEGER
"#;

const DROP: &str = r#"
ALTER TABLE routes DROP COLUMN priority

ALTER TABLE routes DROP COLUMN expression
"#;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, COLUMNS).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, DROP).await
    }
}
