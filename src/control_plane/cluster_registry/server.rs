//! The cluster listeners: links over mutual TLS. A peer without the right certificate is refused
//! inside the handshake; everything but the two endpoints is 404.

use super::{ClusterRegistry, SessionStarted};
use crate::actor::Slot;
use crate::control_plane::session::{Feed, Identity, Session, SessionId};
use crate::control_plane::telemetry::Ingestor;
use crate::link::{self, Link, MemoryEnd};
use crate::node::{Node, NodeError};
use crate::serve::{self, Running, Site};
use crate::settings::Listen;
use crate::tls;
use crate::wire;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::http::header;
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use rustls::ServerConfig;
use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpStream;
use uuid::Uuid;

/// What a connection's certificate says.
#[derive(Clone, Copy)]
struct PeerCertificate {
    expiry: Option<i64>,
}

/// Makes sessions of links.
#[derive(Clone)]
pub struct LinkAcceptor {
    pub feed: Arc<Feed>,
    pub identity: Identity,
    pub registry: Slot<ClusterRegistry>,
    pub next: Arc<AtomicU64>,
}

impl LinkAcceptor {
    /// Starts the session of a link, on the current arbiter.
    async fn accept(&self, link: Link, ip: IpAddr, certificate_expiry: Option<i64>) {
        // While it is being restarted its next life is waited for; the data plane gives up by itself.
        let Some(registry) = self.registry.started().await else {
            return;
        };
        let id = SessionId(self.next.fetch_add(1, Ordering::Relaxed));
        let feed = Arc::clone(&self.feed);
        let (identity, events) = (self.identity.clone(), registry.clone().recipient());
        let session = Session::start_on(link, id, identity, feed, events);
        let started = SessionStarted {
            id,
            session,
            ip,
            certificate_expiry,
        };
        // Waits for room; a registry that ends meanwhile takes its sessions with it.
        let _ = registry.send(started).await;
    }

    /// Takes a link from the same process, on the current arbiter.
    pub async fn accept_in_memory(&self, end: MemoryEnd) {
        self.accept(end.into(), IpAddr::V4(Ipv4Addr::LOCALHOST), None)
            .await;
    }
}

/// Serves telemetry links.
#[derive(Clone)]
pub struct TelemetryAcceptor {
    pub ingestor: Arc<Ingestor>,
}

impl TelemetryAcceptor {
    /// Serves a link until it ends.
    pub async fn serve(&self, link: Link, node_id: Uuid) {
        match self.ingestor.serve(link, node_id).await {
            Ok(()) => tracing::debug!(%node_id, "telemetry link closed"),
            Err(err) => tracing::info!(%node_id, %err, "telemetry link ended"),
        }
    }
}

/// The running cluster listeners.
pub struct ClusterListeners {
    configuration: Option<Running>,
    telemetry: Option<Running>,
}

impl ClusterListeners {
    /// Opens `cluster_listen` and `cluster_telemetry_listen`.
    ///
    /// # Errors
    /// An address is taken, or the cluster certificate cannot be used.
    pub fn open(
        node: &Node,
        links: LinkAcceptor,
        telemetry: TelemetryAcceptor,
    ) -> Result<ClusterListeners, NodeError> {
        let settings = &node.settings;
        let identity = settings
            .cluster
            .identity()?
            .ok_or(NodeError::NoClusterCertificate)?;
        let trust = settings.cluster.trust_of_control_plane()?;
        let tls = tls::cluster_server_config(&identity, &trust)?;
        let limit = settings.cluster.max_payload;
        let open = |setting, listens: &[Listen], configure: Configure| {
            open(node, setting, listens, &tls, configure)
        };
        let (links, telemetry) = (Data::new((links, limit)), Data::new((telemetry, limit)));
        Ok(ClusterListeners {
            configuration: open(
                "cluster_listen",
                &settings.listeners.cluster,
                Arc::new(move |config| {
                    config
                        .app_data(links.clone())
                        .route(wire::CONFIG_PATH, web::get().to(configuration))
                        .default_service(web::to(elsewhere));
                }),
            )?,
            telemetry: open(
                "cluster_telemetry_listen",
                &settings.listeners.cluster_telemetry,
                Arc::new(move |config| {
                    config
                        .app_data(telemetry.clone())
                        .route(wire::TELEMETRY_PATH, web::get().to(telemetry_link))
                        .default_service(web::to(elsewhere));
                }),
            )?,
        })
    }

    /// Closes both; their links are told by the registry.
    pub async fn stop(&self) {
        for server in [&self.configuration, &self.telemetry].into_iter().flatten() {
            server.stop(false).await;
        }
    }
}

type Configure = Arc<dyn Fn(&mut web::ServiceConfig) + Send + Sync>;

fn open(
    node: &Node,
    setting: &'static str,
    listens: &[Listen],
    tls: &ServerConfig,
    configure: Configure,
) -> Result<Option<Running>, NodeError> {
    if listens.is_empty() {
        return Ok(None);
    }
    // The cluster speaks TLS whether the setting says so or not.
    let listens: Vec<_> = listens
        .iter()
        .map(|listen| Listen {
            ssl: true,
            ..listen.clone()
        })
        .collect();
    let site = Site {
        on_connect: remember_certificate,
        ..node.site(setting, &listens, Some(tls.clone()))
    };
    Ok(Some(serve::serve(site, move |config: &mut _| {
        configure(config)
    })?))
}

/// The certificate was verified in the handshake; here only its expiry is read.
fn remember_certificate(connection: &dyn Any, extensions: &mut Extensions) {
    if let Some(stream) = connection.downcast_ref::<TlsStream<TcpStream>>() {
        let certificates = stream.get_ref().1.peer_certificates();
        let expiry = certificates
            .and_then(|chain| chain.first())
            .and_then(tls::expiry);
        extensions.insert(PeerCertificate { expiry });
    }
}

fn peer_ip(request: &HttpRequest) -> IpAddr {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    request.peer_addr().map_or(unknown, |address| address.ip())
}

async fn configuration(
    acceptor: Data<(LinkAcceptor, usize)>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, actix_web::Error> {
    let (acceptor, limit) = acceptor.get_ref();
    let (response, link) = link::accept(&request, body, wire::SUBPROTOCOL, *limit)?;
    let expiry = request
        .conn_data::<PeerCertificate>()
        .and_then(|peer| peer.expiry);
    acceptor.accept(link, peer_ip(&request), expiry).await;
    Ok(response)
}

/// Who is here, for `langur doctor`: only a peer with the right certificate gets this far.
async fn elsewhere() -> HttpResponse {
    let server = concat!("langur/", env!("CARGO_PKG_VERSION"));
    HttpResponse::NotFound()
        .insert_header((header::SERVER, server))
        .finish()
}

#[derive(serde::Deserialize)]
struct TelemetryQuery {
    node_id: Uuid,
}

async fn telemetry_link(
    acceptor: Data<(TelemetryAcceptor, usize)>,
    query: web::Query<TelemetryQuery>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, actix_web::Error> {
    let limit = acceptor.1;
    let (response, link) = link::accept(&request, body, wire::SUBPROTOCOL, limit)?;
    actix_rt::spawn(async move { acceptor.0.serve(link, query.node_id).await });
    Ok(response)
}
