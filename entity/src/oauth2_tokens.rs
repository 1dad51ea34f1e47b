//! Tokens given to applications.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[sea_orm(table_name = "oauth2_tokens")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub created_at: i64,
    #[sea_orm(column_name = "service_id")]
    #[serde(default, with = "crate::reference::optional")]
    pub service: Option<Uuid>,
    #[sea_orm(column_name = "credential_id")]
    #[serde(with = "crate::reference::required")]
    pub credential: Uuid,
    pub token_type: String,
    pub expires_in: i64,
    pub access_token: Option<String>,
    pub refresh_token: Option<String>,
    pub authenticated_userid: Option<String>,
    pub scope: Option<String>,
    /// Epoch seconds after which the row is gone.
    pub ttl: Option<i64>,
}

crate::without_content!(Model);

crate::without_relations!();
