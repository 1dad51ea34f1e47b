//! Connections to upstreams: pool, resolve, TLS.
