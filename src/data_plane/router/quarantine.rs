//! Which changes must not take effect, and why.
//!
//! # The rule
//!
//! An entity is *broken* when its row does not compile or points to an entity that is not there.
//! Broken entities are quarantined: their last good version, if there is one, stays in effect.
//!
//! Quarantine spreads to whatever changes together with something quarantined:
//!
//! 1. *Children.* A change of an entity that points (at any distance) to a quarantined one is
//!    held back. Entities that did not change are in effect already and stay so.
//! 2. *Protection.* A plugin that should run and does not - it is quarantined, and no good version
//!    of it is in effect for the same scope and all its protocols - makes what it protects
//!    quarantined: its route, or its service (and so the routes of it), its consumer, or, when it
//!    is global, every route, service and plugin. New routes under it are not served and changes
//!    of old ones, including changes of their other plugins, wait; what was in effect before
//!    remains exactly as it was. Every plugin counts as protection: a plugin that is not known
//!    here might be the one that authenticates. A plugin that is disabled protects nothing.
//! 3. *Removals.* Removing a route, consumer, credential, target, upstream or server name always
//!    takes effect at once. Removing a plugin is a change of what it is attached to and waits with
//!    it, unless that goes too. A service or certificate stays while the held-back version of
//!    something quarantined still uses it.
//!
//! The one exception to 1: a credential waits for its consumer only while no version of the
//! consumer is in effect, so that a key can be changed whatever else is wrong.
//!
//! Whether an entity is quarantined follows from the wanted configuration and from what is in
//! effect; it is decided anew at each change for everything changed or quarantined, and ends by
//! itself when its cause does. The decision is the smallest set that satisfies the rule, so
//! that no two entities can hold each other back for ever.

use super::compile::{Compiled, Key, Wanted};
use super::effect::Effect;
use crate::model::{Config, Kind};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Why an entity is quarantined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its own row.
    Own(String),
    /// This other entity.
    Other(String),
}

impl Cause {
    pub fn text(&self) -> &str {
        match self {
            Cause::Own(text) | Cause::Other(text) => text,
        }
    }
}

/// Everything a decision is made from.
pub(super) struct Judge<'a> {
    /// As wanted.
    config: &'a Config,
    effect: &'a Effect,
    /// What changed or is quarantined; `None` is to be removed.
    pending: &'a BTreeMap<Key, Option<Wanted>>,
    quarantined: BTreeMap<Key, Cause>,
    /// What has lost its protection, and the plugin that should give it.
    unprotected: HashMap<Key, Key>,
    all_unprotected: Option<Key>,
    /// What versions in effect of quarantined entities point to.
    still_used: HashSet<Key>,
}

impl<'a> Judge<'a> {
    /// The entities of `pending` that must not take effect.
    pub fn decide(
        config: &'a Config,
        effect: &'a Effect,
        pending: &'a BTreeMap<Key, Option<Wanted>>,
    ) -> BTreeMap<Key, Cause> {
        let mut judge = Judge {
            config,
            effect,
            pending,
            quarantined: BTreeMap::new(),
            unprotected: HashMap::new(),
            all_unprotected: None,
            still_used: HashSet::new(),
        };
        let mut added: Vec<_> = pending
            .iter()
            .filter_map(|(key, wanted)| Some((*key, judge.own_cause(wanted.as_ref()?)?)))
            .collect();
        while !added.is_empty() {
            for (key, cause) in added {
                judge.add(key, cause);
            }
            added = pending
                .iter()
                .filter(|(key, _)| !judge.quarantined.contains_key(key))
                .filter_map(|(key, wanted)| {
                    Some((
                        *key,
                        Cause::Other(judge.other_cause(*key, wanted.as_ref())?),
                    ))
                })
                .collect();
        }
        judge.quarantined
    }

    fn own_cause(&self, wanted: &Wanted) -> Option<Cause> {
        if let Err(reason) = &wanted.compiled {
            return Some(Cause::Own(reason.clone()));
        }
        let missing = wanted
            .parents
            .iter()
            .find(|(kind, id)| self.config.get(*kind, *id).is_none())?;
        Some(Cause::Own(format!(
            "points to {}, which does not exist",
            describe(*missing)
        )))
    }

    fn add(&mut self, key: Key, cause: Cause) {
        if let Some(Some(wanted)) = self.pending.get(&key) {
            self.note_lost_protection(key, wanted);
        }
        if let Some(compiled) = self.effect.get(key) {
            self.still_used.extend(compiled.parents());
        }
        self.quarantined.insert(key, cause);
    }

    fn note_lost_protection(&mut self, key: Key, wanted: &Wanted) {
        let Some(protection) = &wanted.protection else {
            return;
        };
        if let Some(Compiled::Plugin(running)) = self.effect.get(key) {
            let same_name = protection
                .name
                .as_deref()
                .is_none_or(|name| name == &*running.name);
            let covers = protection.protocols.is_subset(running.protocols);
            if same_name && covers && running.scope == protection.scope {
                return;
            }
        }
        let scope = protection.scope;
        let place = match (scope.route, scope.service) {
            (Some(route), _) => Some((Kind::Routes, route)),
            (None, Some(service)) => Some((Kind::Services, service)),
            (None, None) => None,
        };
        let consumer = scope.consumer.map(|id| (Kind::Consumers, id));
        if place.is_none() && consumer.is_none() {
            self.all_unprotected.get_or_insert(key);
        }
        for protected in place.into_iter().chain(consumer) {
            self.unprotected.entry(protected).or_insert(key);
        }
    }

    /// Why an entity that is fine in itself must not take effect.
    fn other_cause(&self, key: Key, wanted: Option<&Wanted>) -> Option<String> {
        match wanted {
            Some(wanted) => self
                .lost_protection(key)
                .or_else(|| {
                    wanted
                        .parents
                        .iter()
                        .find_map(|parent| self.parent_cause(key, *parent))
                })
                .or_else(|| self.place_in_effect_cause(key)),
            None if key.0 == Kind::Plugins => self.removal_of_plugin_cause(key),
            None if is_kept_while_used(key.0) && self.still_used.contains(&key) => {
                Some("the version in effect of something quarantined still uses it".into())
            }
            None => None,
        }
    }

    fn lost_protection(&self, key: Key) -> Option<String> {
        let everywhere = matches!(key.0, Kind::Routes | Kind::Services | Kind::Plugins);
        let global = self.all_unprotected.filter(|_| everywhere);
        let plugin = self.unprotected.get(&key).copied().or(global)?;
        Some(format!(
            "{}, which protects it, is quarantined",
            describe(plugin)
        ))
    }

    fn parent_cause(&self, child: Key, parent: Key) -> Option<String> {
        if child.0 == Kind::KeyauthCredentials && self.effect.get(parent).is_some() {
            return None;
        }
        if self.quarantined.contains_key(&parent) {
            return Some(format!(
                "depends on {}, which is quarantined",
                describe(parent)
            ));
        }
        if let Some(cause) = self.lost_protection(parent) {
            return Some(format!("depends on {}: {cause}", describe(parent)));
        }
        self.parents_of(parent)
            .into_iter()
            .find_map(|above| self.parent_cause(parent, above))
    }

    fn parents_of(&self, key: Key) -> Vec<Key> {
        match self.pending.get(&key) {
            Some(Some(wanted)) => wanted.parents.clone(),
            _ => self
                .effect
                .get(key)
                .map(Compiled::parents)
                .unwrap_or_default(),
        }
    }

    /// A plugin that moves away or is switched off is a change of where it runs now.
    fn place_in_effect_cause(&self, key: Key) -> Option<String> {
        if key.0 != Kind::Plugins {
            return None;
        }
        let places = self.effect.get(key)?.parents();
        if places.iter().any(|place| self.is_leaving(*place)) {
            return None;
        }
        places
            .into_iter()
            .find_map(|place| self.parent_cause(key, place))
    }

    fn removal_of_plugin_cause(&self, key: Key) -> Option<String> {
        let places = self.effect.get(key)?.parents();
        if places.iter().any(|place| self.is_leaving(*place)) {
            return None;
        }
        self.lost_protection(key)
            .or_else(|| self.place_in_effect_cause(key))
    }

    fn is_leaving(&self, key: Key) -> bool {
        self.config.get(key.0, key.1).is_none() && !self.quarantined.contains_key(&key)
    }
}

fn is_kept_while_used(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Certificates | Kind::CaCertificates | Kind::Services
    )
}

fn describe((kind, id): Key) -> String {
    let kind = kind.as_str();
    format!("{} {id}", kind.strip_suffix('s').unwrap_or(kind))
}
