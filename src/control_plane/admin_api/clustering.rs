//! `/clustering/*`: the fleet, the same from every control plane.

use super::api::Api;
use super::error::ApiError;
use super::paging;
use super::reply::Answer;
use crate::control_plane::config_store::DataPlanePresence;
use crate::schema::Role;
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

impl Api {
    /// `GET /clustering/data-planes`: Kong's fields, and what is really in effect.
    pub async fn data_planes(&self, arguments: &[(String, String)]) -> Result<Answer, ApiError> {
        self.check_hybrid()?;
        let query = paging::page_query(arguments)?;
        let all = self.fleet.data_planes().await?;
        let mut rows = all
            .into_iter()
            .filter(|row| query.after.is_none_or(|after| row.id > after));
        let page: Vec<_> = rows.by_ref().take(query.size).collect();
        let last = page.last().map(|row| row.id);
        let next = rows.next().and(last).map(paging::token);
        let data = page.into_iter().map(data_plane).collect();
        let suffix = paging::suffix(&query);
        Ok(Answer::Json(
            200,
            paging::page("/clustering/data-planes", data, next, &suffix),
        ))
    }

    /// `GET /clustering/status`, deprecated.
    pub async fn cluster_status(&self) -> Result<Answer, ApiError> {
        self.check_hybrid()?;
        let rows = self.fleet.data_planes().await?;
        let status: Map<String, Value> = rows
            .into_iter()
            .map(|row| {
                let about = json!({
                    "config_hash": row.config_hash,
                    "hostname": row.hostname,
                    "ip": row.ip,
                    "last_seen": row.last_seen,
                    "revision": row.revision,
                    "in_effect_at": row.in_effect_at,
                    "connected": row.connected,
                    "quarantined": row.quarantined,
                });
                (row.id.to_string(), about)
            })
            .collect();
        let deprecated = vec![("Deprecation", "true".to_owned())];
        Ok(Answer::JsonWith(200, Value::Object(status), deprecated))
    }
}

impl Api {
    /// A node of both planes has no data planes but itself.
    fn check_hybrid(&self) -> Result<(), ApiError> {
        match self.rules.role {
            Role::ControlPlane => Ok(()),
            _ => Err(ApiError::BadRequest(
                "this endpoint is only available when Kong is configured to run as Control Plane \
                 for the cluster"
                    .to_owned(),
            )),
        }
    }
}

fn data_plane(row: DataPlanePresence) -> Value {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    json!({
        "id": row.id,
        "ip": row.ip,
        "hostname": row.hostname,
        "version": row.version,
        "langur_version": row.langur_version,
        "config_hash": row.config_hash,
        "sync_status": row.sync_status,
        "last_seen": row.last_seen,
        "updated_at": row.updated_at,
        "ttl": row.ttl - i64::try_from(now).unwrap_or(i64::MAX),
        "labels": row.labels,
        "cert_details": row.cert_details,
        "rpc_capabilities": row.rpc_capabilities,
        "connected": row.connected,
        "revision": row.revision,
        "in_effect_at": row.in_effect_at,
        "quarantined": row.quarantined,
        "telemetry_error": row.telemetry,
    })
}
