//! Starts an actix-web server on the listens of a setting: the Admin API, the status API and
//! the cluster listeners. (The proxy's own sockets are `data_plane::listener`'s.)
//!
//! `access_log` writes their lines, `beginning` starts their workers, `browser` is what pages may do
//! there, `patience` how long clients may take.

mod access_log;
mod beginning;
pub mod browser;
pub mod patience;

pub use beginning::begin;

use crate::access_log::AccessLog;
use crate::settings::{Listen, Pages, Patience};
use crate::telemetry::counters::ConnectionCounters;
use access_log::{Logged, LoggedConnection, Logging};
use actix_web::dev::{Extensions, ServerHandle, Service};
use actix_web::http::StatusCode;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer};
use patience::{Sent, Watched};
use rustls::ServerConfig;
use std::any::Any;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{setting}: cannot listen on {address}: {source}")]
    Bind {
        setting: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("{setting}: {reason}")]
    Tls {
        setting: &'static str,
        reason: String,
    },
    #[error("{setting}: cannot start the workers: {source}")]
    Workers {
        setting: &'static str,
        source: std::io::Error,
    },
}

/// What is served where.
pub struct Site<'a> {
    /// The key that the listens come from; errors and logs name it.
    pub setting: &'static str,
    pub listens: &'a [Listen],
    /// For the listens with `ssl`.
    pub tls: Option<ServerConfig>,
    pub workers: usize,
    /// How long requests may still take at a graceful stop.
    pub drain: Duration,
    /// Sees every new connection before its first request.
    pub on_connect: fn(&dyn Any, &mut Extensions),
    /// Counts connections and requests.
    pub counters: Arc<ConnectionCounters>,
    /// Whose pages may use it.
    pub pages: Pages,
    pub patience: Patience,
    /// Where its requests are logged, if anywhere.
    pub access_log: Option<AccessLog>,
}

/// A running server.
#[derive(Clone)]
pub struct Running {
    /// `None` where there is nothing to listen on.
    handle: Option<ServerHandle>,
    /// Where it listens; with the port that the system chose for port 0.
    pub addresses: Vec<SocketAddr>,
}

impl Running {
    /// Stops; graceful lets requests in flight finish, for as long as the site allows.
    pub async fn stop(&self, graceful: bool) {
        if let Some(handle) = &self.handle {
            handle.stop(graceful).await;
        }
    }
}

/// Nothing to see.
pub fn ignore_connections(_: &dyn Any, _: &mut Extensions) {}

/// Opens a listening socket.
///
/// # Errors
/// [`ServeError::Bind`], which names setting and address.
pub fn bind(setting: &'static str, listen: &Listen) -> Result<TcpListener, ServeError> {
    listen.bind().map_err(|source| ServeError::Bind {
        setting,
        address: listen.address(),
        source,
    })
}

/// Starts a server on its own worker threads; it runs until it is stopped. A site without listens
/// (the setting is `off`) serves nobody.
///
/// # Errors
/// See [`ServeError`].
pub fn serve<F>(site: Site<'_>, configure: F) -> Result<Running, ServeError>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    if site.listens.is_empty() {
        return Ok(Running {
            handle: None,
            addresses: Vec::new(),
        });
    }
    let (counters, requests) = (Arc::clone(&site.counters), site.counters);
    let (on_connect, patience) = (site.on_connect, site.patience);
    let (log, is_logged) = (site.access_log.clone(), site.access_log.is_some());
    let shared = (Data::new(site.pages), Data::new(patience));
    let app = move || {
        let requests = Arc::clone(&requests);
        // Called once on each worker's thread.
        let lane = log.as_ref().map(|log| Rc::new(log.lane()));
        App::new()
            .app_data(shared.0.clone())
            .app_data(shared.1.clone())
            .wrap_fn(move |request, service| {
                let requests = Arc::clone(&requests);
                let logging = Logging::begin(&lane);
                let answering = request.conn_data::<Watched>().map(Watched::answering);
                let serving = service.call(request);
                async move {
                    let _serving = requests.serving_request();
                    let answer = serving.await?;
                    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
                        && let Some(watched) = answer.request().conn_data::<Watched>()
                    {
                        watched.let_go();
                    }
                    let request = answer.request().clone();
                    Ok(answer.map_body(|head, body| {
                        let body = Sent::new(body, answering);
                        Logged::new(body, logging, &request, (head.status, head.headers()))
                    }))
                }
            })
            .configure(configure.clone())
    };
    let mut server = HttpServer::new(app)
        .workers(site.workers)
        .disable_signals()
        .shutdown_timeout(site.drain.as_secs())
        .client_request_timeout(patience.head)
        .on_connect(move |connection, extensions| {
            counters.accept();
            // Dropped with the connection.
            extensions.insert(counters.open());
            Watched::remember(patience, connection, extensions);
            if is_logged {
                extensions.insert(LoggedConnection::of(connection));
            }
            on_connect(connection, extensions);
        });
    for listen in site.listens {
        let socket = bind(site.setting, listen)?;
        let failed = |source| ServeError::Bind {
            setting: site.setting,
            address: listen.address(),
            source,
        };
        server = match (&site.tls, listen.ssl) {
            (Some(tls), true) => server
                .listen_rustls_0_23(socket, tls.clone())
                .map_err(failed)?,
            (None, true) => {
                return Err(ServeError::Tls {
                    setting: site.setting,
                    reason: "ssl without a certificate".to_owned(),
                });
            }
            (_, false) => server.listen(socket).map_err(failed)?,
        };
    }
    let addresses = server.addrs();
    let mut server = server.run();
    begin(&mut server).map_err(|source| ServeError::Workers {
        setting: site.setting,
        source,
    })?;
    for address in &addresses {
        tracing::info!(setting = site.setting, %address, "listening");
    }
    let handle = server.handle();
    actix_rt::spawn(async move {
        if let Err(err) = server.await {
            tracing::error!(%err, "a server ended");
        }
    });
    Ok(Running {
        handle: Some(handle),
        addresses,
    })
}
