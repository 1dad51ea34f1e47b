//! Whom to believe: trusted proxies and the client's real address.

use crate::http::HeaderIndex;
use crate::settings::TrustedPeer;
use std::net::{IpAddr, SocketAddr};

/// Where the client's address is read when the peer is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RealIpSource {
    /// A header; `X-Real-IP` unless set otherwise.
    #[default]
    XRealIp,
    Header(Box<str>),
    /// The PROXY protocol, which the listener has already applied.
    ProxyProtocol,
}

/// The settings `trusted_ips`, `real_ip_header` and `real_ip_recursive`.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    pub proxies: Vec<TrustedPeer>,
    pub source: RealIpSource,
    /// Skip trusted addresses in the list, from its end.
    pub recursive: bool,
}

impl Trust {
    /// Whether forwarded headers of this peer are believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.proxies.iter().any(|proxy| proxy.contains(peer))
    }

    /// The client's address: the peer's, or what a trusted peer says. The port stays the
    /// peer's unless the header brings one.
    pub fn client_of(&self, peer: SocketAddr, headers: &HeaderIndex) -> SocketAddr {
        let name = match &self.source {
            RealIpSource::XRealIp => "x-real-ip",
            RealIpSource::Header(name) => name,
            RealIpSource::ProxyProtocol => return peer,
        };
        let mut client = peer;
        let lines = headers.get_all(name).count();
        let from_the_last = (0..lines).rev();
        for line in from_the_last.filter_map(|nth| headers.get_all(name).nth(nth)) {
            for entry in line.rsplit(|byte| matches!(byte, b',' | b' ')) {
                if entry.is_empty() {
                    continue;
                }
                if !self.trusts(client.ip()) {
                    return client;
                }
                match parse_address(entry, client.port()) {
                    Some(address) => client = address,
                    None => return client,
                }
                if !self.recursive {
                    return client;
                }
            }
        }
        client
    }
}

/// `address`, `address:port` or `[address]:port`.
fn parse_address(text: &[u8], port: u16) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, port));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare.and_then(|bare| bare.parse().ok()) {
        Some(address) => Some(SocketAddr::new(address, port)),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::proxy::testing::request_head;

    #[test]
    fn a_trusted_peer_names_the_client() {
        let check = |trust: &Trust, lines: &str, expected: &str| {
            let head = request_head(&format!("GET / HTTP/1.1\r\n{lines}"));
            let peer = "127.0.0.1:5000".parse().expect("an address");
            let client = trust.client_of(peer, &head.headers);
            assert_eq!(client.to_string(), expected, "{lines}");
        };
        let proxies = || vec!["127.0.0.1", "10.0.0.0/8"];
        let trust = |proxies: Vec<&str>, header: Option<&str>, recursive| Trust {
            proxies: proxies
                .into_iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
            source: header.map_or(RealIpSource::XRealIp, |name| {
                RealIpSource::Header(name.into())
            }),
            recursive,
        };
        let nobody = trust(vec![], None, false);
        check(&nobody, "X-Real-IP: 9.9.9.9\r\n", "127.0.0.1:5000");
        let real_ip = trust(proxies(), None, false);
        check(&real_ip, "", "127.0.0.1:5000");
        check(&real_ip, "X-Real-IP: 9.9.9.9\r\n", "9.9.9.9:5000");
        check(&real_ip, "X-Real-IP: junk\r\n", "127.0.0.1:5000");
        check(&real_ip, "X-Forwarded-For: 9.9.9.9\r\n", "127.0.0.1:5000");
        let last = trust(proxies(), Some("X-Forwarded-For"), false);
        check(
            &last,
            "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n",
            "5.6.7.8:5000",
        );
        check(
            &last,
            "X-Forwarded-For: 1.2.3.4, 10.0.0.1\r\n",
            "10.0.0.1:5000",
        );
        check(&last, "X-Forwarded-For: 1.2.3.4:77\r\n", "1.2.3.4:77");
        check(&last, "X-Forwarded-For: [::1]:77\r\n", "[::1]:77");
        check(&last, "X-Forwarded-For: [::1]\r\n", "[::1]:5000");
        let deep = trust(proxies(), Some("X-Forwarded-For"), true);
        check(
            &deep,
            "X-Forwarded-For: 1.2.3.4, 10.0.0.1,10.0.0.2\r\n",
            "1.2.3.4:5000",
        );
        check(
            &deep,
            "X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\nX-Forwarded-For: 10.0.0.1\r\n",
            "1.2.3.4:5000",
        );
        check(
            &deep,
            "X-Forwarded-For: junk, 10.0.0.1\r\n",
            "10.0.0.1:5000",
        );
        check(&deep, "X-Forwarded-For: 10.0.0.1\r\n", "10.0.0.1:5000");
        let proxied = Trust {
            source: RealIpSource::ProxyProtocol,
            ..trust(proxies(), None, false)
        };
        check(&proxied, "X-Real-IP: 9.9.9.9\r\n", "127.0.0.1:5000");
    }
}
