//! Which plugins run for a request.
//!
//! Of each plugin one configuration applies: that of the most specific scope, in Kong's order
//! (route+service+consumer, route+consumer, service+consumer, route+service, consumer, route,
//! service, global).
//!
//! As in Kong, a configuration is chosen for a subsystem, not for a protocol: one with `https` or
//! `grpc` alone runs for plain HTTP too. Those for stream protocols alone are not in the table,
//! so that a more general one of the same plugin applies to HTTP.
//!
//! A configuration that *closes* stands where requests must not pass: at a route or consumer that
//! this node cannot serve as it is configured, or in the place of a guard that cannot be built.

use super::persistent_map::PersistentMap;
use crate::plugins::{Handler, Phases};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use uuid::Uuid;

/// What a plugin's configuration is attached to; nothing at all is global.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub route: Option<Uuid>,
    pub service: Option<Uuid>,
    pub consumer: Option<Uuid>,
}

/// One configuration of a plugin, ready to run.
pub struct PluginInstance {
    pub id: Uuid,
    pub name: Arc<str>,
    pub scope: Scope,
    /// Whether requests must not pass without it.
    pub guards: bool,
    /// Whether requests it applies to are refused; its handler is then never asked.
    pub closes: bool,
    pub priority: i32,
    pub phases: Phases,
    pub handler: Arc<dyn Handler>,
}

/// The handler of what refuses requests, which no phase reaches.
struct Nothing;

impl Handler for Nothing {}

impl PluginInstance {
    /// What refuses every request of a scope. `name`: the plugin in whose place it stands; a more
    /// specific configuration of that one wins over it.
    pub(super) fn closing(id: Uuid, name: &str, scope: Scope) -> PluginInstance {
        PluginInstance {
            id,
            name: name.into(),
            scope,
            guards: true,
            closes: true,
            priority: i32::MAX,
            phases: Phases::NONE,
            handler: Arc::new(Nothing),
        }
    }

    /// Larger first; ties by name in reverse alphabetical order.
    pub fn order(&self) -> (i32, &str) {
        (self.priority, &self.name)
    }
}

type Instances = Arc<[Arc<PluginInstance>]>;

/// The instances of one scope.
#[derive(Clone)]
struct AtScope {
    all: Instances,
    /// One of each plugin. There are more while an older version of one stays where another
    /// one has taken its place.
    runs: Instances,
}

impl AtScope {
    fn new(mut all: Vec<Arc<PluginInstance>>) -> AtScope {
        all.sort_by(|a, b| b.order().cmp(&a.order()).then(a.id.cmp(&b.id)));
        let mut runs = all.clone();
        runs.dedup_by(|later, earlier| later.name == earlier.name);
        let all: Instances = all.into();
        AtScope {
            runs: match runs.len() == all.len() {
                true => Arc::clone(&all),
                false => runs.into(),
            },
            all,
        }
    }
}

/// All plugin instances by scope, each list in the order in which they run.
#[derive(Clone, Default)]
pub struct PluginTable {
    by_scope: PersistentMap<Scope, AtScope>,
    /// How many scopes of each shape exist, so that none is looked up in vain.
    shapes: [u32; 8],
}

/// The instances of one request, in the order in which they run.
#[derive(Clone, Default)]
pub enum Plan {
    #[default]
    Empty,
    /// All of one scope, as the snapshot holds them.
    Shared(Instances),
    Merged(Vec<Arc<PluginInstance>>),
}

impl Plan {
    /// Whether the request must be refused.
    pub fn closes(&self) -> bool {
        self.iter().any(|instance| instance.closes)
    }
}

impl Deref for Plan {
    type Target = [Arc<PluginInstance>];

    fn deref(&self) -> &Self::Target {
        match self {
            Plan::Empty => &[],
            Plan::Shared(instances) => instances,
            Plan::Merged(instances) => instances,
        }
    }
}

impl PluginTable {
    /// What runs for an HTTP request. `scope` is what the request has: without a
    /// consumer (before authentication) nothing that is attached to one is considered.
    pub fn plan(&self, scope: Scope) -> Plan {
        let mut lists = BY_PRECEDENCE.into_iter().filter_map(|shape| {
            let exists = self.shapes[shape as usize] > 0;
            let masked = exists.then(|| scope.masked(shape)).flatten()?;
            self.by_scope.get(&masked).map(|there| &there.runs)
        });
        let Some(first) = lists.next() else {
            return Plan::Empty;
        };
        let Some(second) = lists.next() else {
            return Plan::Shared(Arc::clone(first));
        };
        let in_precedence = [first, second].into_iter().chain(lists);
        let mut merged: Vec<Arc<PluginInstance>> = in_precedence
            .flat_map(|list| list.iter())
            .cloned()
            .collect();
        if merged.iter().any(|instance| instance.closes) {
            // Its place in the order of execution is not that of the plugin it stands for.
            let mut names: Vec<Arc<str>> = Vec::new();
            merged.retain(|instance| {
                let first = !names.contains(&instance.name);
                names.push(Arc::clone(&instance.name));
                first
            });
        }
        // Stable: of one plugin the most specific stays first.
        merged.sort_by(|a, b| b.order().cmp(&a.order()));
        merged.dedup_by(|later, earlier| later.name == earlier.name);
        Plan::Merged(merged)
    }

    /// Whether a consumer may make a difference to what runs.
    pub fn has_consumers(&self) -> bool {
        let mut shapes = self.shapes.iter().zip(0..);
        shapes.any(|(count, shape): (_, u8)| *count > 0 && shape & CONSUMER != 0)
    }

    /// The instances of exactly this scope.
    pub(super) fn at(&self, scope: Scope) -> &[Arc<PluginInstance>] {
        self.by_scope.get(&scope).map_or(&[], |there| &there.all)
    }

    pub fn insert(&mut self, instance: Arc<PluginInstance>) {
        let scope = instance.scope;
        let is_new = self.by_scope.get(&scope).is_none();
        let mut list = self.at(scope).to_vec();
        list.retain(|other| other.id != instance.id);
        list.push(instance);
        self.by_scope.insert(scope, AtScope::new(list));
        self.shapes[scope.shape() as usize] += u32::from(is_new);
    }

    pub fn remove(&mut self, instance: &PluginInstance) {
        let scope = instance.scope;
        let Some(old) = self.by_scope.get(&scope) else {
            return;
        };
        let list: Vec<_> = old
            .all
            .iter()
            .filter(|other| other.id != instance.id)
            .cloned()
            .collect();
        if !list.is_empty() {
            self.by_scope.insert(scope, AtScope::new(list));
        } else if self.by_scope.remove(&scope) {
            self.shapes[scope.shape() as usize] -= 1;
        }
    }
}

/// Three numbers, which takes less than the bytes of three ids with their lengths: this is hashed for
/// every request.
impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for part in [self.route, self.service, self.consumer] {
            state.write_u128(part.map_or(0, |id| id.as_u128()));
        }
    }
}

const ROUTE: u8 = 4;
const SERVICE: u8 = 2;
const CONSUMER: u8 = 1;

const BY_PRECEDENCE: [u8; 8] = [
    ROUTE | SERVICE | CONSUMER,
    ROUTE | CONSUMER,
    SERVICE | CONSUMER,
    ROUTE | SERVICE,
    CONSUMER,
    ROUTE,
    SERVICE,
    0,
];

impl Scope {
    /// Which of the three are given, as bits.
    fn shape(&self) -> u8 {
        let bit = |part: Option<Uuid>, bit| if part.is_some() { bit } else { 0 };
        bit(self.route, ROUTE) | bit(self.service, SERVICE) | bit(self.consumer, CONSUMER)
    }

    /// Only the parts in `shape`, if all of them are given.
    fn masked(&self, shape: u8) -> Option<Scope> {
        let keep = |part: Option<Uuid>, bit| if shape & bit != 0 { part } else { None };
        (shape & !self.shape() == 0).then(|| Scope {
            route: keep(self.route, ROUTE),
            service: keep(self.service, SERVICE),
            consumer: keep(self.consumer, CONSUMER),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: Scope = Scope {
        route: Some(Uuid::from_u128(1)),
        service: Some(Uuid::from_u128(2)),
        consumer: Some(Uuid::from_u128(3)),
    };

    fn instance(id: u128, name: &str, priority: i32, shape: u8) -> Arc<PluginInstance> {
        Arc::new(PluginInstance {
            id: Uuid::from_u128(id),
            name: name.into(),
            scope: GIVEN.masked(shape).expect("all parts are given"),
            guards: true,
            closes: false,
            priority,
            phases: Phases::ACCESS,
            handler: Arc::new(Nothing),
        })
    }

    fn ids(plan: &Plan) -> Vec<u128> {
        plan.iter().map(|instance| instance.id.as_u128()).collect()
    }

    #[test]
    fn the_most_specific_configuration_wins_in_kongs_order() {
        let mut table = PluginTable::default();
        let instances: Vec<_> = BY_PRECEDENCE
            .into_iter()
            .enumerate()
            .map(|(at, shape)| instance(at as u128, "p", 1, shape))
            .collect();
        for instance in instances.iter().rev() {
            table.insert(Arc::clone(instance));
        }
        for (at, instance) in instances.iter().enumerate() {
            assert_eq!(ids(&table.plan(GIVEN)), [at as u128]);
            table.remove(instance);
        }
        assert!(matches!(table.plan(GIVEN), Plan::Empty));
        assert_eq!(table.shapes, [0; 8]);
    }

    #[test]
    fn it_is_known_whether_consumers_matter() {
        let check = |shape: u8, expected: bool| {
            let mut table = PluginTable::default();
            assert!(!table.has_consumers());
            let instance = instance(1, "p", 1, shape);
            table.insert(Arc::clone(&instance));
            assert_eq!(table.has_consumers(), expected, "{shape}");
            table.remove(&instance);
            assert!(!table.has_consumers());
        };
        check(ROUTE | SERVICE, false);
        check(0, false);
        check(CONSUMER, true);
        check(ROUTE | CONSUMER, true);
    }

    #[test]
    fn plugins_run_by_priority_then_name_backwards() {
        let mut table = PluginTable::default();
        table.insert(instance(1, "a", 5, 0));
        table.insert(instance(2, "b", 5, 0));
        table.insert(instance(3, "c", 9, 0));
        let plan = table.plan(GIVEN);
        assert!(matches!(plan, Plan::Shared(_)));
        assert_eq!(ids(&plan), [3, 2, 1]);
        table.insert(instance(4, "d", 7, ROUTE));
        assert_eq!(ids(&table.plan(GIVEN)), [3, 4, 2, 1]);
    }

    #[test]
    fn what_closes_is_seen_in_the_plan() {
        let mut table = PluginTable::default();
        table.insert(instance(1, "a", 5, 0));
        assert!(!table.plan(GIVEN).closes());
        let closing = Arc::new(PluginInstance::closing(Uuid::from_u128(2), "a", GIVEN));
        table.insert(Arc::clone(&closing));
        assert!(table.plan(GIVEN).closes());
        assert!(!table.plan(Scope::default()).closes());
        table.remove(&closing);
        assert!(!table.plan(GIVEN).closes());
    }
}
