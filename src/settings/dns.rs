//! How names of upstreams are resolved.
//!
//! Kong has two DNS clients with keys of their own; `new_dns_client` says which keys count. Here
//! both name the same resolver.

use super::problems::Problems;
use super::units;
use super::values::Values;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What a name may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// The kind that answered for the same name the last time.
    Last,
    Srv,
    A,
    Aaaa,
}

/// Settings of name resolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Dns {
    /// Empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    pub hosts_file: PathBuf,
    /// The first kind that has records wins.
    pub order: Vec<RecordKind>,
    /// In place of the lifetime that an answer brings.
    pub valid_ttl: Option<Duration>,
    /// How long an outdated answer may be used while no new one can be had.
    pub stale_ttl: Duration,
    pub not_found_ttl: Duration,
    pub error_ttl: Duration,
    /// Most names that are remembered.
    pub cache_size: usize,
}

/// The port of a name server that names none.
const DNS_PORT: u16 = 53;

impl Dns {
    pub(super) fn resolve(values: &Values, problems: &mut Problems) -> Dns {
        let keys = match values.boolean("new_dns_client") {
            true => &NEW_CLIENT,
            false => &CLASSIC_CLIENT,
        };
        let mut seconds = |key: &str| {
            let number = values.number(key)?;
            if number < 0.0 {
                problems.violation(format!("{key} must be 0 or greater"));
                return None;
            }
            Some(units::seconds(number))
        };
        let valid_ttl = seconds(keys.valid_ttl).filter(|ttl| !ttl.is_zero());
        let stale_ttl = seconds(keys.stale_ttl).unwrap_or_default();
        let error_ttl = seconds(keys.error_ttl).unwrap_or_default();
        let not_found_ttl = match keys.not_found_ttl {
            Some(key) => seconds(key).unwrap_or_default(),
            None => error_ttl,
        };
        let cache_size = values.number(keys.cache_size).unwrap_or_default();
        if cache_size < 1.0 {
            problems.violation(format!("{} must be 1 or greater", keys.cache_size));
        }
        Dns {
            servers: servers(keys.servers, values, problems),
            hosts_file: PathBuf::from(values.text(keys.hosts_file).unwrap_or_default()),
            order: order(keys.order, values, problems),
            valid_ttl,
            stale_ttl,
            not_found_ttl,
            error_ttl,
            cache_size: cache_size as usize,
        }
    }
}

/// The keys of one of the two clients.
struct Keys {
    servers: &'static str,
    hosts_file: &'static str,
    order: &'static str,
    valid_ttl: &'static str,
    stale_ttl: &'static str,
    error_ttl: &'static str,
    /// The second client has one lifetime for all failures.
    not_found_ttl: Option<&'static str>,
    cache_size: &'static str,
}

static CLASSIC_CLIENT: Keys = Keys {
    servers: "dns_resolver",
    hosts_file: "dns_hostsfile",
    order: "dns_order",
    valid_ttl: "dns_valid_ttl",
    stale_ttl: "dns_stale_ttl",
    error_ttl: "dns_error_ttl",
    not_found_ttl: Some("dns_not_found_ttl"),
    cache_size: "dns_cache_size",
};

static NEW_CLIENT: Keys = Keys {
    servers: "resolver_address",
    hosts_file: "resolver_hosts_file",
    order: "resolver_family",
    valid_ttl: "resolver_valid_ttl",
    stale_ttl: "resolver_stale_ttl",
    error_ttl: "resolver_error_ttl",
    not_found_ttl: None,
    cache_size: "resolver_lru_cache_size",
};

fn servers(key: &str, values: &Values, problems: &mut Problems) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for entry in values.list(key) {
        match server(entry) {
            Some(address) => servers.push(address),
            None => problems.violation(format!(
                "{key} must be a comma separated list in the form of IPv4/6 or IPv4/6:port, \
                 got '{entry}'"
            )),
        }
    }
    servers
}

fn server(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() != 0).then_some(address);
    }
    let bracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let ip: IpAddr = bracketed.unwrap_or(text).parse().ok()?;
    Some(SocketAddr::new(ip, DNS_PORT))
}

fn order(key: &str, values: &Values, problems: &mut Problems) -> Vec<RecordKind> {
    let mut order = Vec::new();
    for entry in values.list(key) {
        order.push(match entry.to_ascii_uppercase().as_str() {
            "LAST" => RecordKind::Last,
            "SRV" => RecordKind::Srv,
            "A" => RecordKind::A,
            "AAAA" => RecordKind::Aaaa,
            // An answer for A or AAAA follows CNAME records by itself.
            "CNAME" => continue,
            _ => {
                problems.violation(format!(
                    "{key}: '{entry}' is none of LAST, SRV, A, AAAA, CNAME"
                ));
                continue;
            }
        });
    }
    if !order.iter().any(|kind| *kind != RecordKind::Last) {
        problems.violation(format!("{key} must name at least one of SRV, A, AAAA"));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, Sources};

    fn settings(flags: &[(&str, &str)]) -> Result<Dns, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let flags: Vec<_> = flags.iter().map(owned).collect();
        let sources = Sources {
            flags: &flags,
            ..Sources::default()
        };
        Settings::load(&sources)
            .map(|(settings, _)| settings.dns)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_kongs() {
        let dns = settings(&[]).expect("defaults");
        assert_eq!(dns.servers, []);
        assert_eq!(
            dns.order,
            [RecordKind::Last, RecordKind::Srv, RecordKind::A]
        );
        assert_eq!(dns.stale_ttl, Duration::from_secs(3600));
        assert_eq!(dns.not_found_ttl, Duration::from_secs(30));
        assert_eq!(dns.error_ttl, Duration::from_secs(1));
        assert_eq!((dns.valid_ttl, dns.cache_size), (None, 10_000));
    }

    #[test]
    fn the_second_client_has_its_own_keys() {
        let dns = settings(&[
            ("new_dns_client", "on"),
            ("resolver_address", "10.0.0.1,[::1]:5353,::2"),
            ("resolver_family", "AAAA,A"),
            ("resolver_error_ttl", "7"),
            ("resolver_valid_ttl", "3"),
            ("dns_resolver", "10.9.9.9"),
        ]);
        let dns = dns.expect("good");
        let expected = ["10.0.0.1:53", "[::1]:5353", "[::2]:53"];
        assert_eq!(dns.servers, expected.map(|a| a.parse().expect("address")));
        assert_eq!(dns.order, [RecordKind::Aaaa, RecordKind::A]);
        assert_eq!(dns.not_found_ttl, Duration::from_secs(7));
        assert_eq!(dns.valid_ttl, Some(Duration::from_secs(3)));
    }

    #[test]
    fn every_bad_key_is_named() {
        let error = settings(&[
            ("dns_resolver", "10.0.0.1,ns.test"),
            ("dns_order", "LAST,TXT"),
            ("dns_error_ttl", "-1"),
            ("dns_cache_size", "0"),
        ]);
        let error = error.expect_err("four are wrong");
        for key in [
            "dns_resolver must be",
            "dns_order: 'TXT'",
            "dns_order must name",
            "dns_error_ttl must be",
            "dns_cache_size must be",
        ] {
            assert!(error.contains(key), "{key}: {error}");
        }
    }
}
