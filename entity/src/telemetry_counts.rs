//! Requests counted by service, route, consumer, status and data plane.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "telemetry_counts")]
pub struct Model {
    /// The nil id when there was none.
    #[sea_orm(primary_key, auto_increment = false, column_name = "service_id")]
    pub service: Uuid,
    /// The nil id when there was none.
    #[sea_orm(primary_key, auto_increment = false, column_name = "route_id")]
    pub route: Uuid,
    /// The nil id when there was none.
    #[sea_orm(primary_key, auto_increment = false, column_name = "consumer_id")]
    pub consumer: Uuid,
    /// The HTTP status sent to the client.
    #[sea_orm(primary_key, auto_increment = false)]
    pub status: i64,
    #[sea_orm(primary_key, auto_increment = false, column_name = "data_plane_id")]
    pub data_plane: Uuid,
    pub requests: i64,
    pub request_bytes: i64,
    pub response_bytes: i64,
}

crate::without_relations!();
