//! The rows by which all control planes show the same fleet, written in batches.
//!
//! Data planes acknowledge every change, and only the last state of each matters. So states are gathered
//! and written at most once a second, in one transaction. On SQLite the statements are built before the
//! transaction begins, so that a write of configuration waits once a second for a short time, and not for
//! one transaction and disk sync per data plane.

use super::presence::{self, Presence};
use super::{ClusterRegistry, PULSE, SessionId, Store, StoreError};
use crate::control_plane::config_store::{DataPlanePresence, PresenceBatch, Pulse};
use actix::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use uuid::Uuid;

/// Between the beginnings of two batches.
const EVERY: Duration = Duration::from_secs(1);
/// After a quiet time a batch waits this long for more rows.
const MOMENT: Duration = Duration::from_millis(20);
/// A control plane that was not seen for so long holds no data planes.
const CONTROL_PLANE_GONE: Duration = PULSE.saturating_mul(6);
/// How long the last batch of a control plane that stops may take.
const LAST: Duration = Duration::from_secs(1);

/// What the database does not have yet.
pub(super) struct Rows {
    /// Sessions whose row has changed.
    pub dirty: BTreeSet<SessionId>,
    /// The last state of data planes that have left, or were refused.
    pub left: BTreeMap<Uuid, DataPlanePresence>,
    /// The row that says that this control plane is alive must be written.
    pub pulse: bool,
    /// Nothing has been written yet in this life.
    is_new: bool,
    state: State,
    /// When the last batch began.
    begun: Option<Instant>,
    /// How many batches were written.
    pub batches: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// A batch will be written in a moment.
    Gathering,
    Writing,
    /// The control plane stops.
    Over,
}

impl Default for Rows {
    fn default() -> Rows {
        Rows {
            dirty: BTreeSet::new(),
            left: BTreeMap::new(),
            pulse: false,
            is_new: true,
            state: State::Idle,
            begun: None,
            batches: 0,
        }
    }
}

impl Rows {
    /// Whether a batch is under way.
    pub fn is_busy(&self) -> bool {
        self.state == State::Writing
    }

    pub fn unwritten(&self) -> usize {
        self.dirty.len() + self.left.len()
    }

    fn is_due(&self) -> bool {
        self.is_new || self.pulse || self.unwritten() > 0
    }
}

impl ClusterRegistry {
    /// A data plane has left, or was refused: its last state is kept for the next batch, as no session
    /// reports it again.
    pub(super) fn leaves(&mut self, presence: &Presence) {
        if let Some(mut row) = presence.row(&self.options.fleet)
            && !self.by_node.contains_key(&row.id)
        {
            row.connected = false;
            row.updated_at = presence::now();
            self.rows.left.insert(row.id, row);
        }
    }

    /// Has what is not written yet written soon.
    pub(super) fn write_soon(&mut self, ctx: &mut Context<Self>) {
        if self.rows.state != State::Idle || !self.rows.is_due() {
            return;
        }
        self.rows.state = State::Gathering;
        let rest = self
            .rows
            .begun
            .map(|begun| EVERY - begun.elapsed().min(EVERY));
        let wait = match rest {
            // An earlier life of this control plane may have left rows behind that are wrong.
            None => Duration::ZERO,
            Some(rest) => rest.max(MOMENT),
        };
        ctx.run_later(wait, |registry, ctx| registry.write_batch(ctx));
    }

    fn write_batch(&mut self, ctx: &mut Context<Self>) {
        if self.rows.state == State::Over {
            return;
        }
        self.rows.state = State::Writing;
        self.rows.begun = Some(Instant::now());
        let left = std::mem::take(&mut self.rows.left);
        let batch = PresenceBatch {
            control_plane: self.options.identity.control_plane,
            begins: self.rows.is_new,
            rows: self.rows_of(left.clone()),
            pulse: std::mem::take(&mut self.rows.pulse).then(|| Pulse {
                hostname: self.options.hostname.clone(),
                window: CONTROL_PLANE_GONE,
            }),
        };
        self.rows.dirty.clear();
        let store = self.options.store.clone();
        let writing = async move { store.write_presence(&batch).await };
        let written = writing.into_actor(self);
        ctx.spawn(written.map(|result, registry, ctx| registry.written(result, left, ctx)));
    }

    /// The rows that have changed, and those of who has left: one for each data plane.
    fn rows_of(
        &self,
        left: BTreeMap<Uuid, DataPlanePresence>,
    ) -> BTreeMap<Uuid, DataPlanePresence> {
        let mut rows = left;
        for id in &self.rows.dirty {
            let entry = self.sessions.get(id);
            let Some(row) = entry.and_then(|entry| entry.presence.row(&self.options.fleet)) else {
                continue;
            };
            // A link that was refused does not speak for the node that is connected.
            let speaks = self.by_node.get(&row.id);
            if speaks.is_none_or(|speaks| speaks == id) {
                rows.insert(row.id, row);
            }
        }
        rows
    }

    fn written(
        &mut self,
        result: Result<(), StoreError>,
        left: BTreeMap<Uuid, DataPlanePresence>,
        ctx: &mut Context<Self>,
    ) {
        if self.rows.state == State::Over {
            return;
        }
        self.rows.state = State::Idle;
        match result {
            Ok(()) => {
                self.rows.is_new = false;
                self.rows.batches += 1;
            }
            Err(err) => {
                tracing::warn!(?err, "presence of data planes was not written");
                self.rows.pulse = true;
                self.rows.dirty.extend(self.sessions.keys());
                // A data plane that has come back meanwhile is connected; one that left again has a later row.
                for (node, row) in left {
                    if !self.by_node.contains_key(&node) {
                        self.rows.left.entry(node).or_insert(row);
                    }
                }
            }
        }
        self.write_soon(ctx);
    }

    /// What remains to be said when this control plane stops: all its data planes leave. Nothing is
    /// written after it.
    pub(super) fn last_batch(&mut self) -> PresenceBatch {
        self.rows.dirty.extend(self.sessions.keys());
        let left = std::mem::take(&mut self.rows.left);
        let mut rows = self.rows_of(left);
        for row in rows.values_mut() {
            row.connected = false;
        }
        self.rows.state = State::Over;
        PresenceBatch {
            control_plane: self.options.identity.control_plane,
            begins: true,
            rows,
            pulse: None,
        }
    }
}

/// Writes the last batch; a database that does not answer holds the end of the process up for a
/// moment only.
pub(super) async fn write_last(store: &Store, batch: &PresenceBatch) {
    match timeout(LAST, store.write_presence(batch)).await {
        Ok(Ok(())) => {}
        Ok(Err(err)) => tracing::warn!(?err, "presence of data planes was not written"),
        Err(_) => tracing::warn!("presence of data planes was not written: no answer in time"),
    }
}
