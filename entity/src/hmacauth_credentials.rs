//! Secrets with which consumers sign requests.

use crate::columns::Strings;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "hmacauth_credentials")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub created_at: i64,
    #[sea_orm(column_name = "consumer_id")]
    #[serde(with = "crate::reference::required")]
    pub consumer: Uuid,
    pub username: String,
    pub secret: Option<String>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub tags: Option<Strings>,
}

crate::without_content!(Model);

crate::without_relations!();
