//! The rule between a plugin and what it is attached to: they must share a protocol.

use super::api::Api;
use super::error::ApiError;
use crate::control_plane::config_store::Document;
use crate::model::Kind;
use crate::schema::Violations;
use serde_json::Value;
use std::collections::BTreeSet;
use uuid::Uuid;

impl Api {
    /// # Errors
    /// Code 2 on `protocols` when the plugin could never run where it is attached.
    pub async fn check_plugin_protocols(&self, plugin: &Document) -> Result<(), ApiError> {
        let own = protocols(plugin);
        let refused = |why: &str| Err(ApiError::Schema(Violations::of("protocols", why)));
        if let Some(route) = reference(plugin, "route") {
            let route = match self.by_id(Kind::Routes, route).await {
                // A parent that does not exist is the foreign key's business.
                Err(ApiError::NotFound) => return Ok(()),
                found => found?,
            };
            if protocols(&route).is_disjoint(&own) {
                return refused("must match the associated route's protocols");
            }
        } else if let Some(service) = reference(plugin, "service") {
            let routes = self.all_children(Kind::Routes, "service", service).await?;
            if !routes.is_empty()
                && routes
                    .iter()
                    .all(|route| protocols(route).is_disjoint(&own))
            {
                return refused(
                    "must match the protocols of at least one route pointing to this Plugin's service",
                );
            }
        }
        Ok(())
    }
}

fn reference(document: &Document, field: &str) -> Option<Uuid> {
    Uuid::parse_str(document.get(field)?.get("id")?.as_str()?).ok()
}

fn protocols(document: &Document) -> BTreeSet<&str> {
    let list = document.get("protocols").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
