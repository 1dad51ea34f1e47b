//! Targets live below their upstream, newest first, and PUT of one is a PATCH.

use super::api::{Api, as_id, id_of};
use super::error::ApiError;
use super::paging;
use super::reply::Answer;
use super::request::Body;
use crate::control_plane::config_store::Document;
use crate::model::Kind;
use crate::schema::normalize_target;
use crate::telemetry::status::{SetHealth, SetHealthError, Upstreams, health_page};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
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
        let (size, _) = paging::asked_size(arguments)?;
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

    /// `GET /upstreams/{u}/health`: the targets with what `upstreams` knows of them. Where
    /// nothing is balanced, as on a control plane, targets as they are.
    pub async fn upstream_health(
        &self,
        key: &str,
        arguments: &[(String, String)],
        node: Uuid,
        upstreams: Option<&dyn Upstreams>,
    ) -> Result<Answer, ApiError> {
        let upstream = self.parent_id(Kind::Upstreams, key).await?;
        let known = match upstreams {
            Some(upstreams) => upstreams.upstream(upstream, self.revision()).await,
            None => None,
        };
        let targets = self.targets(upstream).await?;
        let of_balancer = paging::argument(arguments, "balancer_health")? == Some("1");
        let page = health_page(targets, known.as_ref(), of_balancer, node);
        Ok(Answer::Json(200, page))
    }

    /// `PUT /upstreams/{u}/targets/{t}[/{address}]/healthy|unhealthy`.
    ///
    /// # Errors
    /// 404 for what is not there, 400 when the upstream has no health checks.
    pub async fn set_target_health(
        &self,
        (upstream, target, address): (&str, &str, Option<&str>),
        healthy: bool,
        upstreams: Option<&dyn Upstreams>,
    ) -> Result<Answer, ApiError> {
        let upstream = self.parent_id(Kind::Upstreams, upstream).await?;
        let target = id_of(&self.find_target(upstream, target).await?)?;
        let address = address.map(|address| {
            let parsed = address.parse::<SocketAddr>();
            parsed.map_err(|_| ApiError::BadRequest("invalid address: expected ip:port".into()))
        });
        let setting = SetHealth {
            upstream,
            target,
            address: address.transpose()?,
            healthy,
            revision: self.revision(),
        };
        let none = SetHealthError::NoBalancer(upstream);
        let done = match upstreams {
            Some(upstreams) => upstreams.set_health(setting).await,
            None => Err(none),
        };
        match done {
            Ok(()) => Ok(Answer::NoContent),
            Err(SetHealthError::NoAddress) => Err(ApiError::NotFound),
            Err(other) => Err(ApiError::BadRequest(other.to_string())),
        }
    }

    /// The newest revision: what health is asked of is at least that.
    fn revision(&self) -> u64 {
        self.store.store().revisions().borrow().0
    }

    /// A target by its id or its `host:port`, or 404.
    async fn find_target(&self, upstream: Uuid, key: &str) -> Result<Document, ApiError> {
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
            .entities()
            .find(Kind::Targets, &[by, pointer])
            .await?;
        found.ok_or(ApiError::NotFound)
    }

    /// `/upstreams/{u}/targets/{id or host:port}`.
    pub async fn target(
        &self,
        upstream: Uuid,
        key: &str,
        method: &str,
        body: Body,
    ) -> Result<Answer, ApiError> {
        let found = self.find_target(upstream, key).await?;
        match method {
            "PUT" | "PATCH" => Ok(Answer::Json(
                200,
                self.update(Kind::Targets, id_of(&found)?, body, &[], None)
                    .await?,
            )),
            "DELETE" => {
                self.delete(Kind::Targets, id_of(&found)?, None).await?;
                Ok(Answer::NoContent)
            }
            _ => Ok(Answer::Json(200, self.show(Kind::Targets, found).await?)),
        }
    }
}
