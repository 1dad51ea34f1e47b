//! The data plane's ends of its links: over the network, or within the process.

use super::heartbeat_client::ConnectLink;
use crate::link::{Connect, Dialer, Link, LinkError, LocalFuture, Target};
use crate::node::{Node, NodeError};
use crate::settings::HostPort;
use crate::tls;
use crate::wire;
use futures_util::future::LocalBoxFuture;
use std::cell::Cell;
use std::rc::Rc;

/// Where configuration comes from and telemetry goes to.
#[derive(Clone)]
pub struct Links {
    /// One per control plane, in the order of the setting.
    pub configuration: Vec<Rc<dyn Connect>>,
    pub telemetry: Rc<dyn Connect>,
}

impl ConnectLink for Vec<Rc<dyn Connect>> {
    fn connect(&self, address: usize) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        let found = self.get(address).cloned();
        Box::pin(async move {
            let none = || LinkError::Failed("no such control plane".to_owned());
            found.ok_or_else(none)?.connect().await
        })
    }
}

/// Dials one endpoint, or several of equal standing in turn.
struct Endpoints {
    dialer: Dialer,
    targets: Vec<Target>,
    subprotocol: &'static str,
    next: Cell<usize>,
}

impl Connect for Endpoints {
    fn connect(&self) -> LocalFuture<'_, Result<Link, LinkError>> {
        let turn = self.next.replace(self.next.get().wrapping_add(1));
        let target = &self.targets[turn % self.targets.len()];
        Box::pin(self.dialer.dial(target, self.subprotocol))
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
        let tls = std::sync::Arc::new(tls::cluster_client_config(&identity, &trust)?);
        let limit = cluster.max_payload;
        let endpoints = |addresses: &[HostPort], name: Option<&str>, path: String, subprotocol| {
            let host = addresses
                .first()
                .map_or("", |address| address.host.as_str());
            let name = tls::server_name(&trust, name, host)?;
            Ok::<Rc<dyn Connect>, NodeError>(Rc::new(Endpoints {
                dialer: Dialer::new(tls.clone(), Some(name.to_str().into_owned()), limit),
                targets: addresses
                    .iter()
                    .map(|address| Target {
                        address: address.to_string(),
                        path: path.clone(),
                    })
                    .collect(),
                subprotocol,
                next: Cell::new(0),
            }))
        };
        let configuration = cluster
            .control_planes
            .iter()
            .map(|address| {
                let name = cluster.server_name.as_deref();
                let path = wire::CONFIG_PATH.to_owned();
                endpoints(std::slice::from_ref(address), name, path, wire::SUBPROTOCOL)
            })
            .collect::<Result<_, _>>()?;
        let mut telemetry: Vec<HostPort> = cluster
            .control_planes
            .iter()
            .map(|address| cluster.telemetry_endpoint(address))
            .collect();
        telemetry.dedup();
        let name = cluster.telemetry_server_name.as_deref();
        let path = format!("{}?node_id={}", wire::TELEMETRY_PATH, node.id);
        Ok(Links {
            configuration,
            telemetry: endpoints(&telemetry, name, path, wire::SUBPROTOCOL)?,
        })
    }
}
