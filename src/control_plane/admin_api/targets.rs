//! Targets live below their upstream, newest first, and PUT of one is a PATCH.

use super::api::{Api, as_id, id_of};
use super::error::ApiError;
use super::paging;
use super::reply::Answer;
use super::request::Body;
use crate::control_plane::config_store::Document;
use crate::model::Kind;
use crate::schema::normalize_target;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

impl Api {
    /// The targets of an upstream, newest first, one per address.
    async fn targets(&self, upstream: Uuid) -> Result<Vec<Value>, ApiError> {
        let mut found = self
            .all_children(Kind::Targets, "upstream", upstream)
            .await?;
        let age = |target: &Document| {
            target
                .get("created_at")
                .and_then(Value::as_f64)
                .unwrap_or(0.0)
        };
        let id = |target: &Document| target.get("id").map(Value::to_string);
        found.sort_by(|a, b| age(b).total_cmp(&age(a)).then_with(|| id(b).cmp(&id(a))));
        let mut seen = BTreeSet::new();
        let mut shown = Vec::new();
        for target in found {
            if seen.insert(target.get("target").map(Value::to_string)) {
                shown.push(self.show(Kind::Targets, target).await?);
            }
        }
        Ok(shown)
    }

    /// `GET /upstreams/{u}/targets`; the offset token is a plain index.
    pub async fn active_targets(
        &self,
        upstream: Uuid,
        path: &str,
        arguments: &[(String, String)],
    ) -> Result<Answer, ApiError> {
        let size = paging::argument(arguments, "size")?
            .map(paging::size)
            .transpose()?
            .unwrap_or(100);
        let token = paging::argument(arguments, "offset")?;
        let start = match token {
            None => 0,
            Some(token) => token
                .parse::<usize>()
                .map_err(|_| ApiError::InvalidOffset {
                    token: token.to_owned(),
                    why: "bad base64 encoding",
                })?,
        };
        let all = self.targets(upstream).await?;
        let next = start.saturating_add(size);
        let more = (next < all.len()).then(|| next.to_string());
        let data = all.into_iter().skip(start).take(size).collect();
        Ok(Answer::Json(200, paging::page(path, data, more, "")))
    }

    /// `GET /upstreams/{u}/targets/all`: a page by id.
    pub async fn all_targets(
        &self,
        key: &str,
        arguments: &[(String, String)],
    ) -> Result<Answer, ApiError> {
        let upstream = self.parent_id(Kind::Upstreams, key).await?;
        let query = paging::page_query(arguments)?;
        let path = format!("/upstreams/{}/targets/all", paging::escape(key));
        let page = self
            .page(
                Kind::Targets,
                &query,
                Some(("upstream", upstream)),
                &path,
                "",
            )
            .await?;
        Ok(Answer::Json(200, page))
    }

    /// `GET /upstreams/{u}/health`. A control plane runs no balancer: targets as they are.
    pub async fn upstream_health(
        &self,
        key: &str,
        arguments: &[(String, String)],
        node: Uuid,
    ) -> Result<Answer, ApiError> {
        let upstream = self.parent_id(Kind::Upstreams, key).await?;
        if paging::argument(arguments, "balancer_health")? == Some("1") {
            return Ok(Answer::Json(200, json!({"next": null, "node_id": node})));
        }
        let data = self.targets(upstream).await?;
        Ok(Answer::Json(
            200,
            json!({"data": data, "next": null, "node_id": node}),
        ))
    }

    /// `/upstreams/{u}/targets/{id or host:port}`.
    pub async fn target(
        &self,
        upstream: Uuid,
        key: &str,
        method: &str,
        body: Body,
    ) -> Result<Answer, ApiError> {
        let pointer = ("upstream", json!({ "id": upstream }));
        let by = match as_id(key) {
            Some(id) => ("id", json!(id)),
            None => (
                "target",
                json!(normalize_target(key).ok_or(ApiError::NotFound)?),
            ),
        };
        let found = self
            .store
            .store()
            .find(Kind::Targets, &[by, pointer])
            .await?;
        let found = found.ok_or(ApiError::NotFound)?;
        match method {
            "PUT" | "PATCH" => Ok(Answer::Json(
                200,
                self.update(Kind::Targets, id_of(&found)?, body, &[])
                    .await?,
            )),
            "DELETE" => {
                self.delete(Kind::Targets, id_of(&found)?).await?;
                Ok(Answer::NoContent)
            }
            _ => Ok(Answer::Json(200, self.show(Kind::Targets, found).await?)),
        }
    }
}
