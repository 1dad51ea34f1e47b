//! What the acme plugin keeps: accounts, challenges, certificates.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "acme_storage")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub created_at: i64,
    pub key: String,
    pub value: String,
    /// Epoch seconds after which the row is gone.
    pub ttl: Option<i64>,
}

crate::without_content!(Model);

crate::without_relations!();
