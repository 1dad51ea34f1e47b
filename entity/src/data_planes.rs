//! Data planes: who is connected to which control plane, and what is in effect there.

use crate::columns::{Labels, Strings};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "data_planes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub hostname: String,
    pub ip: String,
    /// Epoch seconds of the last frame heard from it.
    pub last_seen: i64,
    /// Epoch seconds of the last write of this row.
    pub updated_at: i64,
    /// 32 hex digits; zeros when the node holds no configuration.
    pub config_hash: String,
    /// The Kong version whose behaviour the node has.
    pub version: Option<String>,
    pub sync_status: String,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub labels: Option<Labels>,
    #[sea_orm(column_type = "JsonBinary")]
    pub cert_details: Json,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub rpc_capabilities: Option<Strings>,
    /// Epoch seconds after which the row is forgotten.
    pub ttl: i64,
    /// The control plane that holds, or last held, the connection.
    #[sea_orm(column_name = "control_plane_id")]
    pub control_plane: Option<Uuid>,
    pub connected: bool,
    /// The revision in effect; NULL when the node does not say.
    pub revision: Option<i64>,
    /// Epoch seconds with fraction.
    pub in_effect_at: Option<f64>,
    /// Entities the node could not apply: a list of {entity, id, name, reason, since}.
    #[sea_orm(column_type = "JsonBinary")]
    pub quarantined: Json,
    pub langur_version: Option<String>,
    /// Why its telemetry does not arrive, as it says; NULL when it does, or nobody says.
    pub telemetry: Option<String>,
}

crate::without_relations!();
