//! What the control plane says of itself: `/`, `/status`, `/endpoints`, schemas.

use super::api::Api;
use super::endpoint;
use super::error::ApiError;
use super::reply::Answer;
use super::request::Body;
use super::shared::Node;
use super::work::Work;
use crate::control_plane::config_store::PageRequest;
use crate::model::Kind;
use crate::schema::{self, Violations, describe};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The Kong version whose behaviour is implemented; clients decide by it.
pub const KONG_VERSION: &str = "3.9.3";

impl Api {
    /// `GET /`.
    pub async fn root(&self, node: &Node, work: Work) -> Result<Answer, ApiError> {
        let available: Map<String, Value> = self
            .enabled_plugins()
            .map(|plugin| {
                let about = json!({"version": KONG_VERSION, "priority": plugin.priority});
                (plugin.name.to_owned(), about)
            })
            .collect();
        Ok(Answer::Json(
            200,
            json!({
                "tagline": "Welcome to kong",
                "version": KONG_VERSION,
                "edition": "community",
                "langur": {"version": env!("CARGO_PKG_VERSION")},
                "hostname": node.hostname,
                "node_id": node.id,
                "timers": work.summary(),
                "plugins": {
                    "available_on_server": available,
                    "enabled_in_cluster": self.plugins_in_use().await?,
                },
                "lua_version": "none",
                "configuration": *node.configuration,
                "pids": {"master": std::process::id(), "workers": [std::process::id()]},
            }),
        ))
    }

    fn enabled_plugins(&self) -> impl Iterator<Item = &'static schema::PluginInfo> {
        let enabled = |plugin: &&schema::PluginInfo| self.rules.plugins.contains(plugin.name);
        schema::plugins().filter(enabled)
    }

    /// The names of all configured plugins.
    async fn plugins_in_use(&self) -> Result<BTreeSet<String>, ApiError> {
        let mut names = BTreeSet::new();
        let mut after = None;
        loop {
            let request = PageRequest {
                after,
                size: 1000,
                ..PageRequest::default()
            };
            let page = self.store.entities().page(Kind::Plugins, &request).await?;
            let name =
                |plugin: &Map<String, Value>| plugin.get("name")?.as_str().map(str::to_owned);
            names.extend(page.documents.iter().filter_map(name));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(names),
            }
        }
    }

    /// `/acme` and what is below it: there is nothing without the plugin, and nobody who orders
    /// certificates with it.
    pub async fn acme(&self) -> Result<Answer, ApiError> {
        if !self.plugins_in_use().await?.contains("acme") {
            return Err(ApiError::NotFound);
        }
        let why = "certificates are not ordered by this version";
        Err(ApiError::BadRequest(why.to_owned()))
    }

    /// `GET /plugins/enabled`.
    pub fn plugins_enabled(&self) -> Answer {
        let names: Vec<_> = self.enabled_plugins().map(|plugin| plugin.name).collect();
        Answer::Json(200, json!({ "enabled_plugins": names }))
    }

    /// `GET /schemas/{entity}`.
    pub fn entity_schema(&self, name: &str) -> Result<Answer, ApiError> {
        found(describe::entity(name, self.rules.router_flavor), || {
            format!("No entity named '{name}'")
        })
    }

    /// `GET /schemas/plugins/{name}`.
    pub fn plugin_schema(&self, name: &str) -> Result<Answer, ApiError> {
        found(describe::plugin(name, self.rules.role), || {
            format!("No plugin named '{name}'")
        })
    }

    /// `GET /schemas/vaults/{name}`.
    pub fn vault_schema(&self, name: &str) -> Result<Answer, ApiError> {
        found(describe::vault(name), || format!("No vault named '{name}'"))
    }

    /// `GET /plugins/schema/{name}`: the schema of the plugin's `config` alone.
    pub fn plugin_config_schema(&self, name: &str) -> Result<Answer, ApiError> {
        let config = describe::plugin_config(name, self.rules.role);
        found(config, || format!("No plugin named '{name}'"))
    }

    /// `POST /schemas/{entity}/validate`.
    pub fn validate(&self, name: &str, body: Body) -> Result<Answer, ApiError> {
        let missing = || ApiError::NotFoundBecause(format!("No entity named '{name}'"));
        let entity = schema::entity(name).ok_or_else(missing)?;
        let input = super::input::document(entity, body, None, &self.env());
        entity
            .insert(input, &self.env())
            .map_err(ApiError::Schema)?;
        Ok(Answer::Json(
            200,
            json!({"message": "schema validation successful"}),
        ))
    }

    /// `GET /endpoints`.
    pub fn endpoints(hybrid: bool) -> Answer {
        Answer::Json(200, json!({ "data": endpoint::all_paths(hybrid) }))
    }

    /// Writes to `/tags`.
    pub fn refuse_tags() -> ApiError {
        ApiError::Schema(Violations::of(
            "tags",
            "does not support insert/upsert/update/delete operations",
        ))
    }
}

fn found(schema: Option<Value>, text: impl Fn() -> String) -> Result<Answer, ApiError> {
    let schema = schema.ok_or_else(|| ApiError::NotFoundBecause(text()))?;
    Ok(Answer::Json(200, schema))
}
