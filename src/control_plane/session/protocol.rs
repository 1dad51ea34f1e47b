//! The control plane's side of the cluster link as a function: no IO, clock or chance.
//!
//! `wire/LIFECYCLE.md` explains the states. There is no queue of changes to bound: what a
//! peer lacks is computed when it can be sent, so a slow peer gets one larger difference
//! instead of a backlog.

use super::History;
use super::state::{
    ADMISSION, CHALLENGE, CloseReason, GREETING, Input, Output, RejectedSnapshot, Report, State,
    SyncStatus,
};
use crate::model::KindSet;
use crate::wire::{
    Applied, DEAD_AFTER, FromControlPlane, FromDataPlane, GoAway, Heartbeat, HeartbeatAck, Hello,
    Ping, Position, RefusalCode, Refused, Rejected, Unpersisted, WINDOW, Welcome, check_version,
};
use std::time::Duration;

/// How long a snapshot that was rejected is held back while the configuration stays the same.
const REJECTED_PAUSE: Duration = Duration::from_secs(60);
/// Frames handed to the link and not yet written, above which heartbeats go unanswered: the
/// peer does not read, and a later answer says the same.
const MOST_UNSENT: usize = 16;
/// Seconds after which a data plane that was turned away should try again.
const REFUSED_RETRY: u32 = 30;

/// What a data plane at some position lacks.
enum Difference {
    Nothing,
    Change,
    Snapshot,
    /// It is ahead within the same epoch.
    Ahead,
    /// It holds a later epoch.
    OlderHistory,
}

fn difference(history: &dyn History, kinds: KindSet, held: &Position) -> Difference {
    let current = history.position(kinds);
    if held.epoch > current.epoch {
        return Difference::OlderHistory;
    }
    if held.epoch < current.epoch {
        return Difference::Snapshot;
    }
    if held.revision > current.revision {
        return Difference::Ahead;
    }
    let known = history.digest_at(held.revision, kinds);
    if known.is_some_and(|digest| digest != held.digest) {
        return Difference::Snapshot;
    }
    if held.revision == current.revision {
        return Difference::Nothing;
    }
    if history.reaches(held.revision) {
        return Difference::Change;
    }
    Difference::Snapshot
}

/// Takes one input and says what to do about it.
pub fn step(state: &mut State, input: Input, now: Duration, history: &dyn History) -> Vec<Output> {
    let mut turn = Turn {
        state,
        now,
        history,
        outputs: Vec::new(),
    };
    if turn.state.status != SyncStatus::Closing {
        turn.take(input);
    }
    turn.outputs
}

struct Turn<'a> {
    state: &'a mut State,
    now: Duration,
    history: &'a dyn History,
    outputs: Vec<Output>,
}

impl Turn<'_> {
    fn take(&mut self, input: Input) {
        match input {
            Input::Received(message) => {
                self.heard();
                self.received(message);
            }
            Input::ReceivedUnknown => self.heard(),
            Input::Malformed(reason) => self.close(CloseReason::Violation(reason)),
            Input::ConfigAdvanced => {}
            Input::ChangeTooLarge => {
                self.state.unsent = self.state.unsent.saturating_sub(1);
                self.resync();
            }
            Input::Unsendable(reason) => self.close(CloseReason::Unsendable(reason)),
            Input::Sent => self.state.unsent = self.state.unsent.saturating_sub(1),
            Input::Tick => self.tick(),
            Input::Admitted => {
                if let Some((hello, _)) = self.state.candidate.take() {
                    self.admitted(*hello);
                }
            }
            Input::TurnedAway { reason } => {
                if let Some((hello, _)) = self.state.candidate.take() {
                    self.refuse(*hello, RefusalCode::Identity, reason);
                }
            }
            Input::Challenged => self.challenged(),
            Input::Superseded => self.close(CloseReason::Superseded),
            Input::Stop { reconnect_after } => {
                self.send(GoAway { reconnect_after });
                self.close(CloseReason::Stopping);
            }
            Input::LinkClosed => self.close(CloseReason::LinkClosed),
        }
        // Whatever woke the session: news of the history may have been dropped on the way.
        self.advance();
    }

    fn tick(&mut self) {
        if self.state.status == SyncStatus::Greeting {
            match &self.state.candidate {
                Some((_, until)) if self.now >= *until => self.close(CloseReason::NotAdmitted),
                None if self.now >= self.state.opened + GREETING => {
                    self.close(CloseReason::NoHello);
                }
                _ => {}
            }
            return;
        }
        if self.state.challenged.is_some_and(|until| self.now >= until) {
            return self.close(CloseReason::Unresponsive);
        }
        if self.now >= self.state.last_heard + DEAD_AFTER {
            self.close(CloseReason::Silent);
        }
    }

    fn received(&mut self, message: FromDataPlane) {
        let greeting = self.state.status == SyncStatus::Greeting;
        match message {
            FromDataPlane::Hello(hello) if greeting && self.state.candidate.is_none() => {
                self.greeted(hello);
            }
            FromDataPlane::Hello(_) => self.violation("a second hello"),
            _ if self.state.candidate.is_some() => self.violation("a message before welcome"),
            _ if greeting => self.violation("a message before hello"),
            FromDataPlane::Pong(_) => {}
            FromDataPlane::Heartbeat(heartbeat) => self.heartbeat(heartbeat),
            FromDataPlane::Applied(applied) => self.applied(applied),
            FromDataPlane::Unpersisted(unpersisted) => self.unpersisted(unpersisted),
            FromDataPlane::Rejected(rejected) => self.rejected(rejected),
        }
    }

    fn heard(&mut self) {
        self.state.last_heard = self.now;
        if self.state.challenged.take().is_some() {
            self.report(Report::Alive);
        }
    }

    /// Any frame is a sign of life; the ping is there so that one comes.
    fn challenged(&mut self) {
        if self.state.status != SyncStatus::Greeting && self.state.challenged.is_none() {
            self.state.challenged = Some(self.now + CHALLENGE);
            self.send(Ping {});
        }
    }

    fn greeted(&mut self, hello: Hello) {
        self.state.kinds = hello.kinds.and(KindSet::DISTRIBUTED);
        if let Err(invalid) = hello.validate() {
            return self.refuse(hello, RefusalCode::InvalidHello, invalid.to_string());
        }
        let until = self.now + ADMISSION;
        self.state.candidate = Some((Box::new(hello.clone()), until));
        self.report(Report::Greeted(hello));
    }

    fn refuse(&mut self, hello: Hello, code: RefusalCode, reason: String) {
        let refused = Refused {
            code,
            reason: reason.clone(),
            retry_after: Some(REFUSED_RETRY),
        };
        self.send(refused.clone());
        self.report(Report::Refused { hello, refused });
        self.close(CloseReason::Refused(reason));
    }

    fn admitted(&mut self, hello: Hello) {
        // What else is wrong with it is shown in the fleet as that node's trouble: not before it
        // is known to be that node.
        if let Some((code, reason)) = self.refusal(&hello) {
            return self.refuse(hello, code, reason);
        }
        self.state.sent = hello.held;
        self.send(Welcome {
            control_plane: self.state.identity.control_plane,
            langur_version: self.state.identity.langur_version.clone(),
            kong_version: self.state.identity.kong_version.clone(),
            position: self.position(),
        });
        self.report(Report::Joined(hello));
        self.set_status(SyncStatus::Syncing);
    }

    fn refusal(&self, hello: &Hello) -> Option<(RefusalCode, String)> {
        let own = &self.state.identity.langur_version;
        if let Err(incompatible) = check_version(own, &hello.langur_version) {
            return Some((RefusalCode::VersionIncompatible, incompatible.to_string()));
        }
        if matches!(
            difference(self.history, self.state.kinds, &hello.held),
            Difference::OlderHistory
        ) {
            let reason = format!(
                "the data plane holds epoch {}, this control plane is in epoch {}",
                hello.held.epoch,
                self.position().epoch
            );
            return Some((RefusalCode::OlderHistory, reason));
        }
        None
    }

    fn heartbeat(&mut self, heartbeat: Heartbeat) {
        if self.beyond_sent(&heartbeat.position) {
            return;
        }
        if self.state.unsent < MOST_UNSENT {
            self.send(HeartbeatAck {
                position: self.position(),
            });
        }
        let position = heartbeat.position;
        self.report(Report::Heartbeat(heartbeat));
        self.compare(&position);
    }

    fn applied(&mut self, applied: Applied) {
        let position = applied.position;
        if self.beyond_sent(&position) {
            return;
        }
        let newer = |known: Position| position.order() >= known.order();
        if self.state.acknowledged.is_none_or(newer) {
            self.state.acknowledged = Some(position);
            self.report(Report::Applied(applied));
        }
        self.in_effect(&position);
    }

    fn unpersisted(&mut self, unpersisted: Unpersisted) {
        let position = unpersisted.position;
        if self.beyond_sent(&position) {
            return;
        }
        self.report(Report::Unpersisted(unpersisted));
        self.in_effect(&position);
    }

    /// Everything up to a position is live: the window opens.
    fn in_effect(&mut self, position: &Position) {
        let order = position.order();
        let late = |sent: &Position| sent.order() > order;
        while self.state.window.front().is_some_and(|sent| !late(sent)) {
            self.state.window.pop_front();
        }
        if self.state.sent == *position {
            self.state.snapshot_in_flight = false;
            if self.state.rejected.take().is_some() {
                self.state.needs_snapshot = false;
            }
        }
        self.compare(position);
    }

    fn rejected(&mut self, rejected: Rejected) {
        let of_snapshot =
            self.state.snapshot_in_flight && rejected.revision == self.state.sent.revision;
        self.report(Report::Rejected(rejected));
        if of_snapshot {
            self.state.snapshot_in_flight = false;
            self.state.needs_snapshot = true;
            self.state.rejected = Some(RejectedSnapshot {
                position: self.state.sent,
                until: self.now + REJECTED_PAUSE,
            });
            return self.set_status(SyncStatus::Rejecting);
        }
        // A change that was on its way when the snapshot was sent needs no second snapshot.
        if !self.state.snapshot_in_flight {
            self.resync();
        }
    }

    /// A data plane that holds other content than this control plane at the same revision is
    /// sent the whole.
    fn compare(&mut self, held: &Position) {
        if self.state.snapshot_in_flight || self.state.needs_snapshot {
            return;
        }
        let same_epoch = held.epoch == self.position().epoch;
        let known = self.history.digest_at(held.revision, self.state.kinds);
        if same_epoch && known.is_some_and(|digest| digest != held.digest) {
            self.resync();
        }
    }

    fn beyond_sent(&mut self, position: &Position) -> bool {
        let beyond = position.order() > self.state.sent.order();
        if beyond {
            self.violation(&format!(
                "position {position} was never sent, the last was {}",
                self.state.sent
            ));
        }
        beyond
    }

    fn resync(&mut self) {
        self.state.window.clear();
        self.state.needs_snapshot = true;
    }

    /// Sends what the data plane lacks, if it may be sent now.
    fn advance(&mut self) {
        if matches!(
            self.state.status,
            SyncStatus::Greeting | SyncStatus::Closing
        ) {
            return;
        }
        let current = self.position();
        if let Some(rejected) = self.state.rejected {
            if rejected.position == current && self.now < rejected.until {
                return;
            }
            self.state.rejected = None;
        }
        if self.state.snapshot_in_flight || self.state.window.len() >= WINDOW {
            return self.set_status(SyncStatus::Syncing);
        }
        let difference = match difference(self.history, self.state.kinds, &self.state.sent) {
            Difference::Nothing | Difference::Change if self.state.needs_snapshot => {
                Difference::Snapshot
            }
            difference => difference,
        };
        match difference {
            Difference::Nothing => {
                let live = self.state.acknowledged == Some(self.state.sent);
                self.set_status(if live {
                    SyncStatus::Live
                } else {
                    SyncStatus::Syncing
                });
            }
            Difference::Change => {
                let base = std::mem::replace(&mut self.state.sent, current);
                self.state.window.push_back(current);
                self.state.unsent += 1;
                self.outputs.push(Output::SendChange { base });
                self.set_status(SyncStatus::Syncing);
            }
            Difference::Snapshot => {
                self.state.sent = current;
                self.state.window.clear();
                self.state.snapshot_in_flight = true;
                self.state.needs_snapshot = false;
                self.state.unsent += 1;
                self.outputs.push(Output::SendSnapshot);
                self.set_status(SyncStatus::Syncing);
            }
            Difference::Ahead => self.set_status(SyncStatus::Ahead),
            Difference::OlderHistory => {
                self.violation("the data plane holds a later epoch");
            }
        }
    }

    /// Where the configuration stands, as far as the data plane knows its kinds.
    fn position(&self) -> Position {
        self.history.position(self.state.kinds)
    }

    fn set_status(&mut self, status: SyncStatus) {
        if self.state.status != status {
            self.state.status = status;
            self.report(Report::Status(status));
        }
    }

    fn send(&mut self, message: impl Into<FromControlPlane>) {
        self.state.unsent += 1;
        self.outputs.push(Output::Send(message.into()));
    }

    fn report(&mut self, report: Report) {
        self.outputs.push(Output::Report(report));
    }

    fn violation(&mut self, what: &str) {
        self.close(CloseReason::Violation(what.to_owned()));
    }

    fn close(&mut self, reason: CloseReason) {
        self.set_status(SyncStatus::Closing);
        self.outputs.push(Output::Close(reason));
    }
}

#[cfg(test)]
mod tests;
