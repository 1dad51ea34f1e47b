//! What data planes prove themselves by: the hash of a secret for each id.

use sea_orm::entity::prelude::*;

#[derive(Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "node_identities")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// SHA-256 of the secret that the node keeps.
    #[sea_orm(column_type = "Blob")]
    pub secret_hash: Vec<u8>,
    /// Epoch seconds.
    pub bound_at: i64,
}

crate::without_content!(Model);

crate::without_relations!();
