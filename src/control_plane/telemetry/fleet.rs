//! The totals of the fleet as metrics: only what this control plane has counted, so that the
//! sum over all control planes counts every request once.

use super::counts::Group;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::table::{
    FLEET_BANDWIDTH, FLEET_BATCHES, FLEET_DROPPED, FLEET_REQUESTS,
};
use metrics::SharedString;
use std::sync::Arc;
use uuid::Uuid;

/// Counts batches into the recorder of this process.
pub struct FleetMetrics {
    metrics: Arc<Metrics>,
    /// Fills the `consumer` label.
    per_consumer: bool,
}

impl FleetMetrics {
    pub fn new(metrics: Arc<Metrics>, per_consumer: bool) -> FleetMetrics {
        for result in ["counted", "already_counted", "refused", "failed"] {
            metrics
                .counter(&FLEET_BATCHES, [result.into()])
                .increment(0);
        }
        FleetMetrics {
            metrics,
            per_consumer,
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
        let data_plane: SharedString = data_plane.to_string().into();
        for group in groups {
            self.count_group(&data_plane, group);
        }
        self.metrics
            .counter(&FLEET_DROPPED, [data_plane])
            .increment(dropped);
    }

    fn count_group(&self, data_plane: &SharedString, group: &Group) {
        let (service, route) = match &group.route {
            Some(labels) => (labels.service_name.clone(), labels.route_name.clone()),
            None => ("".into(), "".into()),
        };
        let consumer = match &group.consumer {
            Some(labels) if self.per_consumer => labels.name.clone(),
            _ => "".into(),
        };
        let values = [
            data_plane.clone(),
            service.clone().into(),
            route.clone().into(),
            group.status.to_string().into(),
            consumer.clone().into(),
        ];
        self.metrics
            .counter(&FLEET_REQUESTS, values)
            .increment(group.count.requests);
        for (direction, bytes) in [
            ("ingress", group.count.request_bytes),
            ("egress", group.count.response_bytes),
        ] {
            let values = [
                data_plane.clone(),
                service.clone().into(),
                route.clone().into(),
                direction.into(),
                consumer.clone().into(),
            ];
            self.metrics
                .counter(&FLEET_BANDWIDTH, values)
                .increment(bytes);
        }
    }
}
