//! What happens at the control planes of a simulated cluster.

use super::network::{Conn, End};
use super::nodes::limits;
use super::world::{Event, Outcome, World};
use crate::control_plane::session::{self, History, SyncStatus};
use crate::wire::encode;
use std::time::Duration;

impl World {
    pub(super) fn session(&mut self, conn: Conn, input: session::Input) -> Outcome {
        let Some(link) = self.links.get(&conn) else {
            return Ok(());
        };
        let (address, node) = (link.control_plane, link.data_plane);
        let Some(process) = &mut self.control_planes[address] else {
            return Ok(());
        };
        let Some(state) = process.sessions.get_mut(&conn) else {
            return Ok(());
        };
        let before = state.status();
        let outputs = session::step(state, input, self.now, &process.history);
        let (after, kinds) = (state.status(), state.kinds());
        if after == SyncStatus::Ahead && before != after {
            self.stats.ahead += 1;
        }
        let mut frames = Vec::new();
        let mut superseded = None;
        let mut closed = false;
        for output in outputs {
            match output {
                session::Output::Send(message) => {
                    frames.push(encode(&message, &limits()).map_err(|err| err.to_string())?);
                }
                session::Output::SendChange { base } => {
                    let change = process.history.since(base.revision, kinds);
                    let change = change.ok_or("a change out of reach")?;
                    let epoch = process.history.position(kinds).epoch;
                    let frame = process.encoder.change(epoch, kinds, &change, &[]);
                    frames.push(frame.map_err(|err| err.to_string())?);
                    self.stats.changes += 1;
                }
                session::Output::SendSnapshot => {
                    let epoch = process.history.position(kinds).epoch;
                    let config = process.history.snapshot();
                    let slot = process.encoder.snapshot(epoch, kinds, &config);
                    let chunks = slot.chunks().map_err(|err| err.to_string())?;
                    frames.extend(chunks.iter().cloned());
                    self.stats.snapshots += 1;
                }
                session::Output::Report(session::Report::Joined(_)) => {
                    superseded = process.registry.insert(node, conn);
                }
                session::Output::Report(session::Report::Rejected(rejected)) => {
                    return Err(format!("rejected by node {node}: {rejected:?}"));
                }
                session::Output::Report(_) => {}
                session::Output::Close(session::CloseReason::Violation(what)) => {
                    return Err(format!("violation by node {node}: {what}"));
                }
                session::Output::Close(_) => closed = true,
            }
        }
        if closed {
            process.sessions.remove(&conn);
            process.registry.retain(|_, known| *known != conn);
        }
        for bytes in frames {
            self.transmit(conn, End::DataPlane, bytes);
            self.after_millis(0..100, Event::SessionSent(conn));
        }
        if closed {
            self.close(conn, End::DataPlane);
        }
        self.schedule_session(conn);
        match superseded.filter(|old| *old != conn) {
            Some(old) => self.session(old, session::Input::Superseded),
            None => Ok(()),
        }
    }

    /// One end closes; the other learns it after everything that was sent.
    pub(super) fn close(&mut self, conn: Conn, other: End) {
        let Some(link) = self.links.get_mut(&conn).filter(|link| !link.cut) else {
            return;
        };
        let at = link.arrival(other, self.now, &mut self.random);
        link.cut = true;
        self.at(at, Event::Closed(conn, other));
    }

    pub(super) fn schedule_session(&mut self, conn: Conn) {
        let link = self.links.get(&conn);
        let process = link.and_then(|link| self.control_planes[link.control_plane].as_ref());
        let state = process.and_then(|process| process.sessions.get(&conn));
        let Some(at) = state.and_then(session::State::deadline) else {
            return;
        };
        let at = at.max(self.now + Duration::from_micros(1));
        if self.ticks.insert((conn, at)) {
            self.at(at, Event::SessionTick(conn));
        }
    }
}
