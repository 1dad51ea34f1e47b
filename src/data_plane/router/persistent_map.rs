//! A persistent hash map: clones cost one reference count and stay as they are while the
//! original moves on.
//!
//! A hash array mapped trie of 32-way nodes. What leads to a node (bitmap and pointer) is kept in
//! its parent and keys and values lie in the node itself, so that a lookup in a map that does
//! not fit the cache waits for memory once per level: that is what makes it worth its code.
//! While nobody else holds a clone, updates happen in place.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Bits of the hash that each level uses.
const BITS: u32 = 5;
/// Levels until the hash is used up; keys that still agree share a list.
const LEVELS: u32 = 64 / BITS;

/// Only configured values become keys, so clients cannot choose keys that collide.
#[derive(Clone)]
pub struct PersistentMap<K, V> {
    root: Node<K, V>,
    len: usize,
    hasher: foldhash::fast::RandomState,
}

#[derive(Clone)]
struct Node<K, V> {
    /// Which of the 32 places are taken; the slots are those, in order.
    places: u32,
    slots: Arc<[Slot<K, V>]>,
}

#[derive(Clone)]
enum Slot<K, V> {
    Entry(K, V),
    Node(Node<K, V>),
    /// Keys with one hash; at least two.
    Collision(Arc<[(K, V)]>),
}

impl<K, V> Default for PersistentMap<K, V> {
    fn default() -> Self {
        PersistentMap {
            root: Node::default(),
            len: 0,
            hasher: Default::default(),
        }
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Node {
            places: 0,
            slots: Arc::new([]),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> PersistentMap<K, V> {
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.len
    }

    pub fn get<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut hash = self.hasher.hash_one(key);
        let mut node = &self.root;
        loop {
            match &node.slots[node.index(hash)?] {
                Slot::Entry(found, value) => return (found.borrow() == key).then_some(value),
                Slot::Node(below) => node = below,
                Slot::Collision(entries) => {
                    let entry = entries.iter().find(|(found, _)| found.borrow() == key);
                    return entry.map(|(_, value)| value);
                }
            }
            hash >>= BITS;
        }
    }

    /// Whether this is an unchanged clone of `other`.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root.slots, &other.root.slots)
    }

    /// Visits every value, in no particular order.
    pub fn for_each(&self, mut visit: impl FnMut(&V)) {
        self.root.for_each(&mut visit);
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        self.len += usize::from(self.root.insert(&self.hasher, 0, hash, key, value));
    }

    /// Removes a key; says whether it was there.
    pub fn remove<Q: ?Sized + Eq + Hash>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        // An absent key must not cost copies of shared nodes.
        if self.get(key).is_none() {
            return false;
        }
        let hash = self.hasher.hash_one(key);
        self.root.remove(hash, key);
        self.len -= 1;
        true
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Node<K, V> {
    /// Where the slot for this hash is, if its place is taken.
    fn index(&self, hash: u64) -> Option<usize> {
        let bit = place(hash);
        (self.places & bit != 0).then(|| self.rank(bit))
    }

    fn for_each(&self, visit: &mut impl FnMut(&V)) {
        for slot in self.slots.iter() {
            match slot {
                Slot::Entry(_, value) => visit(value),
                Slot::Node(below) => below.for_each(visit),
                Slot::Collision(entries) => entries.iter().for_each(|(_, value)| visit(value)),
            }
        }
    }

    fn rank(&self, bit: u32) -> usize {
        (self.places & (bit - 1)).count_ones() as usize
    }

    /// `hash` without the bits of the levels above; says whether the key is new.
    fn insert(
        &mut self,
        hasher: &impl BuildHasher,
        level: u32,
        hash: u64,
        key: K,
        value: V,
    ) -> bool {
        let bit = place(hash);
        let at = self.rank(bit);
        if self.places & bit == 0 {
            let (before, after) = self.slots.split_at(at);
            let new = std::iter::once(Slot::Entry(key, value));
            self.slots = before
                .iter()
                .cloned()
                .chain(new)
                .chain(after.iter().cloned())
                .collect();
            self.places |= bit;
            return true;
        }
        let slot = &mut Arc::make_mut(&mut self.slots)[at];
        match slot {
            Slot::Node(below) => below.insert(hasher, level + 1, hash >> BITS, key, value),
            Slot::Entry(found, old) if *found == key => {
                *old = value;
                false
            }
            Slot::Entry(found, old) => {
                let (found, old) = (found.clone(), old.clone());
                *slot = if level + 1 == LEVELS {
                    Slot::Collision(Arc::new([(found, old), (key, value)]))
                } else {
                    let mut below = Node::default();
                    let other = hasher.hash_one(&found) >> ((level + 1) * BITS);
                    below.insert(hasher, level + 1, other, found, old);
                    below.insert(hasher, level + 1, hash >> BITS, key, value);
                    Slot::Node(below)
                };
                true
            }
            Slot::Collision(entries) => {
                let others = entries.iter().filter(|(found, _)| *found != key).cloned();
                let all: Arc<[(K, V)]> = others.chain([(key.clone(), value)]).collect();
                let is_new = all.len() > entries.len();
                *entries = all;
                is_new
            }
        }
    }

    /// The key is there.
    fn remove<Q: ?Sized + Eq + Hash>(&mut self, hash: u64, key: &Q)
    where
        K: Borrow<Q>,
    {
        let bit = place(hash);
        let at = self.rank(bit);
        if matches!(self.slots[at], Slot::Entry(..)) {
            let kept = self
                .slots
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at);
            self.slots = kept.map(|(_, slot)| slot.clone()).collect();
            self.places &= !bit;
            return;
        }
        let slot = &mut Arc::make_mut(&mut self.slots)[at];
        let lone = match slot {
            Slot::Entry(..) => None,
            Slot::Node(below) => {
                below.remove(hash >> BITS, key);
                match &*below.slots {
                    [lone @ Slot::Entry(..)] => Some(lone.clone()),
                    _ => None,
                }
            }
            Slot::Collision(entries) => {
                *entries = entries
                    .iter()
                    .filter(|(found, _)| found.borrow() != key)
                    .cloned()
                    .collect();
                match &**entries {
                    [(key, value)] => Some(Slot::Entry(key.clone(), value.clone())),
                    _ => None,
                }
            }
        };
        if let Some(lone) = lone {
            *slot = lone;
        }
    }
}

fn place(hash: u64) -> u32 {
    1 << (hash as u32 & ((1 << BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::hash::Hasher;

    /// A key whose hash is the same for many.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Colliding(u16);

    impl Hash for Colliding {
        fn hash<H: Hasher>(&self, state: &mut H) {
            state.write_u16(self.0 % 5);
        }
    }

    fn agrees<K: Clone + Eq + Hash + Ord, V: Clone + PartialEq>(
        map: &PersistentMap<K, V>,
        model: &BTreeMap<K, V>,
        keys: &[K],
    ) -> bool {
        map.len() == model.len() && keys.iter().all(|key| map.get(key) == model.get(key))
    }

    fn check<K: Clone + Eq + Hash + Ord>(keys: &[K], writes: &[(usize, Option<u8>)]) -> bool {
        let mut map = PersistentMap::default();
        let mut model = BTreeMap::new();
        let mut versions = Vec::new();
        for (at, value) in writes {
            let key = &keys[at % keys.len()];
            match value {
                Some(value) => {
                    map.insert(key.clone(), *value);
                    model.insert(key.clone(), *value);
                }
                None => assert_eq!(map.remove(key), model.remove(key).is_some()),
            }
            versions.push((map.clone(), model.clone()));
        }
        versions.iter().all(|(map, model)| agrees(map, model, keys))
    }

    proptest! {
        #[test]
        fn every_version_answers_as_a_plain_map(
            writes in proptest::collection::vec((any::<usize>(), proptest::option::weighted(0.6, any::<u8>())), 0..120),
        ) {
            prop_assert!(check(&(0..40u32).collect::<Vec<_>>(), &writes));
            prop_assert!(check(&(0..20).map(Colliding).collect::<Vec<_>>(), &writes));
        }
    }

    #[test]
    fn many_entries_come_and_go() {
        let mut map = PersistentMap::default();
        for key in 0..20_000u32 {
            map.insert(key, key);
        }
        let full = map.clone();
        for key in 0..20_000u32 {
            assert!(map.remove(&key));
        }
        assert!(map.is_empty() && map.root.slots.is_empty());
        assert!((0..20_000u32).all(|key| full.get(&key) == Some(&key)));
    }
}
