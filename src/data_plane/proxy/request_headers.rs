//! The request head for the upstream. Performance critical: no allocation per header.

use super::facts::{Client, write_plain_host};
use super::hop_by_hop::{Named, accepts_trailers};
use crate::http::{HeaderEdits, RequestHead, Version, is_named, write};

pub use crate::http::PRODUCT;

/// What this gateway appends to `Via`.
pub const VIA: &str = concat!("1.1 langur/", env!("CARGO_PKG_VERSION"));

/// Everything a request head for the upstream is made of.
pub struct UpstreamHead<'a> {
    pub head: &'a RequestHead,
    /// The client's, or the one that a plugin has put in its place.
    pub method: &'a [u8],
    /// The plugins' edits.
    pub edits: &'a HeaderEdits,
    pub client: &'a Client,
    /// The text of the client's address.
    pub client_ip: &'a [u8],
    /// Path and query.
    pub uri: &'a [u8],
    pub host: &'a [u8],
    /// The part of the path that the route stripped; empty when none was.
    pub stripped_prefix: &'a [u8],
    pub websocket: bool,
    /// `None` when the setting keeps it from upstreams: the client's own then passes.
    pub request_id: Option<&'a str>,
}

impl UpstreamHead<'_> {
    /// Appends request line and header lines, without body framing and the blank line.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method);
        out.push(b' ');
        out.extend_from_slice(self.uri);
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend_from_slice(self.host);
        out.extend_from_slice(match self.websocket {
            true => b"\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n".as_slice(),
            false => b"\r\nConnection: keep-alive\r\n",
        });
        self.write_forwarded(out);
        self.write_via(out);
        if let Some(id) = self.request_id {
            line(out, "X-Kong-Request-Id", id.as_bytes());
        }
        if accepts_trailers(&self.head.headers) {
            line(out, "TE", b"trailers");
        }
        self.write_rest(out);
    }

    fn write_forwarded(&self, out: &mut Vec<u8>) {
        let (head, client) = (self.head, self.client);
        out.extend_from_slice(b"X-Forwarded-For: ");
        let before = head.headers.get("x-forwarded-for");
        match before.filter(|value| !value.is_empty()) {
            Some(before) => {
                out.extend_from_slice(before);
                out.extend_from_slice(b", ");
                write::ip(out, client.peer.ip());
            }
            None => out.extend_from_slice(self.client_ip),
        }
        out.extend_from_slice(b"\r\n");
        line(out, "X-Forwarded-Proto", client.effective_scheme(head));
        match client.claimed(head, "x-forwarded-host") {
            Some(host) => line(out, "X-Forwarded-Host", host),
            None if head
                .headers
                .get("host")
                .is_some_and(|host| !host.is_empty()) =>
            {
                out.extend_from_slice(b"X-Forwarded-Host: ");
                write_plain_host(head, out);
                out.extend_from_slice(b"\r\n");
            }
            None => {}
        }
        match client.claimed(head, "x-forwarded-port") {
            Some(port) => line(out, "X-Forwarded-Port", port),
            None => {
                out.extend_from_slice(b"X-Forwarded-Port: ");
                write::decimal(out, u64::from(client.port));
                out.extend_from_slice(b"\r\n");
            }
        }
        let path = client.claimed(head, "x-forwarded-path");
        line(out, "X-Forwarded-Path", path.unwrap_or(head.path()));
        match client.claimed(head, "x-forwarded-prefix") {
            Some(prefix) => line(out, "X-Forwarded-Prefix", prefix),
            None if self.stripped_prefix.is_empty() || self.stripped_prefix == b"/" => {}
            None => {
                // Decoded text: control bytes that a client encoded in the path stay encoded.
                out.extend_from_slice(b"X-Forwarded-Prefix: ");
                write::header_value(out, self.stripped_prefix);
                out.extend_from_slice(b"\r\n");
            }
        }
        line(out, "X-Real-IP", self.client_ip);
    }

    fn write_via(&self, out: &mut Vec<u8>) {
        if self.head.version == Version::Http11 && self.head.headers.get("via").is_none() {
            return line(out, "Via", VIA.as_bytes());
        }
        out.extend_from_slice(b"Via: ");
        for before in self.head.headers.get_all("via") {
            out.extend_from_slice(before);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(match self.head.version {
            Version::Http10 => b"1 ".as_slice(),
            Version::Http11 => b"1.1 ",
            Version::Http2 => b"2 ",
        });
        out.extend_from_slice(PRODUCT.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// The client's headers and the plugins' edits, without those written above. What the
    /// client's Connection names goes, but never what a plugin has set.
    fn write_rest(&self, out: &mut Vec<u8>) {
        let named = Named::by(&self.head.headers);
        let own_id = self.request_id.is_some();
        self.edits.write(&self.head.headers, out, |name| {
            if is_written_by_us(name, own_id) {
                return true;
            }
            named.contains(name) && !self.edits.sets(name)
        });
    }
}

#[inline]
fn line(out: &mut Vec<u8>, name: &'static str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Headers that we write ourselves, the driver writes (framing), or that end here.
fn is_written_by_us(name: &[u8], request_id: bool) -> bool {
    let is = |known| is_named(name, known);
    match name.len() {
        2 => is("te"),
        3 => is("via"),
        4 => is("host"),
        5 => is("proxy"),
        6 => is("expect"),
        7 => is("upgrade"),
        9 => is("x-real-ip"),
        10 => is("connection") || is("keep-alive"),
        14 => is("content-length"),
        15 => is("x-forwarded-for"),
        16 => {
            is("x-forwarded-host")
                || is("x-forwarded-port")
                || is("x-forwarded-path")
                || is("proxy-connection")
        }
        17 => {
            is("transfer-encoding")
                || is("x-forwarded-proto")
                || (request_id && is("x-kong-request-id"))
        }
        18 => is("x-forwarded-prefix"),
        _ => false,
    }
}

#[cfg(test)]
#[path = "request_headers_tests.rs"]
mod tests;
