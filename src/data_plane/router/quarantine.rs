//! Which changes must not take effect, and why.
//!
//! # The rule
//!
//! An entity is *broken* when its row cannot be compiled (an invalid regular expression, a plugin
//! that this build does not have) or points to an entity that does not exist.
//!
//! 1. **A removal takes effect at once**, whatever else is wrong: deleting any entity, and disabling
//!    a plugin or a service. Moving a plugin elsewhere is not a removal but a new version of it.
//! 2. **Quarantine holds new versions, nothing else.** The new version of a broken entity does not
//!    take effect; the last good version, if there is one, stays. Held with it is the new version
//!    of what cannot work without it: of what points to it, and (3) of what it was to guard.
//! 3. **Guards.** A plugin *guards* unless it only observes (metrics, logs, tracing, correlation
//!    ids). A guard is *missing* when it should run and does not: it is held, and no good version
//!    of it runs for the same scope. An observer is never missing; it is left out alone, and
//!    waits for nothing. Where a guard is missing
//!    - what was served before goes on *as it was*: new versions of the routes, services, consumers
//!      and plugins in the guard's scope are held;
//!    - what was not served before is *closed*: its requests are found and refused with 503.
//!
//!    A more specific configuration of the same plugin takes the place of the missing one.
//! 4. **As it was, or not at all.** A route that goes on although a guard is missing is closed as soon
//!    as it would run with fewer guards than before, such as when another one is deleted. It would
//!    be open otherwise in a way that nobody asked for: replacing one guard by another that cannot
//!    be built closes the route, it does not open it. The same holds for consumers, and for a route
//!    of which (or of whose service) an older version is in effect, when a guard of that route or
//!    service itself goes, or any guard while the new version lacks one. When the service of a route without its guard is disabled, the route
//!    is no longer served, and it is closed from then on.
//! 5. **What is not in effect is closed** where it can be found: a route or consumer whose row
//!    compiles and that cannot take effect answers 503, not 404, and no broader route takes
//!    its requests. A route whose own row does not compile cannot be found.
//! 6. **Older versions need what they use.** An older version that points to something that was
//!    removed goes with it.
//!
//! With the setting `quarantined_guards = close` a guard that cannot be built takes effect as a
//! configuration that refuses every request in its scope, in the place of any older version. It is
//! in effect then, so 3 and 4 do not apply.
//!
//! Exceptions to 2, both towards less: a credential waits for its consumer only while the consumer
//! can neither be used nor closed, so that a key can be changed whatever else is wrong; and a
//! plugin waits for what it is attached to only while an older version of that is in effect.
//!
//! A guard with a consumer *and* a place in its scope counts for both as a whole.
//!
//! What is held follows from the wanted configuration, from what is in effect, and from which guards
//! were missing already. It is decided anew at each change for everything changed or held, and
//! ends by itself when its cause does. It is the smallest set that satisfies the rule, so that no
//! two entities can hold each other back for ever.

use super::as_it_was::Outlook;
use super::compile::{Guard, Key, Wanted};
use super::situation::{Cause, Situation, depends_on, describe, service_in, unguarded};
use crate::model::Kind;
use std::collections::BTreeMap;

/// What a change leads to.
#[derive(Default)]
pub(super) struct Decision {
    /// The pending entities that must not take effect.
    pub held: BTreeMap<Key, Cause>,
    /// The entities whose version in effect must go, though nothing takes its place; pending or not.
    pub dropped: BTreeMap<Key, String>,
    /// The guards that are missing now.
    pub missing: BTreeMap<Key, Guard>,
}

impl Situation<'_> {
    pub fn decide(self) -> Decision {
        let broken: BTreeMap<Key, Cause> = self
            .pending
            .iter()
            .filter_map(|(key, wanted)| Some((*key, self.own_cause(wanted.as_ref()?)?)))
            .collect();
        // Whatever is held is so because of something broken.
        if broken.is_empty() {
            return Decision::default();
        }
        // What is dropped no longer holds anything: then the rest is decided once more without it.
        let mut dropped = BTreeMap::new();
        loop {
            let decision = self.decide_without(&dropped, broken.clone());
            if decision.dropped.len() == dropped.len() {
                return decision;
            }
            dropped = decision.dropped;
        }
    }

    fn decide_without(
        self,
        dropped: &BTreeMap<Key, String>,
        mut held: BTreeMap<Key, Cause>,
    ) -> Decision {
        loop {
            let outlook = Outlook::new(self, &held, dropped.clone());
            let added: Vec<(Key, Cause)> = self
                .pending
                .iter()
                .filter(|(key, _)| !held.contains_key(key))
                .filter_map(|(key, wanted)| {
                    let wanted = wanted.as_ref().filter(|wanted| !wanted.disabled)?;
                    let cause = self.other_cause(*key, wanted, &outlook)?;
                    Some((*key, Cause::Other(cause)))
                })
                .collect();
            if added.is_empty() {
                let Outlook {
                    dropped, missing, ..
                } = outlook;
                return Decision {
                    held,
                    dropped,
                    missing,
                };
            }
            held.extend(added);
        }
    }

    fn own_cause(&self, wanted: &Wanted) -> Option<Cause> {
        if let Err(reason) = &wanted.compiled {
            return Some(Cause::Own(reason.clone()));
        }
        let mut parents = wanted.parents.iter().filter(|_| !wanted.disabled);
        let missing = parents.find(|(kind, id)| self.config.get(*kind, *id).is_none())?;
        Some(Cause::Own(format!(
            "points to {}, which does not exist",
            describe(*missing)
        )))
    }

    /// Why an entity that is fine in itself must not take effect.
    fn other_cause(&self, key: Key, wanted: &Wanted, outlook: &Outlook<'_>) -> Option<String> {
        let id = key.1;
        match key.0 {
            Kind::Plugins => {
                let guard = wanted.guard.as_ref().filter(|_| !self.close_unguarded)?;
                outlook
                    .older_place(guard.scope)
                    .or_else(|| outlook.goes_on_without(key, guard))
            }
            Kind::Routes => {
                let service = service_in(&wanted.parents);
                let missing = outlook.missing_on(id, service).map(unguarded);
                missing.or_else(|| self.held_parent(wanted, outlook))
            }
            Kind::Services => self
                .held_parent(wanted, outlook)
                .or_else(|| outlook.service_goes_on_without(id).map(unguarded)),
            Kind::Consumers => outlook.missing_for_consumer(id).map(unguarded),
            kind if kind.is_credential() => {
                let usable = |parent: &&Key| {
                    outlook.stays(**parent)
                        || self.effect.is_closed(**parent)
                        || matches!(self.pending.get(parent), Some(Some(it)) if it.compiled.is_ok())
                };
                let mut parents = wanted.parents.iter();
                parents
                    .find(|parent| outlook.held.contains_key(parent) && !usable(parent))
                    .map(|parent| depends_on(*parent))
            }
            _ => self.held_parent(wanted, outlook),
        }
    }

    fn held_parent(&self, wanted: &Wanted, outlook: &Outlook<'_>) -> Option<String> {
        let mut parents = wanted.parents.iter();
        let parent = parents.find(|parent| outlook.held.contains_key(parent))?;
        Some(depends_on(*parent))
    }
}
