//! From one configuration to the next: what changed is compiled, what is good takes effect, what
//! is not waits in quarantine.

use super::compile::{Compiled, Compiler, Key, PluginFactory, Wanted};
use super::effect::{Effect, Work};
use super::priority::MatchOrder;
use super::quarantine::{Cause, Judge};
use super::snapshot::Snapshot;
use crate::model::{ApplyError, Change, Config, Kind, Op, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// How routes are compiled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub order: MatchOrder,
}

/// An entity whose wanted version is not in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    pub kind: Kind,
    pub id: Uuid,
    pub name: Option<String>,
    pub reason: String,
    /// When it began, as given to the call that found it.
    pub since: f64,
}

/// A quarantined entity as it was when it was last good; no row when it never was. What the
/// cache keeps beside the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGood {
    pub kind: Kind,
    pub id: Uuid,
    pub row: Option<Row>,
}

/// What a change led to.
pub struct Outcome {
    pub snapshot: Arc<Snapshot>,
    /// All of them, not only those of this change.
    pub quarantined: Vec<Quarantined>,
    /// What this change cost.
    pub work: Work,
}

/// The configuration, what of it is in effect, and what is not.
pub struct RouterState {
    compiler: Compiler,
    config: Config,
    effect: Effect,
    held: BTreeMap<Key, Held>,
    /// (parent, child) for every reference in the wanted configuration.
    children: BTreeSet<(Key, Key)>,
}

struct Held {
    good: Option<Row>,
    /// `None`: the entity is to be removed.
    wanted: Option<Wanted>,
    cause: Cause,
    since: f64,
}

impl RouterState {
    /// The state of the empty configuration.
    pub fn new(factory: Arc<dyn PluginFactory>, options: Options) -> RouterState {
        RouterState {
            compiler: Compiler {
                factory,
                order: options.order,
            },
            config: Config::default(),
            effect: Effect::default(),
            held: BTreeMap::new(),
            children: BTreeSet::new(),
        }
    }

    /// The configuration as wanted.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration as wanted, of a state that is given up.
    pub fn into_config(self) -> Config {
        self.config
    }

    /// Moves on by one change. `now` is epoch seconds.
    ///
    /// # Errors
    /// As [`Config::apply`]; nothing has changed then.
    pub fn apply(&mut self, change: &Change, now: f64) -> Result<Outcome, ApplyError> {
        let before = change.ops.iter().map(|op| {
            let (kind, id) = op.key();
            ((kind, id), self.config.get(kind, id).cloned())
        });
        let before: Vec<_> = before.collect();
        self.config.apply(change)?;
        Ok(self.advance(before, now))
    }

    /// Takes over a whole configuration: compiles what differs from the present one. `now` is
    /// epoch seconds.
    pub fn replace(&mut self, config: Config, now: f64) -> Outcome {
        let difference = self.config.diff(&config);
        let before = difference.ops.iter().map(Op::key).map(|(kind, id)| {
            let old = self.config.get(kind, id).cloned();
            ((kind, id), old)
        });
        let before: Vec<_> = before.collect();
        self.config = config;
        self.advance(before, now)
    }

    /// Takes over a configuration and what [`RouterState::last_good`] said about it, on a state
    /// that is new: the same is in effect and in quarantine as before the restart, except for
    /// what this build judges otherwise. `now` is epoch seconds.
    pub fn restore(
        &mut self,
        config: Config,
        last_good: impl IntoIterator<Item = LastGood>,
        now: f64,
    ) -> Outcome {
        let mut last_good = last_good.into_iter().peekable();
        if last_good.peek().is_none() {
            return self.replace(config, now);
        }
        // First what was in effect, as if it had been the configuration; then the step that
        // leads from there to what is wanted.
        let mut rows: BTreeMap<Key, Row> = config
            .iter()
            .map(|(kind, id, row)| ((kind, id), row.clone()))
            .collect();
        for LastGood { kind, id, row } in last_good {
            match row {
                Some(row) => rows.insert((kind, id), row),
                None => rows.remove(&(kind, id)),
            };
        }
        let rows = rows.into_iter().map(|((kind, id), row)| (kind, id, row));
        let in_effect = Config::from_rows(config.revision(), rows);
        let first = self.replace(in_effect, now);
        let mut outcome = self.replace(config, now);
        outcome.work += first.work;
        outcome
    }

    /// The quarantined entities as they are in effect.
    pub fn last_good(&self) -> impl Iterator<Item = LastGood> {
        self.held.iter().map(|((kind, id), held)| LastGood {
            kind: *kind,
            id: *id,
            row: held.good.clone(),
        })
    }

    /// The quarantined entities.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        let listed = self.held.iter().map(|((kind, id), held)| Quarantined {
            kind: *kind,
            id: *id,
            name: held.wanted.as_ref().and_then(|wanted| wanted.name.clone()),
            reason: held.cause.text().to_owned(),
            since: held.since,
        });
        listed.collect()
    }

    /// `self.config` is as wanted; `before` has the rows that changed as they were.
    fn advance(&mut self, before: Vec<(Key, Option<Row>)>, now: f64) -> Outcome {
        self.effect.work = Work::default();
        let mut before: BTreeMap<Key, Option<Row>> = before.into_iter().collect();
        // Written as it was: no change, so that nothing else has to wait for it.
        before.retain(|(kind, id), old| old.as_ref() != self.config.get(*kind, *id));
        let mut earlier = std::mem::take(&mut self.held);
        let mut pending: BTreeMap<Key, Option<Wanted>> = BTreeMap::new();

        let mut orphans = BTreeSet::new();
        for key in before.keys() {
            let wanted = self.compile(*key);
            self.relink(*key, earlier.get(key), wanted.as_ref());
            if wanted.is_none() {
                orphans.extend(self.children_of(*key));
            }
            pending.insert(*key, wanted);
        }
        for (key, held) in &mut earlier {
            pending.entry(*key).or_insert_with(|| held.wanted.take());
        }
        for key in orphans {
            let unchanged = self.config.get(key.0, key.1).is_some() && !pending.contains_key(&key);
            if unchanged {
                let wanted = self.compile(key);
                pending.insert(key, wanted);
            }
        }

        let quarantined = Judge::decide(&self.config, &self.effect, &pending);
        let mut taking_effect = Vec::new();
        for (key, wanted) in pending {
            let held = earlier.remove(&key);
            let was_held = held.is_some();
            let since = held.as_ref().map_or(now, |held| held.since);
            let changed = before.remove(&key);
            let mut good = match held {
                Some(held) => held.good,
                None => changed.unwrap_or_else(|| self.config.get(key.0, key.1).cloned()),
            };
            let Some(cause) = quarantined.get(&key).cloned() else {
                if was_held {
                    tracing::info!(kind = %key.0, id = %key.1, "entity left quarantine");
                }
                taking_effect.push((key, wanted));
                continue;
            };
            let in_effect = self.effect.get(key).map(Compiled::parents);
            let stays = |(kind, id): &Key| {
                self.config.get(*kind, *id).is_some() || quarantined.contains_key(&(*kind, *id))
            };
            if !in_effect.is_some_and(|parents| parents.iter().all(stays)) {
                self.effect.remove(key);
                good = None;
            }
            let nothing_waits = good.as_ref() == self.config.get(key.0, key.1);
            if nothing_waits && matches!(cause, Cause::Other(_)) {
                continue;
            }
            if !was_held {
                tracing::warn!(
                    kind = %key.0, id = %key.1, reason = cause.text(),
                    "entity quarantined"
                );
            }
            let held = Held {
                good,
                wanted,
                cause,
                since,
            };
            self.held.insert(key, held);
        }

        for (key, _) in taking_effect.iter().rev() {
            self.effect.remove(*key);
        }
        for (key, wanted) in taking_effect {
            if let Some(Ok(compiled)) = wanted.map(|wanted| wanted.compiled) {
                self.effect.insert(key, compiled);
            }
        }
        self.effect.settle();
        self.outcome()
    }

    fn outcome(&mut self) -> Outcome {
        self.effect.snapshot.revision = self.config.revision();
        self.effect.snapshot.digest = self.config.digest();
        Outcome {
            snapshot: Arc::new(self.effect.snapshot.clone()),
            quarantined: self.quarantined(),
            work: self.effect.work,
        }
    }

    fn compile(&mut self, (kind, id): Key) -> Option<Wanted> {
        let row = self.config.get(kind, id)?;
        self.effect.work.compiled += 1;
        Some(self.compiler.compile(kind, id, row))
    }

    /// Replaces the references of an entity's old version by those of its new one.
    fn relink(&mut self, key: Key, held: Option<&Held>, wanted: Option<&Wanted>) {
        let old = match held {
            Some(held) => held.wanted.as_ref().map(|wanted| wanted.parents.clone()),
            None => self.effect.get(key).map(Compiled::parents),
        };
        for parent in old.unwrap_or_default() {
            self.children.remove(&(parent, key));
        }
        for parent in wanted.into_iter().flat_map(|wanted| &wanted.parents) {
            self.children.insert((*parent, key));
        }
    }

    fn children_of(&self, parent: Key) -> impl Iterator<Item = Key> {
        let first = (Kind::ALL[0], Uuid::nil());
        self.children
            .range((parent, first)..)
            .take_while(move |(of, _)| *of == parent)
            .map(|(_, child)| *child)
    }
}

#[cfg(test)]
mod tests;
