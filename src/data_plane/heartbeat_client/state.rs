//! What goes into the data plane's side of the protocol, what comes out, and what it
//! remembers in between.

use super::InEffect;
use super::persist::Persist;
use super::reconnect::Reconnect;
use crate::data_plane::cache_writer::LastGood;
use crate::wire::{
    Assembly, ChangeMessage, DEAD_AFTER, FromControlPlane, FromDataPlane, Hello, Limits, Position,
    Quarantined, Rejected, SnapshotParts, Welcome,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// One connection; what comes from an earlier one is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What happened. `now` is any monotonic time since a fixed start.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The process has started and what its cache held is live.
    Start,
    Connected {
        link: LinkId,
    },
    /// The attempt failed or the link is gone.
    LinkClosed {
        link: LinkId,
        reason: String,
    },
    Received {
        link: LinkId,
        message: FromControlPlane,
    },
    /// A message of a newer version; a sign of life.
    ReceivedUnknown {
        link: LinkId,
    },
    /// Bytes that are no message.
    Malformed {
        link: LinkId,
        reason: String,
    },
    /// What [`Output::Apply`] or [`Output::ApplySnapshot`] asked for serves requests now.
    InEffect {
        position: Position,
        /// Milliseconds since the epoch.
        at: u64,
        quarantined: Arc<[Quarantined]>,
        last_good: LastGood,
    },
    /// It could not be applied as a whole; what was in effect before still is.
    NotApplied {
        reason: String,
    },
    /// What [`Output::Persist`] asked for is on disk; the position the cache holds now.
    Persisted {
        position: Position,
    },
    /// The cache holds what it held before.
    NotPersisted {
        reason: String,
    },
    /// A deadline may have passed.
    Tick,
    /// Why the control plane gets no telemetry, or that it does.
    Telemetry(Option<String>),
    Stop,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Connect to the control plane at this index of the address list.
    Connect { link: LinkId, address: usize },
    /// Close the link once everything before is written; nothing of it is awaited.
    Disconnect { link: LinkId },
    Send {
        link: LinkId,
        message: FromDataPlane,
    },
    /// Put in effect, then report [`Input::InEffect`] or [`Input::NotApplied`].
    Apply(Arc<ChangeMessage>),
    /// Decode, put in effect, then report the same way.
    ApplySnapshot(SnapshotParts),
    /// Write to the cache, then report [`Input::Persisted`] or [`Input::NotPersisted`].
    Persist(Persist),
    /// For logs, metrics and the status API.
    Report(Report),
}

/// What people may want to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    Welcomed { address: usize, welcome: Welcome },
    Disconnected { reason: String, retry_in: Duration },
    Rejected(Rejected),
    NotPersisted { reason: String },
}

/// Where the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Idle,
    /// Between two attempts.
    Waiting,
    Connecting,
    /// Hello is sent.
    Greeting,
    Live,
    Stopped,
}

/// Something that is in effect.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub(super) position: Position,
    pub(super) at: u64,
    pub(super) quarantined: Arc<[Quarantined]>,
}

/// A change or snapshot on its way to being in effect.
#[derive(Clone, Debug)]
pub(super) enum Incoming {
    Change(Arc<ChangeMessage>),
    Snapshot(SnapshotParts),
}

impl Incoming {
    pub(super) fn position(&self) -> Position {
        match self {
            Incoming::Change(message) => Position {
                epoch: message.epoch,
                revision: message.change.revision,
                digest: message.change.digest,
            },
            Incoming::Snapshot(parts) => parts.position,
        }
    }
}

/// What a client begins with.
#[derive(Clone, Debug)]
pub struct Origin {
    /// How the node introduces itself; `held` is what is live now.
    pub hello: Hello,
    /// What the cache holds; the default if that is not known. When it is not what is live,
    /// the cache is written at once.
    pub persisted: Position,
    /// Since when `held` is live: milliseconds since the epoch.
    pub in_effect_at: u64,
    pub quarantined: Arc<[Quarantined]>,
}

/// The data plane's end of the link, over all its connections.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) hello: Hello,
    pub(super) limits: Limits,
    pub(super) reconnect: Reconnect,
    pub(super) phase: Phase,
    pub(super) link: LinkId,
    /// The end of the pause or of the attempt.
    pub(super) until: Duration,
    pub(super) last_heard: Duration,
    pub(super) next_heartbeat: Duration,
    /// Why no telemetry arrives.
    pub(super) telemetry: Option<String>,

    pub(super) live: Effect,
    pub(super) applying: Option<Incoming>,
    pub(super) queue: VecDeque<Incoming>,
    pub(super) assembly: Option<Assembly>,
    /// A change did not fit: changes are ignored until a snapshot comes.
    pub(super) awaits_snapshot: bool,

    pub(super) persisted: Position,
    pub(super) persisting: Option<Effect>,
    pub(super) waiting: Option<Persist>,
    /// After a failed write: when to rewrite the whole, and why it failed.
    pub(super) retry: Option<(Duration, String)>,
}

impl State {
    /// A data plane that was just started. `addresses` is how many control planes there are;
    /// `seed` decides the jitter and must differ between nodes.
    #[must_use]
    pub fn new(origin: Origin, addresses: usize, seed: u64, limits: Limits) -> State {
        let hello = origin.hello;
        State {
            live: Effect {
                position: hello.held,
                at: origin.in_effect_at,
                quarantined: origin.quarantined,
            },
            persisted: origin.persisted,
            hello,
            limits,
            reconnect: Reconnect::new(addresses, seed),
            phase: Phase::Idle,
            link: LinkId::default(),
            until: Duration::ZERO,
            last_heard: Duration::ZERO,
            next_heartbeat: Duration::ZERO,
            telemetry: None,
            applying: None,
            queue: VecDeque::new(),
            assembly: None,
            awaits_snapshot: false,
            persisting: None,
            waiting: None,
            retry: None,
        }
    }

    /// Before it starts: what is in effect, and what of it need not be written.
    pub fn goes_on_from(&mut self, in_effect: Option<InEffect>, persisted: Position) {
        if let Some(effect) = in_effect {
            self.live = Effect {
                position: effect.position,
                at: effect.at,
                quarantined: effect.quarantined,
            };
        }
        self.persisted = persisted;
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What serves requests.
    #[must_use]
    pub fn live(&self) -> Position {
        self.live.position
    }

    /// What a restart would begin with.
    #[must_use]
    pub fn persisted(&self) -> Position {
        self.persisted
    }

    /// Why the cache lags behind, if its last write failed.
    #[must_use]
    pub fn cache_error(&self) -> Option<&str> {
        self.retry.as_ref().map(|(_, reason)| reason.as_str())
    }

    /// When the next [`Input::Tick`] is due, if any is.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let link = match self.phase {
            Phase::Idle | Phase::Stopped => None,
            // What is being applied decides what hello will say.
            Phase::Waiting if self.applying.is_some() => None,
            Phase::Waiting | Phase::Connecting | Phase::Greeting => Some(self.until),
            Phase::Live => Some(self.next_heartbeat.min(self.last_heard + DEAD_AFTER)),
        };
        let retry = self.retry.as_ref().map(|(at, _)| *at);
        let retry = retry.filter(|_| self.phase != Phase::Stopped);
        [link, retry].into_iter().flatten().min()
    }
}
