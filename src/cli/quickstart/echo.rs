//! A small upstream that answers with what it saw.

use crate::cli::start::StartError;
use crate::node::NodeError;
use crate::serve::{self, Running, Site};
use crate::settings::parse_listen;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Starts it.
///
/// # Errors
/// The address is taken.
pub fn serve(address: SocketAddr) -> Result<Running, StartError> {
    let listens = parse_listen(&[address.to_string()]).map_err(NodeError::Setting)?;
    let site = Site {
        setting: "--echo-port",
        listens: &listens,
        tls: None,
        workers: 1,
        drain: Duration::from_secs(1),
        on_connect: serve::ignore_connections,
        counters: Default::default(),
    };
    let running = serve::serve(site, |config: &mut web::ServiceConfig| {
        config.default_service(web::to(echo));
    });
    Ok(running.map_err(NodeError::from)?)
}

async fn echo(request: HttpRequest, body: Bytes) -> HttpResponse {
    let headers: Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), Value::String(text))
        })
        .collect();
    HttpResponse::Ok().json(json!({
        "method": request.method().as_str(),
        "path": request.uri().to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}
