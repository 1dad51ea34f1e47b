//! Addresses in settings: `host:port` endpoints, address blocks, port maps.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A host name or IP address and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Without brackets when it is an IPv6 address.
    pub host: String,
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = ();

    fn from_str(text: &str) -> Result<HostPort, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(())?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) => inner.parse::<Ipv6Addr>().map_err(drop)?.to_string(),
            None if is_host_name(host) => host.to_owned(),
            None => return Err(()),
        };
        Ok(HostPort { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A block of addresses: `10.0.0.0/8`, `::1`, or `unix:` for local sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedPeer {
    Block { network: IpAddr, prefix: u8 },
    UnixSocket,
}

impl TrustedPeer {
    /// Whether the address lies in this block; IPv4 in IPv6 form counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let TrustedPeer::Block { network, prefix } = *self else {
            return false;
        };
        match (network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                shared_bits(network.to_bits(), address.to_bits()) >= u32::from(prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(prefix)
            }
            _ => false,
        }
    }
}

fn shared_bits(a: u32, b: u32) -> u32 {
    (a ^ b).leading_zeros()
}

impl FromStr for TrustedPeer {
    type Err = ();

    fn from_str(text: &str) -> Result<TrustedPeer, ()> {
        if text == "unix:" {
            return Ok(TrustedPeer::UnixSocket);
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(drop)?;
        let bits = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(text) => text.parse().ok().filter(|p| *p <= bits).ok_or(())?,
        };
        Ok(TrustedPeer::Block { network, prefix })
    }
}

/// One entry of `port_maps`: the port clients see, and the port that is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMap {
    pub external: u16,
    pub listener: u16,
}

impl FromStr for PortMap {
    type Err = ();

    fn from_str(text: &str) -> Result<PortMap, ()> {
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or(());
        let (external, listener) = text.split_once(':').ok_or(())?;
        Ok(PortMap {
            external: port(external)?,
            listener: port(listener)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints() {
        for (text, expected) in [
            ("127.0.0.1:8005", Some("127.0.0.1:8005")),
            ("cp.example.com:443", Some("cp.example.com:443")),
            ("cp_1:8005", Some("cp_1:8005")),
            ("[::1]:8005", Some("[::1]:8005")),
            ("::1:8005", None),
            ("[cp]:8005", None),
            ("cp", None),
            ("cp:", None),
            ("cp:0", None),
            ("cp:70000", None),
            (":8005", None),
            ("https://cp:8005", None),
        ] {
            let found = text.parse::<HostPort>().ok().map(|e| e.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn blocks() {
        for (block, address, expected) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("unix:", "127.0.0.1", false),
        ] {
            let block: TrustedPeer = block.parse().unwrap();
            assert_eq!(block.contains(address.parse().unwrap()), expected);
        }
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "host", "10.0.0.0/"] {
            assert!(text.parse::<TrustedPeer>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn port_maps() {
        let map: PortMap = "80:8000".parse().unwrap();
        assert_eq!((map.external, map.listener), (80, 8000));
        for text in ["", "80", "80:", "0:80", "80:65536", "a:b", "1:2:3"] {
            assert!(text.parse::<PortMap>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_block_contains_its_own_address(ip: IpAddr, prefix in 0u8..=32) {
            let block = TrustedPeer::Block { network: ip.to_canonical(), prefix };
            prop_assert!(block.contains(ip));
        }
    }
}
