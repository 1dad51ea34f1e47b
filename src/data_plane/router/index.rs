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
use super::priority::OrderKey;
use super::trie::Trie;
use rpds::HashTrieMapSync;
use std::sync::Arc;

/// Longer path keys are filed under their beginning; matchers compare the whole text. This
/// bounds the depth of the tries.
const MAX_PATH_KEY: usize = 256;

#[derive(Clone)]
struct Entry {
    key: OrderKey,
    matcher: Arc<Matcher>,
}

/// Sorted by key, largest first.
type List = Arc<Vec<Entry>>;
type PathIndex = Trie<List>;

/// All matchers of a snapshot.
#[derive(Clone)]
pub struct RouteIndex {
    exact: HashTrieMapSync<Box<str>, PathIndex, foldhash::fast::RandomState>,
    /// Keyed by the reversed text.
    suffix: Trie<PathIndex>,
    prefix: Trie<PathIndex>,
    any: PathIndex,
}

impl Default for RouteIndex {
    fn default() -> Self {
        RouteIndex {
            exact: HashTrieMapSync::new_with_hasher_and_ptr_kind(Default::default()),
            suffix: Trie::default(),
            prefix: Trie::default(),
            any: Trie::default(),
        }
    }
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
            let entries = Arc::make_mut(list.get_or_insert_default());
            if let Err(at) = position(entries, matcher.key) {
                // Nearly all lists have one entry: no room for more until there are.
                if entries.is_empty() {
                    entries.reserve_exact(1);
                }
                entries.insert(
                    at,
                    Entry {
                        key: matcher.key,
                        matcher: Arc::clone(matcher),
                    },
                );
            }
        })
    }

    /// Removes a matcher; returns the number of lists written.
    pub fn remove(&mut self, matcher: &Arc<Matcher>) -> usize {
        self.edit(matcher, |list| {
            let Some(entries) = list.as_mut().map(Arc::make_mut) else {
                return;
            };
            if let Ok(at) = position(entries, matcher.key) {
                entries.remove(at);
            }
            if entries.is_empty() {
                *list = None;
            }
        })
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
                    if let Some(paths) = self.exact.get_mut(name) {
                        edit_paths(paths);
                        if paths.is_empty() {
                            self.exact.remove_mut(name);
                        }
                        continue;
                    }
                    let mut paths = Trie::default();
                    edit_paths(&mut paths);
                    if !paths.is_empty() {
                        self.exact.insert_mut(name.clone(), paths);
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
                for entry in list.iter() {
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
        Paths::Prefixes(prefixes) => prefixes
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
