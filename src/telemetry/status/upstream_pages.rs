//! `/upstreams/{u}/…` on the status listener of nodes that serve traffic: the health that the
//! Admin API of a control plane cannot know.

use super::api::{Arguments, argument, json_response, not_found, other_method};
use super::upstreams::{TargetDocuments, health_page};
use super::{StatusContext, Upstreams};
use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, Query, ServiceConfig};
use serde_json::{Value, json};

const METHODS: &str = "GET, HEAD, OPTIONS";

/// The pages below `/upstreams`.
pub fn configure(config: &mut ServiceConfig) {
    let page = |path: &str| {
        web::resource([path.to_owned(), format!("{path}/")])
            .default_service(web::to(|request| other_method(request, METHODS)))
    };
    config
        .service(
            page("/upstreams/{upstream}/health")
                .get(health)
                .route(web::head().to(health)),
        )
        .service(
            page("/upstreams/{upstream}/targets")
                .get(targets)
                .route(web::head().to(targets)),
        )
        .service(
            page("/upstreams/{upstream}/targets/all")
                .get(targets)
                .route(web::head().to(targets)),
        )
        .service(
            page("/upstreams/{upstream}/targets/{target}")
                .get(target)
                .route(web::head().to(target)),
        );
}

/// The targets of an upstream, if this node balances over it.
async fn documents<'a>(
    context: &'a StatusContext,
    upstream: &str,
) -> Option<(&'a dyn Upstreams, TargetDocuments)> {
    let upstreams = context.upstreams.as_deref()?;
    let documents = upstreams.targets(upstream.to_owned()).await?;
    Some((upstreams, documents))
}

async fn health(
    context: Data<StatusContext>,
    upstream: Path<String>,
    query: Query<Arguments>,
) -> HttpResponse {
    let Some((upstreams, documents)) = documents(&context, &upstream).await else {
        return not_found().await;
    };
    let known = upstreams.upstream(documents.upstream, 0).await;
    let of_balancer = argument(&query, "balancer_health") == Some("1");
    let node = context.identity.node_id;
    let page = health_page(documents.targets, known.as_ref(), of_balancer, node);
    json_response(HttpResponse::Ok(), &page)
}

async fn targets(context: Data<StatusContext>, upstream: Path<String>) -> HttpResponse {
    match documents(&context, &upstream).await {
        None => not_found().await,
        Some((_, documents)) => {
            let page = json!({"data": documents.targets, "next": null});
            json_response(HttpResponse::Ok(), &page)
        }
    }
}

async fn target(context: Data<StatusContext>, path: Path<(String, String)>) -> HttpResponse {
    let (upstream, key) = path.into_inner();
    let found = documents(&context, &upstream).await;
    let targets = found.map(|(_, documents)| documents.targets);
    let is = |target: &Value, field: &str| target[field].as_str() == Some(&*key);
    let mut targets = targets.into_iter().flatten();
    match targets.find(|target| is(target, "id") || is(target, "target")) {
        None => not_found().await,
        Some(target) => json_response(HttpResponse::Ok(), &target),
    }
}
