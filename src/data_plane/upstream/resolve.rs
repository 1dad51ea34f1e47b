//! What a worker knows of names, so that its requests need not ask the node's resolver.

use crate::data_plane::balancer::{Address, RoundRobin};
use crate::data_plane::dns::Dns;
use hashbrown::HashMap;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::Instant;

/// Names a worker keeps; the node's resolver remembers more.
const MOST_NAMES: usize = 4096;

/// Resolves the hosts of requests, for one worker.
pub struct Resolver {
    dns: Dns,
    names: RefCell<HashMap<Arc<str>, Rc<Name>>>,
}

/// The addresses of a name that take turns.
struct Name {
    addresses: Arc<[Address]>,
    turn: RoundRobin,
    /// When the node's resolver is asked again.
    until: Instant,
}

impl Name {
    fn next(&self, port: u16) -> Option<SocketAddr> {
        let address = self.addresses.get(self.turn.pick(|_| true)?)?;
        let own = address.srv.and_then(|srv| srv.port);
        Some(SocketAddr::new(address.ip, own.map_or(port, u16::from)))
    }
}

impl Resolver {
    pub fn new(dns: Dns) -> Resolver {
        Resolver {
            dns,
            names: RefCell::default(),
        }
    }

    /// The next address of a host, or `None` when it has none. IP addresses, also IPv6 in
    /// brackets, are their own answer. The port of an SRV record wins over `port`.
    pub async fn resolve(&self, host: &Arc<str>, port: u16) -> Option<SocketAddr> {
        if let Some(address) = literal(host) {
            return Some(SocketAddr::new(address, port));
        }
        let known = self.names.borrow().get(host).cloned();
        if let Some(known) = known.as_ref().filter(|name| Instant::now() < name.until) {
            return known.next(port);
        }
        let answer = self.dns.resolve(host).await;
        // A failure is not kept here: the node's resolver remembers it.
        let Ok(addresses) = answer.found else {
            self.names.borrow_mut().remove(host);
            return None;
        };
        let weight = |address: &Address| address.srv.map_or(1, |srv| srv.weight.get());
        let weights: Vec<u16> = addresses.iter().map(weight).collect();
        let name = Rc::new(Name {
            turn: RoundRobin::new(&weights, known.as_ref().map(|known| &known.turn)),
            addresses,
            until: answer.until,
        });
        let mut names = self.names.borrow_mut();
        if names.len() >= MOST_NAMES {
            names.clear();
        }
        names.insert(Arc::clone(host), Rc::clone(&name));
        name.next(port)
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    let first = host.bytes().next()?;
    if !first.is_ascii_hexdigit() && first != b'[' && first != b':' {
        return None;
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::dns::testing::{NameServer, a, resolver, srv};

    async fn ask(resolver: &Resolver, host: &str) -> Option<String> {
        let address = resolver.resolve(&Arc::from(host), 80).await?;
        Some(address.to_string())
    }

    #[tokio::test]
    async fn addresses_need_no_resolver() {
        let server = NameServer::start(&[]);
        let resolver = Resolver::new(resolver(&server, &[]));
        for (host, expected) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("::1", "[::1]:80"),
            ("[fe80::2]", "[fe80::2]:80"),
        ] {
            assert_eq!(ask(&resolver, host).await.as_deref(), Some(expected));
        }
        assert_eq!(server.asked(), 0);
    }

    #[tokio::test]
    async fn answers_take_turns_without_a_question() {
        let server = NameServer::start(&[a("a.test", "10.0.0.2"), a("a.test", "10.0.0.1")]);
        let resolver = Resolver::new(resolver(&server, &[("dns_order", "A")]));
        for expected in ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"] {
            assert_eq!(ask(&resolver, "a.test").await.as_deref(), Some(expected));
        }
        assert_eq!(server.asked(), 1);
        assert_eq!(ask(&resolver, "none.test").await, None);
    }

    #[tokio::test]
    async fn srv_records_bring_ports_and_shares() {
        let server = NameServer::start(&[
            srv("s.test", 1, 3, 8001, "one.test"),
            srv("s.test", 1, 1, 8002, "one.test"),
            srv("s.test", 2, 9, 8003, "one.test"),
            a("one.test", "10.0.0.1"),
        ]);
        let resolver = Resolver::new(resolver(&server, &[]));
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(ask(&resolver, "s.test").await.expect("an address"));
        }
        seen.sort();
        let expected = [
            "10.0.0.1:8001",
            "10.0.0.1:8001",
            "10.0.0.1:8001",
            "10.0.0.1:8002",
        ];
        assert_eq!(seen, expected);
    }
}
