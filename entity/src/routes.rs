//! Routes: which requests go to which service.

use crate::columns::{Endpoints, Headers, Strings};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "routes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub created_at: i64,
    pub updated_at: i64,
    pub name: Option<String>,
    #[sea_orm(column_type = "JsonBinary")]
    pub protocols: Strings,
    pub https_redirect_status_code: i64,
    pub strip_path: bool,
    pub preserve_host: bool,
    pub request_buffering: bool,
    pub response_buffering: bool,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub tags: Option<Strings>,
    #[sea_orm(column_name = "service_id")]
    #[serde(default, with = "crate::reference::optional")]
    pub service: Option<Uuid>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub snis: Option<Strings>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub sources: Option<Endpoints>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub destinations: Option<Endpoints>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub methods: Option<Strings>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub hosts: Option<Strings>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub paths: Option<Strings>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub headers: Option<Headers>,
    pub regex_priority: Option<i64>,
    pub path_handling: Option<String>,
    /// Only of routes that were written when the router's flavor was `expressions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
}

crate::without_relations!();
