//! One request, as it is remembered: compact, without headers, paths or bodies.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::sync::Arc;
use uuid::Uuid;

/// What telemetry calls a route, a service or a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    pub id: Uuid,
    /// The entity's name; where it has none a route's id, a service's host, a consumer's custom
    /// id.
    pub name: Arc<str>,
}

/// An entity that telemetry has a name for.
pub trait Labelled: Send + Sync {
    fn label(&self) -> &Label;
}

impl Labelled for Label {
    fn label(&self) -> &Label {
        self
    }
}

/// What a record holds: the entity itself, so that a request that ends touches no memory that it
/// has not touched before.
#[derive(Clone)]
pub struct Named(Arc<dyn Labelled>);

impl Named {
    /// Tells two entities apart while both are held.
    pub fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl<T: Labelled + 'static> From<Arc<T>> for Named {
    fn from(entity: Arc<T>) -> Named {
        Named(entity)
    }
}

impl Deref for Named {
    type Target = Label;

    fn deref(&self) -> &Label {
        self.0.label()
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Named) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Who produced the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Source {
    /// The upstream service.
    #[default]
    Service = 0,
    /// The gateway itself: a plugin that ended the request, or an error.
    Gateway = 1,
}

impl Source {
    /// Kong's value of the `source` label.
    pub const fn label(self) -> &'static str {
        match self {
            Source::Service => "service",
            Source::Gateway => "kong",
        }
    }
}

/// The request method; anything unusual is `Other`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    #[default]
    Other = 0,
    Get = 1,
    Head = 2,
    Post = 3,
    Put = 4,
    Patch = 5,
    Delete = 6,
    Options = 7,
    Connect = 8,
    Trace = 9,
}

impl Method {
    pub fn parse(method: &[u8]) -> Method {
        match method {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"PATCH" => Method::Patch,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"CONNECT" => Method::Connect,
            b"TRACE" => Method::Trace,
            _ => Method::Other,
        }
    }
}

/// What of a request is counted for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricChoice {
    /// What the node's settings say.
    #[default]
    Node,
    /// What the plugin prometheus says.
    Of {
        per_consumer: bool,
        status_codes: bool,
        latencies: bool,
        bandwidth: bool,
    },
}

/// One finished request. Filled by a worker at the end of a request and moved, never shared:
/// three reference counts and no allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When the gateway began, epoch milliseconds.
    pub started_at: u64,
    /// `None` when no route matched.
    pub route: Option<Named>,
    /// `None` when no route matched, or one without a service.
    pub service: Option<Named>,
    pub consumer: Option<Named>,
    /// Bytes read from the client: head and body.
    pub request_bytes: u64,
    /// Bytes written to the client: head and body.
    pub response_bytes: u64,
    /// From the first byte of the request to the last of the response, microseconds.
    pub total_us: u32,
    /// Spent in the gateway and its plugins, microseconds.
    pub gateway_us: u32,
    /// From the upstream's connection to the first byte of its response, microseconds;
    /// `None` when no upstream was asked or none answered.
    pub upstream_us: Option<u32>,
    /// The status sent to the client.
    pub status: u16,
    /// The status the upstream answered, 0 for none.
    pub upstream_status: u16,
    pub source: Source,
    pub method: Method,
    pub client_ip: IpAddr,
    /// Of this node alone: it is not sent to a control plane.
    pub metrics: MetricChoice,
}

impl Default for Record {
    fn default() -> Self {
        Record {
            started_at: 0,
            route: None,
            service: None,
            consumer: None,
            request_bytes: 0,
            response_bytes: 0,
            total_us: 0,
            gateway_us: 0,
            upstream_us: None,
            status: 0,
            upstream_status: 0,
            source: Source::default(),
            method: Method::default(),
            client_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            metrics: MetricChoice::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_stays_small() {
        // A worker's ring holds thousands of them, and a push copies one.
        assert!(size_of::<Record>() <= 120, "{} bytes", size_of::<Record>());
    }
}
