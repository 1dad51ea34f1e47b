//! What goes into the control plane's side of the protocol, what comes out, and what it
//! remembers in between.

use crate::model::KindSet;
use crate::wire::{
    Applied, DEAD_AFTER, FromControlPlane, FromDataPlane, Heartbeat, Hello, Position, Refused,
    Rejected, Unpersisted,
};
use std::collections::VecDeque;
use std::time::Duration;
use uuid::Uuid;

/// How long a fresh connection may take to introduce itself.
pub(super) const GREETING: Duration = Duration::from_secs(5);

/// How long the registry may take to say whether a data plane may join.
pub(super) const ADMISSION: Duration = Duration::from_secs(8);
/// How long a data plane may take for a sign of life when another link asks for its id.
pub(super) const CHALLENGE: Duration = Duration::from_secs(2);

/// What a control plane says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub control_plane: Uuid,
    pub langur_version: String,
    pub kong_version: String,
}

/// What happened. `now` is any monotonic time since a fixed start.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is made and taken apart, none is kept"
)]
pub enum Input {
    Received(FromDataPlane),
    /// A message of a newer version; a sign of life.
    ReceivedUnknown,
    /// Bytes that are no message.
    Malformed(String),
    /// The history has grown.
    ConfigAdvanced,
    /// The change asked for last does not fit a frame.
    ChangeTooLarge,
    /// What was asked for last cannot be encoded.
    Unsendable(String),
    /// One [`Output::Send`], [`Output::SendChange`] or [`Output::SendSnapshot`] has been
    /// written to the link.
    Sent,
    /// A deadline may have passed.
    Tick,
    /// The data plane is who it says it is, as far as that can be known.
    Admitted,
    /// It is not.
    TurnedAway {
        reason: String,
    },
    /// Another link asks for the id of this data plane and proves nothing: is it there?
    Challenged,
    /// The same data plane has a newer connection.
    Superseded,
    /// The control plane stops; the seconds are a hint for the data plane.
    Stop {
        reconnect_after: Option<u32>,
    },
    LinkClosed,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Send(FromControlPlane),
    /// Send `history.since(base)` of the same view of the history that the step saw.
    SendChange {
        base: Position,
    },
    /// Send `history.snapshot()` of the same view of the history that the step saw.
    SendSnapshot,
    /// Tell the registry.
    Report(Report),
    /// Close the link once everything before is written.
    Close(CloseReason),
}

/// What the registry learns.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A hello that is acceptable if it comes from whom it says; to be answered with
    /// [`Input::Admitted`] or [`Input::TurnedAway`].
    Greeted(Hello),
    Joined(Hello),
    /// After [`Input::Challenged`]: it is there.
    Alive,
    Refused {
        hello: Hello,
        refused: Refused,
    },
    Heartbeat(Heartbeat),
    Applied(Applied),
    Unpersisted(Unpersisted),
    Rejected(Rejected),
    Status(SyncStatus),
}

/// How far a data plane is, for people to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncStatus {
    Greeting,
    /// It lacks something, or has not acknowledged what it was sent.
    Syncing,
    /// Everything sent is acknowledged.
    Live,
    /// It holds a later revision than this control plane knows.
    Ahead,
    /// It rejected a whole configuration.
    Rejecting,
    Closing,
}

impl SyncStatus {
    pub const ALL: [SyncStatus; 6] = [
        SyncStatus::Greeting,
        SyncStatus::Syncing,
        SyncStatus::Live,
        SyncStatus::Ahead,
        SyncStatus::Rejecting,
        SyncStatus::Closing,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SyncStatus::Greeting => "greeting",
            SyncStatus::Syncing => "syncing",
            SyncStatus::Live => "live",
            SyncStatus::Ahead => "ahead",
            SyncStatus::Rejecting => "rejecting",
            SyncStatus::Closing => "closing",
        }
    }
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    #[error("no hello within {} s", GREETING.as_secs())]
    NoHello,
    #[error("refused: {0}")]
    Refused(String),
    #[error("nobody said within {} s whether it may join", ADMISSION.as_secs())]
    NotAdmitted,
    #[error("no frame for {} s", DEAD_AFTER.as_secs())]
    Silent,
    #[error("no sign of life within {} s, and another link asks for its id", CHALLENGE.as_secs())]
    Unresponsive,
    #[error("protocol violation: {0}")]
    Violation(String),
    #[error("the data plane has connected anew")]
    Superseded,
    #[error("the control plane stops")]
    Stopping,
    #[error("the registry does not keep up")]
    RegistryBusy,
    #[error("the configuration cannot be sent: {0}")]
    Unsendable(String),
    #[error("the link is closed")]
    LinkClosed,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) identity: Identity,
    /// What the data plane can hold.
    pub(super) kinds: KindSet,
    pub(super) status: SyncStatus,
    pub(super) opened: Duration,
    pub(super) last_heard: Duration,
    /// What the data plane holds once it has applied everything sent.
    pub(super) sent: Position,
    /// What it is known to have live and persisted.
    pub(super) acknowledged: Option<Position>,
    /// Changes that are sent and not known to be in effect.
    pub(super) window: VecDeque<Position>,
    pub(super) snapshot_in_flight: bool,
    /// Only a snapshot can bring the data plane on.
    pub(super) needs_snapshot: bool,
    pub(super) rejected: Option<RejectedSnapshot>,
    pub(super) unsent: usize,
    /// The hello that the registry decides about, and until when.
    pub(super) candidate: Option<(Box<Hello>, Duration)>,
    /// Until when a sign of life is to come.
    pub(super) challenged: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RejectedSnapshot {
    pub(super) position: Position,
    pub(super) until: Duration,
}

impl State {
    /// A connection that was just opened.
    #[must_use]
    pub fn new(identity: Identity, now: Duration) -> State {
        State {
            identity,
            kinds: KindSet::FIRST,
            status: SyncStatus::Greeting,
            opened: now,
            last_heard: now,
            sent: Position::default(),
            acknowledged: None,
            window: VecDeque::new(),
            snapshot_in_flight: false,
            needs_snapshot: false,
            rejected: None,
            unsent: 0,
            candidate: None,
            challenged: None,
        }
    }

    #[must_use]
    pub fn status(&self) -> SyncStatus {
        self.status
    }

    /// What the data plane can hold; known once it has introduced itself.
    #[must_use]
    pub fn kinds(&self) -> KindSet {
        self.kinds
    }

    /// What the data plane is known to have live and persisted.
    #[must_use]
    pub fn acknowledged(&self) -> Option<Position> {
        self.acknowledged
    }

    /// When the next [`Input::Tick`] is due; `None` when the session is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let silent = self.last_heard + DEAD_AFTER;
        match self.status {
            SyncStatus::Closing => None,
            SyncStatus::Greeting => Some(match &self.candidate {
                Some((_, until)) => *until,
                None => self.opened + GREETING,
            }),
            _ => {
                let rejected = self.rejected.map(|rejected| rejected.until);
                [Some(silent), rejected, self.challenged]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }
}
