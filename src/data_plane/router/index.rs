//! The route index: finds the first route in Kong's order without trying them all.
//!
//! Matchers are filed by host pattern, then by path prefix (patterns by their literal prefix).
//! A request visits the lists under its host and under every prefix of its path; whatever is
//! filed elsewhere cannot match it. Each list is in the order of routes, so that a list is left
//! at the first entry that matches or that comes after the best match so far. The answer is
//! therefore the one a scan of all routes in order would give, and its cost depends on the
//! request and on how many routes share its host and path, not on how many there are.
//!
//! All parts are persistent: an update copies the lists it touches and the nodes that lead to
//! them; clones made before remain as they were.

use super::conditions::Pattern;
use super::facts::{Facts, Scratch};
use super::matcher::{CompiledRoute, MAX_PATH_KEY, Matcher, PathMatch, Paths};
use super::persistent_map::PersistentMap;
use super::priority::OrderKey;
use super::trie::Trie;
use std::sync::Arc;

/// Matchers sorted by key, largest first; nearly all lists have one, that is a whole route. Two
/// words, see [`Trie`].
#[derive(Clone)]
enum List {
    One(Arc<CompiledRoute>),
    Many(Arc<Vec<Matcher>>),
}

impl List {
    fn of(matchers: Vec<Matcher>) -> Option<List> {
        match &*matchers {
            [] => None,
            [only] if let Some(route) = only.whole() => Some(List::One(Arc::clone(route))),
            _ => Some(List::Many(Arc::new(matchers))),
        }
    }

    /// Routes and which part of each.
    fn candidates(&self) -> impl Iterator<Item = (&Arc<CompiledRoute>, usize)> {
        let (one, many) = match self {
            List::One(route) => (Some((route, 0)), &[][..]),
            List::Many(matchers) => (None, &***matchers),
        };
        let many = many.iter().map(|matcher| (&matcher.route, matcher.part()));
        one.into_iter().chain(many)
    }

    fn add(slot: &mut Option<List>, matcher: &Matcher) {
        match slot {
            Some(List::Many(matchers)) => {
                if let Err(at) = position(matchers, matcher.key()) {
                    Arc::make_mut(matchers).insert(at, matcher.clone());
                }
            }
            Some(List::One(only)) if only.key(0) == matcher.key() => {}
            Some(List::One(only)) => {
                let mut matchers = vec![Matcher::of_whole(only), matcher.clone()];
                matchers.sort_unstable_by_key(|matcher| std::cmp::Reverse(matcher.key()));
                *slot = List::of(matchers);
            }
            None => *slot = List::of(vec![matcher.clone()]),
        }
    }

    fn take(slot: &mut Option<List>, key: OrderKey) {
        match slot {
            Some(List::One(only)) if only.key(0) == key => *slot = None,
            Some(List::Many(matchers)) => {
                if let Ok(at) = position(matchers, key) {
                    Arc::make_mut(matchers).remove(at);
                }
                if matchers.len() < 2 {
                    *slot = List::of(matchers.to_vec());
                }
            }
            _ => {}
        }
    }
}

type PathIndex = Trie<List>;

/// All matchers of a snapshot.
#[derive(Clone, Default)]
pub struct RouteIndex {
    exact: PersistentMap<Arc<str>, PathIndex>,
    /// Keyed by the reversed text.
    suffix: Trie<PathIndex>,
    prefix: Trie<PathIndex>,
    any: PathIndex,
}

/// A match: the entry and what of the path matched.
#[derive(Clone, Copy)]
pub struct Hit<'a> {
    pub route: &'a Arc<CompiledRoute>,
    /// Which part of the route.
    pub part: usize,
    pub path: PathMatch,
}

impl RouteIndex {
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.exact.is_empty()
            && self.suffix.is_empty()
            && self.prefix.is_empty()
            && self.any.is_empty()
    }

    /// Adds a matcher; returns the number of lists written.
    pub fn insert(&mut self, matcher: &Matcher) -> usize {
        self.edit(matcher, |list| List::add(list, matcher))
    }

    /// Removes a matcher; returns the number of lists written.
    pub fn remove(&mut self, matcher: &Matcher) -> usize {
        self.edit(matcher, |list| List::take(list, matcher.key()))
    }

    fn edit(&mut self, matcher: &Matcher, mut edit: impl FnMut(&mut Option<List>)) -> usize {
        let mut written = 0;
        let mut edit_paths = |paths: &mut PathIndex| {
            for_each_path_key(matcher.paths(), |key| {
                written += 1;
                paths.update(key, &mut edit);
            });
        };
        let hosts = &matcher.route.conditions.hosts;
        if hosts.is_empty() {
            edit_paths(&mut self.any);
        }
        for (at, host) in hosts.iter().enumerate() {
            // Hosts that differ in their port alone share one key.
            if hosts[..at].iter().any(|earlier| earlier.name == host.name) {
                continue;
            }
            match &host.name {
                Pattern::Exact(name) => {
                    // For a moment shared with the map, which costs one copy of the root.
                    let mut paths = self.exact.get(&**name).cloned().unwrap_or_default();
                    edit_paths(&mut paths);
                    match paths.is_empty() {
                        true => drop(self.exact.remove(&**name)),
                        false => self.exact.insert(Arc::from(&**name), paths),
                    }
                }
                Pattern::Suffix(text) => {
                    let reversed: Vec<u8> = text.bytes().rev().collect();
                    self.suffix
                        .update(&reversed, |slot| edit_slot(slot, &mut edit_paths));
                }
                Pattern::Prefix(text) => {
                    self.prefix
                        .update(text.as_bytes(), |slot| edit_slot(slot, &mut edit_paths));
                }
            }
        }
        written
    }

    /// The first route in order that matches and that `admit` lets through.
    pub fn find<'a>(
        &'a self,
        facts: &Facts<'_>,
        scratch: &mut Scratch,
        mut admit: impl FnMut(&'a CompiledRoute) -> bool,
    ) -> Option<Hit<'a>> {
        let Scratch {
            host,
            reversed_host,
        } = scratch;
        let (host, port) = facts.host_and_port(host);
        let path = facts.path.as_bytes();
        let mut best: Option<(OrderKey, Hit<'a>)> = None;
        let mut visit = |paths: &'a PathIndex| {
            paths.walk(path, |list| {
                for (route, part) in list.candidates() {
                    let key = route.key(part);
                    if best.as_ref().is_some_and(|(known, _)| *known >= key) {
                        return;
                    }
                    let Some(path) = route.matches(part, facts, host, port) else {
                        continue;
                    };
                    if admit(route) {
                        best = Some((key, Hit { route, part, path }));
                        return;
                    }
                }
            });
        };
        if let Some(paths) = self.exact.get(host) {
            visit(paths);
        }
        if !self.suffix.is_empty() {
            reversed_host.clear();
            reversed_host.extend(host.bytes().rev());
            self.suffix.walk(reversed_host, &mut visit);
        }
        self.prefix.walk(host.as_bytes(), &mut visit);
        visit(&self.any);
        best.map(|(_, hit)| hit)
    }
}

/// Where the matcher with this key is, or belongs.
fn position(matchers: &[Matcher], key: OrderKey) -> Result<usize, usize> {
    matchers.binary_search_by(|matcher| key.cmp(&matcher.key()))
}

fn edit_slot(slot: &mut Option<PathIndex>, edit: &mut impl FnMut(&mut PathIndex)) {
    let paths = slot.get_or_insert_default();
    edit(paths);
    if paths.is_empty() {
        *slot = None;
    }
}

fn for_each_path_key(paths: &Paths, mut visit: impl FnMut(&[u8])) {
    let mut visit_start = |text: &[u8]| visit(&text[..text.len().min(MAX_PATH_KEY)]);
    match paths {
        Paths::Any => visit_start(b""),
        Paths::Prefixes { texts, .. } => texts
            .iter()
            .for_each(|prefix| visit_start(prefix.as_bytes())),
        Paths::Regexes(regexes) => regexes
            .iter()
            .for_each(|regex| visit_start(regex.literal())),
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
