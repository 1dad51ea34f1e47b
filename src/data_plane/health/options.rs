//! What the checker and its probers work with, and what they count.

use super::probe::Credentials;
use crate::data_plane::dns::Dns;
use crate::data_plane::router::{Published, SnapshotCell};
use std::cell::Cell;
use std::sync::Arc;
use tokio::sync::Notify;

/// What a checker works with. It outlives a restart of the actor.
#[derive(Clone)]
pub struct HealthOptions {
    pub snapshots: SnapshotCell,
    pub published: Published,
    pub progress: Progress,
    pub credentials: Credentials,
    pub dns: Dns,
}

/// Wakes those who wait for an answer of a name or a probe.
pub type Progress = Arc<Notify>;

/// Counts for people.
#[derive(Default)]
pub struct Seen {
    pub upstreams: Cell<usize>,
    pub names: Cell<usize>,
    pub probes: Cell<u64>,
}
