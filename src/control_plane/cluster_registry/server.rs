//! The cluster listeners: links over mutual TLS. A peer without the right certificate is refused
//! inside the handshake; everything but the two endpoints is 404. `cluster_listen` has both, so
//! that one port is enough; `cluster_telemetry_listen` has that of telemetry alone.

use super::doors::{Doors, LinkKind, Refusal};
use super::identity::{Identities, Vouched};
use super::{ClusterRegistry, SessionStarted};
use crate::actor::Slot;
use crate::control_plane::session::{Feed, Identity, Session, SessionId};
use crate::control_plane::telemetry::Ingestor;
use crate::link::{self, Allowance, Link, MemoryEnd, Socket, Terms};
use crate::node::{Node, NodeError};
use crate::serve::{self, Running, Site};
use crate::settings::{ClusterMtls, Listen};
use crate::telemetry::batch::MAX_FRAME_BYTES;
use crate::tls;
use crate::wire::{self, NodeSecret};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::http::header;
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use rustls::ServerConfig;
use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::TcpStream;
use uuid::Uuid;

/// A telemetry link on which nothing is heard for so long is closed: a data plane pings every
/// 15 s. One of an earlier version does not, and connects anew.
const TELEMETRY_SILENCE: Duration = Duration::from_secs(90);
/// Seconds after which a data plane that found no room should try again.
const FULL_RETRY: u32 = 30;
/// The same for one that comes before the configuration is read.
const READING_RETRY: u32 = 1;

/// What is known of a connection.
struct Peer {
    /// Epoch seconds at which its certificate expires.
    expiry: Option<i64>,
    /// Dropped with the connection.
    socket: Option<Arc<Socket>>,
    vouched: Vouched,
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
    async fn accept(
        &self,
        link: Link,
        ip: IpAddr,
        certificate_expiry: Option<i64>,
        vouched: Vouched,
    ) {
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
            vouched,
        };
        // Waits for room; a registry that ends meanwhile takes its sessions with it.
        let _ = registry.send(started).await;
    }

    /// Takes a link from the same process, on the current arbiter.
    pub async fn accept_in_memory(&self, end: MemoryEnd) {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.accept(end.into(), ip, None, Vouched::Process).await;
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

/// What the endpoints work with.
struct Entrance {
    links: LinkAcceptor,
    telemetry: TelemetryAcceptor,
    doors: Arc<Doors>,
    identities: Arc<Identities>,
    /// Whether certificates name nodes: one that all share does not.
    named: bool,
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
        doors: Arc<Doors>,
        identities: Arc<Identities>,
    ) -> Result<ClusterListeners, NodeError> {
        let settings = &node.settings;
        let identity = settings
            .cluster
            .identity()?
            .ok_or(NodeError::NoClusterCertificate)?;
        let trust = settings.cluster.trust_of_control_plane()?;
        let tls = tls::cluster_server_config(&identity, &trust)?;
        let entrance = Data::new(Entrance {
            links,
            telemetry,
            doors,
            identities,
            named: settings.cluster.mtls == ClusterMtls::Pki,
        });
        let open = |setting, listens: &[Listen], configuration: bool| {
            let entrance = entrance.clone();
            let configure: Configure = Arc::new(move |config| {
                config.app_data(entrance.clone());
                if configuration {
                    config.route(wire::CONFIG_PATH, web::get().to(configuration_link));
                }
                config
                    .route(wire::TELEMETRY_PATH, web::get().to(telemetry_link))
                    .default_service(web::to(elsewhere));
            });
            open(node, setting, listens, &tls, configure)
        };
        Ok(ClusterListeners {
            configuration: open("cluster_listen", &settings.listeners.cluster, true)?,
            telemetry: open(
                "cluster_telemetry_listen",
                &settings.listeners.cluster_telemetry,
                false,
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
        on_connect: remember_peer,
        ..node.site(setting, &listens, Some(tls.clone()))
    };
    Ok(Some(serve::serve(site, move |config: &mut _| {
        configure(config)
    })?))
}

/// The certificate was verified in the handshake; here it is only read.
fn remember_peer(connection: &dyn Any, extensions: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TlsStream<TcpStream>>() else {
        return;
    };
    let (socket, tls) = stream.get_ref();
    if let Err(error) = link::watch_peer(socket) {
        tracing::debug!(%error, "keepalive is not available");
    }
    let certificate = tls.peer_certificates().and_then(|chain| chain.first());
    extensions.insert(Peer {
        expiry: certificate.and_then(tls::expiry),
        socket: Socket::of(socket).ok().map(Arc::new),
        vouched: certificate
            .and_then(tls::node_id)
            .map_or(Vouched::Nobody, Vouched::Certificate),
    });
}

impl Entrance {
    /// Who vouches for the node at the other end of a request's connection.
    fn vouched(&self, request: &HttpRequest) -> Vouched {
        let peer = request.conn_data::<Peer>().filter(|_| self.named);
        peer.map_or(Vouched::Nobody, |peer| peer.vouched)
    }
}

/// How to end the connection of a request.
fn socket_of(request: &HttpRequest) -> Weak<Socket> {
    let peer = request.conn_data::<Peer>();
    let socket = peer.and_then(|peer| peer.socket.as_ref());
    socket.map(Arc::downgrade).unwrap_or_default()
}

fn peer_ip(request: &HttpRequest) -> IpAddr {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    request.peer_addr().map_or(unknown, |address| address.ip())
}

async fn configuration_link(
    entrance: Data<Entrance>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, actix_web::Error> {
    let ip = peer_ip(&request);
    if !entrance.links.feed.is_read() {
        return Ok(not_yet(LinkKind::Configuration, ip));
    }
    let doors = &entrance.doors;
    let places = doors.enter(LinkKind::Configuration);
    let places = places.and_then(|place| Ok((place, doors.greet(ip)?)));
    let (place, stranger) = match places {
        Ok(places) => places,
        Err(why) => return Ok(no_room(LinkKind::Configuration, why, ip)),
    };
    let terms = Terms {
        subprotocol: wire::SUBPROTOCOL,
        allowance: Allowance::greeting(stranger),
        // The session knows when its peer is silent.
        silence: None,
        socket: socket_of(&request),
        held: Box::new(place),
    };
    let (response, link) = link::accept(&request, body, terms).await?;
    let expiry = request.conn_data::<Peer>().and_then(|peer| peer.expiry);
    let vouched = entrance.vouched(&request);
    entrance.links.accept(link, ip, expiry, vouched).await;
    Ok(response)
}

/// The configuration is still being read: a data plane would be told that there is none, and what
/// telemetry names would not be known.
fn not_yet(link: LinkKind, ip: IpAddr) -> HttpResponse {
    let link = link.as_str();
    tracing::info!(link, %ip, "a link was refused: the configuration is still being read");
    HttpResponse::ServiceUnavailable()
        .insert_header((header::RETRY_AFTER, READING_RETRY))
        .finish()
}

fn no_room(link: LinkKind, why: Refusal, ip: IpAddr) -> HttpResponse {
    let (link, why) = (link.as_str(), why.as_str());
    tracing::warn!(link, why, %ip, "a link was refused: there are too many");
    HttpResponse::ServiceUnavailable()
        .insert_header((header::RETRY_AFTER, FULL_RETRY))
        .finish()
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
    entrance: Data<Entrance>,
    query: web::Query<TelemetryQuery>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, actix_web::Error> {
    if !entrance.links.feed.is_read() {
        return Ok(not_yet(LinkKind::Telemetry, peer_ip(&request)));
    }
    let place = match entrance.doors.enter(LinkKind::Telemetry) {
        Ok(place) => place,
        Err(why) => return Ok(no_room(LinkKind::Telemetry, why, peer_ip(&request))),
    };
    let (node, ip) = (query.node_id, peer_ip(&request));
    let vouched = entrance.vouched(&request);
    let shown = request.headers().get(NodeSecret::HEADER);
    let shown = shown.and_then(|value| NodeSecret::from_hex(value.to_str().ok()?));
    let shown = shown.as_ref().map(NodeSecret::hash);
    let examined = entrance.identities.of_telemetry(node, vouched, shown).await;
    if let Err(why) = examined {
        tracing::warn!(%node, %ip, why, "a telemetry link was refused: it is not that of the node it names");
        entrance
            .doors
            .refused(LinkKind::Telemetry, Refusal::Identity);
        return Ok(HttpResponse::Forbidden().body(why));
    }
    let terms = Terms {
        subprotocol: wire::SUBPROTOCOL,
        allowance: Allowance::known(MAX_FRAME_BYTES),
        silence: Some(TELEMETRY_SILENCE),
        socket: socket_of(&request),
        held: Box::new(place),
    };
    let (response, link) = link::accept(&request, body, terms).await?;
    let acceptor = entrance.telemetry.clone();
    actix_rt::spawn(async move { acceptor.serve(link, query.node_id).await });
    Ok(response)
}
