//! The response's headers: hop-by-hop rules before the plugins, the gateway's own after them.

use super::hop_by_hop::Named;
use super::request_headers::{PRODUCT, VIA};
use super::settings::ResponseTokens;
use crate::http::{HeaderEdits, HeaderIndex, Reply, ResponseHead, is_named};
use bytes::Bytes;
use std::io::Write;

const VIA_HTTP2: &str = concat!("2 langur/", env!("CARGO_PKG_VERSION"));

/// What the client asked for, as far as the response's connection headers depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    pub trailers: bool,
    pub websocket: bool,
}

/// Removes what concerns the upstream's connection alone.
pub fn clean(head: &ResponseHead, edits: &mut HeaderEdits, asked: Asked) {
    let named = Named::by(&head.headers);
    for (name, value) in head.headers.iter() {
        let dropped = ends_here(name, value, asked) || named.contains(name);
        if !dropped || edits.sets(name) {
            continue;
        }
        if let Ok(name) = std::str::from_utf8(name) {
            edits.remove(name);
        }
    }
}

/// Hop-by-hop headers, and nginx's instructions (`X-Accel-*`), which upstreams of Kong may
/// send and clients never see. Content-Length stays: the driver knows the framing.
fn ends_here(name: &[u8], value: &[u8], asked: Asked) -> bool {
    let is = |known| is_named(name, known);
    match name.len() {
        7 if is("upgrade") => !(asked.websocket && value.eq_ignore_ascii_case(b"websocket")),
        7 if is("trailer") => !asked.trailers,
        10 => is("connection") || is("keep-alive"),
        12 => is("content-type") && value.is_empty(),
        15 => is("x-accel-expires") || is("x-accel-charset"),
        16 => is("x-accel-redirect") || is("proxy-connection"),
        17 => is("x-accel-buffering") || is("transfer-encoding"),
        18 => is("x-accel-limit-rate"),
        _ => false,
    }
}

/// What the gateway adds to a response.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    pub tokens: ResponseTokens,
    pub request_id: &'a str,
    pub timing: Timing,
    /// `nginx_http_charset`.
    pub charset: Option<&'a str>,
    pub status: u16,
}

/// Where the time went, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// The gateway meant to ask an upstream, whether or not it got an answer.
    Proxied {
        proxy: u64,
        upstream: u64,
        /// The status of the last upstream that answered.
        upstream_status: Option<u16>,
        /// The upstream speaks HTTP/2 (gRPC).
        http2: bool,
    },
    /// The gateway answered by itself.
    Made { response: u64 },
}

impl Own<'_> {
    /// Adds the headers; `head` is empty for answers of the gateway itself.
    pub fn write(&self, head: &ResponseHead, edits: &mut HeaderEdits) {
        self.write_charset(head, edits);
        let tokens = &self.tokens;
        match self.timing {
            Timing::Proxied {
                proxy,
                upstream,
                upstream_status,
                http2,
            } => {
                if tokens.upstream_latency {
                    edits.set_number("X-Kong-Upstream-Latency", upstream);
                }
                if tokens.proxy_latency {
                    edits.set_number("X-Kong-Proxy-Latency", proxy);
                }
                if let Some(status) = upstream_status.filter(|_| tokens.upstream_status) {
                    edits.set_number("X-Kong-Upstream-Status", u64::from(status));
                }
                if tokens.via {
                    set_via(head, edits, if http2 { VIA_HTTP2 } else { VIA });
                }
                if tokens.server && edits.get(&head.headers, "server").is_none() {
                    edits.set_legal("Server", PRODUCT.as_bytes());
                }
            }
            Timing::Made { response } => {
                if tokens.response_latency {
                    edits.set_number("X-Kong-Response-Latency", response);
                }
                match tokens.server {
                    true => edits.set_legal("Server", PRODUCT.as_bytes()),
                    false => edits.remove("Server"),
                }
            }
        }
        if tokens.request_id {
            edits.set_legal("X-Kong-Request-Id", self.request_id.as_bytes());
        }
    }

    /// Textual types without a charset get the configured one, as nginx does: not on 301
    /// and 302, and only where the type stands alone.
    fn write_charset(&self, head: &ResponseHead, edits: &mut HeaderEdits) {
        let Some(charset) = self.charset else { return };
        if matches!(self.status, 301 | 302) {
            return;
        }
        let Some(content_type) = edits.get(&head.headers, "content-type") else {
            return;
        };
        if !is_textual(content_type) {
            return;
        }
        let mut text = [0; 64];
        let mut rest = &mut text[..];
        let written = rest
            .write_all(content_type)
            .and_then(|()| write!(rest, "; charset={charset}"));
        if written.is_ok() {
            let unused = rest.len();
            edits.set("Content-Type", &text[..text.len() - unused]);
        }
    }
}

/// Moves a reply's headers into edits; they replace edits of the same names.
pub fn take_headers(reply: &mut Reply, edits: &mut HeaderEdits) {
    for (name, _) in &reply.headers {
        if edits.sets(name.as_bytes()) {
            edits.remove(name);
        }
    }
    for (name, value) in reply.headers.drain(..) {
        edits.add(&name, value);
    }
}

/// Gives a reply the headers that edits hold.
pub fn put_headers(reply: &mut Reply, edits: &HeaderEdits) {
    let none = HeaderIndex::default();
    let lines = edits.apply(&none).map(|(name, value)| {
        let name = String::from_utf8_lossy(name);
        (name.into(), Bytes::copy_from_slice(value))
    });
    reply.headers.extend(lines);
}

/// nginx's default `charset_types`.
fn is_textual(content_type: &[u8]) -> bool {
    [
        "text/html",
        "text/plain",
        "text/xml",
        "text/vnd.wap.wml",
        "application/javascript",
        "application/rss+xml",
    ]
    .iter()
    .any(|textual| content_type.eq_ignore_ascii_case(textual.as_bytes()))
}

fn set_via(head: &ResponseHead, edits: &mut HeaderEdits, own: &str) {
    if edits.get(&head.headers, "via").is_none() {
        return edits.set_legal("Via", own.as_bytes());
    }
    let mut joined = Vec::new();
    for before in edits.get_all(&head.headers, "via") {
        joined.extend_from_slice(before);
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(own.as_bytes());
    edits.set("Via", joined);
}

#[cfg(test)]
#[path = "response_headers_tests.rs"]
mod tests;
