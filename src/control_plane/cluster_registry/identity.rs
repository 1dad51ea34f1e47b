//! Who a data plane is: what its certificate says, or a secret that it alone has.

use crate::control_plane::config_store::Store;
use crate::wire::SecretHash;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// How long the database may take. Afterwards what this process has learned counts.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the link of telemetry waits for that of configuration to introduce the node, at its
/// very first start.
const INTRODUCTION: Duration = Duration::from_secs(3);
/// The pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Who vouches for the id of a node, beside the node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// Its certificate names nobody, as the one that all nodes share.
    Nobody,
    /// An authority has signed a certificate for the node of this id.
    Certificate(Uuid),
    /// It is in the same process.
    Process,
}

/// What is to be thought of a node that says it has some id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is that node.
    Proved,
    /// Nobody has proved to be that node before, and it can from now on.
    Binds(SecretHash),
    /// Nobody has proved to be that node before, and this one does not, either: it is of an
    /// earlier version.
    Unproved,
    /// It is not that node, or does not prove it.
    Refused(String),
}

/// Decides about a node that says it has this id: by who vouches for it, by the hash of the
/// secret that it shows, and by the one that the id is bound to.
fn judge(
    node: Uuid,
    vouched: Vouched,
    shown: Option<SecretHash>,
    bound: Option<SecretHash>,
) -> Verdict {
    match vouched {
        Vouched::Process => return Verdict::Proved,
        Vouched::Certificate(id) if id == node => return Verdict::Proved,
        Vouched::Certificate(id) => {
            return Verdict::Refused(format!(
                "the certificate is that of node {id}, not of node {node}"
            ));
        }
        Vouched::Nobody => {}
    }
    match (shown, bound) {
        (Some(shown), Some(bound)) if shown == bound => Verdict::Proved,
        (Some(_), Some(_)) => Verdict::Refused(format!(
            "the secret is not that of node {node}. If the node has lost its prefix, give it \
             another node_id, or have it forgotten: langur hybrid forget {node}"
        )),
        (None, Some(_)) => Verdict::Refused(format!(
            "node {node} has a secret, and this link does not show it"
        )),
        (Some(shown), None) => Verdict::Binds(shown),
        (None, None) => Verdict::Unproved,
    }
}

/// The identities of the cluster's data planes, in the database that all control planes share.
pub struct Identities {
    store: Store,
    /// What this process has seen there: it counts while the database is away.
    seen: Mutex<BTreeMap<Uuid, SecretHash>>,
}

impl Identities {
    pub fn new(store: Store) -> Arc<Identities> {
        Arc::new(Identities {
            store,
            seen: Mutex::default(),
        })
    }

    fn remember(&self, node: Uuid, bound: Option<SecretHash>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match bound {
            Some(hash) => drop(seen.insert(node, hash)),
            None => drop(seen.remove(&node)),
        }
    }

    /// What an id is bound to.
    async fn bound(&self, node: Uuid) -> Option<SecretHash> {
        let asked = timeout(PATIENCE, self.store.node_secret(node)).await;
        match asked {
            Ok(Ok(bound)) => {
                self.remember(node, bound);
                bound
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(%node, "the identity of a data plane cannot be read");
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.get(&node).copied()
            }
        }
    }

    /// What is to be thought of a node that says it has this id.
    pub async fn examine(
        &self,
        node: Uuid,
        vouched: Vouched,
        shown: Option<SecretHash>,
    ) -> Verdict {
        if vouched == Vouched::Process {
            return Verdict::Proved;
        }
        let bound = self.bound(node).await;
        let verdict = judge(node, vouched, shown, bound);
        // Its certificate may expire and be replaced by one that names nobody; and nobody else
        // shall have the id meanwhile.
        if let (Verdict::Proved, Some(shown)) = (&verdict, shown)
            && bound != Some(shown)
        {
            self.bind(node, shown, true).await;
        }
        verdict
    }

    /// Binds an id to a secret; false when somebody else was faster.
    pub async fn bind(&self, node: Uuid, shown: SecretHash, replace: bool) -> bool {
        let binding = self.store.bind_node_secret(node, shown, replace);
        match timeout(PATIENCE, binding).await {
            Ok(Ok(bound)) => {
                self.remember(node, Some(bound));
                bound == shown
            }
            // A fleet comes back also while the database is away.
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(%node, "the identity of a data plane cannot be written");
                true
            }
        }
    }

    /// Whether a link of telemetry is that of the node it names.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn of_telemetry(
        &self,
        node: Uuid,
        vouched: Vouched,
        shown: Option<SecretHash>,
    ) -> Result<(), String> {
        let until = Instant::now() + INTRODUCTION;
        loop {
            match self.examine(node, vouched, shown).await {
                Verdict::Proved => return Ok(()),
                Verdict::Unproved => {
                    tracing::warn!(%node, "the telemetry of a data plane proves no identity");
                    return Ok(());
                }
                Verdict::Refused(why) => return Err(why),
                // Its other link is where a node is introduced.
                Verdict::Binds(_) if Instant::now() < until => sleep(LOOK_AGAIN).await,
                Verdict::Binds(_) => {
                    return Err(format!("node {node} has not been introduced yet"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_15_who_a_node_is() {
        let node = Uuid::from_u128(1);
        let (own, other) = ([1; 32], [2; 32]);
        let check = |vouched, shown, bound, expected: &str| {
            let verdict = judge(node, vouched, shown, bound);
            let found = match &verdict {
                Verdict::Proved => "proved",
                Verdict::Binds(hash) if Some(*hash) == shown => "binds",
                Verdict::Binds(_) => "binds something else",
                Verdict::Unproved => "unproved",
                Verdict::Refused(why) => why,
            };
            assert!(
                found.contains(expected),
                "{vouched:?} {shown:?} {bound:?}: {verdict:?}"
            );
        };
        let nobody = Vouched::Nobody;
        check(nobody, Some(own), Some(own), "proved");
        check(nobody, Some(other), Some(own), "is not that of node");
        check(nobody, None, Some(own), "does not show it");
        check(nobody, Some(own), None, "binds");
        check(nobody, None, None, "unproved");
        // A certificate says more than any secret.
        let named = Vouched::Certificate(node);
        check(named, None, Some(own), "proved");
        check(named, Some(other), Some(own), "proved");
        let else_named = Vouched::Certificate(Uuid::from_u128(2));
        check(
            else_named,
            Some(own),
            Some(own),
            "the certificate is that of",
        );
        check(Vouched::Process, None, Some(own), "proved");
    }
}
