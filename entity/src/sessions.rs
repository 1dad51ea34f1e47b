//! Sessions of clients.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub created_at: i64,
    pub session_id: String,
    pub expires: Option<i64>,
    pub data: Option<String>,
    /// Epoch seconds after which the row is gone.
    pub ttl: Option<i64>,
}

crate::without_content!(Model);

crate::without_relations!();
