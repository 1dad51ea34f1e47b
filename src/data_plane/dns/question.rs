//! One question: a name, asked for in the order of `dns_order`.

use super::hosts::HostsFile;
use crate::data_plane::balancer::{Address, LookupError, SrvPlace};
use crate::settings::{self, RecordKind};
use hashbrown::HashMap;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
    ServerOrderingStrategy,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an address of the hosts file is used before the file is looked at again.
const HOSTS_LAST: Duration = Duration::from_secs(5);
/// How many names may have their last answering kind of record remembered (`LAST` in `dns_order`).
const MOST_REMEMBERED_KINDS: usize = 10_000;
/// Records of one answer that are used.
const MOST_RECORDS: usize = 1000;

/// The addresses of a name.
#[derive(Debug)]
pub struct Records {
    /// At least one, sorted.
    pub addresses: Arc<[Address]>,
    pub lasts: Duration,
}

/// Asks the hosts file and the name servers.
pub struct Question {
    resolver: Option<TokioResolver>,
    hosts: HostsFile,
    order: Vec<RecordKind>,
    /// The kind that had records, by name.
    last: Mutex<HashMap<Arc<str>, RecordKind>>,
}

impl Question {
    pub fn new(settings: &settings::Dns) -> Question {
        let (config, options) = configuration(&settings.servers);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = options;
        let resolver = builder.build();
        if let Err(error) = &resolver {
            tracing::error!(%error, "no name server can be asked");
        }
        Question {
            resolver: resolver.ok(),
            hosts: HostsFile::new(settings.hosts_file.clone()),
            order: settings.order.clone(),
            last: Mutex::default(),
        }
    }

    /// The addresses of a name, of the first kind of record that it has.
    ///
    /// # Errors
    /// [`LookupError::NameError`] when every name server that was asked knows of no record,
    /// [`LookupError::ServerFailure`] when one could not say.
    pub async fn ask(&self, name: &Arc<str>) -> Result<Records, LookupError> {
        if never_exists(name) {
            return Err(LookupError::NameError);
        }
        if let Some(records) = self.in_hosts_file(name) {
            return Ok(records);
        }
        let mut failure = LookupError::NameError;
        for kind in self.kinds(name) {
            let asked = match kind {
                RecordKind::Srv => self.servers_of(name).await,
                kind => self.addresses_of(name, kind).await,
            };
            match asked {
                Ok(records) => {
                    self.remember(name, kind);
                    return Ok(records);
                }
                Err(LookupError::ServerFailure) => failure = LookupError::ServerFailure,
                Err(LookupError::NameError) => {}
            }
        }
        Err(failure)
    }

    /// What to ask for, each kind once.
    fn kinds(&self, name: &str) -> Vec<RecordKind> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kinds = Vec::with_capacity(self.order.len());
        for kind in &self.order {
            let kind = match kind {
                RecordKind::Last => last.get(name).copied(),
                kind => Some(*kind),
            };
            if let Some(kind) = kind.filter(|kind| !kinds.contains(kind)) {
                kinds.push(kind);
            }
        }
        kinds
    }

    fn remember(&self, name: &Arc<str>, kind: RecordKind) {
        if !self.order.contains(&RecordKind::Last) {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= MOST_REMEMBERED_KINDS {
            last.clear();
        }
        last.insert(Arc::clone(name), kind);
    }

    /// The hosts file counts whatever the order says; of both families IPv4 comes first.
    fn in_hosts_file(&self, name: &str) -> Option<Records> {
        let name = Name::from_utf8(name.to_ascii_lowercase()).ok()?;
        let found = |kind| {
            let query = Query::query(name.clone(), kind);
            let lookup = self.hosts.find(&query)?;
            let ips = lookup.answers().iter().filter_map(|r| r.data.ip_addr());
            records(ips.map(Address::from).collect(), HOSTS_LAST)
        };
        found(RecordType::A).or_else(|| found(RecordType::AAAA))
    }

    async fn addresses_of(&self, name: &str, kind: RecordKind) -> Result<Records, LookupError> {
        let record_type = match kind {
            RecordKind::Aaaa => RecordType::AAAA,
            _ => RecordType::A,
        };
        let lookup = self.lookup(name, record_type).await?;
        let ips = lookup.answers().iter().filter_map(|r| r.data.ip_addr());
        let lasts = lookup
            .valid_until()
            .saturating_duration_since(Instant::now());
        records(ips.map(Address::from).collect(), lasts).ok_or(LookupError::NameError)
    }

    /// The addresses of the servers in the SRV records of the best priority.
    async fn servers_of(&self, name: &str) -> Result<Records, LookupError> {
        let lookup = self.lookup(name, RecordType::SRV).await?;
        let servers = lookup.answers().iter().filter_map(|r| match &r.data {
            RData::SRV(srv) => Some(srv),
            _ => None,
        });
        let servers = best(servers);
        let mut lasts = lookup
            .valid_until()
            .saturating_duration_since(Instant::now());
        let (mut addresses, mut failure) = (Vec::new(), LookupError::NameError);
        for server in servers.iter().take(MOST_RECORDS) {
            let place = SrvPlace {
                port: NonZeroU16::new(server.port),
                weight: NonZeroU16::new(server.weight).unwrap_or(NonZeroU16::MIN),
            };
            match self.addresses_of_server(&server.target).await {
                Ok(found) => {
                    lasts = lasts.min(found.lasts);
                    addresses.extend(found.addresses.iter().map(|address| Address {
                        ip: address.ip,
                        srv: Some(place),
                    }));
                }
                Err(error) => {
                    tracing::warn!(%name, server = %server.target, %error,
                        "a server of an SRV record has no address");
                    if error == LookupError::ServerFailure {
                        failure = error;
                    }
                }
            }
        }
        records(addresses, lasts).ok_or(failure)
    }

    async fn addresses_of_server(&self, server: &Name) -> Result<Records, LookupError> {
        let name = server.to_utf8();
        if let Some(found) = self.in_hosts_file(name.trim_end_matches('.')) {
            return Ok(found);
        }
        let mut failure = LookupError::NameError;
        let has_aaaa = self.order.contains(&RecordKind::Aaaa);
        let kinds = [Some(RecordKind::A), has_aaaa.then_some(RecordKind::Aaaa)];
        for kind in kinds.into_iter().flatten() {
            match self.addresses_of(&name, kind).await {
                Ok(found) => return Ok(found),
                Err(LookupError::ServerFailure) => failure = LookupError::ServerFailure,
                Err(LookupError::NameError) => {}
            }
        }
        Err(failure)
    }

    async fn lookup(
        &self,
        name: &str,
        record_type: RecordType,
    ) -> Result<hickory_resolver::lookup::Lookup, LookupError> {
        let resolver = self.resolver.as_ref().ok_or(LookupError::ServerFailure)?;
        resolver.lookup(name, record_type).await.map_err(|error| {
            tracing::debug!(%name, %record_type, %error, "no records");
            match gone(&error) {
                true => LookupError::NameError,
                false => LookupError::ServerFailure,
            }
        })
    }
}

/// Whether a name server said that there is nothing, rather than that it cannot say.
fn gone(error: &NetError) -> bool {
    // A name that cannot be written in a question does not exist either.
    error.is_no_records_found() || error.is_nx_domain() || matches!(error, NetError::Proto(_))
}

fn records(mut addresses: Vec<Address>, lasts: Duration) -> Option<Records> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MOST_RECORDS);
    (!addresses.is_empty()).then(|| Records {
        addresses: addresses.into(),
        lasts,
    })
}

/// The records with the smallest priority (RFC 2782). A server named `.` says that there is none.
fn best<'a>(servers: impl Iterator<Item = &'a SRV> + Clone) -> Vec<&'a SRV> {
    let servers = servers.filter(|server| !server.target.is_root());
    let first = servers.clone().map(|server| server.priority).min();
    servers
        .filter(|server| Some(server.priority) == first)
        .collect()
}

/// RFC 6761 wants no name server to be asked for these.
fn never_exists(name: &str) -> bool {
    let label = name.trim_end_matches('.').rsplit('.').next();
    label.is_some_and(|label| label.eq_ignore_ascii_case("invalid"))
}

/// Whom to ask, and how: as `/etc/resolv.conf` says, but for the servers when they are given.
fn configuration(servers: &[SocketAddr]) -> (ResolverConfig, ResolverOpts) {
    let (system, mut options) = read_system_conf().unwrap_or_else(|error| {
        // What the C library does without the file: a name server on this machine.
        if servers.is_empty() {
            tracing::warn!(%error, "/etc/resolv.conf cannot be used, asking 127.0.0.1");
        }
        let local = NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
        (config, ResolverOpts::default())
    });
    options.use_hosts_file = ResolveHosts::Never;
    // Answers are kept by `cache`, with lifetimes of its own.
    options.cache_size = 0;
    options.num_concurrent_reqs = 1;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.try_tcp_on_error = true;
    if servers.is_empty() {
        return (system, options);
    }
    let (_, search, _) = system.into_parts();
    let servers = servers.iter().map(server).collect();
    (ResolverConfig::from_parts(None, search, servers), options)
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}
