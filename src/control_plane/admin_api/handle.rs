//! One request: read with limits, resolved, dispatched, answered.

use super::api::Api;
use super::config::Submission;
use super::effect::Effect;
use super::endpoint::{self, Endpoint};
use super::error::ApiError;
use super::log_level;
use super::paging;
use super::reply::{self, About, Answer};
use super::request::{self, Body};
use super::shared::Shared;
use super::wait::Wait;
use super::work::Work;
use crate::model::RequestId;
use crate::serve::browser::{Grant, Refused};
use crate::serve::patience::{NoBody, read_body};
use crate::settings::Pages;
use crate::telemetry::metrics;
use crate::telemetry::status;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use std::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;

pub async fn handle(
    shared: web::Data<Shared>,
    http: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let started = Instant::now();
    let request_id = RequestId(Uuid::new_v4());
    let revisions = shared.api.store.store().revisions();
    // Of the highest level, so that it is there whatever is logged.
    let span = tracing::error_span!("admin_api", %request_id);
    let judged = judge(&http);
    let grant = judged.as_ref().map_or(Grant::Nobody, Grant::clone);
    let api = shared.api.on_behalf_of(request_id);
    let before = api.fleet.withheld();
    let result = match judged {
        Ok(_) => {
            let answering = answer(&shared, &api, &http, payload);
            answering.instrument(span.clone()).await
        }
        Err(refused) => Err(ApiError::Forbidden(refused.to_string())),
    };
    let (result, effect) = match result {
        Ok((answer, wait)) => {
            let effect = Effect::of(&api, wait, &before).instrument(span).await;
            (Ok(answer), effect)
        }
        Err(error) => (Err(error), Effect::default()),
    };
    let newest = *revisions.borrow();
    let about = About {
        request_id,
        newest,
        effect,
        started,
        grant,
    };
    let response = reply::respond(&http, &shared.headers, result, &about);
    // Not the path: it may name a key.
    tracing::debug!(
        %request_id,
        method = http.method().as_str(),
        status = response.status().as_u16(),
        "admin request"
    );
    response
}

/// Whether the request is answered, and who may see that.
fn judge(http: &HttpRequest) -> Result<Grant, Refused> {
    match http.app_data::<web::Data<Pages>>() {
        Some(pages) => pages.judge(http),
        None => Pages::default().judge(http),
    }
}

/// The answer, and whether it is to be held back until it is in effect.
async fn answer(
    shared: &Shared,
    api: &Api,
    http: &HttpRequest,
    payload: web::Payload,
) -> Result<(Answer, Option<Wait>), ApiError> {
    if http.method() == Method::TRACE {
        return Err(ApiError::TraceNotAllowed);
    }
    let segments = request::segments(http.uri().path()).ok_or(ApiError::NotFound)?;
    let endpoint = endpoint::resolve(&segments)
        .filter(|endpoint| endpoint.is_there(shared.hybrid))
        .ok_or(ApiError::NotFound)?;
    let method = http.method().as_str();
    if !endpoint.has(method) {
        return Err(ApiError::MethodNotAllowed);
    }
    if endpoint == Endpoint::Wasm {
        let why = "this endpoint is only available when wasm is enabled";
        return Err(ApiError::BadRequest(why.to_owned()));
    }
    if method == "OPTIONS" {
        return Ok((Answer::Options(endpoint.methods()), None));
    }
    let arguments = request::arguments(http.query_string())?;
    let wait = match endpoint.writes_revisions() && !matches!(method, "GET" | "HEAD") {
        true => Wait::asked(&arguments)?,
        false => None,
    };
    let mut body = Body::None;
    if matches!(method, "POST" | "PUT" | "PATCH") {
        if announced(http).is_some_and(|length| length > shared.max_body) {
            return Err(ApiError::TooLarge);
        }
        let content_type = http.headers().get(header::CONTENT_TYPE);
        // What is no text is no type that could be read.
        let content_type = content_type.map(|value| value.to_str().unwrap_or_default());
        let bytes = read_body(http, payload, shared.max_body).await?;
        let is_config = endpoint == Endpoint::Config;
        if is_config && shared.api.document.is_some() {
            let submission = Submission::of(content_type, &bytes, &arguments)?;
            return Ok((api.load_config(submission).await?, wait));
        }
        body = match content_type {
            Some(kind) if is_config && request::is_yaml(kind) => Body::None,
            kind => request::body(kind, &bytes)?,
        };
    }
    let answer = dispatch(shared, api, endpoint, method, &arguments, body).await?;
    Ok((answer, wait))
}

/// The length that a request announces for its body.
fn announced(http: &HttpRequest) -> Option<usize> {
    let length = http.headers().get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

impl From<NoBody> for ApiError {
    fn from(why: NoBody) -> ApiError {
        match why {
            NoBody::TooLarge => ApiError::TooLarge,
            NoBody::TooSlow => ApiError::TooSlow,
            NoBody::Broken => ApiError::BadRequest("Cannot read the body".to_owned()),
        }
    }
}

async fn dispatch(
    shared: &Shared,
    api: &Api,
    endpoint: Endpoint,
    method: &str,
    arguments: &[(String, String)],
    body: Body,
) -> Result<Answer, ApiError> {
    match endpoint {
        Endpoint::Root => api.root(&shared.node, Work::now(shared)).await,
        Endpoint::Status => {
            let argument = |name| paging::argument(arguments, name);
            let scale = status::Scale::parse(argument("unit")?, argument("scale")?)
                .map_err(|err| ApiError::BadRequest(err.to_string()))?;
            Ok(Answer::Json(
                200,
                status::status_document(&shared.status, scale).await,
            ))
        }
        Endpoint::Metrics => {
            let text = status::metrics_text(&shared.status).await;
            let body = text.map_err(|_| ApiError::Internal)?;
            Ok(Answer::Text {
                content_type: metrics::CONTENT_TYPE,
                body,
            })
        }
        Endpoint::DebugActors => Ok(Answer::Json(200, status::actors(&shared.status).await)),
        Endpoint::Quarantine => Ok(Answer::Json(
            200,
            status::quarantine_document(&shared.status).await,
        )),
        Endpoint::Endpoints => Ok(Api::endpoints(shared.hybrid)),
        Endpoint::OpenApi => {
            let text = shared.openapi.text(&api.env(), shared.hybrid);
            Ok(Answer::Tagged(text.clone()))
        }
        Endpoint::Timers => Ok(Answer::Json(200, Work::now(shared).document())),
        // A control plane answers from its database: there is no cache to look into.
        Endpoint::Cache | Endpoint::CacheEntry if method == "DELETE" => Ok(Answer::NoContent),
        Endpoint::Cache | Endpoint::CacheEntry => Err(ApiError::NotFound),
        Endpoint::ProxyCacheEntry | Endpoint::Wasm => Err(ApiError::NotFound),
        Endpoint::Config => api.show_config().await,
        Endpoint::DnsStatus => Ok(Answer::Json(
            501,
            json!({"message": "not implemented with the legacy DNS client"}),
        )),
        Endpoint::Acme | Endpoint::AcmeCertificates => api.acme().await,
        Endpoint::EnabledPlugins => Ok(api.plugins_enabled()),
        Endpoint::PluginConfigSchema(name) => api.plugin_config_schema(&name),
        Endpoint::EntitySchema(name) => api.entity_schema(&name),
        Endpoint::FilterSchema(name) => Err(ApiError::NotFoundBecause(format!(
            "Filter '{name}' not found"
        ))),
        Endpoint::PluginSchema(name) => api.plugin_schema(&name),
        Endpoint::VaultSchema(name) => api.vault_schema(&name),
        Endpoint::Validate(name) => api.validate(&name, body),
        Endpoint::Tags if method == "POST" => Err(Api::refuse_tags()),
        Endpoint::Tags => api.tags(None, arguments).await,
        Endpoint::Tag(_) if method != "GET" && method != "HEAD" => Err(Api::refuse_tags()),
        Endpoint::Tag(tag) => api.tags(Some(&tag), arguments).await,
        Endpoint::DataPlanes => api.data_planes(arguments).await,
        Endpoint::ClusterStatus => api.cluster_status().await,
        Endpoint::RequestSums => api.request_sums(arguments).await,
        Endpoint::LogLevel => Ok(message(&log_level::show(shared))),
        Endpoint::SetLogLevel(level) => {
            let done = log_level::set(shared, &level, false, arguments, &body).await?;
            Ok(message(&done))
        }
        Endpoint::SetClusterLogLevel { level, .. } => {
            let done = log_level::set(shared, &level, true, arguments, &body).await?;
            Ok(message(&done))
        }
        Endpoint::Entity(kind, _)
            if matches!(method, "GET" | "HEAD")
                && paging::argument(arguments, "status")? == Some("true") =>
        {
            let mut document = match api
                .entity_endpoint(endpoint, method, arguments, body)
                .await?
            {
                Answer::Json(200, document) => document,
                other => return Ok(other),
            };
            let id = document["id"].as_str().unwrap_or_default();
            let fares = status::entity_status(&shared.status, kind.as_str(), id).await;
            document["status"] = fares;
            Ok(Answer::Json(200, document))
        }
        Endpoint::Collection(_)
        | Endpoint::Entity(..)
        | Endpoint::Children { .. }
        | Endpoint::Child { .. }
        | Endpoint::Parent { .. } => api.entity_endpoint(endpoint, method, arguments, body).await,
        Endpoint::Transactions => api.transact(arguments, body).await,
        Endpoint::Revisions => api.revisions(arguments).await,
        Endpoint::Revision(name) => api.changes(&name, arguments).await,
        Endpoint::Rollback(name) => api.roll_back(&name).await,
        Endpoint::AllTargets(key) => api.all_targets(&key, arguments).await,
        Endpoint::UpstreamHealth(key) => {
            let upstreams = shared.status.upstreams.as_deref();
            api.upstream_health(&key, arguments, shared.node.id, upstreams)
                .await
        }
        Endpoint::SetTargetHealth {
            upstream,
            target,
            address,
            healthy,
        } => {
            let target = (upstream.as_str(), target.as_str(), address.as_deref());
            let upstreams = shared.status.upstreams.as_deref();
            api.set_target_health(target, healthy, upstreams).await
        }
    }
}

fn message(text: &str) -> Answer {
    Answer::Json(200, json!({ "message": text }))
}
