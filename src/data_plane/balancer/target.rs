//! Where requests can be sent, as it was configured.

use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// A target of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub address: TargetAddress,
    /// Of each of its addresses; with 0 none is used.
    pub weight: u16,
    /// Epoch seconds.
    pub created_at: f64,
}

/// Host and port of a target or of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetAddress {
    /// The id of the target, or of the service when the host is its own.
    pub id: Uuid,
    /// A name to resolve or an IP address, without brackets.
    pub host: Arc<str>,
    pub port: u16,
    /// Set when `host` is an IP address.
    pub ip: Option<IpAddr>,
}

/// The port of a target that names none.
const DEFAULT_PORT: u16 = 8000;

impl TargetAddress {
    pub fn new(id: Uuid, host: &str, port: u16) -> TargetAddress {
        let host = bare(host);
        TargetAddress {
            id,
            host: host.into(),
            port,
            ip: host.parse().ok(),
        }
    }

    /// Reads `host[:port]`; an IPv6 address with a port is in brackets.
    ///
    /// # Errors
    /// The text for the user.
    pub fn parse(id: Uuid, text: &str) -> Result<TargetAddress, String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().map_err(|_| format!("{port:?} is no port"))?
            }
            Some(port) => return Err(format!("{port:?} is no port")),
        };
        match bare(host) {
            "" => Err("the host is empty".into()),
            _ => Ok(TargetAddress::new(id, host, port)),
        }
    }
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        for (text, host, port, is_ip) in [
            ("a.test:80", "a.test", 80, false),
            ("a.test", "a.test", 8000, false),
            ("127.0.0.1:81", "127.0.0.1", 81, true),
            ("[::1]:82", "::1", 82, true),
            ("[::1]", "::1", 8000, true),
            ("::1", "::1", 8000, true),
        ] {
            let target = TargetAddress::parse(Uuid::nil(), text).expect(text);
            assert_eq!(
                (&*target.host, target.port, target.ip.is_some()),
                (host, port, is_ip)
            );
        }
        for text in ["", ":80", "a:b", "a:70000", "a:+1"] {
            assert!(TargetAddress::parse(Uuid::nil(), text).is_err(), "{text}");
        }
    }
}
