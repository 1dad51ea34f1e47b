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
    /// The host and the port that the route's hosts are compared with, the host in the one form
    /// that all its spellings share (RFC 9110 4.2.3): in lower case, without a final dot.
    /// `buffer` is only used when it has capitals.
    pub(super) fn host_and_port<'b>(&self, buffer: &'b mut String) -> (&'b str, u64)
    where
        'a: 'b,
    {
        let (name, port) = split_port(self.host);
        let port = port.unwrap_or(u64::from(self.dst_port));
        let name = name.strip_suffix('.').unwrap_or(name);
        if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return (name, port);
        }
        buffer.clear();
        buffer.push_str(name);
        buffer.make_ascii_lowercase();
        (buffer, port)
    }
}

/// Name and port of a host. An empty port is none; what follows the colon and is no number is
/// part of the name. The colons of an IPv6 address in brackets are its own.
pub(super) fn split_port(host: &str) -> (&str, Option<u64>) {
    let address = match host.starts_with('[') {
        true => host.find(']').unwrap_or(0),
        false => 0,
    };
    let Some(colon) = host[address..].find(':') else {
        return (host, None);
    };
    let (name, port) = (&host[..address + colon], &host[address + colon + 1..]);
    match port.bytes().all(|byte| byte.is_ascii_digit()) {
        true if port.is_empty() => (name, None),
        true => (name, Some(port.parse().unwrap_or(u64::MAX))),
        false => (host, None),
    }
}

/// Memory for lookups, kept by the caller between requests so that none of them allocates.
#[derive(Default)]
pub struct Scratch {
    pub(super) host: String,
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
            ("a:80", ("a", Some(80))),
            ("a", ("a", None)),
            ("a:", ("a", None)),
            ("a:x", ("a:x", None)),
            ("::1", ("::1", None)),
            ("[::1]", ("[::1]", None)),
            ("[::1]:80", ("[::1]", Some(80))),
            ("[::1", ("[::1", None)),
            ("a:99999999999999999999999", ("a", Some(u64::MAX))),
        ] {
            assert_eq!(split_port(host), expected, "{host}");
        }
    }

    #[test]
    fn trial_21_a_host_has_one_form() {
        let mut buffer = String::new();
        for (host, expected) in [
            ("secret.example", ("secret.example", 8000)),
            ("SECRET.Example", ("secret.example", 8000)),
            ("secret.example.", ("secret.example", 8000)),
            ("secret.example:", ("secret.example", 8000)),
            ("Secret.example.:81", ("secret.example", 81)),
            ("Secret.example.:", ("secret.example", 8000)),
            ("[FE80::1]:81", ("[fe80::1]", 81)),
            ("", ("", 8000)),
            (".", ("", 8000)),
        ] {
            let facts = Facts {
                method: "GET",
                host,
                path: "/",
                https: false,
                sni: None,
                headers: &Vec::<(&str, &str)>::new(),
                src: (IpAddr::from([127, 0, 0, 1]), 1),
                dst_port: 8000,
            };
            assert_eq!(facts.host_and_port(&mut buffer), expected, "{host}");
        }
    }
}
