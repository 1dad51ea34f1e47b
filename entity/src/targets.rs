//! Targets: the addresses an upstream balances over.

use crate::columns::Strings;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "targets")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Epoch seconds with milliseconds.
    pub created_at: f64,
    /// Epoch seconds with milliseconds.
    pub updated_at: f64,
    #[sea_orm(column_name = "upstream_id")]
    #[serde(with = "crate::reference::required")]
    pub upstream: Uuid,
    pub target: String,
    pub weight: Option<i64>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub tags: Option<Strings>,
}

crate::without_relations!();
