//! All listeners of a node.

use super::address::PortMap;
use super::listen::{self, Listen};
use super::node::Role;
use super::problems::Problems;
use super::values::Values;
use std::net::IpAddr;
use std::time::Duration;

/// The addresses to listen on; empty is off.
#[derive(Debug, Clone)]
pub struct Listeners {
    pub proxy: Vec<Listen>,
    pub admin: Vec<Listen>,
    pub status: Vec<Listen>,
    /// Always TLS, whatever the flags say.
    pub cluster: Vec<Listen>,
    /// Always TLS, whatever the flags say.
    pub cluster_telemetry: Vec<Listen>,
    pub port_maps: Vec<PortMap>,
    /// Whose pages may use the Admin API and the status API, and under which names these are
    /// served on a loopback address.
    pub pages: Pages,
    /// How long clients of listeners that are not the proxy's may take.
    pub patience: Patience,
}

/// Whose pages may use a listener that asks nobody who they are, and under which names it is
/// served on a loopback address.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    /// `scheme://host[:port]`, in the form in which browsers send it.
    pub origins: Vec<String>,
    /// Host names and addresses without a port, in lower case; `*.name` is every name below.
    pub hosts: Vec<String>,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a request head.
    pub head: Duration,
    /// Between two reads of a body.
    pub body: Duration,
}

impl Default for Patience {
    /// As nginx has it.
    fn default() -> Patience {
        Patience {
            head: Duration::from_secs(60),
            body: Duration::from_secs(60),
        }
    }
}

impl Listeners {
    pub(super) fn resolve(values: &Values, problems: &mut Problems) -> Listeners {
        let mut listens = |key| match listen::parse(values.list(key)) {
            Ok(listens) => listens,
            Err(sentence) => {
                problems.violation(format!("{key} {sentence}"));
                Vec::new()
            }
        };
        let proxy = listens("proxy_listen");
        let mut others = |key| {
            let listens = listens(key);
            (key, listens)
        };
        let others = [
            others("admin_listen"),
            others("status_listen"),
            others("cluster_listen"),
            others("cluster_telemetry_listen"),
        ];
        check_proxy_protocol(&proxy, &others, values, problems);
        let [admin, status, cluster, cluster_telemetry] = others.map(|(_, listens)| listens);
        Listeners {
            proxy,
            admin,
            status,
            cluster,
            cluster_telemetry,
            port_maps: port_maps(values, problems),
            pages: Pages {
                origins: admin_origins(values, problems),
                hosts: admin_hosts(values, problems),
            },
            patience: Patience {
                head: pause(values, "nginx_admin_client_header_timeout", 1000, problems),
                body: pause(values, "nginx_admin_client_body_timeout", 1, problems),
            },
        }
    }

    /// The listeners that a role opens, each with the name of its key.
    pub fn of_role(&self, role: Role) -> Vec<(&'static str, &[Listen])> {
        let mut open: Vec<(&'static str, &[Listen])> = Vec::new();
        if role.has_data_plane() {
            open.push(("proxy_listen", &self.proxy));
        }
        if role.has_control_plane() {
            open.push(("admin_listen", &self.admin));
        }
        open.push(("status_listen", &self.status));
        if role == Role::ControlPlane {
            open.push(("cluster_listen", &self.cluster));
            open.push(("cluster_telemetry_listen", &self.cluster_telemetry));
        }
        open
    }

    /// Reports an address that two listeners of the role would both open.
    pub(super) fn check_distinct(&self, role: Role, problems: &mut Problems) {
        let mut taken: Vec<(&'static str, &Listen)> = Vec::new();
        for (key, listens) in self.of_role(role) {
            for listen in listens.iter().filter(|listen| listen.port != 0) {
                let address = listen.address();
                let other = taken.iter().find(|(_, other)| other.address() == address);
                if let Some((other, _)) = other {
                    problems.violation(format!("{key}: {address} is already taken by {other}"));
                }
                taken.push((key, listen));
            }
        }
    }
}

/// A connection that begins with a header nobody reads cannot be served, and a header whose
/// address counts for nothing is surely not what was meant.
fn check_proxy_protocol(
    proxy: &[Listen],
    others: &[(&'static str, Vec<Listen>)],
    values: &Values,
    problems: &mut Problems,
) {
    for (key, listens) in others {
        if listens.iter().any(|listen| listen.proxy_protocol) {
            problems.violation(format!(
                "{key}: proxy_protocol can only be used in proxy_listen"
            ));
        }
    }
    let is_read = proxy.iter().any(|listen| listen.proxy_protocol);
    let counts = values.text("real_ip_header") == Some("proxy_protocol");
    match (is_read, counts) {
        (true, false) => problems.warning(
            "proxy_listen: the client's address in proxy_protocol is read and does not count, \
             unless real_ip_header is proxy_protocol and trusted_ips has the load balancer"
                .to_owned(),
        ),
        (false, true) => problems.warning(
            "real_ip_header is proxy_protocol, which no address of proxy_listen reads".to_owned(),
        ),
        _ => {}
    }
}

fn admin_origins(values: &Values, problems: &mut Problems) -> Vec<String> {
    let mut origins = Vec::new();
    for key in ["admin_gui_url", "admin_allowed_origins"] {
        for url in values.list(key) {
            match origin(url) {
                Some(origin) => origins.push(origin),
                None => problems.violation(format!("{key}: '{url}' is no http or https URL")),
            }
        }
    }
    origins
}

fn admin_hosts(values: &Values, problems: &mut Problems) -> Vec<String> {
    let mut hosts = Vec::new();
    for entry in values.list("admin_allowed_hosts") {
        match allowed_host(entry) {
            Some(host) => hosts.push(host),
            None => problems.violation(format!(
                "admin_allowed_hosts: '{entry}' is no host name, *.name or address without a port"
            )),
        }
    }
    hosts
}

/// A name, an address or all names below one, in lower case.
fn allowed_host(entry: &str) -> Option<String> {
    let entry = entry.to_ascii_lowercase();
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return Some(bare.to_owned());
    }
    let name = entry.strip_suffix('.').unwrap_or(&entry);
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.chars().all(is_plain)
    };
    labels.split('.').all(is_label).then(|| name.to_owned())
}

/// A time that a client may take, of at least so many milliseconds: heads are timed by a clock that
/// ticks every half second.
fn pause(values: &Values, key: &str, least: u64, problems: &mut Problems) -> Duration {
    let time = values.time(key).unwrap_or_default();
    if time < Duration::from_millis(least) {
        problems.violation(format!("{key} must be {least}ms or more"));
    }
    time
}

/// The origin of a URL, as a browser writes it (RFC 6454 §6.2).
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match &*scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    let named = !authority.is_empty() && authority.chars().all(is_plain);
    named.then(|| format!("{scheme}://{authority}"))
}

fn port_maps(values: &Values, problems: &mut Problems) -> Vec<PortMap> {
    let mut maps = Vec::new();
    for entry in values.list("port_maps") {
        match entry.parse() {
            Ok(map) => maps.push(map),
            Err(()) => {
                problems.violation(format!("invalid port mapping (`port_maps`): {entry}"));
            }
        }
    }
    maps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_14_hosts_that_a_loopback_address_may_have() {
        let check = |entry: &str, expected: Option<&str>| {
            assert_eq!(allowed_host(entry).as_deref(), expected, "{entry}");
        };
        check("Admin.Test", Some("admin.test"));
        check("admin.test.", Some("admin.test"));
        check("*.inside.test", Some("*.inside.test"));
        check("10.0.0.1", Some("10.0.0.1"));
        check("[fe80::1]", Some("fe80::1"));
        for wrong in [
            "admin.test:8001",
            "http://admin.test",
            "*",
            "a.*.b",
            "a..b",
            "",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn origins() {
        let check = |url: &str, expected: Option<&str>| {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        };
        check("http://localhost:8002", Some("http://localhost:8002"));
        check("HTTPS://Manager.test/ui/", Some("https://manager.test"));
        check("https://manager.test:443", Some("https://manager.test"));
        check("http://[::1]:80?x", Some("http://[::1]"));
        for wrong in [
            "manager.test",
            "ftp://manager.test",
            "http://",
            "http://a b",
        ] {
            check(wrong, None);
        }
    }
}
