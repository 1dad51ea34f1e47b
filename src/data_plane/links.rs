//! The data plane's ends of its links: over the network, or within the process.

use super::heartbeat_client::ConnectLink;
use crate::link::{Connect, Dialer, Link, LinkError, LocalFuture, Target};
use crate::node::{Node, NodeError};
use crate::settings::HostPort;
use crate::tls;
use crate::wire::{self, NodeSecret};
use actix_web::http::header::{HeaderName, HeaderValue};
use futures_util::future::LocalBoxFuture;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// Where configuration comes from and telemetry goes to.
#[derive(Clone)]
pub struct Links {
    pub configuration: ControlPlanes,
    pub telemetry: Rc<dyn Connect>,
}

/// The control planes of the address list, in the order of the setting.
#[derive(Clone)]
pub struct ControlPlanes {
    endpoints: Vec<Rc<dyn Connect>>,
    /// The one that the last link was opened to.
    current: Rc<Cell<usize>>,
}

impl ControlPlanes {
    pub fn new(endpoints: Vec<Rc<dyn Connect>>) -> ControlPlanes {
        ControlPlanes {
            endpoints,
            current: Rc::default(),
        }
    }

    /// How many addresses there are: what `connect` takes is below it.
    pub fn count(&self) -> usize {
        self.endpoints.len()
    }
}

impl ConnectLink for ControlPlanes {
    fn connect(&self, address: usize) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        let (found, current) = (self.endpoints.get(address).cloned(), self.current.clone());
        Box::pin(async move {
            let none = || LinkError::Failed("no such control plane".to_owned());
            let link = found.ok_or_else(none)?.connect().await?;
            current.set(address);
            Ok(link)
        })
    }
}

/// One endpoint over the network.
struct Endpoint {
    dialer: Dialer,
    target: Target,
}

impl Connect for Endpoint {
    fn connect(&self) -> LocalFuture<'_, Result<Link, LinkError>> {
        Box::pin(self.dialer.dial(&self.target, wire::SUBPROTOCOL))
    }
}

/// The telemetry endpoints of the control planes: records go to the one that configuration
/// comes from.
struct Telemetry {
    endpoints: Vec<Endpoint>,
    current: Rc<Cell<usize>>,
}

impl Connect for Telemetry {
    fn connect(&self) -> LocalFuture<'_, Result<Link, LinkError>> {
        let at = self.current.get().min(self.endpoints.len() - 1);
        self.endpoints[at].connect()
    }
}

impl Links {
    /// WebSockets over mutual TLS to `cluster_control_plane` and `cluster_telemetry_endpoint`.
    ///
    /// # Errors
    /// The cluster certificate or its trust cannot be used.
    pub fn over_network(node: &Node) -> Result<Links, NodeError> {
        let cluster = &node.settings.cluster;
        let identity = cluster.identity()?.ok_or(NodeError::NoClusterCertificate)?;
        let trust = cluster.trust_of_data_plane(&node.settings.certificates)?;
        let tls = Arc::new(tls::cluster_client_config(&identity, &trust)?);
        let secret = node.secret.as_ref().and_then(|secret| {
            let mut value = HeaderValue::from_str(&secret.to_hex()).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_static(NodeSecret::HEADER), value))
        });
        let endpoint = |address: &HostPort, name: Option<&str>, path: String, secret| {
            let name = tls::server_name(&trust, name, &address.host)?;
            let name = Some(name.to_str().into_owned());
            Ok::<_, NodeError>(Endpoint {
                dialer: Dialer::new(Arc::clone(&tls), name, cluster.max_payload),
                target: Target {
                    address: address.to_string(),
                    path,
                    headers: Option::into_iter(secret).collect(),
                },
            })
        };
        let mut configuration: Vec<Rc<dyn Connect>> = Vec::new();
        let mut telemetry = Vec::new();
        for address in &cluster.control_planes {
            let name = cluster.server_name.as_deref();
            let path = wire::CONFIG_PATH.to_owned();
            // Here the hello shows the secret.
            configuration.push(Rc::new(endpoint(address, name, path, None)?));
            let name = cluster.telemetry_server_name.as_deref().or(name);
            let path = format!("{}?node_id={}", wire::TELEMETRY_PATH, node.id);
            let address = cluster.telemetry_endpoint(address);
            telemetry.push(endpoint(&address, name, path, secret.clone())?);
        }
        let configuration = ControlPlanes::new(configuration);
        let telemetry = Telemetry {
            endpoints: telemetry,
            current: Rc::clone(&configuration.current),
        };
        Ok(Links {
            configuration,
            telemetry: Rc::new(telemetry),
        })
    }
}
