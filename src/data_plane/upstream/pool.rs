//! Idle connections to upstreams. Pure: what a connection is and whether it still lives is
//! the caller's knowledge.

use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Connections with equal keys are interchangeable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    pub address: SocketAddr,
    /// The TLS profile and the server name; `None` for plain connections.
    pub tls: Option<(u64, Arc<str>)>,
}

/// How connections are kept; the defaults are Kong's `upstream_keepalive_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Idle connections per key; 0 keeps none.
    pub max_idle: usize,
    pub idle_timeout: Duration,
    /// Requests on one connection before it is closed.
    pub max_requests: u32,
}

impl Default for PoolLimits {
    fn default() -> PoolLimits {
        PoolLimits {
            max_idle: 512,
            idle_timeout: Duration::from_secs(60),
            max_requests: 10_000,
        }
    }
}

/// Idle connections by key, last in, first out: the warmest is used first and the coldest
/// expires.
#[derive(Debug)]
pub struct Pool<C> {
    limits: PoolLimits,
    idle: HashMap<PoolKey, VecDeque<Idle<C>>>,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    since: Instant,
}

impl<C> Pool<C> {
    pub fn new(limits: PoolLimits) -> Pool<C> {
        Pool {
            limits,
            idle: HashMap::new(),
        }
    }

    /// The warmest connection that is still `alive`; dead ones on the way are dropped.
    pub fn take(&mut self, key: &PoolKey, mut alive: impl FnMut(&mut C) -> bool) -> Option<C> {
        let idle = self.idle.get_mut(key)?;
        while let Some(mut found) = idle.pop_back() {
            if alive(&mut found.connection) {
                return Some(found.connection);
            }
        }
        None
    }

    /// Keeps a connection that has served `requests`, or drops it. A full pool drops its
    /// coldest connection instead.
    pub fn put(&mut self, key: PoolKey, connection: C, requests: u32, now: Instant) {
        if self.limits.max_idle == 0 || requests >= self.limits.max_requests {
            return;
        }
        let idle = self.idle.entry(key).or_default();
        if idle.len() >= self.limits.max_idle {
            idle.pop_front();
        }
        idle.push_back(Idle {
            connection,
            since: now,
        });
    }

    /// Drops what has been idle for too long.
    pub fn expire(&mut self, now: Instant) {
        let limit = self.limits.idle_timeout;
        self.idle.retain(|_, idle| {
            while idle
                .front()
                .is_some_and(|oldest| now.duration_since(oldest.since) >= limit)
            {
                idle.pop_front();
            }
            !idle.is_empty()
        });
    }

    /// Idle connections in all pools.
    pub fn len(&self) -> usize {
        self.idle.values().map(VecDeque::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16, tls: Option<(u64, &str)>) -> PoolKey {
        PoolKey {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            tls: tls.map(|(profile, name)| (profile, Arc::from(name))),
        }
    }

    fn limits(max_idle: usize, seconds: u64, max_requests: u32) -> PoolLimits {
        PoolLimits {
            max_idle,
            idle_timeout: Duration::from_secs(seconds),
            max_requests,
        }
    }

    #[test]
    fn last_in_first_out_and_per_key() {
        let mut pool = Pool::new(limits(2, 60, 10));
        let now = Instant::now();
        let keys = [
            key(1, None),
            key(2, None),
            key(1, Some((1, "a"))),
            key(1, Some((2, "a"))),
            key(1, Some((1, "b"))),
        ];
        for (index, key) in keys.iter().enumerate() {
            pool.put(key.clone(), index * 10, 0, now);
            pool.put(key.clone(), index * 10 + 1, 0, now);
        }
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(pool.take(key, |_| true), Some(index * 10 + 1));
            assert_eq!(pool.take(key, |_| true), Some(index * 10));
            assert_eq!(pool.take(key, |_| true), None);
        }
    }

    #[test]
    fn the_coldest_gives_way_and_the_used_up_are_not_kept() {
        let mut pool = Pool::new(limits(2, 60, 10));
        let now = Instant::now();
        for connection in [1, 2, 3] {
            pool.put(key(1, None), connection, 0, now);
        }
        pool.put(key(1, None), 4, 10, now);
        assert_eq!(pool.len(), 2);
        assert_eq!(pool.take(&key(1, None), |_| true), Some(3));
        assert_eq!(pool.take(&key(1, None), |_| true), Some(2));
        let mut none = Pool::new(limits(0, 60, 10));
        none.put(key(1, None), 1, 0, now);
        assert!(none.is_empty());
    }

    #[test]
    fn dead_connections_are_passed_over() {
        let mut pool = Pool::new(limits(9, 60, 10));
        for connection in [1, 2, 3] {
            pool.put(key(1, None), connection, 0, Instant::now());
        }
        assert_eq!(pool.take(&key(1, None), |c| *c == 1), Some(1));
        assert!(pool.is_empty());
    }

    #[test]
    fn idle_connections_expire() {
        let mut pool = Pool::new(limits(9, 60, 10));
        let start = Instant::now();
        pool.put(key(1, None), 1, 0, start);
        pool.put(key(1, None), 2, 0, start + Duration::from_secs(30));
        pool.expire(start + Duration::from_secs(59));
        assert_eq!(pool.len(), 2);
        pool.expire(start + Duration::from_secs(60));
        assert_eq!(pool.take(&key(1, None), |_| true), Some(2));
        pool.expire(start + Duration::from_secs(90));
        assert!(pool.idle.is_empty());
    }
}
