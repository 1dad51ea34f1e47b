//! How long a revision takes from its commit until a data plane has it in effect.
//!
//! Both ends are read from this process's clock: the commit, or the news of another control
//! plane's commit, and the acknowledgement.

use crate::control_plane::config_store::Store;
use crate::model::Revision;
use crate::telemetry::metrics::table::PROPAGATION;
use crate::telemetry::metrics::{Histogram, Metrics};
use metrics::SharedString;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Revisions measured for one acknowledgement; what is more has waited as long.
const MOST: u64 = 1000;

/// The measurements of one connection.
#[derive(Debug)]
pub(super) struct Propagation {
    series: Arc<Histogram>,
    joined: Instant,
    acknowledged: Revision,
}

impl Propagation {
    /// Of a data plane that has just joined and holds this revision.
    pub fn new(metrics: &Metrics, node: Uuid, held: Revision) -> Propagation {
        Propagation {
            series: metrics.histogram(&PROPAGATION, labels(node)),
            joined: Instant::now(),
            acknowledged: held,
        }
    }

    /// The data plane has acknowledged a revision. Those committed before it had joined are not
    /// measured: they waited for the connection.
    pub fn acknowledge(&mut self, revision: Revision, store: &Store) {
        let now = Instant::now();
        let first = self.acknowledged.0.max(revision.0.saturating_sub(MOST));
        let first = first.saturating_add(1);
        for known in first..=revision.0 {
            let Some(at) = store.announced_at(Revision(known)) else {
                continue;
            };
            if at >= self.joined {
                let us = now.saturating_duration_since(at).as_micros();
                self.series
                    .record_thousandths(u64::try_from(us).unwrap_or(u64::MAX));
            }
        }
        self.acknowledged = revision;
    }
}

/// The data plane is gone, and its series with it.
pub(super) fn forget(metrics: &Metrics, node: Uuid) {
    metrics.forget_histogram(&PROPAGATION, labels(node));
}

fn labels(node: Uuid) -> [SharedString; 1] {
    [node.to_string().into()]
}
