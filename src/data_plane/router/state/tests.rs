//! What takes effect, what waits, what it costs, and what a restart remembers.

mod cost;
mod laws;
mod protection;
mod quarantine;
mod upstreams;

use super::super::test_support::*;
use super::*;
use crate::data_plane::balancer::Observation;
use crate::data_plane::router::{Destination, Protocol, Scratch};
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

/// The plugins that run on a route, as the numbers of their ids.
fn running(snapshot: &Snapshot, route: u128, service: u128) -> Vec<u128> {
    let plan = snapshot.plugins_for(Some(id(route)), Some(id(service)), None, Protocol::Http);
    plan.iter().map(|plugin| plugin.id.as_u128()).collect()
}

fn route_on(n: u128, path: &str, of: u128) -> Op {
    route(n, json!({ "paths": [path], "service": to(of) }))
}
