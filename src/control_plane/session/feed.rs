//! What all sessions share: the history, and the frames made from it.

use super::{CloseReason, Gap, History, Input, MemoryHistory, Output, Report, State, step};
use crate::model::{Config, Kind, KindSet, Op, RequestId, Revision, Row};
use crate::wire::{EncodeCache, EncodeError, Limits, Position, SnapshotSlot, encode};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// The configuration as it is handed to data planes. Its lock is held for one step or one
/// revision, never while a snapshot is encoded.
#[derive(Debug)]
pub struct Feed {
    limits: Limits,
    inner: Mutex<Inner>,
    /// Whether the history is that of the database.
    is_read: AtomicBool,
    sent_bytes: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    history: MemoryHistory,
    encoder: EncodeCache,
}

/// What a session's actor does after a step, in this order.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is made and taken apart, none is kept"
)]
pub enum Effect {
    Frame(Bytes),
    /// To be encoded off the actor's thread, once for all sessions.
    Snapshot(SnapshotSlot),
    Report(Report),
    Close(CloseReason),
}

/// Why an output has no effect; the session is told.
enum Unresolved {
    /// The change fits no frame, or is out of reach: the whole is to be sent.
    TooLarge,
    Unsendable(String),
}

impl Feed {
    #[must_use]
    pub fn new(history: MemoryHistory, limits: Limits) -> Feed {
        Feed::of(history, limits, true)
    }

    /// A feed whose history is yet to be read from the database: until [`Feed::replace`] there is
    /// nothing to serve, and no link is to be taken.
    #[must_use]
    pub fn unread(limits: Limits) -> Feed {
        Feed::of(MemoryHistory::new(0, Config::default()), limits, false)
    }

    fn of(history: MemoryHistory, limits: Limits, is_read: bool) -> Feed {
        Feed {
            limits,
            is_read: AtomicBool::new(is_read),
            inner: Mutex::new(Inner {
                history,
                encoder: EncodeCache::new(limits),
            }),
            sent_bytes: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under this lock leaves it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the history is that of the database. Once it is, it stays so.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Acquire)
    }

    /// The limits of a frame.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where the whole configuration stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.lock().history.position(KindSet::ALL)
    }

    /// The whole configuration.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.lock().history.snapshot()
    }

    /// These kinds of the configuration, and its epoch: what a data plane of this process begins with.
    #[must_use]
    pub fn of_kinds(&self, kinds: KindSet) -> (u64, Config) {
        let (epoch, config) = {
            let inner = self.lock();
            (
                inner.history.position(kinds).epoch,
                inner.history.snapshot(),
            )
        };
        let rows = config.iter().filter(|(kind, ..)| kinds.contains(*kind));
        let rows = rows.map(|(kind, id, row)| (kind, id, row.clone()));
        (epoch, Config::from_rows(config.revision(), rows))
    }

    /// Whether these kinds of the configuration once were exactly this: whether the journal leads
    /// from it to what they are now.
    #[must_use]
    pub fn came_from(&self, earlier: &Config, kinds: KindSet) -> bool {
        let change = self.lock().history.since(earlier.revision(), kinds);
        change.is_some_and(|change| earlier.clone().apply(&change).is_ok())
    }

    /// The rows of these entities, in this order; `None` for one that does not exist.
    #[must_use]
    pub fn rows(&self, keys: &[(Kind, Uuid)]) -> Vec<Option<Row>> {
        // Under the lock: a share of the configuration would make the next change copy all of it.
        let inner = self.lock();
        keys.iter()
            .map(|(kind, id)| inner.history.get(*kind, *id).cloned())
            .collect()
    }

    /// Takes the next revision from the journal; the sessions are to be told afterwards.
    ///
    /// # Errors
    /// When revisions are missing: read the configuration anew and [`Feed::replace`].
    pub fn record(
        &self,
        revision: Revision,
        ops: Vec<Op>,
        request_id: Option<RequestId>,
    ) -> Result<(), Gap> {
        self.lock().history.record(revision, ops, request_id)
    }

    /// Begins with another history, for instance after a gap.
    pub fn replace(&self, history: MemoryHistory) {
        let mut inner = self.lock();
        let most = inner.history.most_revisions();
        inner.history = history.keeping(most);
        self.is_read.store(true, Ordering::Release);
    }

    /// How many changes and snapshots were encoded so far.
    #[must_use]
    pub fn encoded(&self) -> u64 {
        self.lock().encoder.encoded()
    }

    /// Bytes of all frames that were handed to links so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// One step of a session on one view of the history.
    pub fn step(&self, state: &mut State, input: Input, now: Duration) -> Vec<Effect> {
        let mut inner = self.lock();
        let mut effects = Vec::new();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for output in step(state, input, now, &inner.history) {
                match self.resolve(&mut inner, state.kinds(), output) {
                    Ok(effect) => effects.push(effect),
                    Err(Unresolved::TooLarge) => inputs.push(Input::ChangeTooLarge),
                    Err(Unresolved::Unsendable(reason)) => inputs.push(Input::Unsendable(reason)),
                }
            }
        }
        effects
    }

    /// The effect of an output, for a peer that knows these kinds.
    fn resolve(
        &self,
        inner: &mut Inner,
        kinds: KindSet,
        output: Output,
    ) -> Result<Effect, Unresolved> {
        let position = inner.history.position(kinds);
        match output {
            Output::Send(message) => encode(&message, &self.limits)
                .map(Effect::Frame)
                .map_err(|err| Unresolved::Unsendable(err.to_string())),
            Output::SendChange { base } => {
                let (epoch, base) = (position.epoch, base.revision);
                let known = inner
                    .encoder
                    .known_change(epoch, kinds, base, position.revision);
                if let Some(bytes) = known {
                    return Ok(Effect::Frame(bytes));
                }
                let Some(change) = inner.history.since(base, kinds) else {
                    return Err(Unresolved::TooLarge);
                };
                let causes = inner.history.causes(base);
                match inner.encoder.change(epoch, kinds, &change, &causes) {
                    Ok(bytes) => Ok(Effect::Frame(bytes)),
                    Err(EncodeError::TooLarge { .. }) => Err(Unresolved::TooLarge),
                    Err(err) => Err(Unresolved::Unsendable(err.to_string())),
                }
            }
            Output::SendSnapshot => {
                let config = inner.history.snapshot();
                Ok(Effect::Snapshot(inner.encoder.snapshot(
                    position.epoch,
                    kinds,
                    &config,
                )))
            }
            Output::Report(report) => Ok(Effect::Report(report)),
            Output::Close(reason) => Ok(Effect::Close(reason)),
        }
    }
}
