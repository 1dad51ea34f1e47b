//! The Router's state, outside of the actor: it survives the actor, and a change that panics halfway.
//!
//! A router that is born again goes on from here, so that what it applies next is applied to what is
//! live, and what it says is live is what serves requests.

use super::{LastGood, Options, Outcome, PluginFactory, RouterState};
use crate::data_plane::cache_writer::LastGood as CachedLastGood;
use crate::model::{Change, Config, Op, Revision};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a router keeps its state. Clones share it.
#[derive(Clone)]
pub struct Kept(Arc<Mutex<Inner>>);

pub(super) struct Inner {
    state: RouterState,
    epoch: u64,
    /// What is in effect instead of quarantined rows.
    last_good: CachedLastGood,
    /// How to get back while a change is being made.
    undo: Option<Undo>,
    factory: Arc<dyn PluginFactory>,
    options: Options,
}

/// The way back from a change that was not finished.
enum Undo {
    /// The rows that it replaces, and the revision that it started from.
    Rows(Revision, Vec<Op>),
    Whole(Box<Config>),
}

impl Kept {
    /// The state of the empty configuration.
    #[must_use]
    pub fn new(factory: Arc<dyn PluginFactory>, options: Options) -> Kept {
        Kept(Arc::new(Mutex::new(Inner {
            state: RouterState::new(Arc::clone(&factory), options.clone()),
            epoch: 0,
            last_good: CachedLastGood::default(),
            undo: None,
            factory,
            options,
        })))
    }

    /// The state; whole again when whoever had it last panicked over a change.
    pub(super) fn lock(&self, now: f64) -> MutexGuard<'_, Inner> {
        // What a panic leaves half changed has its undo.
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.undo.is_some() {
            inner.go_back(now);
        }
        inner
    }
}

impl Inner {
    pub fn state(&self) -> &RouterState {
        &self.state
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What is in effect instead of quarantined rows.
    pub fn last_good(&self) -> CachedLastGood {
        Arc::clone(&self.last_good)
    }

    /// Moves on by a change. The error says why it was not made; then nothing has changed, also
    /// when making it panicked.
    pub fn apply(&mut self, change: &Change, epoch: u64, now: f64) -> Result<Outcome, String> {
        let config = self.state.config();
        let back = change.ops.iter().map(|op| {
            let (kind, id) = op.key();
            match config.get(kind, id).cloned() {
                Some(row) => Op::Put { kind, id, row },
                None => Op::Delete { kind, id },
            }
        });
        let undo = Undo::Rows(config.revision(), back.collect());
        self.attempt(undo, epoch, now, |state| {
            state.apply(change, now).map_err(|err| err.to_string())
        })
    }

    /// Takes over a whole configuration. The error is that it panicked; then nothing has changed.
    pub fn replace(&mut self, config: Config, epoch: u64, now: f64) -> Result<Outcome, String> {
        let undo = Undo::Whole(Box::new(self.state.config().clone()));
        self.attempt(undo, epoch, now, |state| Ok(state.replace(config, now)))
    }

    /// Takes over, on a state that is new, what a cache holds.
    pub fn restore(
        &mut self,
        config: Config,
        last_good: Vec<LastGood>,
        epoch: u64,
        now: f64,
    ) -> Result<Outcome, String> {
        let undo = Undo::Whole(Box::new(self.state.config().clone()));
        self.attempt(undo, epoch, now, |state| {
            Ok(state.restore(config, last_good, now))
        })
    }

    fn attempt(
        &mut self,
        undo: Undo,
        epoch: u64,
        now: f64,
        change: impl FnOnce(&mut RouterState) -> Result<Outcome, String>,
    ) -> Result<Outcome, String> {
        self.undo = Some(undo);
        let state = &mut self.state;
        let done = catch_unwind(AssertUnwindSafe(|| {
            let outcome = change(state)?;
            let rows = state.last_good();
            let last_good: CachedLastGood =
                rows.map(|good| (good.kind, good.id, good.row)).collect();
            Ok((outcome, last_good))
        }));
        match done {
            Ok(Ok((outcome, last_good))) => {
                self.undo = None;
                self.epoch = epoch;
                self.last_good = last_good;
                Ok(outcome)
            }
            Ok(Err(reason)) => {
                self.undo = None;
                Err(reason)
            }
            Err(panic) => {
                let panic = crate::actor::panic_text(&*panic);
                tracing::error!(panic, "a configuration panicked and is not put in effect");
                self.go_back(now);
                Err(format!("it panicked: {panic}"))
            }
        }
    }

    /// Builds anew what was in effect before the change that was not finished. What serves requests
    /// has not changed meanwhile: a snapshot is published when it is whole.
    fn go_back(&mut self, now: f64) {
        let Some(undo) = self.undo.take() else {
            return;
        };
        let new = || RouterState::new(Arc::clone(&self.factory), self.options.clone());
        let config = match undo {
            Undo::Whole(config) => *config,
            Undo::Rows(base, rows) => {
                let mut config = std::mem::replace(&mut self.state, new()).into_config();
                if config.revision() != base {
                    config.commit(base, rows);
                }
                config
            }
        };
        // Should this panic, too, the next life of the actor tries it again.
        self.undo = Some(Undo::Whole(Box::new(config.clone())));
        let mut state = new();
        let last_good = self.last_good.iter().cloned();
        let last_good = last_good.map(|(kind, id, row)| LastGood { kind, id, row });
        state.restore(config, last_good.collect::<Vec<_>>(), now);
        self.state = state;
        self.undo = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::router::test_support::{
        TestFactory, change, delete, plugin, route, routed, service, to,
    };
    use crate::model::Digest;
    use serde_json::json;

    fn kept() -> Kept {
        Kept::new(Arc::new(TestFactory), Options::default())
    }

    fn apply(kept: &Kept, ops: Vec<Op>) -> Result<Outcome, String> {
        let mut inner = kept.lock(1.0);
        let change = change(inner.state().config(), ops);
        inner.apply(&change, 7, 1.0)
    }

    fn paths() -> Vec<Op> {
        vec![
            service(1, json!({})),
            route(2, json!({"paths": ["/a"], "service": to(1)})),
            route(3, json!({"paths": ["/b"], "service": to(1)})),
        ]
    }

    /// Applies a change and panics once it is half made.
    fn panic_over(kept: &Kept, ops: Vec<Op>) {
        let mut inner = kept.lock(2.0);
        let change = change(inner.state().config(), ops.clone());
        let config = inner.state.config();
        let back = ops.iter().map(|op| {
            let (kind, id) = op.key();
            match config.get(kind, id).cloned() {
                Some(row) => Op::Put { kind, id, row },
                None => Op::Delete { kind, id },
            }
        });
        let undo = Undo::Rows(config.revision(), back.collect());
        let refused = inner.attempt(undo, 8, 2.0, |state| {
            state.apply(&change, 2.0).map_err(|err| err.to_string())?;
            panic!("halfway");
        });
        assert_eq!(refused.err().as_deref(), Some("it panicked: halfway"));
    }

    fn at(kept: &Kept) -> (u64, Revision, Digest) {
        let inner = kept.lock(1.0);
        let config = inner.state().config();
        (inner.epoch(), config.revision(), config.digest())
    }

    #[test]
    fn trial_28_a_change_that_panics_leaves_everything_as_it_was() {
        let kept = kept();
        apply(&kept, paths()).expect("applies");
        // Something is in quarantine, and stays so.
        apply(&kept, vec![plugin(4, json!({"route": to(2)}))]).expect("applies");
        let bad = json!({"route": to(2), "config": {"bad": true}});
        let outcome = apply(&kept, vec![plugin(4, bad)]).expect("applies");
        assert!(!outcome.quarantined.is_empty());
        let (before, last_good) = (at(&kept), kept.lock(1.0).last_good());
        panic_over(
            &kept,
            vec![delete(crate::model::Kind::Routes, 3), service(9, json!({}))],
        );
        assert_eq!(at(&kept), before);
        assert_eq!(kept.lock(1.0).last_good(), last_good);

        // The next change lands.
        let added = vec![route(5, json!({"paths": ["/c"], "service": to(1)}))];
        let outcome = apply(&kept, added).expect("applies");
        for (path, expected) in [("/a", 2), ("/b", 3), ("/c", 5)] {
            assert_eq!(
                routed(&outcome.snapshot, "x", path),
                Some(expected),
                "{path}"
            );
        }
        assert!(!outcome.quarantined.is_empty());
    }

    #[test]
    fn trial_28_a_whole_configuration_that_panics_leaves_everything_as_it_was() {
        let kept = kept();
        apply(&kept, paths()).expect("applies");
        let before = at(&kept);
        let undo = Undo::Whole(Box::new(kept.lock(1.0).state().config().clone()));
        let refused = kept.lock(1.0).attempt(undo, 8, 2.0, |state| {
            state.replace(Config::default(), 2.0);
            panic!("halfway");
        });
        assert!(refused.is_err());
        assert_eq!(at(&kept), before);
    }

    /// Another life of the actor begins while a change is half made.
    #[test]
    fn trial_28_who_comes_next_finds_it_whole() {
        let kept = kept();
        apply(&kept, paths()).expect("applies");
        let before = at(&kept);
        let other = kept.clone();
        let died = std::thread::spawn(move || {
            let mut inner = other.lock(1.0);
            inner.undo = Some(Undo::Whole(Box::new(inner.state().config().clone())));
            inner.state.replace(Config::default(), 1.0);
            panic!("with the lock held");
        });
        assert!(died.join().is_err());
        assert_eq!(at(&kept), before);
        let added = vec![route(5, json!({"paths": ["/c"], "service": to(1)}))];
        let outcome = apply(&kept, added).expect("applies");
        assert_eq!(routed(&outcome.snapshot, "x", "/a"), Some(2));
    }

    #[test]
    fn a_change_that_does_not_fit_changes_nothing() {
        let kept = kept();
        apply(&kept, paths()).expect("applies");
        let before = at(&kept);
        let mut inner = kept.lock(1.0);
        let stale = change(&Config::default(), paths());
        assert!(inner.apply(&stale, 9, 1.0).is_err());
        assert!(inner.undo.is_none());
        drop(inner);
        assert_eq!(at(&kept), before);
    }
}
