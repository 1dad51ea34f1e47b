//! Listening sockets and what TLS connections on them are accepted with.

use rustls::server::ResolvesServerCert;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// The backlog where none is set.
const DEFAULT_BACKLOG: u32 = 16_384;

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Port 0 lets the system choose; see `ServerHandle::addresses`.
    pub address: SocketAddr,
    pub tls: bool,
    /// Accepted and, for now, without effect: HTTP/1.1 is spoken.
    pub http2: bool,
    pub reuseport: bool,
    /// Connections that may wait to be accepted.
    pub backlog: Option<u32>,
}

pub fn bind(listen: &Listen) -> io::Result<TcpListener> {
    let domain = Domain::for_address(listen.address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if listen.reuseport {
        socket.set_reuse_port(true)?;
    }
    if listen.address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&listen.address.into())?;
    let backlog = listen.backlog.unwrap_or(DEFAULT_BACKLOG);
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// TLS 1.2 and 1.3 with session tickets; certificates by name, clients are not asked for one.
pub fn acceptor(certificates: Arc<dyn ResolvesServerCert>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
