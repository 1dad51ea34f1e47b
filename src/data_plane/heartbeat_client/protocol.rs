//! The data plane's side of the cluster link as a function: no IO, clock or chance.
//!
//! `wire/LIFECYCLE.md` explains it. Law: an acknowledgement leaves only when its position is
//! both live and persisted.

use super::persist::Persist;
use super::state::{Effect, Incoming, Input, LinkId, Output, Phase, Report, State};
use crate::data_plane::cache_writer::LastGood;
use crate::model::Revision;
use crate::wire::{
    Applied, Assembly, ChangeMessage, DEAD_AFTER, FromControlPlane, FromDataPlane,
    HEARTBEAT_INTERVAL, Heartbeat, Hello, Pong, Position, Rejected, SnapshotChunk, Unpersisted,
    WINDOW, Welcome,
};
use std::sync::Arc;
use std::time::Duration;

/// How long a connection attempt, and then the answer to hello, may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// The pause after a failed write to the cache.
const PERSIST_RETRY: Duration = Duration::from_secs(30);

/// Takes one input and says what to do about it.
pub fn step(state: &mut State, input: Input, now: Duration) -> Vec<Output> {
    let mut turn = Turn {
        state,
        now,
        outputs: Vec::new(),
    };
    if turn.state.phase != Phase::Stopped {
        turn.take(input);
    }
    turn.outputs
}

struct Turn<'a> {
    state: &'a mut State,
    now: Duration,
    outputs: Vec<Output>,
}

impl Turn<'_> {
    fn take(&mut self, input: Input) {
        match input {
            Input::Start => {
                if self.state.persisted != self.state.live.position {
                    self.persist(Persist::Live);
                }
                self.connect();
            }
            Input::Connected { link } if self.is_current(link) => self.connected(),
            Input::LinkClosed { link, reason } if self.is_current(link) => self.lose(&reason, None),
            Input::Received { link, message } if self.is_current(link) => {
                self.state.last_heard = self.now;
                self.received(message);
            }
            Input::ReceivedUnknown { link } if self.is_current(link) => {
                self.state.last_heard = self.now;
            }
            Input::Malformed { link, reason } if self.is_current(link) => self.violation(&reason),
            Input::Connected { .. }
            | Input::LinkClosed { .. }
            | Input::Received { .. }
            | Input::ReceivedUnknown { .. }
            | Input::Malformed { .. } => {}
            Input::InEffect {
                position,
                at,
                quarantined,
                last_good,
            } => self.in_effect(
                Effect {
                    position,
                    at,
                    quarantined,
                },
                last_good,
            ),
            Input::NotApplied { reason } => self.not_applied(reason),
            Input::Persisted { position } => self.persisted(position),
            Input::NotPersisted { reason } => self.not_persisted(reason),
            Input::Tick => self.tick(),
            Input::Telemetry(trouble) => self.telemetry(trouble),
            Input::Stop => {
                self.drop_link();
                self.state.phase = Phase::Stopped;
            }
        }
    }

    // --- the link ---

    fn is_current(&self, link: LinkId) -> bool {
        let open = matches!(
            self.state.phase,
            Phase::Connecting | Phase::Greeting | Phase::Live
        );
        open && link == self.state.link
    }

    fn connect(&mut self) {
        self.state.link = LinkId(self.state.link.0 + 1);
        // What was rejected without a link is told by what hello holds.
        self.state.awaits_snapshot = false;
        self.state.phase = Phase::Connecting;
        self.state.until = self.now + ATTEMPT;
        self.outputs.push(Output::Connect {
            link: self.state.link,
            address: self.state.reconnect.address(),
        });
    }

    fn connected(&mut self) {
        if self.state.phase != Phase::Connecting {
            return;
        }
        self.state.phase = Phase::Greeting;
        self.state.until = self.now + ATTEMPT;
        let hello = Hello {
            held: self.state.live.position,
            ..self.state.hello.clone()
        };
        self.send(hello);
    }

    fn tick(&mut self) {
        if self
            .state
            .retry
            .as_ref()
            .is_some_and(|(at, _)| self.now >= *at)
        {
            self.state.retry = None;
            self.persist(Persist::Live);
        }
        match self.state.phase {
            Phase::Idle | Phase::Stopped => {}
            Phase::Waiting => self.reconnect_if_due(),
            Phase::Connecting if self.now >= self.state.until => {
                self.lose("the connection attempt timed out", None);
            }
            Phase::Greeting if self.now >= self.state.until => {
                self.lose("hello was not answered in time", None);
            }
            Phase::Connecting | Phase::Greeting => {}
            Phase::Live => self.tick_live(),
        }
    }

    fn tick_live(&mut self) {
        if self.now >= self.state.last_heard + DEAD_AFTER {
            let reason = format!("no frame for {} s", DEAD_AFTER.as_secs());
            return self.lose(&reason, None);
        }
        if self.now >= self.state.next_heartbeat {
            self.state.next_heartbeat = self.now + HEARTBEAT_INTERVAL;
            self.send(Heartbeat {
                position: self.state.live.position,
                telemetry: self.state.telemetry.clone(),
            });
        }
    }

    /// The control plane learns at once when telemetry begins or ends to arrive.
    fn telemetry(&mut self, trouble: Option<String>) {
        let changed = self.state.telemetry.is_some() != trouble.is_some();
        self.state.telemetry = trouble;
        if changed && self.state.phase == Phase::Live {
            self.state.next_heartbeat = self.now;
            self.tick_live();
        }
    }

    fn reconnect_if_due(&mut self) {
        let due = self.state.phase == Phase::Waiting && self.now >= self.state.until;
        if due && self.state.applying.is_none() {
            self.connect();
        }
    }

    fn lose(&mut self, reason: &str, hint: Option<Duration>) {
        let was_live = self.state.phase == Phase::Live;
        self.drop_link();
        let retry_in = if was_live {
            self.state.reconnect.lost(hint)
        } else {
            self.state.reconnect.failed(hint)
        };
        self.state.phase = Phase::Waiting;
        self.state.until = self.now + retry_in;
        self.report(Report::Disconnected {
            reason: reason.to_owned(),
            retry_in,
        });
    }

    fn drop_link(&mut self) {
        if matches!(
            self.state.phase,
            Phase::Connecting | Phase::Greeting | Phase::Live
        ) {
            self.outputs.push(Output::Disconnect {
                link: self.state.link,
            });
        }
        self.state.queue.clear();
        self.state.assembly = None;
        self.state.awaits_snapshot = false;
    }

    fn violation(&mut self, what: &str) {
        self.lose(&format!("protocol violation: {what}"), None);
    }

    // --- what the control plane says ---

    fn received(&mut self, message: FromControlPlane) {
        match (self.state.phase, message) {
            (Phase::Greeting, FromControlPlane::Welcome(welcome)) => self.welcomed(welcome),
            (Phase::Greeting | Phase::Live, FromControlPlane::Refused(refused)) => {
                let hint = refused.retry_after.map(|s| Duration::from_secs(s.into()));
                self.lose(&format!("refused: {}", refused.reason), hint);
            }
            (Phase::Greeting | Phase::Live, FromControlPlane::GoAway(go_away)) => {
                let hint = go_away.reconnect_after;
                let hint = hint.map(|s| Duration::from_secs(s.into()));
                self.lose("the control plane goes away", hint);
            }
            (Phase::Live, FromControlPlane::ChangeMessage(message)) => self.change(message),
            (Phase::Live, FromControlPlane::SnapshotChunk(chunk)) => self.chunk(chunk),
            (Phase::Live, FromControlPlane::HeartbeatAck(_)) => {}
            (Phase::Live, FromControlPlane::Ping(_)) => self.send(Pong {}),
            (Phase::Live, FromControlPlane::Welcome(_)) => self.violation("a second welcome"),
            _ => self.violation("a message before welcome"),
        }
    }

    fn welcomed(&mut self, welcome: Welcome) {
        self.state.phase = Phase::Live;
        self.state.next_heartbeat = self.now + HEARTBEAT_INTERVAL;
        self.state.reconnect.welcomed();
        self.report(Report::Welcomed {
            address: self.state.reconnect.address(),
            welcome,
        });
        // Repairs an acknowledgement that was lost with the last connection.
        if self.state.persisted == self.state.live.position {
            self.acknowledge(&self.state.live.clone());
        } else if let Some((_, reason)) = self.state.retry.clone() {
            self.say_unpersisted(reason);
        }
    }

    /// What will be in effect once everything received is.
    fn tail(&self) -> Position {
        let last = self.state.queue.back().or(self.state.applying.as_ref());
        last.map_or(self.state.live.position, Incoming::position)
    }

    fn change(&mut self, message: ChangeMessage) {
        if self.state.awaits_snapshot {
            return;
        }
        let tail = self.tail();
        let change = &message.change;
        if message.epoch != tail.epoch || change.base != tail.revision {
            let reason = format!(
                "a change of epoch {} from revision {} does not follow {tail}",
                message.epoch, change.base
            );
            return self.reject(change.revision, reason);
        }
        if self.state.queue.len() >= WINDOW {
            let reason = format!("more than {WINDOW} changes are waiting");
            return self.reject(change.revision, reason);
        }
        self.enqueue(Incoming::Change(Arc::new(message)));
    }

    fn chunk(&mut self, chunk: SnapshotChunk) {
        let limits = self.state.limits;
        let parts = match Assembly::push(&mut self.state.assembly, chunk, &limits) {
            Ok(None) => return,
            Ok(Some(parts)) => parts,
            Err(err) => return self.violation(&err.to_string()),
        };
        // What is waiting is older than the snapshot, or the snapshot is not acceptable.
        self.state.queue.clear();
        let floor = self.tail();
        if parts.position.order() < floor.order() {
            let reason = format!("a snapshot of {} is older than {floor}", parts.position);
            return self.reject(parts.position.revision, reason);
        }
        self.state.awaits_snapshot = false;
        self.enqueue(Incoming::Snapshot(parts));
    }

    fn reject(&mut self, revision: Revision, reason: String) {
        self.state.awaits_snapshot = true;
        let rejected = Rejected::new(revision, &reason);
        self.report(Report::Rejected(rejected.clone()));
        if self.state.phase == Phase::Live {
            self.send(rejected);
        }
    }

    // --- applying ---

    fn enqueue(&mut self, incoming: Incoming) {
        self.state.queue.push_back(incoming);
        self.apply_next();
    }

    fn apply_next(&mut self) {
        if self.state.applying.is_some() {
            return;
        }
        let Some(next) = self.state.queue.pop_front() else {
            return self.reconnect_if_due();
        };
        self.outputs.push(match &next {
            Incoming::Change(message) => Output::Apply(Arc::clone(message)),
            Incoming::Snapshot(parts) => Output::ApplySnapshot(parts.clone()),
        });
        self.state.applying = Some(next);
    }

    fn in_effect(&mut self, effect: Effect, last_good: LastGood) {
        let applied = self.state.applying.take();
        self.state.live = effect;
        match applied {
            // A rewrite that began meanwhile already holds it.
            _ if self.state.persisted == self.state.live.position => {
                self.acknowledge(&self.state.live.clone());
            }
            Some(Incoming::Change(message)) => self.persist(Persist::Change {
                epoch: message.epoch,
                change: Arc::new(message.change.clone()),
                last_good,
            }),
            Some(Incoming::Snapshot(_)) | None => self.persist(Persist::Live),
        }
        self.apply_next();
    }

    fn not_applied(&mut self, reason: String) {
        let Some(failed) = self.state.applying.take() else {
            return;
        };
        // What waits builds on what failed, unless a snapshot has come in between.
        let rescued = matches!(self.state.queue.front(), Some(Incoming::Snapshot(_)));
        if !rescued {
            self.state.queue.clear();
            self.reject(failed.position().revision, reason);
        }
        self.apply_next();
    }

    // --- persisting ---

    fn persist(&mut self, next: Persist) {
        if let Some((_, reason)) = self.state.retry.clone() {
            return self.say_unpersisted(reason);
        }
        self.state.waiting = Some(match self.state.waiting.take() {
            Some(waiting) => waiting.then(next),
            None => next,
        });
        self.persist_next();
    }

    fn persist_next(&mut self) {
        if self.state.persisting.is_some() {
            return;
        }
        let Some(next) = self.state.waiting.take() else {
            return;
        };
        let next = match next {
            Persist::Change { epoch, change, .. }
                if (epoch, change.base) != self.state.persisted.order() =>
            {
                Persist::Live
            }
            fits => fits,
        };
        self.state.persisting = Some(self.state.live.clone());
        self.outputs.push(Output::Persist(next));
    }

    fn persisted(&mut self, position: Position) {
        let target = self.state.persisting.take();
        self.state.persisted = position;
        let reached = |effect: &Effect| effect.position == position;
        if reached(&self.state.live) {
            self.state.waiting = None;
            self.acknowledge(&self.state.live.clone());
        } else if let Some(target) = target.filter(reached) {
            self.acknowledge(&target);
        }
        self.persist_next();
    }

    fn not_persisted(&mut self, reason: String) {
        self.state.persisting = None;
        self.state.waiting = None;
        self.state.retry = Some((self.now + PERSIST_RETRY, reason.clone()));
        self.report(Report::NotPersisted {
            reason: reason.clone(),
        });
        self.say_unpersisted(reason);
    }

    fn say_unpersisted(&mut self, reason: String) {
        if self.state.phase == Phase::Live {
            self.send(Unpersisted::new(self.state.live.position, &reason));
        }
    }

    fn acknowledge(&mut self, effect: &Effect) {
        if self.state.phase == Phase::Live {
            self.send(Applied::new(
                effect.position,
                effect.at,
                &effect.quarantined,
            ));
        }
    }

    fn send(&mut self, message: impl Into<FromDataPlane>) {
        self.outputs.push(Output::Send {
            link: self.state.link,
            message: message.into(),
        });
    }

    fn report(&mut self, report: Report) {
        self.outputs.push(Output::Report(report));
    }
}

#[cfg(test)]
mod tests;
