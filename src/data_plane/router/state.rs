//! From one configuration to the next: what changed is compiled, what is good takes effect, what
//! is not waits in quarantine.

use super::compile::{Compiled, Compiler, Guard, Key, PluginFactory, Wanted};
use super::effect::{Effect, Work};
use super::priority::MatchOrder;
use super::quarantine::Decision;
use super::references::{self, Vaults};
use super::situation::{Cause, Situation};
use super::snapshot::Snapshot;
use crate::model::{ApplyError, Change, Config, Kind, Op, Row};
use crate::telemetry::status::RouteCounts;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// How a configuration is compiled.
#[derive(Clone, Default)]
pub struct Options {
    pub order: MatchOrder,
    /// Whether a guard that cannot be built refuses what it was to guard, also where that was
    /// served before.
    pub close_unguarded: bool,
    /// What references stand for.
    pub vaults: Vaults,
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
    pub instead: Instead,
}

/// What of a quarantined entity is in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// Its last good version.
    LastGood,
    /// Nothing, and its requests are refused with 503.
    Closed,
    Nothing,
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
    pub routes: RouteCounts,
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
    /// The guards that should run and do not.
    missing: BTreeMap<Key, Guard>,
}

struct Held {
    /// The row that is in effect.
    good: Option<Row>,
    /// What it should be.
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
                close_unguarded: options.close_unguarded,
                vaults: options.vaults,
            },
            config: Config::default(),
            effect: Effect::default(),
            held: BTreeMap::new(),
            children: BTreeSet::new(),
            missing: BTreeMap::new(),
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
        Ok(self.advance(before, &[], now))
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
        let outcome = self.advance(before, &[], now);
        self.pack();
        outcome
    }

    /// Trees that grew one entry after the other are half empty; built anew they are full.
    fn pack(&mut self) {
        self.children = std::mem::take(&mut self.children).into_iter().collect();
        self.effect.pack();
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
        let held: BTreeMap<Key, Option<Row>> = last_good
            .into_iter()
            .map(|good| ((good.kind, good.id), good.row))
            .collect();
        if held.is_empty() {
            return self.replace(config, now);
        }
        // First what was in effect, as it was and without a judgement; then the step from there to
        // what is wanted.
        let mut rows: BTreeMap<Key, &Row> = config
            .iter()
            .map(|(kind, id, row)| ((kind, id), row))
            .filter(|(key, _)| !held.contains_key(key))
            .collect();
        rows.extend(
            held.iter()
                .filter_map(|(key, row)| Some((*key, row.as_ref()?))),
        );
        self.effect.work = Work::default();
        let mut before = held.clone();
        let mut lost = Vec::new();
        // In the order of kinds, which has what is pointed to first.
        for ((kind, id), row) in rows {
            let key = (kind, id);
            self.effect.work.compiled += 1;
            let wanted = self.compiler.compile(&config, kind, id, row);
            let stands_alone = kind == Kind::Plugins || kind.is_credential();
            let mut parents = wanted.parents.iter();
            let usable = wanted.closes_because.is_none()
                && (stands_alone || parents.all(|parent| self.effect.get(*parent).is_some()));
            match wanted.compiled {
                Ok(compiled) if usable => {
                    if !held.contains_key(&key) {
                        let links = wanted.parents.iter().map(|parent| (*parent, key));
                        self.children.extend(links);
                    }
                    self.effect.insert(key, compiled);
                }
                _ => {
                    lost.extend(wanted.guard);
                    before.insert(key, None);
                }
            }
        }
        self.effect.settle();
        let first = self.effect.work;
        self.config = config;
        let mut outcome = self.advance(before.into_iter().collect(), &lost, now);
        outcome.work += first;
        self.pack();
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
        let listed = self.held.iter().map(|(key, held)| Quarantined {
            kind: key.0,
            id: key.1,
            name: held.wanted.as_ref().and_then(|wanted| wanted.name.clone()),
            reason: held.cause.text().to_owned(),
            since: held.since,
            instead: match held.wanted.as_ref() {
                Some(wanted) if wanted.closes_because.is_some() => Instead::Closed,
                _ if self.effect.is_closed(*key) => Instead::Closed,
                _ if held.good.is_some() => Instead::LastGood,
                _ => Instead::Nothing,
            },
        });
        listed.collect()
    }

    /// `self.config` is as wanted; `before` has the rows that changed as they were, `lost` the
    /// guards that ran before a restart and cannot be built now.
    fn advance(&mut self, before: Vec<(Key, Option<Row>)>, lost: &[Guard], now: f64) -> Outcome {
        self.effect.work = Work::default();
        let mut before: BTreeMap<Key, Option<Row>> = before.into_iter().collect();
        // Written as it was: no change, so that nothing else has to wait for it.
        before.retain(|(kind, id), old| old.as_ref() != self.config.get(*kind, *id));
        let mut earlier = std::mem::take(&mut self.held);
        let mut pending = self.pending(&before, &mut earlier);
        pending.retain(|key, wanted| {
            let back = earlier
                .get(key)
                .is_some_and(|held| self.is_back(*key, held, wanted.as_ref()));
            if back {
                earlier.remove(key);
                tracing::info!(kind = %key.0, id = %key.1, "entity left quarantine");
            }
            !back
        });
        let Decision {
            held,
            dropped,
            missing,
        } = Situation {
            config: &self.config,
            effect: &self.effect,
            pending: &pending,
            children: &self.children,
            missing: &self.missing,
            lost,
            close_unguarded: self.compiler.close_unguarded,
        }
        .decide();
        self.missing = missing;
        for key in dropped.keys() {
            if !pending.contains_key(key) {
                let wanted = self.compile(*key);
                pending.insert(*key, wanted);
            }
        }

        let mut taking_effect = Vec::new();
        let mut closing = Vec::new();
        for (key, wanted) in pending {
            let was = earlier.remove(&key);
            let changed = before.remove(&key);
            let unchanged = was.is_some() && changed.is_none();
            let since = was.as_ref().map_or(now, |held| held.since);
            let was_held = was.is_some();
            let mut good = match was {
                Some(was) => was.good,
                None => changed.unwrap_or_else(|| self.config.get(key.0, key.1).cloned()),
            };
            let cause = held.get(&key).cloned();
            let cause = cause.or_else(|| Some(Cause::Other(dropped.get(&key)?.clone())));
            let Some(cause) = cause else {
                let Some(reason) = wanted.as_ref().and_then(|it| it.closes_because.clone()) else {
                    if was_held {
                        tracing::info!(kind = %key.0, id = %key.1, "entity left quarantine");
                    }
                    taking_effect.push((key, wanted.map(|wanted| wanted.compiled)));
                    continue;
                };
                // In effect, as something that refuses; what it should be waits.
                if !unchanged {
                    let compiled = wanted.as_ref().map(|wanted| wanted.compiled.clone());
                    taking_effect.push((key, compiled));
                }
                good = self.config.get(key.0, key.1).cloned();
                self.hold(key, good, wanted, Cause::Own(reason), since, was_held);
                continue;
            };
            if dropped.contains_key(&key) {
                self.effect.remove(key);
            }
            if self.effect.get(key).is_none() {
                good = None;
                let compiled = wanted.as_ref().and_then(|it| it.compiled.as_ref().ok());
                let closable =
                    compiled.filter(|it| matches!(it, Compiled::Route(..) | Compiled::Consumer(_)));
                if !(unchanged && self.effect.is_closed(key)) {
                    self.effect.remove(key);
                    closing.extend(closable.map(|compiled| (key, compiled.clone())));
                }
            }
            let nothing_waits = good.as_ref() == self.config.get(key.0, key.1);
            if nothing_waits && matches!(cause, Cause::Other(_)) {
                continue;
            }
            self.hold(key, good, wanted, cause, since, was_held);
        }

        for (key, _) in taking_effect.iter().rev() {
            self.effect.remove(*key);
        }
        for (key, compiled) in taking_effect {
            if let Some(Ok(compiled)) = compiled {
                self.effect.insert(key, compiled);
            }
        }
        for (key, compiled) in closing {
            self.effect.close(key, compiled);
        }
        self.effect.settle();
        self.outcome()
    }

    /// What has to be decided: what changed, what is held, and what points to something removed.
    fn pending(
        &mut self,
        before: &BTreeMap<Key, Option<Row>>,
        earlier: &mut BTreeMap<Key, Held>,
    ) -> BTreeMap<Key, Option<Wanted>> {
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
        if before.keys().any(|key| key.0 == Kind::Vaults) {
            for key in self.referring() {
                if let Entry::Vacant(place) = pending.entry(key) {
                    place.insert(self.compile(key));
                }
            }
        }
        for (key, held) in earlier {
            pending.entry(*key).or_insert_with(|| held.wanted.take());
        }
        for key in orphans {
            let unchanged = self.config.get(key.0, key.1).is_some() && !pending.contains_key(&key);
            if unchanged {
                let wanted = self.compile(key);
                pending.insert(key, wanted);
            }
        }
        pending
    }

    /// The entities that refer to vaults.
    fn referring(&self) -> Vec<Key> {
        let kinds = references::KINDS.into_iter();
        let rows = kinds.flat_map(|kind| self.config.of_kind(kind).map(move |it| (kind, it)));
        let referring = rows.filter(|(kind, (_, row))| references::refers(*kind, row));
        referring.map(|(kind, (id, _))| (kind, id)).collect()
    }

    /// Whether what is wanted is again what is in effect.
    fn is_back(&self, key: Key, held: &Held, wanted: Option<&Wanted>) -> bool {
        // The same row may stand for something else by now.
        let good = held.good.as_ref();
        if good.is_some_and(|row| references::refers(key.0, row)) {
            return false;
        }
        let exists = |(kind, id): &Key| self.config.get(*kind, *id).is_some();
        held.good.is_some()
            && held.good.as_ref() == self.config.get(key.0, key.1)
            && wanted.is_some_and(|wanted| {
                wanted.closes_because.is_none() && wanted.parents.iter().all(exists)
            })
    }

    fn hold(
        &mut self,
        key: Key,
        good: Option<Row>,
        wanted: Option<Wanted>,
        cause: Cause,
        since: f64,
        was_held: bool,
    ) {
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

    fn outcome(&mut self) -> Outcome {
        self.effect.snapshot.revision = self.config.revision();
        self.effect.snapshot.digest = self.config.digest();
        let served = self.effect.route_count();
        let mut held = self.held.keys().filter(|key| key.0 == Kind::Routes);
        let unserved = held.by_ref().filter(|key| self.effect.get(**key).is_none());
        let configured = served + unserved.count();
        Outcome {
            snapshot: Arc::new(self.effect.snapshot.clone()),
            quarantined: self.quarantined(),
            routes: RouteCounts { configured, served },
            work: self.effect.work,
        }
    }

    fn compile(&mut self, (kind, id): Key) -> Option<Wanted> {
        let row = self.config.get(kind, id)?;
        self.effect.work.compiled += 1;
        Some(self.compiler.compile(&self.config, kind, id, row))
    }

    /// Replaces the references of an entity's old version by those of its new one.
    fn relink(&mut self, key: Key, held: Option<&Held>, wanted: Option<&Wanted>) {
        let old = match held {
            Some(held) => held.wanted.as_ref().map(|wanted| wanted.parents.clone()),
            // In effect as it was wanted, or else it were held.
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
