//! What takes effect, what waits, what it costs, and what a restart remembers.

mod cost;
mod guards;
mod laws;
mod model;
mod quarantine;
mod removals;
mod upstreams;

use super::super::test_support::*;
use super::*;
use crate::data_plane::balancer::Observation;
use crate::data_plane::router::{Destination, Scratch};
use crate::model::Revision;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The quarantined entities, as kind and number.
fn held(outcome: &Outcome) -> Vec<(Kind, u128)> {
    outcome
        .quarantined
        .iter()
        .map(|entity| (entity.kind, entity.id.as_u128()))
        .collect()
}

/// What is in effect instead of a quarantined entity.
fn instead(outcome: &Outcome, kind: Kind, n: u128) -> Option<Instead> {
    let mut entries = outcome.quarantined.iter();
    let entry = entries.find(|entry| (entry.kind, entry.id) == (kind, id(n)))?;
    Some(entry.instead)
}

/// The plugins that run on a route, as the numbers of their ids.
fn running(snapshot: &Snapshot, route: u128, service: u128) -> Vec<u128> {
    let plan = snapshot.plugins_for(Some(id(route)), Some(id(service)), None);
    plan.iter().map(|plugin| plugin.id.as_u128()).collect()
}

fn route_on(n: u128, path: &str, of: u128) -> Op {
    route(n, json!({ "paths": [path], "service": to(of) }))
}

/// A state that begins where another one stopped.
fn restarted(state: &RouterState) -> (RouterState, Outcome) {
    let mut again = crate::data_plane::router::test_support::state();
    let outcome = again.restore(state.config().clone(), state.last_good(), 0.0);
    (again, outcome)
}
