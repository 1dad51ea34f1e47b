//! What the router and the header rules want to know of a request.

use super::settings::ProxySettings;
use super::trusted::RealIpSource;
use crate::data_plane::exchange::Connection;
use crate::data_plane::router::{HeaderLookup, same_header};
use crate::http::{HeaderIndex, RequestHead, host_without_port};
use crate::tls::TlsSession;
use std::net::SocketAddr;

/// Request headers for the router.
pub struct RouterHeaders<'a> {
    pub headers: &'a HeaderIndex,
    /// So many are read (`lua_max_req_headers`); more are still forwarded.
    pub most: usize,
}

impl HeaderLookup for RouterHeaders<'_> {
    fn any_value(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.headers
            .iter()
            .take(self.most)
            .any(|(found, value)| same_header(found, name) && test(value))
    }
}

/// Who the client is, and what it may claim.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The other end of the TCP connection.
    pub peer: SocketAddr,
    /// The client after real-ip processing.
    pub address: SocketAddr,
    /// The peer's forwarded headers are believed.
    pub trusted: bool,
    /// The connection is TLS.
    pub https: bool,
    pub tls: Option<TlsSession>,
    pub local: SocketAddr,
    /// The listener's port after `port_maps`.
    pub port: u16,
}

impl Client {
    pub fn of(connection: &Connection, head: &RequestHead, settings: &ProxySettings) -> Client {
        let canonical = |address: SocketAddr| match address.ip().to_canonical() {
            ip if ip == address.ip() => address,
            ip => SocketAddr::new(ip, address.port()),
        };
        let peer = canonical(connection.peer);
        let local = canonical(connection.local);
        let trusted = settings.trust.trusts(peer.ip());
        Client {
            peer,
            address: match (trusted, connection.client) {
                (true, Some(client)) if settings.trust.source == RealIpSource::ProxyProtocol => {
                    canonical(client)
                }
                (true, _) => settings.trust.client_of(peer, &head.headers),
                (false, _) => peer,
            },
            trusted,
            https: connection.tls.is_some(),
            tls: connection.tls.as_ref().map(|tls| TlsSession {
                version: tls.protocol.unwrap_or_default(),
                cipher: tls.cipher.unwrap_or_default(),
            }),
            local,
            port: settings.visible_port(local.port()),
        }
    }

    /// A forwarded header, when the peer may say so and did.
    pub fn claimed<'a>(&self, head: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
        let value = self.trusted.then(|| head.headers.get(name)).flatten();
        value.filter(|value| !value.is_empty())
    }

    /// The scheme that the client used, as far as a trusted peer tells.
    pub fn effective_scheme<'a>(&self, head: &'a RequestHead) -> &'a [u8] {
        let claimed = self.claimed(head, "x-forwarded-proto");
        claimed.unwrap_or(match self.https {
            true => b"https",
            false => b"http",
        })
    }
}

/// The Host as it came; empty when there is none.
pub fn raw_host(head: &RequestHead) -> &[u8] {
    head.headers.get("host").unwrap_or_default()
}

/// Appends the host in lower case, without port and without a final dot.
pub fn write_plain_host(head: &RequestHead, out: &mut Vec<u8>) {
    let host = host_without_port(raw_host(head));
    let host = host.strip_suffix(b".").unwrap_or(host);
    let start = out.len();
    out.extend_from_slice(host);
    out[start..].make_ascii_lowercase();
}

#[cfg(test)]
mod tests {
    use super::super::testing::{connection, request_head};
    use super::super::trusted::Trust;
    use super::*;

    #[test]
    fn only_trusted_peers_claim() {
        let head =
            request_head("GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 9.9.9.9\r\n");
        let mut settings = ProxySettings::default();
        let client = Client::of(&connection(), &head, &settings);
        assert_eq!(client.address.ip().to_string(), "127.0.0.1");
        assert_eq!(client.effective_scheme(&head), b"http");
        assert_eq!(client.claimed(&head, "x-forwarded-proto"), None);
        settings.trust = Trust {
            proxies: vec!["127.0.0.1".parse().expect("an address")],
            ..Trust::default()
        };
        let client = Client::of(&connection(), &head, &settings);
        assert_eq!(client.address.ip().to_string(), "9.9.9.9");
        assert_eq!(client.peer.ip().to_string(), "127.0.0.1");
        assert_eq!(client.effective_scheme(&head), b"https");
    }

    #[test]
    fn mapped_addresses_are_plain_ones() {
        let mut connection = connection();
        connection.peer = "[::ffff:10.1.2.3]:9".parse().expect("an address");
        let head = request_head("GET / HTTP/1.1\r\n");
        let client = Client::of(&connection, &head, &ProxySettings::default());
        assert_eq!(client.peer.to_string(), "10.1.2.3:9");
    }

    #[test]
    fn hosts_are_shown_plain() {
        let check = |host: &str, expected: &str| {
            let head = request_head(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n"));
            let mut out = Vec::new();
            write_plain_host(&head, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        };
        check("Client.Example:1234", "client.example");
        check("a.", "a");
        check("[::1]:80", "[::1]");
    }

    #[test]
    fn the_router_sees_a_hundred_headers() {
        let lines: String = (0..101).map(|n| format!("X-{n}: v\r\n")).collect();
        let head = request_head(&format!("GET / HTTP/1.1\r\n{lines}"));
        let headers = RouterHeaders {
            headers: &head.headers,
            most: 100,
        };
        assert!(headers.any_value("x-99", &mut |value| value == b"v"));
        assert!(!headers.any_value("x-100", &mut |_| true));
        assert!(!headers.any_value("x-1", &mut |value| value == b"w"));
    }
}
