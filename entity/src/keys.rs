//! Keys that plugins sign and verify with.

use crate::columns::Strings;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "keys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub created_at: i64,
    pub updated_at: i64,
    #[sea_orm(column_name = "set_id")]
    #[serde(default, with = "crate::reference::optional")]
    pub set: Option<Uuid>,
    pub name: Option<String>,
    pub kid: String,
    pub jwk: Option<String>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub pem: Option<Json>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub tags: Option<Strings>,
}

crate::without_content!(Model);

crate::without_relations!();
