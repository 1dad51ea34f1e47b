//! Server names, each with the certificate it is answered with.

use crate::columns::Strings;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "snis")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub created_at: i64,
    pub updated_at: i64,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub tags: Option<Strings>,
    #[sea_orm(column_name = "certificate_id")]
    #[serde(with = "crate::reference::required")]
    pub certificate: Uuid,
}

crate::without_relations!();
