//! Services and the upstreams their hosts may name.

use super::protocols::{Protocol, Protocols};
use crate::data_plane::balancer::{Checks, Pool, Resolution, Target, TargetAddress};
use crate::model::{self, Row};
use crate::telemetry::record::{Label, Labelled};
use arc_swap::{ArcSwap, Guard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Timeouts of a service that names none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// A service as requests see it.
#[derive(Debug)]
pub struct CompiledService {
    pub id: Uuid,
    pub name: Option<Arc<str>>,
    /// The name for telemetry: the service's name, else its host.
    pub label: Label,
    pub protocol: Protocol,
    /// The service's own host and port: used when its host names no upstream.
    pub address: TargetAddress,
    /// What the request's path is appended to.
    pub path: Option<Box<str>>,
    /// Attempts after the first.
    pub retries: u32,
    pub connect_timeout: Duration,
    /// Between two writes.
    pub write_timeout: Duration,
    /// Between two reads.
    pub read_timeout: Duration,
    pub client_certificate: Option<Uuid>,
    /// `None` leaves it to the global setting.
    pub tls_verify: Option<bool>,
    pub tls_verify_depth: Option<u32>,
    /// The only authorities to trust, when there are any.
    pub ca_certificates: Box<[Uuid]>,
    /// Disabled services and their routes are as if they were not there.
    pub enabled: bool,
    /// The entity itself, shared with the configuration.
    pub row: Row,
}

impl Labelled for CompiledService {
    fn label(&self) -> &Label {
        &self.label
    }
}

impl CompiledService {
    /// # Errors
    /// One text for the user per invalid field.
    pub fn compile(service: &model::Service, row: &Row) -> Result<CompiledService, Vec<String>> {
        let protocol = Protocol::parse(&service.protocol);
        let protocol = protocol.map_err(|reason| vec![format!("protocol: {reason}")])?;
        if service.host.is_empty() {
            return Err(vec!["host: is empty".into()]);
        }
        let millis = |value: Option<u64>| value.map_or(DEFAULT_TIMEOUT, Duration::from_millis);
        let name: Option<Arc<str>> = service.name.as_deref().map(Arc::from);
        let address = TargetAddress::new(service.id, &service.host, service.port);
        Ok(CompiledService {
            id: service.id,
            label: Label {
                id: service.id,
                name: name.clone().unwrap_or_else(|| Arc::clone(&address.host)),
            },
            name,
            protocol,
            address,
            path: service.path.as_deref().map(Box::from),
            retries: service.retries.unwrap_or(0),
            connect_timeout: millis(service.connect_timeout),
            write_timeout: millis(service.write_timeout),
            read_timeout: millis(service.read_timeout),
            client_certificate: service.client_certificate.map(|reference| reference.id),
            tls_verify: service.tls_verify,
            tls_verify_depth: service.tls_verify_depth,
            ca_certificates: service
                .ca_certificates
                .as_deref()
                .unwrap_or_default()
                .into(),
            enabled: service.enabled,
            row: row.clone(),
        })
    }

    /// Whether the connection to the upstream is TLS.
    pub fn is_tls(&self) -> bool {
        Protocols::TLS.contains(self.protocol)
    }
}

/// Where the requests of a service go.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// The service's host is the name of an upstream; its targets bring their own ports.
    Balanced(&'a Arc<CompiledUpstream>),
    /// The service's own host and port.
    Host(&'a TargetAddress),
}

/// An upstream with its targets.
#[derive(Debug)]
pub struct CompiledUpstream {
    pub spec: Arc<UpstreamSpec>,
    targets: Box<[Arc<Target>]>,
    /// Swapped when names resolve to something else.
    pool: ArcSwap<Pool>,
}

impl CompiledUpstream {
    /// Names and addresses that `previous` had keep what was learned of them.
    pub fn new(
        spec: Arc<UpstreamSpec>,
        targets: impl IntoIterator<Item = Arc<Target>>,
        previous: Option<&CompiledUpstream>,
    ) -> CompiledUpstream {
        let targets = newest(targets);
        let previous = previous.map(CompiledUpstream::pool);
        let previous = previous.as_deref().map(|pool| &**pool);
        let hosts = previous.into_iter().flat_map(Pool::hosts);
        let resolved: HashMap<&str, &Resolution> = hosts
            .map(|host| (&*host.target.address.host, &host.resolution))
            .collect();
        let resolve = |target: &Target| {
            let known = resolved.get(&*target.address.host).copied();
            known.cloned().unwrap_or_default()
        };
        let pool = Pool::new(&targets, &spec.checks, resolve, previous);
        CompiledUpstream {
            pool: ArcSwap::from_pointee(pool),
            targets,
            spec,
        }
    }

    /// The addresses as they are now.
    pub fn pool(&self) -> Guard<Arc<Pool>> {
        self.pool.load()
    }

    /// The names of targets that must be resolved.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let names = self.targets.iter().map(|target| &target.address);
        names
            .filter(|address| address.ip.is_none())
            .map(|address| &address.host)
    }

    /// Takes what is known of the names now; only the one that resolves names calls this. A name
    /// that it has not asked for yet stays as it is.
    pub fn resolve(&self, known: impl Fn(&str) -> Resolution) {
        let pool = self.pool.load();
        let mut resolved = HashMap::new();
        let mut is_new = false;
        for host in pool.hosts() {
            let address = &host.target.address;
            let resolution = match known(&address.host) {
                Resolution::Pending => host.resolution.clone(),
                asked => asked,
            };
            is_new |= address.ip.is_none() && resolution != host.resolution;
            resolved.insert(&*address.host, resolution);
        }
        if is_new {
            let resolve = |target: &Target| {
                let known = resolved.get(&*target.address.host).cloned();
                known.unwrap_or_default()
            };
            let next = Pool::new(&self.targets, &self.spec.checks, resolve, Some(&pool));
            self.pool.store(Arc::new(next));
        }
    }
}

/// By age, and of several with one address the newest.
fn newest(targets: impl IntoIterator<Item = Arc<Target>>) -> Box<[Arc<Target>]> {
    let mut targets: Vec<Arc<Target>> = targets.into_iter().collect();
    targets.sort_by(|a, b| {
        let age = a.created_at.total_cmp(&b.created_at);
        age.then(a.address.id.cmp(&b.address.id))
    });
    let place = |target: &Target| (Arc::clone(&target.address.host), target.address.port);
    let last: HashMap<_, _> = targets
        .iter()
        .map(|target| (place(target), target.address.id))
        .collect();
    targets.retain(|target| last.get(&place(target)) == Some(&target.address.id));
    targets.into()
}

/// An upstream without its targets.
#[derive(Debug)]
pub struct UpstreamSpec {
    pub id: Uuid,
    pub name: Arc<str>,
    /// The Host to send instead of the target's.
    pub host_header: Option<Arc<str>>,
    pub client_certificate: Option<Uuid>,
    pub checks: Checks,
}

impl UpstreamSpec {
    pub fn compile(upstream: &model::Upstream) -> UpstreamSpec {
        UpstreamSpec {
            id: upstream.id,
            name: upstream.name.as_str().into(),
            host_header: upstream.host_header.as_deref().map(Arc::from),
            client_certificate: upstream.client_certificate.map(|reference| reference.id),
            checks: Checks::compile(&upstream.healthchecks),
        }
    }
}

/// A target with the upstream it belongs to.
#[derive(Debug)]
pub struct TargetSpec {
    pub upstream: Uuid,
    pub target: Arc<Target>,
}

/// The weight of a target that names none.
const DEFAULT_WEIGHT: u32 = 100;

impl TargetSpec {
    /// # Errors
    /// One text for the user per invalid field.
    pub fn compile(target: &model::Target) -> Result<TargetSpec, Vec<String>> {
        let weight = target.weight.unwrap_or(DEFAULT_WEIGHT);
        let compiled = Target {
            address: TargetAddress::parse(target.id, &target.target)
                .map_err(|reason| vec![format!("target: {reason}")])?,
            weight: u16::try_from(weight)
                .map_err(|_| vec![format!("weight: {weight} is more than {}", u16::MAX)])?,
            created_at: target.created_at,
        };
        Ok(TargetSpec {
            upstream: target.upstream.id,
            target: Arc::new(compiled),
        })
    }
}
