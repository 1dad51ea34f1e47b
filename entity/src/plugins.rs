//! Plugins: what is done to requests, globally or per route, service and consumer.

use crate::columns::Strings;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "plugins")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub instance_name: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    #[sea_orm(column_name = "route_id")]
    #[serde(default, with = "crate::reference::optional")]
    pub route: Option<Uuid>,
    #[sea_orm(column_name = "service_id")]
    #[serde(default, with = "crate::reference::optional")]
    pub service: Option<Uuid>,
    #[sea_orm(column_name = "consumer_id")]
    #[serde(default, with = "crate::reference::optional")]
    pub consumer: Option<Uuid>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub config: Option<Json>,
    #[sea_orm(column_type = "JsonBinary")]
    pub protocols: Strings,
    pub enabled: bool,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub tags: Option<Strings>,
}

crate::without_content!(Model);

crate::without_relations!();
