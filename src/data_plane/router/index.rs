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
use super::matcher::{Matcher, PathMatch, Paths};
use super::persistent_map::PersistentMap;
use super::priority::OrderKey;
use super::trie::Trie;
use std::sync::Arc;

/// Longer path keys are filed under their beginning; matchers compare the whole text. This
/// bounds the depth of the tries.
pub(super) const MAX_PATH_KEY: usize = 256;

#[derive(Clone)]
struct Entry {
    key: OrderKey,
    matcher: Arc<Matcher>,
}

/// Entries sorted by key, largest first; nearly all lists have one.
#[derive(Clone)]
enum List {
    One(Entry),
    Many(Arc<Vec<Entry>>),
}

impl List {
    fn entries(&self) -> &[Entry] {
        match self {
            List::One(entry) => std::slice::from_ref(entry),
            List::Many(entries) => entries,
        }
    }

    fn add(slot: &mut Option<List>, entry: Entry) {
        match slot {
            None => *slot = Some(List::One(entry)),
            Some(List::One(only)) if only.key == entry.key => {}
            Some(List::One(only)) => {
                let mut entries = vec![only.clone(), entry];
                entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.key));
                *slot = Some(List::Many(Arc::new(entries)));
            }
            Some(List::Many(entries)) => {
                if let Err(at) = position(entries, entry.key) {
                    Arc::make_mut(entries).insert(at, entry);
                }
            }
        }
    }

    fn take(slot: &mut Option<List>, key: OrderKey) {
        match slot {
            Some(List::One(only)) if only.key == key => *slot = None,
            Some(List::Many(entries)) => {
                if let Ok(at) = position(entries, key) {
                    Arc::make_mut(entries).remove(at);
                }
                if let [only] = &***entries {
                    *slot = Some(List::One(only.clone()));
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
    pub matcher: &'a Arc<Matcher>,
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
    pub fn insert(&mut self, matcher: &Arc<Matcher>) -> usize {
        self.edit(matcher, |list| {
            let entry = Entry {
                key: matcher.key,
                matcher: Arc::clone(matcher),
            };
            List::add(list, entry);
        })
    }

    /// Removes a matcher; returns the number of lists written.
    pub fn remove(&mut self, matcher: &Arc<Matcher>) -> usize {
        self.edit(matcher, |list| List::take(list, matcher.key))
    }

    fn edit(&mut self, matcher: &Matcher, mut edit: impl FnMut(&mut Option<List>)) -> usize {
        let mut written = 0;
        let mut edit_paths = |paths: &mut PathIndex| {
            for_each_path_key(&matcher.paths, |key| {
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

    /// The first matcher in order that matches and that `admit` lets through.
    pub fn find<'a>(
        &'a self,
        facts: &Facts<'_>,
        scratch: &mut Scratch,
        mut admit: impl FnMut(&'a Matcher) -> bool,
    ) -> Option<Hit<'a>> {
        let (host, port) = facts.host_and_port();
        let path = facts.path.as_bytes();
        let mut best: Option<(OrderKey, Hit<'a>)> = None;
        let mut visit = |paths: &'a PathIndex| {
            paths.walk(path, |list| {
                for entry in list.entries() {
                    if best.is_some_and(|(key, _)| key >= entry.key) {
                        return;
                    }
                    let Some(matched) = entry.matcher.matches(facts, host, port) else {
                        continue;
                    };
                    if admit(&entry.matcher) {
                        best = Some((
                            entry.key,
                            Hit {
                                matcher: &entry.matcher,
                                path: matched,
                            },
                        ));
                        return;
                    }
                }
            });
        };
        if let Some(paths) = self.exact.get(host) {
            visit(paths);
        }
        if !self.suffix.is_empty() {
            scratch.reversed_host.clear();
            scratch.reversed_host.extend(host.bytes().rev());
            self.suffix.walk(&scratch.reversed_host, &mut visit);
        }
        self.prefix.walk(host.as_bytes(), &mut visit);
        visit(&self.any);
        best.map(|(_, hit)| hit)
    }
}

/// Where an entry with this key is, or belongs.
fn position(entries: &[Entry], key: OrderKey) -> Result<usize, usize> {
    entries.binary_search_by(|entry| key.cmp(&entry.key))
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
