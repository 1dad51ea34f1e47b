//! What goes on as it was while something is held, and what is closed: rules 3, 4 and 6 of
//! `quarantine`.

use super::compile::{Compiled, Guard, Key, Wanted};
use super::plugin_table::{PluginTable, Scope};
use super::situation::{
    Cause, Situation, depends_on, describe, service_in, service_of, unguarded, within,
};
use crate::model::Kind;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What would be in effect if the entities that are held so far were all.
pub(super) struct Outlook<'a> {
    situation: Situation<'a>,
    pub held: &'a BTreeMap<Key, Cause>,
    plugins: PluginTable,
    pub missing: BTreeMap<Key, Guard>,
    /// Guards that run now and would not.
    lost: Vec<Guard>,
    /// What is in effect and must go, and why.
    pub dropped: BTreeMap<Key, String>,
}

impl<'a> Outlook<'a> {
    /// `dropped`: what is known to go.
    pub fn new(
        situation: Situation<'a>,
        held: &'a BTreeMap<Key, Cause>,
        dropped: BTreeMap<Key, String>,
    ) -> Outlook<'a> {
        let mut outlook = Outlook {
            situation,
            held,
            plugins: situation.effect.snapshot.plugins.clone(),
            missing: BTreeMap::new(),
            lost: situation.lost.to_vec(),
            dropped,
        };
        outlook.drop_what_lost_its_parents();
        for (key, wanted) in situation.pending {
            if key.0 == Kind::Plugins {
                outlook.foresee_plugin(*key, wanted.as_ref());
            }
        }
        let (routes, consumers) = outlook.affected();
        for route in routes {
            if let Some(reason) = outlook.must_close_route(route) {
                outlook.dropped.insert((Kind::Routes, route), reason);
            }
        }
        for consumer in consumers {
            if let Some(reason) = outlook.must_close_consumer(consumer) {
                outlook.dropped.insert((Kind::Consumers, consumer), reason);
            }
        }
        outlook
    }

    /// Whether the version in effect stays in effect.
    pub fn stays(&self, key: Key) -> bool {
        let replaced = self.situation.pending.contains_key(&key) && !self.held.contains_key(&key);
        !replaced && !self.dropped.contains_key(&key) && self.situation.effect.get(key).is_some()
    }

    fn is_leaving(&self, key: Key) -> bool {
        self.situation.config.get(key.0, key.1).is_none()
    }

    fn drop_what_lost_its_parents(&mut self) {
        let effect = self.situation.effect;
        let mut lost: Vec<(Key, String)> = Vec::new();
        for key in self.held.keys() {
            let parents = effect.get(*key).map(Compiled::parents);
            let mut parents = parents.into_iter().flatten();
            if let Some(parent) = parents.find(|parent| self.is_leaving(*parent)) {
                let reason = format!(
                    "its last good version used {}, which is gone",
                    describe(parent)
                );
                lost.push((*key, reason));
            }
        }
        while let Some((key, reason)) = lost.pop() {
            if self.dropped.contains_key(&key) {
                continue;
            }
            self.dropped.insert(key, reason);
            for child in self.users_of(key) {
                let works_without = child.0 == Kind::Plugins || child.0.is_credential();
                if !works_without && self.stays(child) {
                    lost.push((child, depends_on(key)));
                }
            }
        }
    }

    /// What points to an entity in the version that is in effect.
    fn users_of(&self, parent: Key) -> Vec<Key> {
        let first = (Kind::ALL[0], Uuid::nil());
        let children = self.situation.children.range((parent, first)..);
        let wanted = children
            .take_while(|(of, _)| *of == parent)
            .map(|(_, child)| *child);
        // An older version may point elsewhere than what is wanted.
        let found: BTreeSet<Key> = wanted
            .chain(self.situation.pending.keys().copied())
            .collect();
        let uses = |key: &Key| {
            let compiled = self.situation.effect.get(*key);
            compiled.is_some_and(|compiled| compiled.parents().contains(&parent))
        };
        found.into_iter().filter(uses).collect()
    }

    fn foresee_plugin(&mut self, key: Key, wanted: Option<&Wanted>) {
        let running = match self.situation.effect.get(key) {
            Some(Compiled::Plugin(running)) => Some(running),
            _ => None,
        };
        let stays = self.held.contains_key(&key) && !self.dropped.contains_key(&key);
        let next = match wanted.map(|wanted| &wanted.compiled) {
            _ if stays => running,
            Some(Ok(Compiled::Plugin(next))) if !self.held.contains_key(&key) => Some(next),
            _ => None,
        };
        if let Some(running) = running.filter(|_| !stays) {
            self.plugins.remove(running);
            let same =
                next.is_some_and(|next| next.name == running.name && next.scope == running.scope);
            let gone_with = running
                .scope
                .parents()
                .into_iter()
                .any(|it| self.is_leaving(it));
            if running.guards && !same && !gone_with {
                self.lost.push(Guard {
                    scope: running.scope,
                    name: Some(running.name.to_string()),
                });
            }
        }
        if let Some(next) = next.filter(|_| !stays) {
            self.plugins.insert(std::sync::Arc::clone(next));
        }
        let Some(guard) = wanted.and_then(|wanted| wanted.guard.as_ref()) else {
            return;
        };
        let covers = next.is_some_and(|next| {
            let same_name = guard.name.as_deref().is_none_or(|name| name == &*next.name);
            same_name && next.scope == guard.scope
        });
        if self.held.contains_key(&key) && !covers {
            self.missing.insert(key, guard.clone());
        }
    }

    /// The routes and consumers in effect that may have to be closed because of this change.
    fn affected(&self) -> (BTreeSet<Uuid>, BTreeSet<Uuid>) {
        let mut routes = BTreeSet::new();
        let mut consumers = BTreeSet::new();
        let of_kind = |kind: Kind| self.held.keys().filter(move |key| key.0 == kind);
        routes.extend(of_kind(Kind::Routes).map(|key| key.1));
        for (_, service) in of_kind(Kind::Services) {
            routes.extend(self.routes_on(*service));
        }
        let new = self
            .missing
            .iter()
            .filter(|(key, guard)| self.situation.missing.get(key) != Some(guard));
        for (_, guard) in new {
            routes.extend(self.routes_in(guard.scope));
            consumers.extend(guard.scope.consumer);
        }
        if !self.missing.is_empty() {
            for (kind, id) in self.situation.pending.keys() {
                if *kind == Kind::Services {
                    routes.extend(self.routes_on(*id));
                }
            }
        }
        for lost in &self.lost {
            if lost.scope.route.is_some() || lost.scope.service.is_some() {
                routes.extend(self.routes_in(lost.scope));
            } else {
                for guard in self.missing.values() {
                    routes.extend(self.routes_in(guard.scope));
                }
            }
            consumers.extend(
                self.missing
                    .values()
                    .filter_map(|guard| guard.scope.consumer),
            );
        }
        (routes, consumers)
    }

    fn routes_in(&self, scope: Scope) -> Vec<Uuid> {
        match (scope.route, scope.service) {
            (Some(route), _) => vec![route],
            (None, Some(service)) => self.routes_on(service),
            // What is attached to a consumer alone guards the consumer.
            (None, None) if scope.consumer.is_some() => Vec::new(),
            (None, None) => self.situation.effect.routes().collect(),
        }
    }

    fn routes_on(&self, service: Uuid) -> Vec<Uuid> {
        let users = self.users_of((Kind::Services, service));
        let routes = users.into_iter().filter(|key| key.0 == Kind::Routes);
        routes.map(|(_, id)| id).collect()
    }

    /// A guard that is missing on a route with this service.
    pub fn missing_on(&self, route: Uuid, service: Option<Uuid>) -> Option<Key> {
        self.missing_among(route, service, |_| true)
    }

    fn missing_among(
        &self,
        route: Uuid,
        service: Option<Uuid>,
        among: impl Fn(Scope) -> bool,
    ) -> Option<Key> {
        let concerns = |guard: &Guard| {
            let scope = guard.scope;
            let anywhere = scope.route.is_none() && scope.service.is_none();
            let on_route = scope.route.is_none_or(|of| of == route);
            let on_service = scope.service.is_none_or(|of| Some(of) == service);
            let consumer_alone = anywhere && scope.consumer.is_some();
            on_route
                && on_service
                && !consumer_alone
                && among(scope)
                && !self.is_replaced(guard, route, service)
        };
        let mut missing = self.missing.iter().filter(|(_, guard)| concerns(guard));
        missing.next().map(|(key, _)| *key)
    }

    /// Whether a more specific configuration of the same plugin runs instead.
    fn is_replaced(&self, guard: &Guard, route: Uuid, service: Option<Uuid>) -> bool {
        let (Some(name), None) = (&guard.name, guard.scope.consumer) else {
            return false;
        };
        let place = |route: Option<Uuid>, service: Option<Uuid>| Scope {
            route,
            service,
            consumer: None,
        };
        let mut places = vec![place(Some(route), None)];
        if service.is_some() {
            places.insert(0, place(Some(route), service));
            places.push(place(None, service));
        }
        places
            .into_iter()
            .take_while(|place| *place != guard.scope)
            .any(|place| {
                let mut there = self.plugins.at(place).iter();
                there.any(|instance| *instance.name == **name && !instance.closes)
            })
    }

    pub fn missing_for_consumer(&self, consumer: Uuid) -> Option<Key> {
        let mut missing = self.missing.iter();
        let found = missing.find(|(_, guard)| guard.scope.consumer == Some(consumer))?;
        Some(*found.0)
    }

    /// Why a route in effect must not stay so; `None` when it may.
    fn must_close_route(&self, route: Uuid) -> Option<String> {
        let key = (Kind::Routes, route);
        if !self.stays(key) {
            return None;
        }
        let service = service_of(self.situation.effect.get(key));
        let missing = self.missing_on(route, service);
        if let Some(plugin) = missing
            && !service.is_none_or(|service| self.goes_on_serving(service))
        {
            return Some(unguarded(plugin));
        }
        let older = |key: Key| self.held.contains_key(&key).then(|| depends_on(key));
        let reason = missing
            .map(unguarded)
            .or_else(|| older(key))
            .or_else(|| older((Kind::Services, service?)))?;
        let here = Scope {
            route: Some(route),
            service,
            consumer: None,
        };
        let without = missing.is_some() || self.new_version_lacks_a_guard(route);
        // What reaches further than an older version was removed for more than its sake.
        let fewer = self.has_fewer_guards(here, |lost| {
            without || lost.route.is_some() || lost.service.is_some()
        });
        fewer.then_some(reason)
    }

    fn new_version_lacks_a_guard(&self, route: Uuid) -> bool {
        let wanted = self.situation.pending.get(&(Kind::Routes, route));
        let wanted = wanted.and_then(|wanted| wanted.as_ref());
        wanted.is_some_and(|wanted| {
            self.missing_on(route, service_in(&wanted.parents))
                .is_some()
        })
    }

    /// Whether a guard that requests of this route were stopped by would not run any more.
    fn has_fewer_guards(&self, of: Scope, among: impl Fn(Scope) -> bool) -> bool {
        let after = self.plugins.plan(of);
        let runs = |name: &str| after.iter().any(|instance| *instance.name == *name);
        let concerns = |lost: &&Guard| {
            let scope = lost.scope;
            among(scope)
                && scope.route.is_none_or(|it| Some(it) == of.route)
                && scope.service.is_none_or(|it| Some(it) == of.service)
        };
        let mut lost = self.lost.iter().filter(concerns);
        lost.any(|lost| match &lost.name {
            // Who it is for is not known before the request is there.
            _ if lost.scope.consumer.is_some() => true,
            Some(name) => !runs(name),
            None => true,
        })
    }

    /// Whether a service serves now and will.
    fn goes_on_serving(&self, service: Uuid) -> bool {
        let key = (Kind::Services, service);
        let serves = self
            .situation
            .effect
            .snapshot
            .services
            .get(&service)
            .is_some();
        let will = match self.situation.pending.get(&key) {
            Some(wanted) if !self.held.contains_key(&key) => {
                wanted.as_ref().is_some_and(|wanted| !wanted.disabled)
            }
            _ => self.stays(key),
        };
        serves && will
    }

    fn must_close_consumer(&self, consumer: Uuid) -> Option<String> {
        if !self.stays((Kind::Consumers, consumer)) {
            return None;
        }
        let missing = self.missing_for_consumer(consumer)?;
        let scope = self.missing.get(&missing)?.scope;
        let meet = |a: Option<Uuid>, b: Option<Uuid>| a.is_none() || b.is_none() || a == b;
        let concerns = |lost: &&Guard| {
            meet(lost.scope.consumer, Some(consumer))
                && meet(lost.scope.route, scope.route)
                && meet(lost.scope.service, scope.service)
        };
        let replaced = |lost: &Guard| {
            let mut there = self.plugins.at(lost.scope).iter();
            there.any(|instance| lost.name.as_deref() == Some(&*instance.name))
        };
        let mut lost = self.lost.iter().filter(concerns);
        lost.any(|lost| !replaced(lost)).then(|| unguarded(missing))
    }

    /// What a plugin is attached to that goes on in an older version.
    pub fn older_place(&self, scope: Scope) -> Option<String> {
        let older = |key: Key| self.held.contains_key(&key) && self.stays(key);
        scope.parents().into_iter().find_map(|place| {
            if older(place) {
                return Some(depends_on(place));
            }
            if place.0 != Kind::Routes || !self.stays(place) {
                return None;
            }
            let service = service_of(self.situation.effect.get(place))?;
            let above = (Kind::Services, service);
            older(above).then(|| depends_on(above))
        })
    }

    /// The missing guard without which something goes on that a plugin is attached to.
    pub fn goes_on_without(&self, plugin: Key, guard: &Guard) -> Option<String> {
        let scope = guard.scope;
        let wider = |(key, missing): &(&Key, &Guard)| {
            **key != plugin && missing.name != guard.name && within(scope, missing.scope)
        };
        let key = *self.missing.iter().find(wider)?.0;
        let goes_on = |route: &Uuid| self.route_goes_on_without(*route, |_| true).is_some();
        let concerned = match (scope.route, scope.service, scope.consumer) {
            (Some(route), ..) => goes_on(&route),
            (None, Some(service), _) => self.routes_on(service).iter().any(goes_on),
            (None, None, Some(consumer)) if self.missing_for_consumer(consumer).is_some() => {
                self.stays((Kind::Consumers, consumer))
            }
            (None, None, _) => self.situation.effect.routes().any(|route| goes_on(&route)),
        };
        concerned.then(|| {
            format!(
                "{}, which guards the same requests, is not in effect here",
                describe(key)
            )
        })
    }

    fn route_goes_on_without(&self, route: Uuid, among: impl Fn(Scope) -> bool) -> Option<Key> {
        let key = (Kind::Routes, route);
        if !self.stays(key) {
            return None;
        }
        self.missing_among(route, service_of(self.situation.effect.get(key)), among)
    }

    /// The missing guard without which routes of a service go on.
    pub fn service_goes_on_without(&self, service: Uuid) -> Option<Key> {
        self.situation.effect.get((Kind::Services, service))?;
        let wide = |scope: Scope| {
            scope.route.is_none() && (scope.service == Some(service) || scope == Scope::default())
        };
        let mut routes = self.routes_on(service).into_iter();
        routes.find_map(|route| self.route_goes_on_without(route, wide))
    }
}
