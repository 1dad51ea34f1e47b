//! What each revision put and deleted: what a data plane lacks is read from here.

use sea_orm::entity::prelude::*;

#[derive(Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "config_journal")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    /// The place within the revision, from zero.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub kind: String,
    pub id: Uuid,
    /// The canonical bytes of the entity; NULL is a delete.
    #[sea_orm(column_type = "Blob", nullable)]
    pub row: Option<Vec<u8>>,
    /// Epoch seconds.
    pub committed_at: i64,
    /// The Admin API request that wrote it; NULL when there was none.
    pub request_id: Option<Uuid>,
    /// The canonical bytes of the entity before; empty when there was none, NULL when an earlier
    /// version did not note it.
    #[sea_orm(column_type = "Blob", nullable)]
    pub replaced: Option<Vec<u8>>,
}

crate::without_content!(Model);

crate::without_relations!();
