//! How far the telemetry of a process has been counted.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "telemetry_positions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false, column_name = "node_id")]
    pub node: Uuid,
    /// One run of the node's process.
    #[sea_orm(primary_key, auto_increment = false)]
    pub incarnation: Uuid,
    /// The last batch that was counted.
    pub sequence: i64,
    /// Epoch seconds.
    pub updated_at: i64,
}

crate::without_relations!();
