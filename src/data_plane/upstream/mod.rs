//! The way to upstreams: a pool of connections, name resolution, TLS, and the codec of each protocol (`http1`).
//!
//! One `UpstreamClient` per worker; nothing here is shared between threads.

mod http1;
mod pool;
mod resolve;
mod stream;
mod tls;

pub use http1::Http1Stream;
pub use pool::{Pool, PoolKey, PoolLimits};
pub use resolve::Resolver;
pub use stream::Stream;
pub use tls::{Trust, client_config};

use crate::data_plane::dns::Dns;
use crate::data_plane::exchange::{
    Attempt, AttemptError, Contact, Deadline, Elapsed, UpstreamTls, Upstreams,
};
use crate::http::parse::Limits;
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::Instant;

/// What is the same for all upstreams; the defaults are Kong's.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamSettings {
    pub pool: PoolLimits,
    /// Response heads.
    pub response_head: Limits,
}

impl Default for UpstreamSettings {
    fn default() -> UpstreamSettings {
        UpstreamSettings {
            pool: PoolLimits::default(),
            response_head: Limits::whole(32 * 1024),
        }
    }
}

/// A worker's way to its upstreams.
pub struct UpstreamClient {
    pool: RefCell<Pool<Pooled>>,
    resolver: Resolver,
    response_head: Limits,
}

#[derive(Debug)]
struct Pooled {
    stream: Stream,
    requests: u32,
}

/// What a connection in use is pooled by.
#[derive(Debug)]
struct ConnectionKey {
    key: PoolKey,
    /// Requests on the connection, with the one under way.
    requests: u32,
}

impl UpstreamClient {
    pub fn new(settings: UpstreamSettings, dns: Dns) -> UpstreamClient {
        UpstreamClient {
            pool: RefCell::new(Pool::new(settings.pool)),
            resolver: Resolver::new(dns),
            response_head: settings.response_head,
        }
    }

    async fn take(&self, key: &PoolKey) -> Option<Pooled> {
        poll_fn(|cx| {
            let mut pool = self.pool.borrow_mut();
            Poll::Ready(pool.take(key, |idle| idle.stream.is_alive(cx)))
        })
        .await
    }
}

impl Upstreams for UpstreamClient {
    type Stream = Http1Stream;

    async fn connect(
        &self,
        attempt: &Attempt,
        deadline: &Deadline,
        may_reuse: bool,
        contact: &mut Contact,
    ) -> Result<Http1Stream, AttemptError> {
        let limit = attempt.connect_timeout;
        let target = &attempt.address;
        let address = match target.ip {
            Some(ip) => SocketAddr::new(ip, target.port),
            None => deadline
                .bound(limit, self.resolver.resolve(&target.host, target.port))
                .await
                .ok()
                .flatten()
                .ok_or(AttemptError::Resolve)?,
        };
        contact.address = Some(address);
        let profile = |tls: &Arc<UpstreamTls>| (tls.profile, tls.server_name.clone());
        let key = PoolKey {
            address,
            tls: attempt.tls.as_ref().map(profile),
        };
        if may_reuse && let Some(idle) = self.take(&key).await {
            let requests = idle.requests + 1;
            let key = ConnectionKey { key, requests };
            let stream = Http1Stream::new(idle.stream, key, true, self.response_head);
            return Ok(stream);
        }
        let connecting = Stream::connect(address, attempt.tls.as_deref());
        let stream = deadline
            .bound(limit, connecting)
            .await
            .map_err(|Elapsed| AttemptError::ConnectTimeout)?
            .map_err(|error| {
                tracing::debug!(%address, %error, "upstream connection failed");
                contact.error = Some(error);
                AttemptError::Connect
            })?;
        let key = ConnectionKey { key, requests: 1 };
        Ok(Http1Stream::new(stream, key, false, self.response_head))
    }

    fn release(&self, stream: Http1Stream) {
        let Some((ConnectionKey { key, requests }, stream)) = stream.into_idle() else {
            return;
        };
        let pooled = Pooled { stream, requests };
        self.pool
            .borrow_mut()
            .put(key, pooled, requests, Instant::now());
    }

    fn expire(&self) {
        self.pool.borrow_mut().expire(Instant::now());
    }
}
