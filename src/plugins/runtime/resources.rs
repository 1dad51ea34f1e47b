//! What a node lends to its plugins.

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

/// Lent to each plugin when it is built. It outlives configurations; clones are cheap and share
/// everything.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    pub node: NodeName,
    stores: Stores,
}

#[derive(Clone, Default)]
struct Stores(Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stores")
    }
}

impl Resources {
    pub fn new(node: NodeName) -> Resources {
        Resources {
            node,
            stores: Stores::default(),
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
