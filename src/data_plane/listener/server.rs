//! Binds the listeners and runs the workers.

use super::http1::connection;
use super::http1::spool::BodyFiles;
use super::http1::worker::{DriverSettings, Phase, Worker};
use super::{proxy_protocol, tls_names};
use crate::data_plane::exchange::socket::keep_alive;
use crate::data_plane::exchange::{Connection, Pipeline, TlsInfo, Upstreams};
use crate::serve;
use crate::settings::Listen;
use crate::telemetry::counters::ConnectionCounters;
use actix_server::ServerHandle as ActixHandle;
use actix_service::fn_service;
use std::any::Any;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How often idle upstream connections are looked at.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// Workers wait for their connections at least this long, in seconds; the deadline of
/// `drain` is what ends them.
const FOREVER: u64 = 365 * 24 * 3600;

#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub listens: Vec<Listen>,
    /// Threads that serve connections; at least one.
    pub workers: usize,
    /// Connections per worker; further ones wait in the backlog.
    pub max_connections: usize,
    pub driver: DriverSettings,
    pub counters: Arc<ConnectionCounters>,
    pub files: Arc<BodyFiles>,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            listens: Vec::new(),
            workers: 1,
            max_connections: 25_600,
            driver: DriverSettings::default(),
            counters: Arc::default(),
            files: Arc::default(),
        }
    }
}

/// Why the server did not start.
#[derive(Debug, Error)]
pub enum ListenError {
    #[error("cannot listen on {address}: {source}")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("{address} is to speak TLS, but there are no certificates")]
    NoCertificates { address: SocketAddr },
    #[error("cannot start the workers: {0}")]
    Workers(io::Error),
}

/// Starts servers; has no state of its own.
pub struct Server;

impl Server {
    /// Binds all addresses, then starts the workers; they serve when this returns. `parts` is called
    /// once on each worker's thread with the worker's number: who decides there, and the worker's way to
    /// upstreams. Must be called within an actix system or a tokio runtime, which runs the server's
    /// coordination.
    pub fn start<P, U, F>(
        config: ServerConfig,
        parts: F,
        tls: Option<rustls::ServerConfig>,
    ) -> Result<ServerHandle, ListenError>
    where
        P: Pipeline,
        U: Upstreams,
        F: Fn(usize) -> (P, U) + Send + Clone + 'static,
    {
        tokio::runtime::Handle::try_current()
            .map_err(|error| ListenError::Workers(io::Error::other(error)))?;
        let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        let (phase, _) = watch::channel(Phase::Running);
        let shared = Shared {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            config: config.clone(),
            parts,
            phase: phase.clone(),
            next_worker: Arc::default(),
        };
        let mut builder = actix_server::Server::build()
            .workers(config.workers.max(1))
            .max_concurrent_connections(config.max_connections)
            .shutdown_timeout(FOREVER)
            .disable_signals();
        let mut addresses = Vec::new();
        for listen in &config.listens {
            let address = listen.address();
            let acceptor = match (listen.ssl, &acceptor) {
                (false, _) => None,
                (true, Some(acceptor)) => Some(acceptor.clone()),
                (true, None) => return Err(ListenError::NoCertificates { address }),
            };
            if listen.http2 {
                tracing::debug!(%address, "http2 is not offered yet");
            }
            let bound = listen.bind().and_then(|socket| {
                if listen.so_keepalive.is_none() {
                    // Inherited by what is accepted: a tunnel whose client has vanished ends
                    // even where its service's timeouts are long.
                    keep_alive(&socket)?;
                }
                Ok((socket.local_addr()?, socket))
            });
            let (address, socket) =
                bound.map_err(|source| ListenError::Bind { address, source })?;
            addresses.push(address);
            let shared = shared.clone();
            let proxied = listen.proxy_protocol;
            let service = move || {
                let (worker, acceptor) = (shared.worker(), acceptor.clone());
                fn_service(move |socket: TcpStream| {
                    let accepted = accept(worker.clone(), acceptor.clone(), proxied, socket);
                    async move {
                        accepted.await;
                        Ok::<(), ()>(())
                    }
                })
            };
            builder = builder
                .listen(address.to_string(), socket, service)
                .map_err(ListenError::Workers)?;
        }
        let mut server = builder.run();
        serve::begin(&mut server).map_err(ListenError::Workers)?;
        let inner = server.handle();
        let (running, ended) = watch::channel(());
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "listener ended");
            }
            drop(running);
        });
        Ok(ServerHandle {
            inner,
            phase,
            ended,
            addresses,
            counters: config.counters,
            files: config.files,
        })
    }
}

/// A running server.
#[derive(Clone)]
pub struct ServerHandle {
    inner: ActixHandle,
    phase: watch::Sender<Phase>,
    /// Closed when the server has ended.
    ended: watch::Receiver<()>,
    addresses: Vec<SocketAddr>,
    counters: Arc<ConnectionCounters>,
    files: Arc<BodyFiles>,
}

impl ServerHandle {
    /// The addresses that are listened on, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub fn counters(&self) -> &Arc<ConnectionCounters> {
        &self.counters
    }

    /// The files of bodies that are too large for memory.
    pub fn files(&self) -> &Arc<BodyFiles> {
        &self.files
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the server has ended: drained, stopped, or failed (which is logged).
    pub async fn ended(&self) {
        while self.ended.clone().changed().await.is_ok() {}
    }

    /// Stops accepting at once, closes idle connections, lets requests in flight finish with
    /// `Connection: close`, and drops what is left after `deadline`. Says whether nothing
    /// was dropped.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.enter(Phase::Draining);
        let mut stopped = std::pin::pin!(self.inner.stop(true));
        if tokio::time::timeout(deadline, stopped.as_mut())
            .await
            .is_ok()
        {
            return true;
        }
        self.enter(Phase::Stopped);
        stopped.await;
        false
    }

    /// Stops accepting and drops all connections.
    pub async fn stop(&self) {
        self.enter(Phase::Stopped);
        self.inner.stop(false).await;
    }

    /// Phases only go on, never back.
    fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }
}

/// Tells the servers of a process apart.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Tells the connections of a process apart.
static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The worker state of this thread's server, shared by the services of all addresses.
    static WORKER: RefCell<Option<(u64, Rc<dyn Any>)>> = const { RefCell::new(None) };
}

/// What every worker is made from.
#[derive(Clone)]
struct Shared<F> {
    id: u64,
    config: ServerConfig,
    parts: F,
    phase: watch::Sender<Phase>,
    next_worker: Arc<AtomicU64>,
}

impl<F> Shared<F> {
    /// The worker of this thread; the first service makes it.
    fn worker<P: Pipeline, U: Upstreams>(&self) -> Rc<Worker<P, U>>
    where
        F: Fn(usize) -> (P, U),
    {
        let found = WORKER.with_borrow(|found| match found {
            Some((id, worker)) if *id == self.id => worker.clone().downcast().ok(),
            _ => None,
        });
        if let Some(worker) = found {
            return worker;
        }
        let index = self.next_worker.fetch_add(1, Ordering::Relaxed) as usize;
        let (pipeline, upstreams) = (self.parts)(index);
        let worker = Rc::new(Worker::new(
            pipeline,
            upstreams,
            self.config.driver.clone(),
            self.config.counters.clone(),
            self.config.files.clone(),
        ));
        tokio::task::spawn_local(worker.deadlines.clone().sweep());
        tokio::task::spawn_local(expire(worker.clone()));
        tokio::task::spawn_local(follow(worker.clone(), self.phase.subscribe()));
        WORKER.replace(Some((self.id, worker.clone())));
        worker
    }
}

/// Closes idle upstream connections in time.
async fn expire<P: Pipeline, U: Upstreams>(worker: Rc<Worker<P, U>>) {
    let mut interval = tokio::time::interval(EXPIRY_INTERVAL);
    loop {
        interval.tick().await;
        worker.upstreams.expire();
    }
}

/// Tells the worker of each new phase.
async fn follow<P: Pipeline, U: Upstreams>(
    worker: Rc<Worker<P, U>>,
    mut phases: watch::Receiver<Phase>,
) {
    loop {
        let phase = *phases.borrow_and_update();
        worker.enter(phase);
        if phases.changed().await.is_err() {
            return;
        }
    }
}

/// Serves an accepted socket, until its end or the worker's. Where it is `proxied`, it begins
/// with a header of the PROXY protocol.
async fn accept<P: Pipeline, U: Upstreams>(
    worker: Rc<Worker<P, U>>,
    acceptor: Option<TlsAcceptor>,
    proxied: bool,
    mut socket: TcpStream,
) {
    worker.counters.accept();
    let (Ok(peer), Ok(local)) = (socket.peer_addr(), socket.local_addr()) else {
        return;
    };
    let _ = socket.set_nodelay(true);
    let mut connection = Connection {
        peer,
        local,
        client: None,
        tls: None,
        number: NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed),
    };
    let deadline = worker.deadlines.deadline();
    let limit = worker.settings.header_timeout;
    let shared = worker.clone();
    let serving = async {
        if proxied {
            let waiting = shared.deadlines.deadline();
            let header = proxy_protocol::read(&mut socket);
            match waiting.bound(limit, header).await {
                Ok(Ok(client)) => connection.client = client,
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "connection refused");
                    return;
                }
                Err(_) => return,
            }
        }
        let Some(acceptor) = acceptor else {
            return connection::serve(shared, socket, connection).await;
        };
        let handshake = shared.deadlines.deadline();
        let stream = match handshake.bound(limit, acceptor.accept(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "tls handshake failed");
                return;
            }
            Err(_) => return,
        };
        let session = stream.get_ref().1;
        let (name, suite) = (session.server_name(), session.negotiated_cipher_suite());
        connection.tls = Some(TlsInfo {
            sni: name.map(|name| Arc::from(name.to_ascii_lowercase())),
            protocol: session.protocol_version().and_then(tls_names::protocol),
            cipher: suite.and_then(|suite| tls_names::cipher(suite.suite())),
        });
        connection::serve(shared, stream, connection).await;
    };
    let mut serving = std::pin::pin!(serving);
    poll_fn(|cx| {
        if worker.phase() == Phase::Stopped {
            return Poll::Ready(());
        }
        // Never armed: it lets the worker wake this task whatever it waits for.
        let _ = deadline.poll_elapsed(cx);
        serving.as_mut().poll(cx)
    })
    .await;
}
