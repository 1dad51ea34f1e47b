//! What is in effect: the snapshot under construction and the entities it was made of.

use super::compile::{Compiled, Key};
use super::identity::CompiledConsumer;
use super::matcher::Matcher;
use super::plugin_table::{PluginInstance, Scope};
use super::service::CompiledUpstream;
use super::snapshot::Snapshot;
use crate::data_plane::balancer::Target;
use crate::model::Kind;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::AddAssign;
use std::sync::Arc;
use uuid::Uuid;

/// Operations counted, not time: what one change cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Entities decoded and compiled, upstreams rebuilt from their targets included.
    pub compiled: usize,
    /// Entries written to the snapshot's tables: one per list of the route index that an
    /// added or removed matcher is in, one per entity of another kind.
    pub written: usize,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        self.compiled += other.compiled;
        self.written += other.written;
    }
}

/// The working copy of the snapshot. Removals come before additions, so that a name can pass
/// from one entity to another in one change.
#[derive(Default)]
pub(super) struct Effect {
    pub snapshot: Snapshot,
    /// In a tree: a hash table keeps room for half as many again, and is built anew, all at once, by
    /// the change that fills it.
    installed: BTreeMap<Key, Compiled>,
    /// Routes and consumers whose requests are found and refused.
    closed: HashMap<Key, Compiled, foldhash::fast::RandomState>,
    routes: usize,
    targets: HashMap<Uuid, BTreeMap<Uuid, Arc<Target>>, foldhash::fast::RandomState>,
    pub work: Work,
    // Collected until `settle`.
    changed_upstreams: BTreeSet<Uuid>,
    /// As they were before this round, for what was learned of their addresses.
    former_upstreams: HashMap<Uuid, Arc<CompiledUpstream>>,
    new_matchers: Vec<Matcher>,
}

impl Effect {
    pub fn get(&self, key: Key) -> Option<&Compiled> {
        self.installed.get(&key)
    }

    /// Builds the table of entities anew: full, as it is not when it grew.
    pub fn pack(&mut self) {
        self.installed = std::mem::take(&mut self.installed).into_iter().collect();
    }

    /// How many routes are in effect.
    pub fn route_count(&self) -> usize {
        self.routes
    }

    /// The routes in effect.
    pub fn routes(&self) -> impl Iterator<Item = Uuid> {
        let routes = (Kind::Routes, Uuid::nil())..=(Kind::Routes, Uuid::max());
        self.installed.range(routes).map(|((_, id), _)| *id)
    }

    pub fn is_closed(&self, key: Key) -> bool {
        self.closed.contains_key(&key)
    }

    /// Lets the requests of a route or consumer that is not in effect be found and refused.
    pub fn close(&mut self, key: Key, compiled: Compiled) {
        let scope = match &compiled {
            Compiled::Route(route) => {
                self.new_matchers.extend(route.matchers.iter().cloned());
                self.snapshot.closed_routes.insert(key.1, ());
                Scope {
                    route: Some(key.1),
                    ..Scope::default()
                }
            }
            Compiled::Consumer(consumer) => {
                self.insert_consumer(consumer);
                Scope {
                    consumer: Some(key.1),
                    ..Scope::default()
                }
            }
            _ => return,
        };
        self.work.written += 1;
        let closing = PluginInstance::closing(key.1, "", scope);
        self.snapshot.plugins.insert(Arc::new(closing));
        self.closed.insert(key, compiled);
    }

    fn open(&mut self, key: Key) {
        let Some(compiled) = self.closed.remove(&key) else {
            return;
        };
        self.work.written += 1;
        let scope = match &compiled {
            Compiled::Route(route) => {
                for matcher in &route.matchers {
                    self.snapshot.routes.remove(matcher);
                }
                self.snapshot.closed_routes.remove(&key.1);
                Scope {
                    route: Some(key.1),
                    ..Scope::default()
                }
            }
            Compiled::Consumer(consumer) => {
                self.remove_consumer(consumer);
                Scope {
                    consumer: Some(key.1),
                    ..Scope::default()
                }
            }
            _ => return,
        };
        let closing = PluginInstance::closing(key.1, "", scope);
        self.snapshot.plugins.remove(&closing);
    }

    fn insert_consumer(&mut self, consumer: &Arc<CompiledConsumer>) {
        let snapshot = &mut self.snapshot;
        snapshot.consumers.insert(consumer.id, Arc::clone(consumer));
        if let Some(username) = &consumer.username {
            snapshot
                .usernames
                .insert(Arc::clone(username), Arc::clone(consumer));
        }
    }

    fn remove_consumer(&mut self, consumer: &CompiledConsumer) {
        let snapshot = &mut self.snapshot;
        snapshot.consumers.remove(&consumer.id);
        let Some(username) = &consumer.username else {
            return;
        };
        let holder = snapshot.usernames.get(&**username);
        if holder.is_some_and(|holder| holder.id == consumer.id) {
            snapshot.usernames.remove(&**username);
        }
    }

    /// Takes an entity out of effect, or what refuses its requests away.
    pub fn remove(&mut self, key: Key) {
        self.open(key);
        let Some(compiled) = self.installed.remove(&key) else {
            return;
        };
        self.work.written += 1;
        let snapshot = &mut self.snapshot;
        match compiled {
            Compiled::Certificate(certificate) => {
                snapshot.certificates.certificates.remove(&certificate.id);
            }
            Compiled::CaCertificate(authority) => {
                snapshot.certificates.authorities.remove(&authority.id);
            }
            Compiled::Sni(sni) => {
                let snis = &mut snapshot.certificates.snis;
                if snis
                    .get(&*sni.name)
                    .is_some_and(|holder| holder.id == sni.id)
                {
                    snis.remove(&*sni.name);
                }
            }
            Compiled::Service(_) | Compiled::UnusableService(_) => {
                snapshot.services.remove(&key.1);
                snapshot.disabled_services.remove(&key.1);
            }
            Compiled::Upstream(upstream) => {
                let holder = snapshot.upstreams.get(&*upstream.name);
                if let Some(holder) = holder.filter(|holder| holder.spec.id == upstream.id) {
                    let former = Arc::clone(holder);
                    self.former_upstreams.insert(upstream.id, former);
                    snapshot.upstreams.remove(&*upstream.name);
                }
                self.changed_upstreams.insert(upstream.id);
            }
            Compiled::Target(target) => {
                if let Some(targets) = self.targets.get_mut(&target.upstream) {
                    targets.remove(&target.target.address.id);
                    if targets.is_empty() {
                        self.targets.remove(&target.upstream);
                    }
                }
                self.changed_upstreams.insert(target.upstream);
            }
            Compiled::Route(route) => {
                self.work.written -= 1;
                self.routes -= 1;
                for matcher in &route.matchers {
                    self.work.written += snapshot.routes.remove(matcher);
                }
            }
            Compiled::Consumer(consumer) => self.remove_consumer(&consumer),
            Compiled::Credential(credential) => {
                let holder = snapshot.credentials.get(&*credential.key);
                if holder.is_some_and(|holder| holder.id == credential.id) {
                    snapshot.credentials.remove(&*credential.key);
                }
            }
            Compiled::Plugin(plugin) => snapshot.plugins.remove(&plugin),
            Compiled::IdlePlugin(_) | Compiled::Kept(_) => {}
        }
    }

    /// Puts an entity in effect that is not.
    pub fn insert(&mut self, key: Key, compiled: Compiled) {
        self.work.written += 1;
        let snapshot = &mut self.snapshot;
        match &compiled {
            Compiled::Certificate(certificate) => {
                let certificates = &mut snapshot.certificates.certificates;
                certificates.insert(certificate.id, Arc::clone(certificate));
            }
            Compiled::CaCertificate(authority) => {
                let authorities = &mut snapshot.certificates.authorities;
                authorities.insert(authority.id, Arc::clone(authority));
            }
            Compiled::Sni(sni) => {
                let snis = &mut snapshot.certificates.snis;
                snis.insert(Arc::clone(&sni.name), Arc::clone(sni));
            }
            Compiled::Service(service) if service.enabled => {
                snapshot.services.insert(service.id, Arc::clone(service));
            }
            Compiled::Service(_) | Compiled::UnusableService(_) => {
                snapshot.disabled_services.insert(key.1, ());
            }
            Compiled::IdlePlugin(_) | Compiled::Kept(_) => {}
            Compiled::Upstream(upstream) => {
                self.changed_upstreams.insert(upstream.id);
            }
            Compiled::Target(target) => {
                let targets = self.targets.entry(target.upstream).or_default();
                targets.insert(target.target.address.id, Arc::clone(&target.target));
                self.changed_upstreams.insert(target.upstream);
            }
            Compiled::Route(route) => {
                self.work.written -= 1;
                self.routes += 1;
                self.new_matchers.extend(route.matchers.iter().cloned());
            }
            Compiled::Consumer(consumer) => self.insert_consumer(consumer),
            Compiled::Credential(credential) => {
                snapshot
                    .credentials
                    .insert(Arc::clone(&credential.key), Arc::clone(credential));
            }
            Compiled::Plugin(plugin) => snapshot.plugins.insert(Arc::clone(plugin)),
        }
        self.installed.insert(key, compiled);
    }

    /// Finishes a round of removals and additions.
    pub fn settle(&mut self) {
        // Largest first is the order of the lists, so that each addition is at their end.
        self.new_matchers
            .sort_unstable_by_key(|matcher| std::cmp::Reverse(matcher.key()));
        for matcher in self.new_matchers.drain(..) {
            self.work.written += self.snapshot.routes.insert(&matcher);
        }
        self.new_matchers.shrink_to(64);
        for id in std::mem::take(&mut self.changed_upstreams) {
            self.rebuild_upstream(id);
        }
        self.former_upstreams.clear();
    }

    fn rebuild_upstream(&mut self, id: Uuid) {
        let Some(Compiled::Upstream(spec)) = self.installed.get(&(Kind::Upstreams, id)) else {
            return;
        };
        let current = self.snapshot.upstreams.get(&*spec.name);
        let current = current.filter(|upstream| upstream.spec.id == id);
        let previous = current.or_else(|| self.former_upstreams.get(&id));
        let targets = self.targets.get(&id).into_iter().flat_map(BTreeMap::values);
        let previous = previous.map(|upstream| &**upstream);
        let upstream = CompiledUpstream::new(Arc::clone(spec), targets.cloned(), previous);
        self.snapshot
            .upstreams
            .insert(Arc::clone(&spec.name), Arc::new(upstream));
        self.work.compiled += 1;
    }
}
