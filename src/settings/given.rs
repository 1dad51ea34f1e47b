//! What the sources give for each key, before a value is checked.

use std::collections::{BTreeMap, BTreeSet};

/// The text of the strongest source for each key, and what has to be known of its origin.
#[derive(Clone, Default)]
pub(super) struct Given {
    texts: BTreeMap<&'static str, String>,
    /// Keys whose text comes from the command line.
    flags: BTreeSet<&'static str>,
    /// Keys whose text comes from a secret: from a `_FILE` variable or a vault.
    hidden: BTreeSet<&'static str>,
    /// The reference that was resolved, as it was written.
    references: BTreeMap<&'static str, String>,
}

impl Given {
    /// The text of a key that is set; an empty one means that it is not.
    pub fn get(&self, name: &str) -> Option<&str> {
        let text = self.texts.get(name).map(String::as_str)?;
        (!text.is_empty()).then_some(text)
    }

    /// A stronger source replaces whatever a weaker one said.
    pub fn put(&mut self, name: &'static str, text: &str) {
        self.texts.insert(name, text.trim().to_owned());
        self.flags.remove(name);
        self.hidden.remove(name);
    }

    /// The same, from the command line.
    pub fn put_flag(&mut self, name: &'static str, text: &str) {
        self.put(name, text);
        self.flags.insert(name);
    }

    /// The same, from a file that holds a secret.
    pub fn put_hidden(&mut self, name: &'static str, text: &str) {
        self.put(name, text);
        self.hidden.insert(name);
    }

    /// What a reference stands for takes its place.
    pub fn put_resolved(&mut self, name: &'static str, reference: String, text: String) {
        self.texts.insert(name, text);
        self.hidden.insert(name);
        self.references.insert(name, reference);
    }

    /// As if the key was not given.
    pub fn remove(&mut self, name: &str) {
        self.texts.remove(name);
    }

    /// Gives one key all that another one was given.
    pub fn copy(&mut self, from: &'static str, to: &'static str) {
        if let Some(text) = self.texts.get(from).cloned() {
            self.texts.insert(to, text);
        }
        for set in [&mut self.flags, &mut self.hidden] {
            match set.contains(from) {
                true => set.insert(to),
                false => set.remove(to),
            };
        }
        if let Some(reference) = self.references.get(from).cloned() {
            self.references.insert(to, reference);
        }
    }

    /// Whether the key comes from the command line.
    pub fn is_flag(&self, name: &str) -> bool {
        self.flags.contains(name)
    }

    /// Whether the text must not be shown in messages.
    pub fn is_hidden(&self, name: &str) -> bool {
        self.hidden.contains(name)
    }

    /// The reference that the key's text was resolved from.
    pub fn reference(&self, name: &str) -> Option<&str> {
        self.references.get(name).map(String::as_str)
    }

    /// The keys that are set, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        let set = self.texts.iter().filter(|(_, text)| !text.is_empty());
        set.map(|(name, _)| *name)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&'static str, &str); N]> for Given {
    fn from(pairs: [(&'static str, &str); N]) -> Given {
        let mut given = Given::default();
        for (name, text) in pairs {
            given.put(name, text);
        }
        given
    }
}
