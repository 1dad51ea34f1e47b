//! Names to addresses, for what plugins connect to.

use rand::seq::SliceRandom;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Addresses of a name; the port is that of the name's SRV record or else the one that was asked with.
pub type Addresses = Pin<Box<dyn Future<Output = Vec<SocketAddr>> + Send>>;

/// What resolves names; a data plane has its own.
pub trait ResolveNames: Send + Sync {
    /// The addresses of a name that is no IP address; none when it has none.
    fn resolve(&self, name: Arc<str>, port: u16) -> Addresses;
}

/// The resolver that plugins use. Clones share it.
#[derive(Clone)]
pub struct Names(Arc<dyn ResolveNames>);

impl Names {
    pub fn new(resolver: impl ResolveNames + 'static) -> Names {
        Names(Arc::new(resolver))
    }

    /// The addresses of a host in random order, which spreads the load. An IP address, also IPv6 in brackets, is its
    /// own answer.
    ///
    /// # Errors
    /// It has none.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let mut found = self.0.resolve(host.to_ascii_lowercase().into(), port).await;
        if found.is_empty() {
            let message = format!("the name '{host}' has no address");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        found.shuffle(&mut rand::rng());
        Ok(found)
    }

    /// A connection to the first address of a host that takes one; `limit` is for each of them.
    ///
    /// # Errors
    /// None does.
    pub async fn connect(&self, host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
        let mut failed = None;
        for address in self.resolve(host, port).await? {
            match tokio::time::timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(io::ErrorKind::TimedOut.into()),
            }
        }
        // There is at least one address.
        Err(failed.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

/// The system's resolver, where there is no data plane: configurations that are only looked at, and tests.
struct System;

impl ResolveNames for System {
    fn resolve(&self, name: Arc<str>, port: u16) -> Addresses {
        Box::pin(async move {
            let found = tokio::net::lookup_host((&*name, port)).await;
            found.map(Iterator::collect).unwrap_or_default()
        })
    }
}

impl Default for Names {
    fn default() -> Names {
        Names::new(System)
    }
}
