//! What the resolvers of all workers last learned of each name, for the metrics.

use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names that are remembered; when there are more, all are learned anew.
const MAX_NAMES: usize = 4096;

type Addresses = Arc<[IpAddr]>;

/// Shared by all workers: written after a lookup, never while a request waits for it, and read
/// when somebody scrapes.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<HashMap<Arc<str>, Addresses>>>);

impl Names {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Addresses>> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lookup has ended, and these are the addresses now in use: none when there are none.
    pub fn learned(&self, name: &Arc<str>, addresses: &[IpAddr]) {
        let mut names = self.lock();
        if names.len() >= MAX_NAMES && !names.contains_key(name) {
            names.clear();
        }
        names.insert(Arc::clone(name), addresses.into());
    }

    /// The addresses of a name; `None` when no request has asked for it yet.
    pub fn addresses(&self, name: &str) -> Option<Addresses> {
        self.lock().get(name).cloned()
    }
}
