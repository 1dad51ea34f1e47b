//! What happens at the control planes of a simulated cluster.

use super::network::{Conn, End};
use super::nodes::limits;
use super::world::{Event, Outcome, World};
use crate::control_plane::session::{self, History, SyncStatus};
use crate::wire::encode;
use std::collections::btree_map::Entry;
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
        let mut notices = false;
        let before = state.status();
        let outputs = session::step(state, input, self.now, &process.history);
        let (after, kinds) = (state.status(), state.kinds());
        if after == SyncStatus::Ahead && before != after {
            self.stats.ahead += 1;
            // The control plane looks into the database, which it may not reach: that it lags
            // behind is no loss.
            if self.database.is_restored && !self.blind[address] {
                self.stats.noticed += 1;
                notices = true;
            }
        }
        let mut frames = Vec::new();
        let mut superseded = None;
        let mut closed = false;
        // What the registry says about it, to whom.
        let mut answers = Vec::new();
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
                session::Output::Report(session::Report::Greeted(hello)) => {
                    let older = process.registry.get(&node).copied();
                    match older {
                        // It is asked for a sign of life, unless the new one proves its id.
                        Some(older) if hello.secret.is_none() => {
                            match process.waiting.entry(node) {
                                Entry::Occupied(_) => {
                                    let reason = "another one waits".to_owned();
                                    answers.push((conn, session::Input::TurnedAway { reason }));
                                }
                                Entry::Vacant(place) => {
                                    place.insert(conn);
                                    answers.push((older, session::Input::Challenged));
                                }
                            }
                            self.stats.challenges += 1;
                        }
                        _ => answers.push((conn, session::Input::Admitted)),
                    }
                }
                session::Output::Report(session::Report::Alive) => {
                    if let Some(waiting) = process.waiting.remove(&node) {
                        let reason = "it is there".to_owned();
                        answers.push((waiting, session::Input::TurnedAway { reason }));
                    }
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
            let spoke = process.registry.get(&node) == Some(&conn);
            process.registry.retain(|_, known| *known != conn);
            process.waiting.retain(|_, waiting| *waiting != conn);
            if let Some(waiting) = process.waiting.remove(&node).filter(|_| spoke) {
                answers.push((waiting, session::Input::Admitted));
            }
        }
        for bytes in frames {
            self.transmit(conn, End::DataPlane, bytes);
            self.after_millis(0..100, Event::SessionSent(conn));
        }
        if closed {
            self.close(conn, End::DataPlane);
        }
        self.schedule_session(conn);
        if let Some(old) = superseded.filter(|old| *old != conn) {
            answers.push((old, session::Input::Superseded));
        }
        for (to, input) in answers {
            self.session(to, input)?;
        }
        if notices {
            self.raise();
        }
        Ok(())
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
