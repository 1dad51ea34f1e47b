//! `langur echo`: a small upstream that answers with what it saw. The quickstart and the
//! composition send their traffic to it.

use super::CliError;
use super::start::{self, Signals, StartError, Stop};
use crate::node::NodeError;
use crate::serve::{self, Running, Site};
use crate::settings::{Pages, Patience, parse_listen};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where it listens.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9080")]
    listen: SocketAddr,
}

/// Serves until the process is told to stop.
pub fn command(args: &Args) -> Result<(), CliError> {
    start::block_on(run(args.listen))?;
    Ok(())
}

async fn run(address: SocketAddr) -> Result<(), StartError> {
    let mut signals = Signals::catch()?;
    let running = serve("--listen", address)?;
    for address in &running.addresses {
        println!("echo upstream: http://{address}");
    }
    running.stop(signals.next().await == Stop::Drain).await;
    Ok(())
}

/// Starts it; `flag` is where the address comes from, for the error.
///
/// # Errors
/// The address is taken.
pub(super) fn serve(flag: &'static str, address: SocketAddr) -> Result<Running, StartError> {
    let listens = parse_listen(&[address.to_string()]).map_err(NodeError::Setting)?;
    let site = Site {
        setting: flag,
        listens: &listens,
        tls: None,
        workers: 1,
        drain: Duration::from_secs(1),
        on_connect: serve::ignore_connections,
        counters: Default::default(),
        pages: Pages::default(),
        patience: Patience::default(),
        access_log: None,
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
