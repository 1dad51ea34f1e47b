//! What queues count: entries delivered, and entries dropped by reason.

use super::DropReason;
use crate::telemetry::metrics::{Metrics, table};
use metrics::Counter;

/// The counters of the queues of one plugin.
#[derive(Clone)]
pub struct QueueCounters {
    delivered: Counter,
    dropped: [Counter; DropReason::ALL.len()],
}

impl QueueCounters {
    /// They are exported from now on, at zero where they are new.
    pub fn of(metrics: Option<&Metrics>, plugin: &str) -> QueueCounters {
        let name = || plugin.to_owned().into();
        let new = |counter: Counter| {
            counter.increment(0);
            counter
        };
        let Some(metrics) = metrics else {
            return QueueCounters {
                delivered: Counter::noop(),
                dropped: DropReason::ALL.map(|_| Counter::noop()),
            };
        };
        QueueCounters {
            delivered: new(metrics.counter(&table::PLUGIN_QUEUE_DELIVERED, [name()])),
            dropped: DropReason::ALL.map(|reason| {
                let values = [name(), reason.as_str().into()];
                new(metrics.counter(&table::PLUGIN_QUEUE_DROPPED, values))
            }),
        }
    }

    pub fn delivered(&self, count: u64) {
        self.delivered.increment(count);
    }

    pub fn dropped(&self, reason: DropReason, count: u64) {
        if count > 0
            && let Some(at) = DropReason::ALL.iter().position(|known| *known == reason)
        {
            self.dropped[at].increment(count);
        }
    }
}
