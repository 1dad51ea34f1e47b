//! A persistent byte trie: updates copy the nodes on one path and share the rest, so that a
//! clone costs one reference count and stays valid while the original moves on.
//!
//! While nobody else holds a clone, updates happen in place, which is what makes building from
//! scratch cheap. Depth is bounded by the length of a key, never by the number of keys.
//!
//! A lookup in a trie that does not fit the processor's caches waits for memory once per level:
//! a node is one cache line, lies in its parent's list of children, and knows with which bytes
//! its own children begin.

use std::sync::Arc;

/// Values by byte-string key; a lookup visits the value of every key that is a prefix of the query.
#[derive(Clone)]
pub struct Trie<V> {
    root: Option<Arc<Node<V>>>,
}

/// One cache line when a value is two words.
#[derive(Clone)]
#[repr(align(64))]
struct Node<V> {
    /// The bytes between the parent and this node; may be empty only at the root.
    label: Label,
    value: Option<V>,
    /// Ascending by the first byte of their labels.
    children: Option<Arc<[Node<V>]>>,
    /// The first bytes of the first children's labels.
    firsts: [u8; FIRSTS],
}

/// Nodes with more children look at their children to find one.
const FIRSTS: usize = 16;

/// A few bytes, in place if they fit.
#[derive(Clone)]
enum Label {
    Short(u8, [u8; SHORT]),
    // A thin pointer: a fat one would make short labels larger too.
    Long(Box<Box<[u8]>>),
}

const SHORT: usize = 14;

impl Label {
    fn new(bytes: &[u8]) -> Label {
        let mut short = [0; SHORT];
        match short.get_mut(..bytes.len()) {
            Some(start) => {
                start.copy_from_slice(bytes);
                Label::Short(bytes.len() as u8, short)
            }
            None => Label::Long(Box::new(bytes.into())),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Label::Short(len, bytes) => &bytes[..usize::from(*len)],
            Label::Long(bytes) => bytes,
        }
    }

    fn first(&self) -> u8 {
        self.bytes().first().copied().unwrap_or_default()
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Trie { root: None }
    }
}

impl<V: Clone> Trie<V> {
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Edits the value of one key in place; `edit` sees `None` for a key that is not there and
    /// leaves `None` to remove it.
    pub fn update(&mut self, key: &[u8], edit: impl FnOnce(&mut Option<V>)) {
        let root = self.root.get_or_insert_with(|| Arc::new(Node::new(key)));
        let root = Arc::make_mut(root);
        root.update(key, edit);
        if root.is_empty() {
            self.root = None;
        }
    }

    /// Visits the values of all keys that are a prefix of `query`, shortest key first.
    pub fn walk<'a>(&'a self, query: &[u8], mut visit: impl FnMut(&'a V)) {
        let Some(mut node) = self.root.as_deref() else {
            return;
        };
        let mut rest = query;
        loop {
            let Some(after) = rest.strip_prefix(node.label.bytes()) else {
                return;
            };
            rest = after;
            if let Some(value) = &node.value {
                visit(value);
            }
            let Some(first) = rest.first() else { return };
            let Ok(at) = node.position(*first) else {
                return;
            };
            node = &node.children()[at];
        }
    }
}

impl<V: Clone> Node<V> {
    fn new(label: &[u8]) -> Node<V> {
        Node {
            label: Label::new(label),
            value: None,
            children: None,
            firsts: [0; FIRSTS],
        }
    }

    fn children(&self) -> &[Node<V>] {
        self.children.as_deref().unwrap_or_default()
    }

    /// Where the child whose label starts with this byte is, or belongs.
    fn position(&self, first: u8) -> Result<usize, usize> {
        let children = self.children();
        match self.firsts.get(..children.len()) {
            Some(firsts) => firsts.binary_search(&first),
            None => children.binary_search_by_key(&first, |child| child.label.first()),
        }
    }

    /// Adds or removes children: the list is made anew.
    fn edit_children(&mut self, edit: impl FnOnce(&mut Vec<Node<V>>)) {
        let mut children = self.children().to_vec();
        edit(&mut children);
        for (first, child) in self.firsts.iter_mut().zip(&children) {
            *first = child.label.first();
        }
        self.children = (!children.is_empty()).then(|| children.into());
    }

    fn is_empty(&self) -> bool {
        self.value.is_none() && self.children.is_none()
    }

    /// `key` includes this node's own label.
    fn update(&mut self, key: &[u8], edit: impl FnOnce(&mut Option<V>)) {
        let shared = common_prefix(self.label.bytes(), key);
        if shared < self.label.bytes().len() {
            self.split(shared);
        }
        let rest = &key[shared..];
        match rest.first() {
            None => edit(&mut self.value),
            Some(first) => self.update_child(*first, rest, edit),
        }
        if self.value.is_none() {
            self.merge_with_only_child();
        }
    }

    fn update_child(&mut self, first: u8, key: &[u8], edit: impl FnOnce(&mut Option<V>)) {
        let at = self.position(first).unwrap_or_else(|at| {
            self.edit_children(|children| children.insert(at, Node::new(key)));
            at
        });
        let Some(children) = &mut self.children else {
            return;
        };
        // The first byte of its label stays, whatever happens to the child.
        let child = &mut Arc::make_mut(children)[at];
        child.update(key, edit);
        if child.is_empty() {
            self.edit_children(|children| drop(children.remove(at)));
        }
    }

    /// Puts a node in between, so that this label ends after `at` bytes.
    fn split(&mut self, at: usize) {
        let (above, below) = self.label.bytes().split_at(at);
        let (above, below) = (Node::new(above), Label::new(below));
        let mut lower = std::mem::replace(self, above);
        lower.label = below;
        self.edit_children(|children| children.push(lower));
    }

    fn merge_with_only_child(&mut self) {
        if let [child] = self.children() {
            let mut merged = child.clone();
            merged.label = Label::new(&[self.label.bytes(), child.label.bytes()].concat());
            *self = merged;
        }
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn found(trie: &Trie<u32>, query: &[u8]) -> Vec<u32> {
        let mut values = Vec::new();
        trie.walk(query, |value| values.push(*value));
        values
    }

    fn expected(model: &BTreeMap<Vec<u8>, u32>, query: &[u8]) -> Vec<u32> {
        let mut keys: Vec<_> = model.iter().filter(|(k, _)| query.starts_with(k)).collect();
        keys.sort_by_key(|(k, _)| k.len());
        keys.into_iter().map(|(_, value)| *value).collect()
    }

    /// Deep tries, labels of any length, and nodes with many children.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let letters = || proptest::sample::select(b"ab/".to_vec());
        prop_oneof![
            proptest::collection::vec(letters(), 0..6),
            proptest::collection::vec(letters(), 0..40),
            proptest::collection::vec(any::<u8>(), 0..3),
        ]
    }

    #[test]
    fn a_node_is_one_cache_line() {
        #[allow(dead_code, reason = "only its size matters")]
        enum TwoWords {
            One(Arc<u32>),
            Many(Arc<Vec<u32>>),
        }
        assert_eq!(size_of::<Node<TwoWords>>(), 64);
    }

    proptest! {
        #[test]
        fn every_version_answers_as_a_plain_map(
            writes in proptest::collection::vec((key(), proptest::option::of(any::<u32>())), 0..80),
            queries in proptest::collection::vec(key(), 1..10),
        ) {
            let mut trie = Trie::default();
            let mut model = BTreeMap::new();
            let mut versions = Vec::new();
            for (key, value) in writes {
                trie.update(&key, |slot| *slot = value);
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
                prop_assert_eq!(trie.is_empty(), model.is_empty());
                versions.push((trie.clone(), model.clone()));
            }
            for (trie, model) in &versions {
                for query in &queries {
                    prop_assert_eq!(found(trie, query), expected(model, query));
                }
            }
        }
    }
}
