//! Applications of consumers.

use crate::columns::Strings;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "oauth2_credentials")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub created_at: i64,
    #[sea_orm(column_name = "consumer_id")]
    #[serde(with = "crate::reference::required")]
    pub consumer: Uuid,
    pub name: String,
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
    pub hash_secret: bool,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub redirect_uris: Option<Strings>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub tags: Option<Strings>,
    pub client_type: String,
}

crate::without_content!(Model);

crate::without_relations!();
