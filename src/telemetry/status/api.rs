//! The HTTP side of the status API, for the status listener and parts of the admin listener.

use super::{NodeStatus, Scale, Upstreams, upstream_pages};
use crate::actor::Registry;
use crate::serve::browser::{Grant, Refused};
use crate::serve::patience::{NoBody, read_body};
use crate::settings::Pages;
use crate::telemetry::counters::ConnectionCounters;
use crate::telemetry::metrics::{
    CONTENT_TYPE, MetricOptions, Metrics, NodeIdentity, set_node_gauges,
};
use crate::telemetry::process::ProcessStats;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::BlockingError;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, Payload, Query, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long one actor may take to answer `/debug/actors`.
const PATIENCE: Duration = Duration::from_secs(1);

/// A status request body is `status=draining` in one form or another.
const MAX_BODY_BYTES: usize = 1024;

const LATENCY: HeaderName = HeaderName::from_static("x-kong-admin-latency");

/// What the status API shows.
pub struct StatusContext {
    pub identity: NodeIdentity,
    pub counters: Arc<ConnectionCounters>,
    pub metrics: Arc<Metrics>,
    pub metric_options: MetricOptions,
    pub actors: Registry,
    pub node: Arc<dyn NodeStatus>,
    /// `None` on a node that serves no traffic.
    pub upstreams: Option<Arc<dyn Upstreams>>,
    /// Set by `POST /status/ready` and never cleared: a draining node is about to end.
    pub draining: AtomicBool,
}

/// The whole status API, for an application that serves nothing else.
pub fn configure(context: Data<StatusContext>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let api = web::scope("")
            .app_data(context)
            .wrap(from_fn(common_headers))
            .service(
                web::resource(["/status", "/status/"])
                    .get(status)
                    .route(web::head().to(status))
                    .default_service(web::to(|req| other_method(req, "GET, HEAD, OPTIONS"))),
            )
            .service(
                web::resource(["/status/ready", "/status/ready/"])
                    .get(ready)
                    .route(web::head().to(ready))
                    .post(set_ready)
                    .default_service(web::to(|req| other_method(req, "GET, HEAD, OPTIONS, POST"))),
            )
            .service(
                web::resource(["/metrics", "/metrics/"])
                    .get(metrics)
                    .route(web::head().to(metrics))
                    .default_service(web::to(|req| other_method(req, "GET, HEAD, OPTIONS"))),
            )
            .service(
                web::resource(["/debug/actors", "/debug/actors/"])
                    .get(debug_actors)
                    .route(web::head().to(debug_actors))
                    .default_service(web::to(|req| other_method(req, "GET, HEAD, OPTIONS"))),
            )
            .service(
                web::resource("/quarantine")
                    .get(quarantine)
                    .route(web::head().to(quarantine))
                    .default_service(web::to(|req| other_method(req, "GET, HEAD, OPTIONS"))),
            )
            .configure(upstream_pages::configure)
            .default_service(web::to(not_found));
        config.service(api);
    }
}

/// The document of `GET /status`; `scale` is how it writes amounts of memory.
pub async fn status_document(context: &StatusContext, scale: Scale) -> Value {
    let state = context.node.state().await;
    let mut document = memory_and_connections(context, scale);
    match state.database_reachable {
        Some(reachable) => document["database"] = json!({ "reachable": reachable }),
        None => {
            let hash = state.configuration_hash.unwrap_or_else(|| "0".repeat(32));
            document["configuration_hash"] = Value::from(hash);
        }
    }
    // Said only when it is so: it is no part of Kong's document.
    if let Some(error) = state.telemetry_trouble {
        document["telemetry"] = json!({ "connected": false, "error": error });
    }
    document
}

/// The part of `GET /status` that every node has. There is one process and no Lua: the one
/// entry of `workers_lua_vms` is its resident memory, and there are no shared dictionaries.
pub fn memory_and_connections(context: &StatusContext, scale: Scale) -> Value {
    let now = context.counters.read();
    let resident = ProcessStats::read().resident_bytes.unwrap_or_default();
    json!({
        "memory": {
            "workers_lua_vms": [{
                "pid": std::process::id(),
                "http_allocated_gc": scale.write(resident),
            }],
            "lua_shared_dicts": {},
        },
        "server": {
            "connections_accepted": now.accepted,
            "connections_active": now.active,
            "connections_handled": now.handled,
            "connections_reading": now.reading,
            "connections_waiting": now.waiting,
            "connections_writing": now.writing,
            "total_requests": now.requests,
        },
    })
}

/// The text of `GET /metrics`. With many routes it has hundreds of thousands of lines, so it
/// is printed on the blocking pool.
///
/// # Errors
/// The process is ending.
pub async fn metrics_text(context: &Data<StatusContext>) -> Result<String, BlockingError> {
    context.node.before_scrape().await;
    let state = context.node.state().await;
    let context = context.clone();
    web::block(move || {
        let connections = context.counters.read();
        let process = ProcessStats::read();
        context.metrics.scrape(|gauges| {
            set_node_gauges(
                gauges,
                &context.identity,
                &context.metric_options,
                &connections,
                &process,
                &state,
            );
        })
    })
    .await
}

/// The document of `GET /quarantine`: what is not in effect as configured, on which node, and
/// why.
pub async fn quarantine_document(context: &StatusContext) -> Value {
    let data = context.node.quarantine().await;
    json!({ "total": data.len(), "data": data })
}

/// An entry of that document: what is quarantined, and where.
#[must_use]
pub fn on_node(mut entry: Value, id: Uuid, hostname: &str) -> Value {
    entry["node"] = json!({ "id": id, "hostname": hostname });
    entry
}

/// How one entity fares, for its own page: whether it is in effect as configured on every node
/// that this one knows of, and where not, and why.
pub async fn entity_status(context: &StatusContext, entity: &str, id: &str) -> Value {
    let mut held = context.node.quarantine().await;
    held.retain(|entry| entry["entity"] == entity && entry["id"] == id);
    json!({ "in_effect": held.is_empty(), "quarantined": held })
}

/// The document of `GET /debug/actors`.
pub async fn actors(context: &StatusContext) -> Value {
    context.actors.observe(PATIENCE).await
}

/// The arguments of a query or form in order; nothing is an error here.
pub(super) type Arguments = Vec<(String, String)>;

/// The first argument of a name.
pub(super) fn argument<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    let found = arguments.iter().find(|(found, _)| found == name);
    found.map(|(_, value)| value.as_str())
}

async fn status(context: Data<StatusContext>, query: Query<Arguments>) -> HttpResponse {
    let (unit, scale) = (argument(&query, "unit"), argument(&query, "scale"));
    match Scale::parse(unit, scale) {
        Ok(scale) => json_response(HttpResponse::Ok(), &status_document(&context, scale).await),
        Err(err) => message(HttpResponse::BadRequest(), &err.to_string()),
    }
}

async fn ready(context: Data<StatusContext>) -> HttpResponse {
    if context.draining.load(Ordering::Relaxed) {
        return message(HttpResponse::ServiceUnavailable(), "draining");
    }
    match context.node.state().await.readiness() {
        Ok(()) => message(HttpResponse::Ok(), "ready"),
        Err(reason) => {
            tracing::info!(reason, "not ready for proxying");
            message(HttpResponse::ServiceUnavailable(), &reason)
        }
    }
}

/// `status=draining` as a query argument, a form or JSON.
async fn set_ready(
    context: Data<StatusContext>,
    request: HttpRequest,
    query: Query<Arguments>,
    payload: Payload,
) -> HttpResponse {
    let body = match read_body(&request, payload, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(why) => return no_body(why),
    };
    let is_json = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let in_body = match is_json {
        true => serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|document| document.get("status")?.as_str().map(str::to_owned)),
        false => std::str::from_utf8(&body)
            .ok()
            .and_then(|form| Query::<Arguments>::from_query(form).ok())
            .and_then(|form| argument(&form, "status").map(str::to_owned)),
    };
    let wanted = in_body.as_deref().or_else(|| argument(&query, "status"));
    if wanted != Some("draining") {
        return message(
            HttpResponse::BadRequest(),
            "invalid status (expected 'draining')",
        );
    }
    context.draining.store(true, Ordering::Relaxed);
    tracing::info!("draining, not ready from now on");
    HttpResponse::NoContent().finish()
}

fn no_body(why: NoBody) -> HttpResponse {
    match why {
        NoBody::TooLarge => message(HttpResponse::PayloadTooLarge(), "Payload too large"),
        NoBody::Broken => message(HttpResponse::BadRequest(), "Cannot read the body"),
        NoBody::TooSlow => {
            let mut answer = HttpResponse::RequestTimeout();
            answer.force_close();
            message(answer, "The request body did not arrive in time")
        }
    }
}

async fn metrics(context: Data<StatusContext>) -> HttpResponse {
    match metrics_text(&context).await {
        Ok(text) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        Err(err) => message(HttpResponse::ServiceUnavailable(), &err.to_string()),
    }
}

async fn quarantine(context: Data<StatusContext>) -> HttpResponse {
    json_response(HttpResponse::Ok(), &quarantine_document(&context).await)
}

async fn debug_actors(context: Data<StatusContext>) -> HttpResponse {
    json_response(HttpResponse::Ok(), &actors(&context).await)
}

pub(super) async fn not_found() -> HttpResponse {
    message(HttpResponse::NotFound(), "Not found")
}

/// `OPTIONS` says what is allowed; everything else is not.
pub(super) async fn other_method(request: HttpRequest, allowed: &'static str) -> HttpResponse {
    if request.method() != actix_web::http::Method::OPTIONS {
        return message(HttpResponse::MethodNotAllowed(), "Method not allowed");
    }
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((header::ALLOW, allowed));
    if judge(&request) != Ok(Grant::Nobody) {
        answer
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, allowed))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type"));
    }
    answer.finish()
}

fn message(response: actix_web::HttpResponseBuilder, text: &str) -> HttpResponse {
    json_response(response, &json!({ "message": text }))
}

pub(super) fn json_response(
    mut response: actix_web::HttpResponseBuilder,
    document: &Value,
) -> HttpResponse {
    response
        .content_type("application/json; charset=utf-8")
        .body(document.to_string())
}

/// Whether a request is answered, and who may see that.
fn judge(request: &HttpRequest) -> Result<Grant, Refused> {
    match request.app_data::<Data<Pages>>() {
        Some(pages) => pages.judge(request),
        None => Pages::default().judge(request),
    }
}

/// The headers of every answer, as Kong's; the product token is our own.
async fn common_headers(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    const SERVER: HeaderValue =
        HeaderValue::from_static(concat!("langur/", env!("CARGO_PKG_VERSION")));
    let begun = Instant::now();
    let judged = judge(request.request());
    let grant = judged.as_ref().map_or(Grant::Nobody, Grant::clone);
    let mut response = match judged {
        Ok(_) => next.call(request).await?.map_into_boxed_body(),
        Err(refused) => {
            let answer = message(HttpResponse::Forbidden(), &refused.to_string());
            request.into_response(answer)
        }
    };
    let headers = response.headers_mut();
    grant.insert_headers(headers);
    headers.insert(header::SERVER, SERVER);
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    headers.insert(LATENCY, HeaderValue::from(ms));
    Ok(response)
}

#[cfg(test)]
mod tests;
