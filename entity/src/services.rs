//! Services: the upstream applications that routes lead to.

use crate::columns::{Ids, Strings};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "services")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub created_at: i64,
    pub updated_at: i64,
    pub name: Option<String>,
    pub retries: Option<i64>,
    pub protocol: String,
    pub host: String,
    pub port: i64,
    pub path: Option<String>,
    pub connect_timeout: Option<i64>,
    pub write_timeout: Option<i64>,
    pub read_timeout: Option<i64>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub tags: Option<Strings>,
    #[sea_orm(column_name = "client_certificate_id")]
    #[serde(default, with = "crate::reference::optional")]
    pub client_certificate: Option<Uuid>,
    pub tls_verify: Option<bool>,
    pub tls_verify_depth: Option<i64>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub ca_certificates: Option<Ids>,
    pub enabled: bool,
}

crate::without_relations!();
