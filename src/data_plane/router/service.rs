//! Services and the upstreams their hosts may name.

use super::protocols::{Protocol, Protocols};
use crate::data_plane::balancer::{RoundRobin, TargetAddress};
use crate::model;
use crate::telemetry::record::{Label, Labelled};
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
}

impl Labelled for CompiledService {
    fn label(&self) -> &Label {
        &self.label
    }
}

impl CompiledService {
    /// # Errors
    /// One text for the user per invalid field.
    pub fn compile(service: &model::Service) -> Result<CompiledService, Vec<String>> {
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
        })
    }

    /// Whether the connection to the upstream is TLS.
    pub fn is_tls(&self) -> bool {
        Protocols::TLS.contains(self.protocol)
    }
}

/// An upstream with its targets.
#[derive(Debug)]
pub struct CompiledUpstream {
    pub spec: Arc<UpstreamSpec>,
    pub balancer: RoundRobin,
}

/// An upstream without its targets.
#[derive(Debug)]
pub struct UpstreamSpec {
    pub id: Uuid,
    pub name: Arc<str>,
    /// The Host to send instead of the target's.
    pub host_header: Option<Arc<str>>,
    pub client_certificate: Option<Uuid>,
}

impl UpstreamSpec {
    pub fn compile(upstream: &model::Upstream) -> UpstreamSpec {
        UpstreamSpec {
            id: upstream.id,
            name: upstream.name.as_str().into(),
            host_header: upstream.host_header.as_deref().map(Arc::from),
            client_certificate: upstream.client_certificate.map(|reference| reference.id),
        }
    }
}

/// A target of an upstream.
#[derive(Debug)]
pub struct TargetSpec {
    pub upstream: Uuid,
    pub address: TargetAddress,
    pub weight: u16,
}

/// The weight of a target that names none.
const DEFAULT_WEIGHT: u32 = 100;

impl TargetSpec {
    /// # Errors
    /// One text for the user per invalid field.
    pub fn compile(target: &model::Target) -> Result<TargetSpec, Vec<String>> {
        let weight = target.weight.unwrap_or(DEFAULT_WEIGHT);
        Ok(TargetSpec {
            upstream: target.upstream.id,
            address: TargetAddress::parse(target.id, &target.target)
                .map_err(|reason| vec![format!("target: {reason}")])?,
            weight: u16::try_from(weight)
                .map_err(|_| vec![format!("weight: {weight} is more than {}", u16::MAX)])?,
        })
    }
}
