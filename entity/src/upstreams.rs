//! Upstreams: virtual host names with a balancer.

use crate::columns::Strings;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "upstreams")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub created_at: i64,
    pub name: String,
    pub updated_at: i64,
    pub algorithm: Option<String>,
    pub hash_on: Option<String>,
    pub hash_fallback: Option<String>,
    pub hash_on_header: Option<String>,
    pub hash_fallback_header: Option<String>,
    pub hash_on_cookie: Option<String>,
    pub hash_on_cookie_path: Option<String>,
    pub hash_on_query_arg: Option<String>,
    pub hash_fallback_query_arg: Option<String>,
    pub hash_on_uri_capture: Option<String>,
    pub hash_fallback_uri_capture: Option<String>,
    pub slots: Option<i64>,
    #[sea_orm(column_type = "JsonBinary")]
    pub healthchecks: Json,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub tags: Option<Strings>,
    pub host_header: Option<String>,
    #[sea_orm(column_name = "client_certificate_id")]
    #[serde(default, with = "crate::reference::optional")]
    pub client_certificate: Option<Uuid>,
    pub use_srv_name: Option<bool>,
}

crate::without_relations!();
