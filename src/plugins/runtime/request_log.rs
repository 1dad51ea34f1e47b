//! What became of a request: what plugins of phase `log` and the access log tell.

use crate::http::{HeaderEdits, HeaderIndex};
use std::net::SocketAddr;
use std::sync::Arc;

/// One attempt to reach an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// `None` where the name has no address.
    pub address: Option<SocketAddr>,
    /// When the address was chosen: milliseconds since the epoch.
    pub started_at: u64,
    /// How long the choice took, in microseconds.
    pub balancer_us: u64,
    /// From the choice to the response head or the failure, in microseconds.
    pub took_us: u64,
    /// The status of the response; 0 when none came.
    pub status: u16,
    /// Why no response came, in words that a log may show.
    pub failure: Option<&'static str>,
    /// It failed because something took too long.
    pub timed_out: bool,
    /// From the choice to the connection, in microseconds; known where the access log asks for it.
    pub connect_us: Option<u64>,
    /// The status that such a failure gives a request; 0 when there was none.
    pub failure_status: u16,
}

/// Who made the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseSource {
    Upstream,
    /// The gateway, a plugin's answer included.
    Gateway,
}

/// A part of the gateway's own work on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The look for a route.
    Router,
    Rewrite,
    Access,
    HeaderFilter,
}

/// When a part of the work was done; kept where the setting `tracing_instrumentations` asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTime {
    pub part: Part,
    /// Of phases: whose it is.
    pub plugin: Option<Arc<str>>,
    /// Microseconds since the request's head was there.
    pub from_us: u64,
    pub to_us: u64,
}

/// The headers of a response as they were sent, without those that frame its body.
#[derive(Clone, Debug, Default)]
pub struct SentHeaders {
    lines: HeaderEdits,
    none: HeaderIndex,
}

impl SentHeaders {
    pub fn clear(&mut self) {
        self.lines.clear();
    }

    /// Keeps these lines in place of those before.
    pub fn fill<'a>(&mut self, lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        self.clear();
        for (name, value) in lines {
            self.push(name, value);
        }
    }

    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        if let Ok(name) = std::str::from_utf8(name) {
            self.lines.add(name, value);
        }
    }

    /// Names as they were written, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.apply(&self.none)
    }

    /// The first value of a header.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.lines.get(&self.none, name)
    }
}

/// How a response was framed, as its client was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentFraming {
    /// The value of Content-Length.
    pub content_length: Option<u64>,
    /// Transfer-Encoding was `chunked`.
    pub chunked: bool,
    /// The value of Connection; `None` when no response has begun.
    pub connection: Option<&'static str>,
}

/// The end of a request. What it was, its [`Context`](super::Context) says.
#[derive(Clone, Copy, Debug)]
pub struct RequestLog<'a> {
    /// Milliseconds since the epoch.
    pub started_at: u64,
    /// From the request's head to the last byte, in microseconds.
    pub total_us: u64,
    /// From the request's head to the choice of the last address; of an answer of the gateway's own
    /// the whole time until it was ready. In microseconds.
    pub gateway_us: u64,
    /// From the choice of the last address to the response head, in microseconds.
    pub upstream_us: Option<u64>,
    /// The same also where the gateway answered in the upstream's place.
    pub waited_us: Option<u64>,
    /// From the response head to the last byte, in microseconds.
    pub receive_us: Option<u64>,
    /// Bytes read from the client, head and body.
    pub request_bytes: u64,
    /// Bytes written to the client, head and body.
    pub response_bytes: u64,
    /// What the client was told; 499 when it went away before.
    pub status: u16,
    /// Zero when no upstream answered.
    pub upstream_status: u16,
    pub source: ResponseSource,
    /// The client went away before the response was complete.
    pub client_closed: bool,
    /// Path and query that the upstream was asked for. Where none was, the path that would have been asked
    /// for; empty without a route.
    pub upstream_uri: &'a [u8],
    /// The Host that the upstream was told.
    pub upstream_host: &'a [u8],
    pub tries: &'a [Try],
    /// In the order in which they were done.
    pub parts: &'a [PartTime],
    pub headers: &'a SentHeaders,
    pub framing: SentFraming,
}

impl RequestLog<'_> {
    /// When the last byte was sent: milliseconds since the epoch.
    pub fn ended_at(&self) -> u64 {
        self.started_at + self.total_us / 1000
    }

    /// Milliseconds that the gateway itself took.
    pub fn gateway_ms(&self) -> u64 {
        self.gateway_us / 1000
    }

    /// Milliseconds that an upstream was waited for; -1 where none was.
    pub fn waited_ms(&self) -> i64 {
        let waited = self.waited_us.map(|time| i64::try_from(time / 1000));
        waited.map_or(-1, |time| time.unwrap_or(i64::MAX))
    }
}
