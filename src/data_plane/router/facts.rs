//! What the matcher reads from a request, and the memory a lookup may reuse.

use std::net::IpAddr;

/// The headers of a request, however its driver keeps them.
pub trait HeaderLookup {
    /// Whether `test` accepts any value of the header `name`, called for one value after the
    /// other until it does. `name` is in lower case with `-`; a name on the request is the
    /// same if it differs in ASCII case or has `_` for `-` ([`same_header`]). An implementation
    /// may stop after the first 100 headers, as Kong does.
    fn any_value(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// Whether a request's header name is `name` (lower case, `-`) for the matcher.
pub fn same_header(received: &[u8], name: &str) -> bool {
    let fold = |byte: &u8| match byte {
        b'_' => b'-',
        other => other.to_ascii_lowercase(),
    };
    received.len() == name.len() && received.iter().map(fold).eq(name.bytes())
}

/// Name and value pairs in order of arrival.
impl<N: AsRef<[u8]>, V: AsRef<[u8]>> HeaderLookup for Vec<(N, V)> {
    fn any_value(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter()
            .any(|(received, value)| same_header(received.as_ref(), name) && test(value.as_ref()))
    }
}

/// The request as the matcher sees it.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// As received; methods are case-sensitive.
    pub method: &'a str,
    /// The raw Host header or `:authority`, with its port if it has one; empty when absent.
    pub host: &'a str,
    /// The normalised path, without the query.
    pub path: &'a str,
    /// Whether the client's connection is TLS.
    pub https: bool,
    /// The TLS server name.
    pub sni: Option<&'a str>,
    pub headers: &'a dyn HeaderLookup,
    /// The client, after real-ip processing.
    pub src: (IpAddr, u16),
    /// The listener's port after `port_maps`; a port in the Host header takes precedence.
    pub dst_port: u16,
}

impl<'a> Facts<'a> {
    /// The host without its port, and the port the route's hosts are compared with. Only a
    /// numeric rest after the first colon is a port.
    pub(super) fn host_and_port(&self) -> (&'a str, u64) {
        match split_port(self.host) {
            Some((name, port)) => (name, port),
            None => (self.host, u64::from(self.dst_port)),
        }
    }
}

/// Name and port of `name:port`, split at the first colon; no port, no split.
pub(super) fn split_port(host: &str) -> Option<(&str, u64)> {
    let (name, port) = host.split_once(':')?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| (name, port.parse().unwrap_or(u64::MAX)))
}

/// Memory for lookups, kept by the caller between requests so that none of them allocates.
#[derive(Default)]
pub struct Scratch {
    pub(super) reversed_host: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_folded() {
        for (received, same) in [
            ("x-env", true),
            ("X_Env", true),
            ("x-en", false),
            ("x.env", false),
        ] {
            assert_eq!(
                same_header(received.as_bytes(), "x-env"),
                same,
                "{received}"
            );
        }
    }

    #[test]
    fn a_port_is_numeric() {
        for (host, expected) in [
            ("a:80", Some(("a", 80))),
            ("a", None),
            ("a:", None),
            ("a:x", None),
            ("::1", None),
            ("a:99999999999999999999999", Some(("a", u64::MAX))),
        ] {
            assert_eq!(split_port(host), expected, "{host}");
        }
    }
}
