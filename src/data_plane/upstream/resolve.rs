//! Names to addresses, through the system's resolver, with a small cache per worker.
//!
//! The system's resolver does not tell how long an answer holds, so an answer is used for
//! `FRESH`, then still used while a new one is fetched beside the request. When the new
//! fetch fails, the old answer stays: a resolver that is down takes no upstream with it. Only
//! a name that is gone has no address any more.

use futures_util::future::LocalBoxFuture;
use hashbrown::HashMap;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long an answer is used without asking again.
const FRESH: Duration = Duration::from_secs(5);
/// How long a failure is answered without asking again.
const FAILED: Duration = Duration::from_secs(1);
/// Names in the cache; names without a use for a while go first.
const MAX_NAMES: usize = 4096;

/// Asks for the addresses of a name.
pub type Lookup = Box<dyn Fn(Arc<str>) -> LocalBoxFuture<'static, io::Result<Vec<IpAddr>>>>;

pub struct Resolver {
    shared: Rc<Shared>,
}

struct Shared {
    lookup: Lookup,
    names: RefCell<HashMap<Arc<str>, Rc<Name>>>,
}

/// What is known of one name.
#[derive(Default)]
struct Name {
    addresses: RefCell<Vec<IpAddr>>,
    /// When the last fetch ended, well or badly.
    fetched: Cell<Option<Instant>>,
    fetching: Cell<bool>,
    done: Notify,
    /// Round-robin over the addresses.
    turn: Cell<usize>,
}

impl Name {
    fn is_due(&self, now: Instant) -> bool {
        let lasts = match self.addresses.borrow().is_empty() {
            true => FAILED,
            false => FRESH,
        };
        self.fetched
            .get()
            .is_none_or(|at| now.duration_since(at) >= lasts)
    }

    fn next(&self) -> Option<IpAddr> {
        let addresses = self.addresses.borrow();
        let turn = self.turn.get();
        let address = addresses.get(turn.checked_rem(addresses.len())?).copied();
        self.turn.set(turn.wrapping_add(1));
        address
    }
}

impl Resolver {
    /// A resolver over the system's `getaddrinfo`.
    pub fn system() -> Resolver {
        Resolver::new(Box::new(|name| {
            Box::pin(async move { lookup(&name).await })
        }))
    }

    pub fn new(lookup: Lookup) -> Resolver {
        Resolver {
            shared: Rc::new(Shared {
                lookup,
                names: RefCell::default(),
            }),
        }
    }

    /// The next address of a host, or `None` when it has none. IP addresses, also IPv6 in
    /// brackets, are their own answer.
    pub async fn resolve(&self, host: &Arc<str>, port: u16) -> Option<SocketAddr> {
        if let Some(address) = literal(host) {
            return Some(SocketAddr::new(address, port));
        }
        let name = self.name(host);
        if name.is_due(Instant::now()) && !name.fetching.replace(true) {
            let (shared, host, name) = (self.shared.clone(), host.clone(), name.clone());
            tokio::task::spawn_local(async move { fetch(&shared, host, &name).await });
        }
        loop {
            let done = name.done.notified();
            if let Some(address) = name.next() {
                return Some(SocketAddr::new(address, port));
            }
            if !name.fetching.get() {
                return None;
            }
            done.await;
        }
    }

    fn name(&self, host: &Arc<str>) -> Rc<Name> {
        let mut names = self.shared.names.borrow_mut();
        if let Some(name) = names.get(host) {
            return name.clone();
        }
        if names.len() >= MAX_NAMES {
            let now = Instant::now();
            names.retain(|_, name| !name.is_due(now));
        }
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        let name = Rc::new(Name::default());
        names.insert(host.clone(), name.clone());
        name
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

/// The addresses of a name, at least one, in order; IPv6 only where there is no IPv4, as Kong
/// does.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when there is no such name, else the resolver's reason.
pub async fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    // RFC 6761 wants no resolver to be asked for these.
    let label = name.trim_end_matches('.').rsplit('.').next();
    if label.is_some_and(|label| label.eq_ignore_ascii_case("invalid")) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let found = tokio::net::lookup_host((name, 0)).await;
    let found = found.map_err(with_kind)?.map(|address| address.ip());
    let found = preferred(found.collect());
    match found.is_empty() {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(found),
    }
}

/// The system's texts for a name that is not there; `getaddrinfo`'s code does not come through.
const NO_SUCH_NAME: [&str; 3] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
];

fn with_kind(error: io::Error) -> io::Error {
    let text = error.to_string();
    match NO_SUCH_NAME.iter().any(|known| text.ends_with(known)) {
        true => io::Error::new(io::ErrorKind::NotFound, error),
        false => error,
    }
}

fn preferred(mut found: Vec<IpAddr>) -> Vec<IpAddr> {
    if found.iter().any(IpAddr::is_ipv4) {
        found.retain(IpAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    found
}

async fn fetch(shared: &Shared, host: Arc<str>, name: &Name) {
    match (shared.lookup)(host.clone()).await {
        Ok(found) if found.is_empty() => {}
        Ok(found) => drop(name.addresses.replace(found)),
        Err(error) => {
            tracing::debug!(%host, %error, "name resolution failed");
            if error.kind() == io::ErrorKind::NotFound {
                name.addresses.borrow_mut().clear();
            }
        }
    }
    name.fetched.set(Some(Instant::now()));
    name.fetching.set(false);
    name.done.notify_waiters();
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::LocalSet;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        LocalSet::new().block_on(&runtime.unwrap(), test);
    }

    /// A resolver with prepared answers; counts the questions.
    fn prepared(answers: Vec<io::Result<Vec<&'static str>>>) -> (Resolver, Rc<Cell<usize>>) {
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        let answers = RefCell::new(answers.into_iter());
        let lookup: Lookup = Box::new(move |_| {
            count.set(count.get() + 1);
            let answer = answers.borrow_mut().next().unwrap();
            Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(preferred(
                    answer?.iter().map(|ip| ip.parse().unwrap()).collect(),
                ))
            })
        });
        (Resolver::new(lookup), asked)
    }

    fn age(resolver: &Resolver, host: &str) {
        let names = resolver.shared.names.borrow();
        let fetched = &names[host].fetched;
        fetched.set(fetched.get().and_then(|at| at.checked_sub(FRESH)));
    }

    async fn ask(resolver: &Resolver, host: &str) -> Option<String> {
        let address = resolver.resolve(&Arc::from(host), 80).await?;
        Some(address.to_string())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn addresses_need_no_resolver() {
        run(async {
            let (resolver, asked) = prepared(vec![]);
            assert_eq!(ask(&resolver, "127.0.0.1").await, some("127.0.0.1:80"));
            assert_eq!(ask(&resolver, "::1").await, some("[::1]:80"));
            assert_eq!(ask(&resolver, "[fe80::2]").await, some("[fe80::2]:80"));
            assert_eq!(asked.get(), 0);
        });
    }

    #[test]
    fn answers_take_turns_and_ipv4_goes_first() {
        run(async {
            let answer = vec!["10.0.0.2", "::1", "10.0.0.1", "10.0.0.2"];
            let (resolver, asked) = prepared(vec![Ok(answer)]);
            for expected in ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"] {
                assert_eq!(ask(&resolver, "a.test").await, some(expected));
            }
            assert_eq!(asked.get(), 1);
        });
    }

    #[test]
    fn a_stale_answer_is_used_while_and_if_no_new_one_comes() {
        run(async {
            let failure = io::Error::from(io::ErrorKind::TimedOut);
            let answers = vec![Ok(vec!["10.0.0.1"]), Err(failure), Ok(vec!["10.0.0.9"])];
            let (resolver, asked) = prepared(answers);
            assert_eq!(ask(&resolver, "a.test").await, some("10.0.0.1:80"));
            for expected in [2, 3] {
                age(&resolver, "a.test");
                assert_eq!(ask(&resolver, "a.test").await, some("10.0.0.1:80"));
                let done = resolver.shared.names.borrow()["a.test"].clone();
                while done.fetching.get() {
                    tokio::task::yield_now().await;
                }
                assert_eq!(asked.get(), expected);
            }
            assert_eq!(ask(&resolver, "a.test").await, some("10.0.0.9:80"));
        });
    }

    #[test]
    fn a_name_that_is_gone_has_no_address() {
        run(async {
            let gone = io::Error::from(io::ErrorKind::NotFound);
            let (resolver, asked) = prepared(vec![Ok(vec!["10.0.0.1"]), Err(gone)]);
            assert_eq!(ask(&resolver, "a.test").await, some("10.0.0.1:80"));
            age(&resolver, "a.test");
            ask(&resolver, "a.test").await;
            let name = resolver.shared.names.borrow()["a.test"].clone();
            while name.fetching.get() {
                tokio::task::yield_now().await;
            }
            assert_eq!(ask(&resolver, "a.test").await, None);
            assert_eq!(asked.get(), 2);
        });
    }

    #[test]
    fn a_failure_is_remembered_and_asked_once_by_many() {
        run(async {
            let failure = io::Error::from(io::ErrorKind::NotFound);
            let (resolver, asked) = prepared(vec![Err(failure)]);
            let (first, second) =
                tokio::join!(ask(&resolver, "no.test"), ask(&resolver, "no.test"));
            assert_eq!((first, second), (None, None));
            assert_eq!(ask(&resolver, "no.test").await, None);
            assert_eq!(asked.get(), 1);
        });
    }

    #[test]
    fn a_name_that_is_not_there_is_told_from_a_resolver_that_is_not() {
        let kind = |text: &str| with_kind(io::Error::other(text.to_owned())).kind();
        let prefix = "failed to lookup address information: ";
        let not_known = format!("{prefix}Name or service not known");
        assert_eq!(kind(&not_known), io::ErrorKind::NotFound);
        let down = format!("{prefix}Temporary failure in name resolution");
        assert_eq!(kind(&down), io::ErrorKind::Other);
        run(async {
            for name in ["a.invalid", "INVALID."] {
                let error = lookup(name).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}");
            }
        });
    }
}
