//! What plugins change of the request on its way to the upstream, beside its headers.

use bytes::Bytes;
use std::sync::Arc;

/// The scheme that an upstream is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// How long an upstream may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect_ms: u32,
    pub write_ms: u32,
    pub read_ms: u32,
}

/// `None` everywhere: as the client, the route and the service have it.
#[derive(Debug, Default)]
pub struct UpstreamRequest {
    pub method: Option<Bytes>,
    /// The path, as it is written on the wire; route and service then have no part in it.
    pub path: Option<Vec<u8>>,
    /// The query, without `?`.
    pub query: Option<Vec<u8>>,
    pub body: Option<Vec<u8>>,
    pub scheme: Option<Scheme>,
    /// A host name, an address, or the name of an upstream entity.
    pub host: Option<Arc<str>>,
    pub port: Option<u16>,
    /// Attempts after the first.
    pub retries: Option<u32>,
    pub timeouts: Option<Timeouts>,
}

impl UpstreamRequest {
    /// Nothing is changed; buffers are let go.
    pub fn clear(&mut self) {
        *self = UpstreamRequest::default();
    }
}
