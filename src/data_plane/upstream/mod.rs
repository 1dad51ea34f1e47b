//! Connections to upstreams: pool, resolve, TLS.
//!
//! One `Client` per worker; nothing here is shared between threads.

mod pool;
mod resolve;
mod stream;
mod tls;

pub use pool::{Pool, PoolKey, PoolLimits};
pub use resolve::Resolver;
pub use stream::{Stream, keep_alive};
pub use tls::{Trust, client_config};

use crate::data_plane::exchange::{Attempt, AttemptError, Contact, Deadline, Elapsed, UpstreamTls};
use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::Instant;

/// A worker's way to its upstreams.
pub struct Client {
    pool: RefCell<Pool<Pooled>>,
    resolver: Resolver,
}

#[derive(Debug)]
struct Pooled {
    stream: Stream,
    requests: u32,
}

/// A connection in use. Dropping it closes it; `Client::release` keeps it for the next.
#[derive(Debug)]
pub struct UpstreamConnection {
    pub stream: Stream,
    /// It has carried requests before: it may turn out to be closed by the upstream.
    pub reused: bool,
    key: PoolKey,
    requests: u32,
}

impl Client {
    pub fn new(limits: PoolLimits, resolver: Resolver) -> Client {
        Client {
            pool: RefCell::new(Pool::new(limits)),
            resolver,
        }
    }

    /// A connection to the attempt's address: an idle one if `may_reuse` and there is one,
    /// else a new one, made within the attempt's `connect_timeout` (name resolution, TCP
    /// and TLS handshake each). `contact` tells how far it came.
    pub async fn connect(
        &self,
        attempt: &Attempt,
        deadline: &Deadline,
        may_reuse: bool,
        contact: &mut Contact,
    ) -> Result<UpstreamConnection, AttemptError> {
        let limit = attempt.connect_timeout;
        let target = &attempt.address;
        let address = deadline
            .bound(limit, self.resolver.resolve(&target.host, target.port))
            .await
            .ok()
            .flatten()
            .ok_or(AttemptError::Resolve)?;
        contact.address = Some(address);
        let profile = |tls: &Arc<UpstreamTls>| (tls.profile, tls.server_name.clone());
        let key = PoolKey {
            address,
            tls: attempt.tls.as_ref().map(profile),
        };
        if may_reuse && let Some(idle) = self.take(&key).await {
            return Ok(UpstreamConnection {
                stream: idle.stream,
                reused: true,
                key,
                requests: idle.requests + 1,
            });
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
        Ok(UpstreamConnection {
            stream,
            reused: false,
            key,
            requests: 1,
        })
    }

    /// Keeps a connection whose last response was read to its end.
    pub fn release(&self, connection: UpstreamConnection) {
        let UpstreamConnection {
            stream,
            key,
            requests,
            ..
        } = connection;
        let pooled = Pooled { stream, requests };
        self.pool
            .borrow_mut()
            .put(key, pooled, requests, Instant::now());
    }

    /// Closes idle connections whose time is over.
    pub fn expire(&self) {
        self.pool.borrow_mut().expire(Instant::now());
    }

    /// Idle connections now.
    pub fn idle(&self) -> usize {
        self.pool.borrow().len()
    }

    async fn take(&self, key: &PoolKey) -> Option<Pooled> {
        poll_fn(|cx| {
            let mut pool = self.pool.borrow_mut();
            Poll::Ready(pool.take(key, |idle| idle.stream.is_alive(cx)))
        })
        .await
    }
}
