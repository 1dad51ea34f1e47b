//! Listeners: taken, privileged, of another machine, or in each other's way.

use super::finding::Finding;
use crate::settings::{Listen, Settings};
use socket2::{Domain, Protocol, Socket, Type};
use std::fs;
use std::io;
use std::net::SocketAddr;

/// The capability that opens privileged ports (`CAP_NET_BIND_SERVICE`, capabilities(7)).
const NET_BIND_SERVICE: u32 = 10;

/// One listener and what keeps it from being opened.
struct Opened<'a> {
    setting: &'static str,
    listen: &'a Listen,
    result: io::Result<()>,
}

/// All listeners of the role; `running` is whether the node of these settings is.
pub fn examine(settings: &Settings, running: bool) -> Vec<Finding> {
    let listeners = settings.listeners.of_role(settings.node.role);
    let each = || {
        let flat = |(setting, listens): &(&'static str, _)| {
            let (setting, listens): (&'static str, &[Listen]) = (*setting, *listens);
            listens.iter().map(move |listen| (setting, listen))
        };
        listeners.iter().flat_map(flat)
    };
    let addresses: Vec<_> = each()
        .map(|(key, listen)| (key, listen.address()))
        .collect();
    let mut findings = overlaps(&addresses);
    let unprivileged = first_unprivileged_port();
    let may_bind = may_bind_privileged();
    for (setting, listen) in each() {
        let opened = Opened {
            setting,
            listen,
            result: try_bind(listen),
        };
        let privileged = listen.port != 0 && listen.port < unprivileged && !may_bind;
        findings.push(judge(&opened, running, privileged));
    }
    findings
}

fn judge(opened: &Opened, running: bool, privileged: bool) -> Finding {
    let (setting, address) = (opened.setting, opened.listen.address());
    let Err(error) = &opened.result else {
        return Finding::ok(setting, format!("{address} is free"));
    };
    match error.kind() {
        io::ErrorKind::AddrInUse if running => Finding::ok(
            setting,
            format!("{address} is in use, and this node is running"),
        ),
        io::ErrorKind::AddrInUse => Finding::error(
            setting,
            format!("{address} is taken by another process"),
            format!(
                "end it (`ss -ltnp sport = :{}` names it), or choose another port",
                address.port()
            ),
        ),
        io::ErrorKind::PermissionDenied if privileged => Finding::error(
            setting,
            format!("{address} is privileged and this user may not open it"),
            "choose a port from 1024 on, or give the service CAP_NET_BIND_SERVICE",
        ),
        io::ErrorKind::AddrNotAvailable => Finding::error(
            setting,
            format!("this machine has no address {}", address.ip()),
            "name one that it has, or 0.0.0.0 for all",
        ),
        _ => Finding::error(
            setting,
            format!("{address} cannot be opened: {error}"),
            "choose another address",
        ),
    }
}

/// Listens that want the same port of one address, as one address or by a wildcard.
fn overlaps(addresses: &[(&'static str, SocketAddr)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, (setting, address)) in addresses.iter().enumerate() {
        let earlier = addresses[..at].iter().find(|(_, other)| {
            let same_family = other.is_ipv4() == address.is_ipv4();
            let wildcard = other.ip().is_unspecified() || address.ip().is_unspecified();
            let meet = other.ip() == address.ip() || (same_family && wildcard);
            address.port() != 0 && other.port() == address.port() && meet
        });
        if let Some((other_setting, other)) = earlier {
            findings.push(Finding::error(
                setting,
                format!("{address} and {other} of {other_setting} are in each other's way"),
                "give each a port of its own",
            ));
        }
    }
    findings
}

/// Binds without listening, so that nobody can connect to what is not there.
fn try_bind(listen: &Listen) -> io::Result<()> {
    let address = listen.address();
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(listen.ipv6only.unwrap_or(true))?;
    }
    socket.bind(&address.into())
}

fn first_unprivileged_port() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}

fn may_bind_privileged() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    has_capability(&status, NET_BIND_SERVICE)
}

/// Whether `/proc/self/status` grants a capability.
fn has_capability(status: &str, number: u32) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> number & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;
    use crate::settings::parse_listen;

    #[test]
    fn what_keeps_a_listener_from_being_opened() {
        let listen = &parse_listen(&["10.0.0.1:80".to_owned()]).unwrap()[0];
        let check = |kind: Option<io::ErrorKind>, running, privileged, expected: (Level, &str)| {
            let opened = Opened {
                setting: "proxy_listen",
                listen,
                result: kind.map_or(Ok(()), |kind| Err(kind.into())),
            };
            let found = judge(&opened, running, privileged);
            assert_eq!((found.level, found.text.as_str()), expected);
        };
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        check(None, false, false, (Level::Ok, "10.0.0.1:80 is free"));
        let ours = "10.0.0.1:80 is in use, and this node is running";
        check(Some(AddrInUse), true, false, (Level::Ok, ours));
        let taken = "10.0.0.1:80 is taken by another process";
        check(Some(AddrInUse), false, false, (Level::Error, taken));
        let privileged = "10.0.0.1:80 is privileged and this user may not open it";
        check(
            Some(PermissionDenied),
            false,
            true,
            (Level::Error, privileged),
        );
        let foreign = "this machine has no address 10.0.0.1";
        check(
            Some(AddrNotAvailable),
            false,
            false,
            (Level::Error, foreign),
        );
        let refused = "10.0.0.1:80 cannot be opened: permission denied";
        check(
            Some(PermissionDenied),
            false,
            false,
            (Level::Error, refused),
        );
    }

    #[test]
    fn wildcards_are_in_the_way_of_addresses() {
        let check = |texts: &[&str], expected: usize| {
            let listens: Vec<_> = texts
                .iter()
                .map(|text| ("admin_listen", text.parse().unwrap()))
                .collect();
            assert_eq!(overlaps(&listens).len(), expected, "{texts:?}");
        };
        check(&["127.0.0.1:1", "127.0.0.1:2"], 0);
        check(&["127.0.0.1:1", "127.0.0.2:1"], 0);
        check(&["127.0.0.1:1", "127.0.0.1:1"], 1);
        check(&["0.0.0.0:1", "127.0.0.1:1"], 1);
        check(&["127.0.0.1:1", "0.0.0.0:1"], 1);
        check(&["[::]:1", "127.0.0.1:1"], 0);
        check(&["[::]:1", "[::1]:1"], 1);
        check(&["0.0.0.0:0", "0.0.0.0:0"], 0);
    }

    #[test]
    fn a_taken_port_is_seen_and_not_touched() {
        let taken = std::net::TcpListener::bind((crate::loopback::own_address(), 0)).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let listen = &parse_listen(&[address]).unwrap()[0];
        assert_eq!(
            try_bind(listen).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(taken);
        try_bind(listen).unwrap();
    }

    #[test]
    fn capabilities() {
        let status = |bits: &str| format!("Name:\tlangur\nCapEff:\t{bits}\n");
        assert!(has_capability(&status("0000000000000400"), 10));
        assert!(has_capability(&status("000001ffffffffff"), 10));
        assert!(!has_capability(&status("0000000000000000"), 10));
        assert!(!has_capability("", 10));
    }
}
