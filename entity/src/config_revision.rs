//! The latest revision and its epoch: one row, locked by whoever commits the next.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "config_revision")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub revision: i64,
    /// The history that it belongs to; raised when the database was restored.
    pub epoch: i64,
}

crate::without_relations!();
