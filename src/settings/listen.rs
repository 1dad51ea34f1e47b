//! Listen addresses: nginx's `listen` values as Kong's `*_listen` keys take them.

use super::units;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listen {
    pub ip: IpAddr,
    /// 0 lets the system choose.
    pub port: u16,
    pub ssl: bool,
    /// HTTP/2: by ALPN with `ssl`, by prior knowledge without.
    pub http2: bool,
    /// Every connection must begin with a PROXY protocol header (v1 or v2).
    pub proxy_protocol: bool,
    /// Known, without effect, as are `bind` and `reuseport`: see [`Listen::bind`].
    pub deferred: bool,
    pub bind: bool,
    pub reuseport: bool,
    /// The accept backlog in connections; the system's choice when absent.
    pub backlog: Option<u32>,
    #[serde(skip)]
    pub ipv6only: Option<bool>,
    #[serde(skip)]
    pub so_keepalive: Option<KeepAlive>,
    /// The address and its flags in a fixed order, as `GET /` reports them.
    pub listener: String,
}

/// Whether and how the system asks silent clients if they are still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    Off,
    /// What is absent is the system's choice.
    On {
        idle: Option<Duration>,
        interval: Option<Duration>,
        count: Option<u32>,
    },
}

impl Listen {
    /// The address to bind.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// The address at which a process on the same host reaches this listener.
    pub fn local_address(&self) -> SocketAddr {
        let ip = match self.ip {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.port)
    }
}

const FORM: &str = "must be of form: [off] | <ip>:<port> [ssl] [http2] [proxy_protocol] \
     [deferred] [bind] [reuseport] [backlog=N] [ipv6only=on|off] \
     [so_keepalive=on|off|idle:interval:count], [... next entry ...]";

/// Reads a list of entries; `off` as the first one means none.
///
/// The error is a sentence to put after the name of the key.
pub fn parse(entries: &[String]) -> Result<Vec<Listen>, String> {
    if entries.first().is_some_and(|entry| entry == "off") {
        return Ok(Vec::new());
    }
    if entries.is_empty() {
        return Err(FORM.to_owned());
    }
    entries.iter().map(|entry| parse_entry(entry)).collect()
}

fn parse_entry(entry: &str) -> Result<Listen, String> {
    let mut words = entry.split_ascii_whitespace();
    let (ip, port) = words
        .next()
        .and_then(parse_address)
        .ok_or_else(|| format!("{FORM}, got '{entry}'"))?;
    let mut listen = Listen {
        ip,
        port,
        ssl: false,
        http2: false,
        proxy_protocol: false,
        deferred: false,
        bind: false,
        reuseport: false,
        backlog: None,
        ipv6only: None,
        so_keepalive: None,
        listener: String::new(),
    };
    for word in words {
        set_flag(&mut listen, word)
            .ok_or_else(|| format!("has an invalid flag '{word}' in '{entry}'; it {FORM}"))?;
    }
    listen.listener = listener_text(&listen);
    Ok(listen)
}

/// `ip:port`, `[ip]:port` or `localhost:port`; other names would need a resolver at start.
fn parse_address(text: &str) -> Option<(IpAddr, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), address.port()));
    }
    let port = text.strip_prefix("localhost:")?;
    Some((IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?))
}

fn set_flag(listen: &mut Listen, word: &str) -> Option<()> {
    match word.split_once('=') {
        None => match word {
            "ssl" => listen.ssl = true,
            "http2" => listen.http2 = true,
            "proxy_protocol" => listen.proxy_protocol = true,
            "deferred" => listen.deferred = true,
            "bind" => listen.bind = true,
            "reuseport" => listen.reuseport = true,
            _ => return None,
        },
        Some(("backlog", count)) => {
            listen.backlog = Some(count.parse().ok().filter(|count| *count > 0)?);
        }
        Some(("ipv6only", value)) => listen.ipv6only = Some(on_or_off(value)?),
        Some(("so_keepalive", value)) => {
            listen.so_keepalive = Some(keep_alive(value)?);
        }
        Some(_) => return None,
    }
    Some(())
}

/// `on`, `off`, or `idle:interval:count`, of which some may be left out.
fn keep_alive(value: &str) -> Option<KeepAlive> {
    let on = |idle, interval, count| KeepAlive::On {
        idle,
        interval,
        count,
    };
    if let Some(is_on) = on_or_off(value) {
        return Some(if is_on {
            on(None, None, None)
        } else {
            KeepAlive::Off
        });
    }
    let mut parts = value.split(':');
    let [idle, interval, count] = [parts.next()?, parts.next()?, parts.next()?];
    if parts.next().is_some() || value == "::" {
        return None;
    }
    // The system counts in seconds, up to 32767.
    let time = |text: &str| match text {
        "" => Some(None),
        text => {
            let seconds = |time: &Duration| (1..=32_767).contains(&time.as_secs());
            units::time(text).filter(seconds).map(Some)
        }
    };
    let count = match count {
        "" => None,
        text => Some(
            text.parse()
                .ok()
                .filter(|count| (1..=127).contains(count))?,
        ),
    };
    Some(on(time(idle)?, time(interval)?, count))
}

fn on_or_off(value: &str) -> Option<bool> {
    match value {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn listener_text(listen: &Listen) -> String {
    let mut text = listen.address().to_string();
    for (flag, name) in [
        (listen.ssl, "ssl"),
        (listen.http2, "http2"),
        (listen.proxy_protocol, "proxy_protocol"),
        (listen.deferred, "deferred"),
        (listen.bind, "bind"),
        (listen.reuseport, "reuseport"),
    ] {
        if flag {
            text.push(' ');
            text.push_str(name);
        }
    }
    if let Some(backlog) = listen.backlog {
        text.push_str(&format!(" backlog={backlog}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(text: &str) -> Vec<String> {
        text.split(',')
            .map(|entry| entry.trim().to_owned())
            .collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found = parse(&entries(text)).unwrap();
        let found: Vec<_> = found.iter().map(|l| l.listener.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn listens() {
        check("off", &[]);
        check("off, 1.2.3.4:80", &[]);
        check("0.0.0.0:8000", &["0.0.0.0:8000"]);
        check("localhost:8001", &["127.0.0.1:8001"]);
        check("[::]:8443  ssl http2", &["[::]:8443 ssl http2"]);
        check(
            "0.0.0.0:8000 backlog=16384 reuseport, 0.0.0.0:8443 http2 ssl reuseport backlog=16384",
            &[
                "0.0.0.0:8000 reuseport backlog=16384",
                "0.0.0.0:8443 ssl http2 reuseport backlog=16384",
            ],
        );
        check(
            "[::1]:1 proxy_protocol deferred bind ipv6only=on so_keepalive=30m::10",
            &["[::1]:1 proxy_protocol deferred bind"],
        );
    }

    #[test]
    fn what_is_no_listen() {
        for text in [
            "",
            "8000",
            "0.0.0.0",
            "0.0.0.0:",
            "0.0.0.0:65536",
            "example.com:80",
            "0.0.0.0:80 tls",
            "0.0.0.0:80 backlog=",
            "0.0.0.0:80 backlog=0",
            "0.0.0.0:80 ipv6only=maybe",
            "0.0.0.0:80 so_keepalive=1:2",
            "0.0.0.0:80 so_keepalive=::",
            "0.0.0.0:80 so_keepalive=x::",
            "0.0.0.0:80 so_keepalive=::0",
            "0.0.0.0:80 so_keepalive=1d::",
            "0.0.0.0:80, ",
        ] {
            let error = parse(&entries(text)).unwrap_err();
            assert!(error.contains("must be of form"), "{text:?}: {error}");
        }
        assert!(parse(&[]).is_err());
    }

    #[test]
    fn probes_of_silent_clients() {
        let check = |value: &str, expected: KeepAlive| {
            let text = format!("127.0.0.1:80 so_keepalive={value}");
            assert_eq!(
                parse(&[text]).unwrap()[0].so_keepalive,
                Some(expected),
                "{value}"
            );
        };
        let on = |idle: Option<u64>, interval: Option<u64>, count| KeepAlive::On {
            idle: idle.map(Duration::from_secs),
            interval: interval.map(Duration::from_secs),
            count,
        };
        check("off", KeepAlive::Off);
        check("on", on(None, None, None));
        check("30m::10", on(Some(1800), None, Some(10)));
        check("60:5s:3", on(Some(60), Some(5), Some(3)));
    }

    #[test]
    fn a_wildcard_is_reached_on_the_loopback() {
        let listens = parse(&entries("0.0.0.0:1, [::]:2, 10.0.0.1:3")).unwrap();
        let found: Vec<_> = listens
            .iter()
            .map(|l| l.local_address().to_string())
            .collect();
        assert_eq!(found, ["127.0.0.1:1", "[::1]:2", "10.0.0.1:3"]);
    }

    proptest! {
        #[test]
        fn the_text_of_a_listen_reads_as_itself(ip: IpAddr, port: u16, ssl: bool, http2: bool, backlog in proptest::option::of(1u32..100_000)) {
            let mut text = SocketAddr::new(ip, port).to_string();
            if ssl { text.push_str(" ssl"); }
            if http2 { text.push_str(" http2"); }
            if let Some(backlog) = backlog { text.push_str(&format!(" backlog={backlog}")); }
            let found = parse(std::slice::from_ref(&text)).unwrap();
            prop_assert_eq!(&found[0].listener, &text);
            prop_assert_eq!((found[0].ip, found[0].port), (ip, port));
        }
    }
}
