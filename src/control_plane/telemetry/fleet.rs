//! The totals of the fleet as metrics: only what this control plane has counted, so that the
//! sum over all control planes counts every request once.

use super::counts::Group;
use crate::telemetry::metrics::series::{Answered, RouteSeries, SharedTable};
use crate::telemetry::metrics::table::{
    FLEET_BANDWIDTH, FLEET_BATCHES, FLEET_DROPPED, FLEET_REQUESTS, Metric,
};
use crate::telemetry::metrics::{Metrics, Print, text};
use crate::telemetry::record::Source;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Counts batches into the recorder of this process.
pub struct FleetMetrics {
    metrics: Arc<Metrics>,
    /// Fills the `consumer` label.
    per_consumer: bool,
    /// How long a data plane's totals are shown after its last batch.
    keep: Duration,
    fleet: Arc<Fleet>,
}

#[derive(Default)]
struct Fleet(Mutex<BTreeMap<Uuid, DataPlane>>);

/// The totals of one data plane.
#[derive(Clone)]
struct DataPlane {
    table: Arc<SharedTable<()>>,
    dropped: u64,
    counted_at: Instant,
}

impl Fleet {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, DataPlane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a batch and forgets who has sent none for long.
    fn table(&self, id: Uuid, dropped: u64, keep: Duration) -> Arc<SharedTable<()>> {
        let now = Instant::now();
        let mut fleet = self.lock();
        fleet.retain(|other, known| {
            *other == id || now.saturating_duration_since(known.counted_at) < keep
        });
        let data_plane = fleet.entry(id).or_insert_with(|| DataPlane {
            table: Arc::default(),
            dropped: 0,
            counted_at: now,
        });
        data_plane.dropped = data_plane.dropped.saturating_add(dropped);
        data_plane.counted_at = now;
        Arc::clone(&data_plane.table)
    }
}

impl FleetMetrics {
    /// Once in a process: `metrics` prints what is counted here.
    pub fn new(metrics: Arc<Metrics>, per_consumer: bool, keep: Duration) -> FleetMetrics {
        for result in ["counted", "already_counted", "refused", "failed"] {
            metrics
                .counter(&FLEET_BATCHES, [result.into()])
                .increment(0);
        }
        let fleet = Arc::new(Fleet::default());
        metrics.print_also(Arc::clone(&fleet) as Arc<dyn Print>);
        FleetMetrics {
            metrics,
            per_consumer,
            keep,
            fleet,
        }
    }

    /// What became of one batch.
    pub(super) fn batch(&self, result: &'static str) {
        self.metrics
            .counter(&FLEET_BATCHES, [result.into()])
            .increment(1);
    }

    /// A batch this control plane has counted.
    pub(super) fn count(&self, data_plane: Uuid, groups: &[Group], dropped: u64) {
        let table = self.fleet.table(data_plane, dropped, self.keep);
        let mut table = table.lock();
        table.make_room();
        for group in groups {
            let place = table.place(group.route.as_ref(), group.service.as_ref());
            let consumer = group.consumer.as_ref().filter(|_| self.per_consumer);
            let count = group.count;
            let answered = Answered {
                status: group.status,
                // Not a label of the fleet's metrics.
                source: Source::default(),
                requests: count.requests,
            };
            if let Some(traffic) = table.traffic_mut(place, consumer) {
                traffic.add(answered, count.request_bytes, count.response_bytes);
            }
        }
    }
}

impl Print for Fleet {
    fn print(&self, out: &mut String) {
        let tables = self.lock().clone();
        for (id, DataPlane { table, dropped, .. }) in tables {
            let data_plane = id.to_string();
            let labels = text::labels(&[("data_plane", &data_plane)]);
            text::family(&FLEET_DROPPED, out);
            let _ = writeln!(out, "{}{{{labels}}} {dropped}", FLEET_DROPPED.name);
            table.print([&FLEET_REQUESTS], out, |metric, series, out| {
                print_requests(&data_plane, metric, series, out);
            });
            table.print([&FLEET_BANDWIDTH], out, |metric, series, out| {
                series.print_bytes(metric, &[("data_plane", &data_plane)], &[], out);
            });
        }
    }
}

fn print_requests(data_plane: &str, metric: &Metric, series: &RouteSeries<()>, out: &mut String) {
    let [service, route] = series.names();
    for (consumer, traffic) in series.traffic() {
        for answered in &traffic.answered {
            let labels = text::labels(&[
                ("data_plane", data_plane),
                ("service", service),
                ("route", route),
                ("code", &answered.status.to_string()),
                ("consumer", consumer),
            ]);
            let _ = writeln!(out, "{}{{{labels}}} {}", metric.name, answered.requests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_plane_that_sends_nothing_for_long_is_forgotten() {
        let fleet = Fleet::default();
        let shown = || fleet.lock().keys().copied().collect::<Vec<_>>();
        let [first, second] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let day = Duration::from_secs(86_400);
        fleet.table(first, 0, day);
        fleet.table(second, 0, day);
        assert_eq!(shown(), [first, second]);
        fleet.table(second, 0, Duration::ZERO);
        assert_eq!(shown(), [second]);
    }
}
