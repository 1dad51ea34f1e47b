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
//!    takes effect at once. Removing a plugin (deleting it, switching it off, moving it, or taking
//!    protocols from it) is a change of what it is attached to and waits with it; it also waits
//!    while protection is missing (2) on any request it runs for, and while it runs on a route of
//!    which an older version is in effect: such a route keeps the plugins it had, and moving
//!    authentication from a service to a route that cannot have it leaves neither without. It
//!    does not wait when what it is attached to goes too. A service or certificate stays while
//!    the version in effect of something quarantined still uses it.
//! 4. *Openings.* A service that is switched on again opens its routes as they are in effect; it
//!    waits while protection is missing (2) on any of them or any of them is quarantined.
//! 5. *Orphans.* When the parent of a quarantined entity's version in effect is removed, that
//!    version goes with it.
//!
//! The one exception to 1: a credential waits for its consumer only while no version of the
//! consumer is in effect, so that a key can be changed whatever else is wrong.
//!
//! Whether an entity is quarantined follows from the wanted configuration and from what is in
//! effect; it is decided anew at each change for everything changed or quarantined, and ends by
//! itself when its cause does. The decision is the smallest set that satisfies the rule, so
//! that no two entities can hold each other back for ever.

use super::compile::{Compiled, Key, Protection, Wanted};
use super::effect::Effect;
use super::plugin_table::{PluginInstance, Scope};
use crate::model::{Config, Kind};
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

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
    /// Where protection is missing: the plugin and its scope.
    missing: Vec<(Key, Scope)>,
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
            missing: Vec::new(),
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
        if let Some(Compiled::Plugin(running)) = self.effect.get(key)
            && covers(running, protection)
        {
            return;
        }
        let scope = protection.scope;
        self.missing.push((key, scope));
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
                .or_else(|| self.stay_cause(key, Some(wanted)))
                .or_else(|| self.opening_cause(key, wanted)),
            None if key.0 == Kind::Plugins => self.stay_cause(key, None),
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
        if child.0.is_credential() && self.effect.get(parent).is_some() {
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

    /// Why a plugin must stay as and where it runs now.
    fn stay_cause(&self, key: Key, wanted: Option<&Wanted>) -> Option<String> {
        if key.0 != Kind::Plugins {
            return None;
        }
        let running = self.effect.get(key)?;
        let places = running.parents();
        if places.iter().any(|place| self.is_leaving(*place)) {
            return None;
        }
        let global = wanted
            .is_none()
            .then(|| self.lost_protection(key))
            .flatten();
        global
            .or_else(|| {
                places
                    .into_iter()
                    .find_map(|place| self.parent_cause(key, place))
            })
            .or_else(|| self.missing_elsewhere(running, wanted))
    }

    fn missing_elsewhere(&self, running: &Compiled, wanted: Option<&Wanted>) -> Option<String> {
        let Compiled::Plugin(running) = running else {
            return None;
        };
        if wanted
            .and_then(|wanted| wanted.protection.as_ref())
            .is_some_and(|it| still_runs(it, running))
        {
            return None;
        }
        self.missing_in(running.scope)
            .or_else(|| self.older_route_in(running.scope))
    }

    fn opening_cause(&self, key: Key, wanted: &Wanted) -> Option<String> {
        match (self.effect.get(key), &wanted.compiled) {
            (Some(Compiled::Service(old)), Ok(Compiled::Service(new)))
                if new.enabled && !old.enabled =>
            {
                let service = Scope {
                    service: Some(new.id),
                    ..Scope::default()
                };
                self.missing_in(service)
                    .or_else(|| self.older_route_in(service))
            }
            _ => None,
        }
    }

    fn missing_in(&self, scope: Scope) -> Option<String> {
        let exists = |scope: Scope| {
            !scope
                .parents()
                .iter()
                .any(|parent| self.is_leaving(*parent))
        };
        let mut missing = self.missing.iter().filter(|(_, missing)| exists(*missing));
        let (plugin, _) = missing.find(|(_, missing)| self.overlap(scope, *missing))?;
        Some(format!(
            "{} should run for requests this concerns and is quarantined",
            describe(*plugin)
        ))
    }

    /// Whether one request can be in both scopes.
    fn overlap(&self, a: Scope, b: Scope) -> bool {
        let agree = |a: Option<Uuid>, b: Option<Uuid>| a.is_none() || b.is_none() || a == b;
        let reaches = |route: Option<Uuid>, service: Option<Uuid>| match (route, service) {
            (Some(route), Some(service)) => self.services_of(route).contains(&service),
            _ => true,
        };
        agree(a.route, b.route)
            && agree(a.service, b.service)
            && agree(a.consumer, b.consumer)
            && reaches(a.route, b.service)
            && reaches(b.route, a.service)
    }

    /// The services a route is on: as it will be, or as it is and should be if it has to wait.
    fn services_of(&self, route: Uuid) -> Vec<Uuid> {
        let key = (Kind::Routes, route);
        let mut parents = self.parents_of(key);
        if self.quarantined.contains_key(&key) {
            parents.extend(
                self.effect
                    .get(key)
                    .map(Compiled::parents)
                    .unwrap_or_default(),
            );
        }
        parents.into_iter().map(|(_, service)| service).collect()
    }

    /// A quarantined route in the scope whose older version is in effect.
    fn older_route_in(&self, scope: Scope) -> Option<String> {
        let routes = self.quarantined.keys().filter(|key| key.0 == Kind::Routes);
        let mut older = routes.filter(|key| self.effect.get(**key).is_some());
        let in_scope = |(_, route): &&Key| {
            let route = Scope {
                route: Some(*route),
                ..Scope::default()
            };
            self.overlap(scope, route)
        };
        let route = older.find(in_scope)?;
        Some(format!(
            "concerns an older version of {}, which is quarantined",
            describe(*route)
        ))
    }

    fn is_leaving(&self, key: Key) -> bool {
        self.config.get(key.0, key.1).is_none() && !self.quarantined.contains_key(&key)
    }
}

/// Whether what runs now gives the wanted protection.
fn covers(running: &PluginInstance, wanted: &Protection) -> bool {
    wanted
        .name
        .as_deref()
        .is_none_or(|name| name == &*running.name)
        && running.scope == wanted.scope
        && wanted.protocols.is_subset(running.protocols)
}

/// Whether what is wanted gives the protection of what runs now.
fn still_runs(wanted: &Protection, running: &PluginInstance) -> bool {
    wanted.name.as_deref() == Some(&*running.name)
        && wanted.scope == running.scope
        && running.protocols.is_subset(wanted.protocols)
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
