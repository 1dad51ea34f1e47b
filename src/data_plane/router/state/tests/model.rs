//! The rule of `quarantine`, written down once more without any regard to cost: rows, and what
//! of them is in effect, are plain maps, and everything is decided anew at every step.

use super::*;

type Rows = BTreeMap<Key, Value>;

/// What happens to the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treated {
    /// Served with these plugins.
    Served(BTreeSet<Uuid>),
    Refused,
}

/// A node that is told rows and puts them in effect by the rule.
#[derive(Clone, Default)]
pub struct Model {
    wanted: Rows,
    effect: Rows,
    pub held: BTreeSet<Key>,
}

fn reference(row: &Value, field: &str) -> Option<Uuid> {
    row.get(field)?.get("id")?.as_str()?.parse().ok()
}

fn parents(row: &Value) -> Vec<Key> {
    let fields = [
        ("route", Kind::Routes),
        ("service", Kind::Services),
        ("consumer", Kind::Consumers),
    ];
    fields
        .into_iter()
        .filter_map(|(field, kind)| Some((kind, reference(row, field)?)))
        .collect()
}

fn is_off(key: Key, row: &Value) -> bool {
    matches!(key.0, Kind::Services | Kind::Plugins) && row["enabled"] == json!(false)
}

/// Whether the row can be compiled at all.
fn compiles(key: Key, row: &Value) -> bool {
    match key.0 {
        _ if row.is_null() => false,
        Kind::Services => row["protocol"] != "smtp",
        Kind::Routes => row["paths"][0] != "~/(",
        Kind::Plugins => row["name"] != "unknown" && row["config"].get("bad").is_none(),
        _ => true,
    }
}

fn guards(key: Key, row: &Value) -> bool {
    key.0 == Kind::Plugins && !is_off(key, row) && row["name"] != "log"
}

fn scope(row: &Value) -> [Option<Uuid>; 3] {
    ["route", "service", "consumer"].map(|field| reference(row, field))
}

fn same_guard(running: &Value, wanted: &Value) -> bool {
    let same_name = wanted.get("name").is_none() || wanted["name"] == running["name"];
    same_name && scope(running) == scope(wanted)
}

/// Whether a plugin can run on a route for any consumer.
fn reaches(plugin: &Value, route: Uuid, service: Option<Uuid>) -> bool {
    let [on_route, on_service, on_consumer] = scope(plugin);
    let alone = on_route.is_none() && on_service.is_none() && on_consumer.is_some();
    !alone
        && on_route.is_none_or(|it| it == route)
        && on_service.is_none_or(|it| Some(it) == service)
}

/// How specific a scope without a consumer is.
fn precedence(plugin: &Value) -> u8 {
    match scope(plugin) {
        [Some(_), Some(_), _] => 3,
        [Some(_), None, _] => 2,
        [None, Some(_), _] => 1,
        [None, None, _] => 0,
    }
}

struct Next<'a> {
    before: &'a Rows,
    wanted: &'a Rows,
    held: BTreeSet<Key>,
    /// What is known to go.
    gone: BTreeSet<Key>,
    /// What would be in effect.
    rows: Rows,
    missing: BTreeSet<Key>,
}

impl Next<'_> {
    fn stays(&self, key: Key) -> bool {
        let unchanged = self.rows.get(&key) == self.before.get(&key);
        unchanged
            && self.rows.contains_key(&key)
            && (self.held.contains(&key) || self.wanted.get(&key) == self.before.get(&key))
    }

    fn foresee(&mut self) {
        self.rows.clear();
        for (key, row) in self.wanted {
            let row = match self.held.contains(key) {
                true => self.before.get(key),
                false => Some(row),
            };
            let row = row.filter(|_| !self.gone.contains(key));
            self.rows.extend(row.map(|row| (*key, row.clone())));
        }
        loop {
            let lost: Vec<Key> = self
                .rows
                .iter()
                .filter(|(key, row)| self.lost_its_parents(**key, row))
                .map(|(key, _)| *key)
                .collect();
            if lost.is_empty() {
                break;
            }
            for key in lost {
                self.rows.remove(&key);
                self.gone.insert(key);
            }
        }
        let missing = self.wanted.iter().filter(|(key, row)| {
            let runs = self.rows.get(key).filter(|it| !is_off(**key, it));
            guards(**key, row)
                && self.held.contains(key)
                && !runs.is_some_and(|running| same_guard(running, row))
        });
        self.missing = missing.map(|(key, _)| *key).collect();
    }

    fn lost_its_parents(&self, key: Key, row: &Value) -> bool {
        if is_off(key, row) && !self.held.contains(&key) {
            return false;
        }
        parents(row).into_iter().any(|parent| match key.0 {
            Kind::Plugins => !self.wanted.contains_key(&parent),
            _ => !self.rows.contains_key(&parent),
        })
    }

    fn plugins_of<'b>(
        &self,
        rows: &'b Rows,
        route: Uuid,
        service: Option<Uuid>,
    ) -> Vec<(Key, &'b Value)> {
        let running = rows
            .iter()
            .filter(|(key, row)| key.0 == Kind::Plugins && !is_off(**key, row));
        let running = running.filter(|(_, row)| reaches(row, route, service));
        running.map(|(key, row)| (*key, row)).collect()
    }

    fn missing_on(&self, route: Uuid, service: Option<Uuid>) -> Vec<Key> {
        let concerns = |key: &&Key| {
            let guard = &self.wanted[*key];
            let replaced = scope(guard)[2].is_none()
                && guard.get("name").is_some()
                && self
                    .plugins_of(&self.rows, route, service)
                    .iter()
                    .any(|(_, other)| {
                        scope(other)[2].is_none()
                            && other["name"] == guard["name"]
                            && precedence(other) > precedence(guard)
                    });
            reaches(guard, route, service) && !replaced
        };
        self.missing.iter().filter(concerns).copied().collect()
    }

    fn serves(rows: &Rows, service: Option<Uuid>) -> bool {
        service.is_none_or(|id| {
            let row = rows.get(&(Kind::Services, id));
            row.is_some_and(|row| !is_off((Kind::Services, id), row))
        })
    }

    /// Guards that ran before and would not.
    fn lost(&self) -> Vec<Value> {
        let running = self.before.iter().filter(|(key, row)| guards(**key, row));
        let gone = running.filter(|(key, row)| {
            let next = self.rows.get(key).filter(|next| guards(**key, next));
            let same = next.is_some_and(|next| same_guard(next, row));
            let with_its_place = parents(row)
                .iter()
                .any(|place| !self.wanted.contains_key(place));
            !same && !with_its_place
        });
        gone.map(|(_, row)| row.clone()).collect()
    }

    /// Takes out of effect what may not go on as it was.
    fn close(&mut self) {
        let lost = self.lost();
        let mut closed = Vec::new();
        for (key, row) in &self.rows {
            if key.0 == Kind::Routes && self.stays(*key) {
                let service = reference(row, "service");
                let missing = self.missing_on(key.1, service);
                let next_service = reference(&self.wanted[key], "service");
                let next_lacks =
                    self.held.contains(key) && !self.missing_on(key.1, next_service).is_empty();
                let older = self.held.contains(key)
                    || service.is_some_and(|id| self.held.contains(&(Kind::Services, id)));
                let unserved =
                    !Self::serves(self.before, service) || !Self::serves(&self.rows, service);
                let names = self.plugins_of(&self.rows, key.1, service);
                let names: Vec<_> = names
                    .iter()
                    .filter(|(_, row)| scope(row)[2].is_none())
                    .map(|(_, row)| &row["name"])
                    .collect();
                let fewer = |all: bool| {
                    lost.iter().any(|lost| {
                        let [on_route, on_service, consumer] = scope(lost);
                        let here = on_route.is_none_or(|it| it == key.1)
                            && on_service.is_none_or(|it| Some(it) == service);
                        let counts = all || on_route.is_some() || on_service.is_some();
                        here && counts && (consumer.is_some() || !names.contains(&&lost["name"]))
                    })
                };
                if !missing.is_empty() && (unserved || fewer(true)) || older && fewer(next_lacks) {
                    closed.push(*key);
                }
            }
            if key.0 == Kind::Consumers && self.stays(*key) {
                let first = self
                    .missing
                    .iter()
                    .find(|guard| scope(&self.wanted[*guard])[2] == Some(key.1));
                let Some(first) = first else { continue };
                let guard = scope(&self.wanted[first]);
                let meets = |other: &Value| {
                    let other = scope(other);
                    let agree =
                        |a: Option<Uuid>, b: Option<Uuid>| a.is_none() || b.is_none() || a == b;
                    agree(other[0], guard[0])
                        && agree(other[1], guard[1])
                        && agree(other[2], Some(key.1))
                };
                let replaced = |lost: &Value| {
                    let mut now = self.rows.iter().filter(|(key, row)| guards(**key, row));
                    now.any(|(_, row)| row["name"] == lost["name"] && scope(row) == scope(lost))
                };
                if lost.iter().any(|lost| meets(lost) && !replaced(lost)) {
                    closed.push(*key);
                }
            }
        }
        for key in closed {
            self.rows.remove(&key);
            self.gone.insert(key);
        }
    }

    fn goes_on_without(&self, route: Uuid) -> Vec<Key> {
        let key = (Kind::Routes, route);
        match self.rows.get(&key) {
            Some(row) if self.stays(key) => self.missing_on(route, reference(row, "service")),
            _ => Vec::new(),
        }
    }

    fn routes_on(&self, service: Option<Uuid>) -> Vec<Uuid> {
        let routes = self.rows.iter().filter(|(key, _)| key.0 == Kind::Routes);
        let on =
            routes.filter(|(_, row)| service.is_none() || reference(row, "service") == service);
        on.map(|(key, _)| key.1).collect()
    }

    /// Whether something that is fine in itself has to wait.
    fn waits(&self, key: Key, row: &Value) -> bool {
        let held = |parent: &Key| self.held.contains(parent);
        match key.0 {
            Kind::Routes => {
                parents(row).iter().any(held)
                    || !self.missing_on(key.1, reference(row, "service")).is_empty()
            }
            Kind::Services => {
                let wide = |guard: &Key| {
                    let [route, service, consumer] = scope(&self.wanted[guard]);
                    route.is_none()
                        && (service == Some(key.1) || service.is_none() && consumer.is_none())
                };
                self.before.contains_key(&key)
                    && self
                        .routes_on(Some(key.1))
                        .into_iter()
                        .any(|route| self.goes_on_without(route).iter().any(wide))
            }
            Kind::Consumers => self
                .missing
                .iter()
                .any(|guard| scope(&self.wanted[guard])[2] == Some(key.1)),
            Kind::Plugins if !guards(key, row) => false,
            Kind::Plugins => self.older_place(row) || self.kept_place(row),
            _ => false,
        }
    }

    fn older_place(&self, plugin: &Value) -> bool {
        let older = |key: &Key| self.held.contains(key) && self.rows.contains_key(key);
        parents(plugin).into_iter().any(|place| {
            let above = self
                .rows
                .get(&place)
                .filter(|_| place.0 == Kind::Routes && self.stays(place));
            let above = above.and_then(|row| Some((Kind::Services, reference(row, "service")?)));
            older(&place) || above.is_some_and(|above| older(&above))
        })
    }

    fn kept_place(&self, plugin: &Value) -> bool {
        let [route, service, consumer] = scope(plugin);
        let within = |guard: &&Key| {
            let [of_route, of_service, of_consumer] = scope(&self.wanted[*guard]);
            (of_route.is_none() || of_route == route)
                && (of_service.is_none() || of_service == service)
                && (of_consumer.is_none() || of_consumer == consumer)
                && self.wanted[*guard].get("name") != plugin.get("name")
        };
        if !self.missing.iter().any(|guard| within(&guard)) {
            return false;
        }
        let goes_on = |route: Uuid| !self.goes_on_without(route).is_empty();
        match (route, service, consumer) {
            (Some(route), ..) => goes_on(route),
            (None, Some(_), _) => self.routes_on(service).into_iter().any(goes_on),
            (None, None, Some(consumer))
                if self
                    .missing
                    .iter()
                    .any(|guard| scope(&self.wanted[guard])[2] == Some(consumer)) =>
            {
                self.stays((Kind::Consumers, consumer))
            }
            (None, None, _) => self.routes_on(None).into_iter().any(goes_on),
        }
    }
}

impl Model {
    pub fn step(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Put { kind, id, row } => {
                    let row = row.to_json().map_or(Value::Null, Value::Object);
                    self.wanted.insert((*kind, *id), row);
                }
                Op::Delete { kind, id } => {
                    self.wanted.remove(&(*kind, *id));
                }
            }
        }
        let before = self.effect.clone();
        let broken = |key: Key, row: &Value| {
            let changed = before.get(&key) != Some(row);
            let dangles = parents(row).iter().any(|it| !self.wanted.contains_key(it));
            !is_off(key, row) && (changed && !compiles(key, row) || dangles)
        };
        let own = self.wanted.iter().filter(|(key, row)| broken(**key, row));
        let own: BTreeSet<Key> = own.map(|(key, _)| *key).collect();
        let mut next = Next {
            before: &before,
            wanted: &self.wanted,
            held: own.clone(),
            gone: BTreeSet::new(),
            rows: Rows::new(),
            missing: BTreeSet::new(),
        };
        loop {
            let known = next.gone.clone();
            next.held.clone_from(&own);
            loop {
                // What goes counts only once nothing else waits.
                next.gone.clone_from(&known);
                next.foresee();
                next.close();
                let waiting = self.wanted.iter().filter(|(key, row)| {
                    let candidate = before.get(key) != Some(row);
                    candidate
                        && !next.held.contains(key)
                        && !is_off(**key, row)
                        && next.waits(**key, row)
                });
                let waiting: Vec<Key> = waiting.map(|(key, _)| *key).collect();
                if waiting.is_empty() {
                    break;
                }
                next.held.extend(waiting);
            }
            if next.gone == known {
                break;
            }
        }
        let rows = next.rows;
        self.held = self
            .wanted
            .iter()
            .filter(|(key, row)| rows.get(key) != Some(row) || next.held.contains(key))
            .map(|(key, _)| *key)
            .collect();
        self.effect = rows;
    }

    /// What happens at every path of the routes that exist.
    pub fn routes(&self) -> BTreeMap<Uuid, (String, Treated)> {
        let routes = self.wanted.iter().filter(|(key, _)| key.0 == Kind::Routes);
        let treated = routes.filter_map(|(key, wanted)| {
            let found = self.effect.get(key);
            let row = found.or_else(|| Some(wanted).filter(|row| compiles(*key, row)))?;
            let path = row["paths"][0].as_str()?.to_owned();
            let service = reference(row, "service");
            let off = service.is_some_and(|id| {
                let key = (Kind::Services, id);
                self.effect.get(&key).is_some_and(|row| is_off(key, row))
            });
            if off {
                return None;
            }
            if found.is_none() {
                return Some((key.1, (path, Treated::Refused)));
            }
            let mut best: BTreeMap<&str, (u8, Uuid)> = BTreeMap::new();
            for (plugin, row) in &self.effect {
                let runs = plugin.0 == Kind::Plugins
                    && !is_off(*plugin, row)
                    && scope(row)[2].is_none()
                    && reaches(row, key.1, service);
                if runs {
                    let name = row["name"].as_str().unwrap_or_default();
                    let rank = (precedence(row), plugin.1);
                    let holder = best.entry(name).or_insert(rank);
                    if holder.0 < rank.0 {
                        *holder = rank;
                    }
                }
            }
            let plugins = best.into_values().map(|(_, id)| id).collect();
            Some((key.1, (path, Treated::Served(plugins))))
        });
        treated.collect()
    }

    /// The consumers that exist, and whether their requests are refused.
    pub fn consumers(&self) -> BTreeMap<Uuid, bool> {
        let consumers = self.wanted.keys().filter(|key| key.0 == Kind::Consumers);
        consumers
            .map(|key| (key.1, !self.effect.contains_key(key)))
            .collect()
    }
}
