//! The node's resolver, for plugins.

use crate::data_plane::dns::Dns;
use crate::plugins::{Addresses, ResolveNames};
use std::net::SocketAddr;
use std::sync::Arc;

impl ResolveNames for Dns {
    fn resolve(&self, name: Arc<str>, port: u16) -> Addresses {
        let dns = self.clone();
        Box::pin(async move {
            let found = Dns::resolve(&dns, &name).await.found;
            let addresses = found.iter().flat_map(|addresses| addresses.iter());
            addresses
                .map(|address| {
                    let own = address.srv.and_then(|srv| srv.port);
                    SocketAddr::new(address.ip, own.map_or(port, u16::from))
                })
                .collect()
        })
    }
}
