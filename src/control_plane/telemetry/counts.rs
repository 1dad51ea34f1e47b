//! From records to counts: one batch, added up.

use crate::control_plane::config_store::Count;
use crate::telemetry::record::{Named, Record};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What requests are counted by; the data plane comes with the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountKey {
    pub service: Option<Uuid>,
    /// `None` for requests that no route matched.
    pub route: Option<Uuid>,
    pub consumer: Option<Uuid>,
    /// The status sent to the client.
    pub status: u16,
}

/// What a batch adds to the totals of its data plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub by_key: BTreeMap<CountKey, Count>,
    /// Records the data plane has lost since its last batch.
    pub dropped: u64,
}

/// The records of a batch that share a route, a service, a consumer and a status.
pub(super) struct Group {
    pub route: Option<Named>,
    pub service: Option<Named>,
    pub consumer: Option<Named>,
    pub status: u16,
    pub count: Count,
}

/// Groups the records of one batch. Labels are found again by their address: decoding made
/// one of each for the whole batch.
pub(super) fn group(records: Vec<Record>) -> Vec<Group> {
    let mut groups: HashMap<_, Group> = HashMap::new();
    for mut record in records {
        record.status = known_status(record.status);
        let place = (
            record.route.as_ref().map(Named::address),
            record.service.as_ref().map(Named::address),
            record.consumer.as_ref().map(Named::address),
            record.status,
        );
        let count = Count {
            requests: 1,
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
        };
        groups
            .entry(place)
            .or_insert_with(|| Group {
                route: record.route,
                service: record.service,
                consumer: record.consumer,
                status: record.status,
                count: Count::default(),
            })
            .count += count;
    }
    groups.into_values().collect()
}

/// The statuses there are (RFC 9110 §15), and 0 for a request without an answer; whatever else a
/// peer says would only make series.
fn known_status(status: u16) -> u16 {
    match status {
        100..=599 => status,
        _ => 0,
    }
}

impl Counts {
    pub(super) fn of(groups: &[Group], dropped: u64) -> Counts {
        let mut counts = Counts {
            dropped,
            ..Counts::default()
        };
        for group in groups {
            let id = |label: &Option<Named>| label.as_ref().map(|label| label.id);
            let key = CountKey {
                service: id(&group.service),
                route: id(&group.route),
                consumer: id(&group.consumer),
                status: group.status,
            };
            *counts.by_key.entry(key).or_default() += group.count;
        }
        counts
    }
}
