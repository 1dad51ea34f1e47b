//! A persistent byte trie: updates copy the nodes on one path and share the rest, so that a
//! clone costs one reference count and stays valid while the original moves on.
//!
//! While nobody else holds a clone, updates happen in place, which is what makes building from
//! scratch cheap. Depth is bounded by the length of a key, never by the number of keys.

use std::sync::Arc;

/// Values by byte-string key; a lookup visits the value of every key that is a prefix of the query.
#[derive(Clone)]
pub struct Trie<V> {
    root: Option<Arc<Node<V>>>,
}

#[derive(Clone)]
struct Node<V> {
    /// The bytes between the parent and this node; empty only at the root.
    label: Label,
    value: Option<V>,
    /// Ascending by `first`.
    children: Box<[Child<V>]>,
}

#[derive(Clone)]
struct Child<V> {
    /// The first byte of the node's label, here so that choosing touches no other memory.
    first: u8,
    node: Arc<Node<V>>,
}

/// A few bytes, in place if they fit: one wait for memory less on each level.
#[derive(Clone)]
enum Label {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

const SHORT: usize = 22;

impl Label {
    fn new(bytes: &[u8]) -> Label {
        let mut short = [0; SHORT];
        match short.get_mut(..bytes.len()) {
            Some(start) => {
                start.copy_from_slice(bytes);
                Label::Short(bytes.len() as u8, short)
            }
            None => Label::Long(bytes.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Label::Short(len, bytes) => &bytes[..usize::from(*len)],
            Label::Long(bytes) => bytes,
        }
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
        let root = self.root.get_or_insert_with(|| Arc::new(Node::new(&[])));
        Node::update(root, key, edit);
        if root.value.is_none() && root.children.is_empty() {
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
            if let Some(value) = &node.value {
                visit(value);
            }
            let Some(first) = rest.first() else { return };
            let Ok(at) = node.position(*first) else {
                return;
            };
            node = &node.children[at].node;
            let Some(after) = rest.strip_prefix(node.label.bytes()) else {
                return;
            };
            rest = after;
        }
    }
}

impl<V: Clone> Node<V> {
    fn new(label: &[u8]) -> Node<V> {
        Node {
            label: Label::new(label),
            value: None,
            children: Box::new([]),
        }
    }

    /// Where the child whose label starts with this byte is, or belongs.
    fn position(&self, first: u8) -> Result<usize, usize> {
        self.children
            .binary_search_by_key(&first, |child| child.first)
    }

    fn edit_children(&mut self, edit: impl FnOnce(&mut Vec<Child<V>>)) {
        let mut children = std::mem::take(&mut self.children).into_vec();
        edit(&mut children);
        self.children = children.into();
    }

    /// `key` is what remains after this node's own label.
    fn update(node: &mut Arc<Node<V>>, key: &[u8], edit: impl FnOnce(&mut Option<V>)) {
        let this = Arc::make_mut(node);
        let Some(first) = key.first() else {
            edit(&mut this.value);
            return;
        };
        let at = match this.position(*first) {
            Ok(at) => at,
            Err(at) => {
                let child = Child {
                    first: *first,
                    node: Arc::new(Node::new(key)),
                };
                this.edit_children(|children| {
                    children.reserve_exact(1);
                    children.insert(at, child);
                });
                at
            }
        };
        let child = &mut this.children[at].node;
        let shared = common_prefix(child.label.bytes(), key);
        if shared < child.label.bytes().len() {
            Node::split(child, shared);
        }
        Node::update(child, &key[shared..], edit);
        if child.value.is_none() {
            match child.children.len() {
                0 => this.edit_children(|children| {
                    children.remove(at);
                }),
                1 => Node::merge_with_only_child(child),
                _ => {}
            }
        }
    }

    /// Puts a node in between, so that this label ends after `at` bytes.
    fn split(node: &mut Arc<Node<V>>, at: usize) {
        let lower = Arc::make_mut(node);
        let label = std::mem::replace(&mut lower.label, Label::new(&[]));
        let (above, below) = label.bytes().split_at(at);
        lower.label = Label::new(below);
        let mut upper = Node::new(above);
        upper.children = Box::new([Child {
            first: below[0],
            node: Arc::clone(node),
        }]);
        *node = Arc::new(upper);
    }

    fn merge_with_only_child(node: &mut Arc<Node<V>>) {
        let this = Arc::make_mut(node);
        let Some(mut child) = std::mem::take(&mut this.children).into_vec().pop() else {
            return;
        };
        let lower = Arc::make_mut(&mut child.node);
        lower.label = Label::new(&[this.label.bytes(), lower.label.bytes()].concat());
        *node = child.node;
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

    fn key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(proptest::sample::select(b"ab/".to_vec()), 0..6)
    }

    proptest! {
        #[test]
        fn every_version_answers_as_a_plain_map(
            writes in proptest::collection::vec((key(), proptest::option::of(any::<u32>())), 0..40),
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
