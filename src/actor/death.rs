//! Deaths that a test asks for: the actor's own task panics, as it does over a bug in a handler.

use super::{Registry, RestartPolicy, Vitals};
use std::sync::Arc;

/// A life that ends in a panic when it is told to.
pub(super) async fn mortal(life: impl Future<Output = ()>, vitals: Arc<Vitals>) {
    tokio::select! {
        biased;
        () = vitals.death.notified() => panic!("killed by a test"),
        () = life => {}
    }
}

impl Registry {
    /// Kills the actor of this name if it lives and has had its first turn; [`Registry::panics`] tells.
    pub fn kill(&self, name: &str) {
        // Whoever does not wait for its death now must not die of it at its birth.
        if let Some(vitals) = self.vitals(name) {
            vitals.death.notify_waiters();
        }
    }

    /// How often the actor of this name has panicked.
    pub fn panics(&self, name: &str) -> u64 {
        self.vitals(name).map_or(0, |vitals| vitals.panics())
    }

    /// All actors that are started from now on are restarted at this pace.
    pub fn set_pace(&self, pace: RestartPolicy) {
        self.entries().pace = Some(pace);
    }

    pub(super) fn pace(&self) -> Option<RestartPolicy> {
        self.entries().pace
    }

    fn vitals(&self, name: &str) -> Option<Arc<Vitals>> {
        let entries = self.entries();
        entries
            .by_name
            .get(name)
            .map(|entry| Arc::clone(&entry.vitals))
    }
}
