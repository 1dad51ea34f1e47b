//! Hosts, ports and IP addresses.

use std::net::IpAddr;

const DEFAULT_TARGET_PORT: u32 = 8000;

/// An address in its normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    kind: Kind,
    host: String,
    port: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    V4,
    V6,
    Name,
}

const BAD_PORT: &str = "invalid port number";

/// Parses `host[:port]`, where the host is a name, an IPv4 or an IPv6 address: more than
/// one colon makes it IPv6 (a port then needs brackets), digits and dots alone IPv4.
fn normalize(text: &str) -> Result<Address, String> {
    let colons = text.bytes().filter(|byte| *byte == b':').count();
    if colons > 1 {
        return v6(text);
    }
    let without_colon: String = text.chars().filter(|c| *c != ':').collect();
    let numeric = |c: char| c.is_ascii_digit() || c == '.';
    if !without_colon.is_empty() && without_colon.chars().all(numeric) {
        return v4(text);
    }
    name(text)
}

fn v4(text: &str) -> Result<Address, String> {
    let bad = || format!("invalid ipv4 address: {text}");
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(digits(port).ok_or_else(bad)?)),
        None => (text, None),
    };
    let octets: Vec<&str> = host.split('.').collect();
    let [a, b, c, d] = octets.as_slice() else {
        return Err(bad());
    };
    let octet = |text: &str| match text.len() {
        1..=3 => digits(text).filter(|octet| *octet <= 255).ok_or_else(bad),
        _ => Err(bad()),
    };
    let host = format!("{}.{}.{}.{}", octet(a)?, octet(b)?, octet(c)?, octet(d)?);
    Ok(Address {
        kind: Kind::V4,
        host,
        port: valid_port(port)?,
    })
}

fn v6(text: &str) -> Result<Address, String> {
    let bad = || format!("invalid ipv6 address: {text}");
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(bad)?;
            match after {
                "" => (host, None),
                _ => {
                    let port = after.strip_prefix(':').ok_or_else(bad)?;
                    (host, Some(digits(port).ok_or_else(bad)?))
                }
            }
        }
        None => (text, None),
    };
    let parsed: std::net::Ipv6Addr = host.parse().map_err(|_| bad())?;
    let groups: Vec<String> = parsed
        .segments()
        .iter()
        .map(|g| format!("{g:04x}"))
        .collect();
    Ok(Address {
        kind: Kind::V6,
        host: groups.join(":"),
        port: valid_port(port)?,
    })
}

fn name(text: &str) -> Result<Address, String> {
    let bad = || format!("invalid hostname: {text}");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            (host, Some(digits(port).unwrap_or(u32::MAX)))
        }
        _ => (text, None),
    };
    let port = valid_port(port)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if host.is_empty() || !host.bytes().all(allowed) {
        return Err(bad());
    }
    let labels: Vec<&str> = host.split('.').collect();
    for (at, label) in labels.iter().enumerate() {
        let trailing_dot = label.is_empty() && at + 1 == labels.len() && at > 0;
        if label.ends_with('-') || (label.is_empty() && !trailing_dot) {
            return Err(bad());
        }
    }
    Ok(Address {
        kind: Kind::Name,
        host: host.to_owned(),
        port,
    })
}

fn digits(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Anything longer than the number type is out of every range that is asked for.
    Some(text.parse().unwrap_or(u32::MAX))
}

fn valid_port(port: Option<u32>) -> Result<Option<u32>, String> {
    match port {
        Some(port) if port > 65535 => Err(BAD_PORT.to_owned()),
        port => Ok(port),
    }
}

/// A target in its stored form: `host:port` with the port defaulting to 8000 and IPv6
/// addresses written out in brackets. `None` when it is no address.
pub fn normalize_target(text: &str) -> Option<String> {
    normalize_host_port(text, DEFAULT_TARGET_PORT)
}

/// The normal form of `host[:port]`; `None` when it is no address.
pub fn normalize_host_port(text: &str, default_port: u32) -> Option<String> {
    let address = normalize(text).ok()?;
    let port = address.port.unwrap_or(default_port);
    Some(match address.kind {
        Kind::V6 => format!("[{}]:{port}", address.host),
        _ => format!("{}:{port}", address.host),
    })
}

/// A host without a port.
pub(super) fn host(text: &str) -> Result<(), String> {
    without_port(text, normalize(text)).map(drop)
}

fn without_port(text: &str, parsed: Result<Address, String>) -> Result<Address, String> {
    match parsed {
        Ok(address) if address.port.is_none() => Ok(address),
        Err(err) if err != BAD_PORT => Err(format!("invalid value: {text}")),
        _ => Err("must not have a port".to_owned()),
    }
}

pub(super) fn host_with_optional_port(text: &str) -> Result<(), String> {
    normalize(text).map(drop)
}

/// A name with at most one `*` at either end.
pub(super) fn wildcard_host(text: &str) -> Result<(), String> {
    let Some(at) = text.find('*') else {
        return sni(text);
    };
    if at != 0 && at + 1 != text.len() {
        return Err("wildcard must be leftmost or rightmost character".to_owned());
    }
    if text.matches('*').count() > 1 {
        return Err("only one wildcard must be specified".to_owned());
    }
    named(text, normalize(&text.replace('*', "wildcard")))
}

/// A name: neither an address nor with a port.
pub(super) fn sni(text: &str) -> Result<(), String> {
    named(text, normalize(text))
}

fn named(text: &str, parsed: Result<Address, String>) -> Result<(), String> {
    if matches!(&parsed, Ok(address) if address.kind != Kind::Name) {
        return Err("must not be an IP".to_owned());
    }
    without_port(text, parsed).map(drop)
}

pub(super) fn ip(text: &str) -> Result<(), String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("not an ip address: {text}")),
    }
}

pub(super) fn ip_or_cidr(text: &str) -> Result<(), String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let valid = match (address.parse::<IpAddr>(), bits) {
        (Err(_), _) => false,
        (Ok(_), None) => true,
        (Ok(ip), Some(bits)) => {
            let most = if ip.is_ipv4() { 32 } else { 128 };
            bits.len() <= 3 && digits(bits).is_some_and(|bits| bits <= most)
        }
    };
    match valid {
        true => Ok(()),
        false => Err(format!("invalid ip or cidr range: '{text}'")),
    }
}

/// The host of a route: its place of a `*` is checked before, a port is allowed.
pub(super) fn route_host(text: &str) -> Result<(), String> {
    host_with_optional_port(&text.replace('*', "abc"))
}

pub(super) fn target(text: &str) -> Result<(), String> {
    match normalize(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "Invalid target ('{text}'); not a valid hostname or ip address"
        )),
    }
}

pub(super) fn upstream_name(text: &str) -> Result<(), String> {
    let why = match normalize(text) {
        Err(_) => "must be a valid hostname",
        Ok(address) if address.kind != Kind::Name => "no ip addresses allowed",
        Ok(address) if address.port.is_some() => "no port allowed",
        Ok(_) => return Ok(()),
    };
    Err(format!("Invalid name ('{text}'); {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_normalised() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(normalize_target(text).as_deref(), expected, "{text}");
        };
        check("konghq.test", Some("konghq.test:8000"));
        check("a:80", Some("a:80"));
        check("1.1.1.1:0", Some("1.1.1.1:0"));
        check("001.02.3.4", Some("1.2.3.4:8000"));
        check(
            "::1",
            Some("[0000:0000:0000:0000:0000:0000:0000:0001]:8000"),
        );
        check(
            "[::1]:80",
            Some("[0000:0000:0000:0000:0000:0000:0000:0001]:80"),
        );
        check("a.b.", Some("a.b.:8000"));
        for bad in [
            "",
            "a b",
            "1.1.1.1:99999",
            "300.1.1.1:80",
            "http://a.b",
            "a..b",
            "a-.b",
            "[::1",
            ".",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn hosts() {
        let check = |result: Result<(), String>, expected: Result<(), &str>| {
            assert_eq!(result, expected.map_err(str::to_owned));
        };
        check(host("a.test"), Ok(()));
        check(host("::1"), Ok(()));
        check(host("x:80"), Err("must not have a port"));
        check(host("x:99999"), Err("must not have a port"));
        check(host("a b"), Err("invalid value: a b"));
        check(wildcard_host("*.a"), Ok(()));
        check(wildcard_host("a.*"), Ok(()));
        check(
            wildcard_host("a.*.b"),
            Err("wildcard must be leftmost or rightmost character"),
        );
        check(
            wildcard_host("*.*"),
            Err("only one wildcard must be specified"),
        );
        check(wildcard_host("1.2.3.4"), Err("must not be an IP"));
        check(wildcard_host("a:80"), Err("must not have a port"));
        check(
            ip_or_cidr("10.0.0.0/33"),
            Err("invalid ip or cidr range: '10.0.0.0/33'"),
        );
        check(ip_or_cidr("::/128"), Ok(()));
        check(
            upstream_name("a:80"),
            Err("Invalid name ('a:80'); no port allowed"),
        );
    }
}
