//! What a node lends to its plugins.

use super::{Host, HttpClients, Names};
use crate::settings::{Tracing, TrustedPeer};
use crate::telemetry::metrics::Metrics;
use rustls::RootCertStore;
use serde_json::{Map, Value};
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// What a node is called, for plugins that tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeName {
    pub id: Uuid,
    pub hostname: Arc<str>,
}

/// Whether functions of configurations run, and what they may use (setting `untrusted_lua`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UntrustedLua {
    On,
    #[default]
    Sandbox,
    Off,
}

/// The settings of the node that plugins look at.
#[derive(Clone, Default)]
pub struct NodeSettings {
    pub untrusted_lua: UntrustedLua,
    /// Modules that functions in the sandbox may load.
    pub lua_requires: Vec<String>,
    /// What functions in the sandbox may use besides.
    pub lua_environment: Vec<String>,
    /// Whose forwarded headers are believed.
    pub trusted_ips: Vec<TrustedPeer>,
    /// What the names of variables begin with that references stand for.
    pub vault_prefix: String,
    /// Every setting by its name; secrets are masked.
    pub configuration: Map<String, Value>,
    pub tracing: Tracing,
    /// Where plugins count what they do.
    pub metrics: Option<Arc<Metrics>>,
}

impl fmt::Debug for NodeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSettings")
            .field("untrusted_lua", &self.untrusted_lua)
            .finish_non_exhaustive()
    }
}

/// Lent to each plugin when it is built. It outlives configurations; clones are cheap and share
/// everything.
#[derive(Clone)]
pub struct Resources {
    pub node: NodeName,
    pub settings: Arc<NodeSettings>,
    /// Queues, which are delivered without any request waiting.
    pub host: Host,
    /// Addresses of what is connected to.
    pub names: Names,
    pub http: HttpClients,
    /// Whom the node trusts.
    pub roots: Arc<RootCertStore>,
    stores: Stores,
}

#[derive(Clone, Default)]
struct Stores(Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stores")
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resources")
            .field("node", &self.node)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Nothing is delivered: for configurations that are only looked at, and for tests.
impl Default for Resources {
    fn default() -> Resources {
        let roots = Arc::new(RootCertStore::empty());
        Resources::new(
            NodeName::default(),
            Host::default(),
            Names::default(),
            roots,
        )
    }
}

impl Resources {
    pub fn new(node: NodeName, host: Host, names: Names, roots: Arc<RootCertStore>) -> Resources {
        Resources {
            node,
            settings: Arc::default(),
            host,
            http: HttpClients::new(names.clone(), Arc::clone(&roots)),
            names,
            roots,
            stores: Stores::default(),
        }
    }

    /// The same with the settings of the node.
    #[must_use]
    pub fn with_settings(self, settings: NodeSettings) -> Resources {
        Resources {
            settings: Arc::new(settings),
            ..self
        }
    }

    /// What a node of this name lends where nothing goes to the outside.
    #[cfg(test)]
    pub fn named(node: NodeName) -> Resources {
        Resources {
            node,
            ..Resources::default()
        }
    }

    /// The node's one store of this type, such as the counters of rate-limiting; made when it is first
    /// asked for. Ask while a plugin is built, not while a request waits. The store itself
    /// sees to its bounds.
    pub fn store<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let mut stores = self.stores.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(T::default()) as Arc<dyn Any + Send + Sync>;
        let found = Arc::clone(stores.entry(TypeId::of::<T>()).or_insert_with(new));
        // What is kept under a type's id is of that type.
        found.downcast().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    #[test]
    fn a_node_has_one_store_of_each_type() {
        let resources = Resources::default();
        resources.store::<AtomicU8>().store(7, Ordering::Relaxed);
        let again = resources.clone().store::<AtomicU8>();
        assert_eq!(again.load(Ordering::Relaxed), 7);
    }
}
