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
use uuid::Uuid;

/// Counts batches into the recorder of this process.
pub struct FleetMetrics {
    metrics: Arc<Metrics>,
    /// Fills the `consumer` label.
    per_consumer: bool,
    fleet: Arc<Fleet>,
}

/// One table per data plane.
#[derive(Default)]
struct Fleet(Mutex<BTreeMap<Uuid, Arc<SharedTable<()>>>>);

impl Fleet {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Arc<SharedTable<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FleetMetrics {
    /// Once in a process: `metrics` prints what is counted here.
    pub fn new(metrics: Arc<Metrics>, per_consumer: bool) -> FleetMetrics {
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
        let table = Arc::clone(self.fleet.lock().entry(data_plane).or_default());
        let mut table = table.lock();
        table.make_room();
        for group in groups {
            let place = table.place(group.route.as_ref(), group.service.as_ref());
            let Some(series) = table.at(place) else {
                continue;
            };
            let consumer = group.consumer.as_ref().filter(|_| self.per_consumer);
            let count = group.count;
            let answered = Answered {
                status: group.status,
                // Not a label of the fleet's metrics.
                source: Source::default(),
                requests: count.requests,
            };
            series
                .traffic_mut(consumer)
                .add(answered, count.request_bytes, count.response_bytes);
        }
        self.metrics
            .counter(&FLEET_DROPPED, [data_plane.to_string().into()])
            .increment(dropped);
    }
}

impl Print for Fleet {
    fn print(&self, out: &mut String) {
        let tables = self.lock().clone();
        for (data_plane, table) in tables {
            let data_plane = data_plane.to_string();
            table.print([&FLEET_REQUESTS], out, |metric, series, out| {
                print_requests(&data_plane, metric, series, out);
            });
            table.print([&FLEET_BANDWIDTH], out, |metric, series, out| {
                print_bandwidth(&data_plane, metric, series, out);
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

fn print_bandwidth(data_plane: &str, metric: &Metric, series: &RouteSeries<()>, out: &mut String) {
    let [service, route] = series.names();
    for (consumer, traffic) in series.traffic() {
        for (direction, bytes) in [
            ("egress", traffic.response_bytes),
            ("ingress", traffic.request_bytes),
        ] {
            let labels = text::labels(&[
                ("data_plane", data_plane),
                ("service", service),
                ("route", route),
                ("direction", direction),
                ("consumer", consumer),
            ]);
            let _ = writeln!(out, "{}{{{labels}}} {bytes}", metric.name);
        }
    }
}
