//! What is done to the headers of a response.

use super::config::{Config, split};
use crate::plugins::{Context, HeaderName};

/// The verbs, in the order in which they are applied.
#[derive(Debug)]
pub struct HeaderChanges {
    remove: Vec<HeaderName>,
    /// Old and new names.
    rename: Vec<(HeaderName, HeaderName)>,
    replace: Vec<(HeaderName, String)>,
    add: Vec<(HeaderName, String)>,
    append: Vec<(HeaderName, String)>,
}

impl HeaderChanges {
    pub fn new(config: &Config) -> HeaderChanges {
        let pairs = |items: &[String]| {
            let pairs = items.iter().map(|item| split(item));
            pairs
                .map(|(name, value)| (name.into(), value.to_owned()))
                .collect()
        };
        let names = |items: &[String]| {
            let pairs = items.iter().map(|item| split(item));
            pairs.map(|(old, new)| (old.into(), new.into())).collect()
        };
        let remove = &config.remove.headers;
        HeaderChanges {
            remove: remove.iter().map(|name| name.as_str().into()).collect(),
            rename: names(&config.rename.headers),
            replace: pairs(&config.replace.headers),
            add: pairs(&config.add.headers),
            append: pairs(&config.append.headers),
        }
    }

    /// Whether the length of the body is not to be told.
    pub fn hides_length(&self) -> bool {
        let is_length = |name: &HeaderName| name.as_str().eq_ignore_ascii_case("content-length");
        self.remove.iter().any(is_length) || self.rename.iter().any(|(old, _)| is_length(old))
    }

    pub fn apply(&self, context: &mut Context<'_>) {
        for name in &self.remove {
            context.response_edits.remove(name.on_response());
        }
        for (old, new) in &self.rename {
            let values: Vec<Vec<u8>> = context
                .response_headers(old.on_response())
                .map(<[u8]>::to_vec)
                .collect();
            let mut values = values.into_iter();
            if let Some(first) = values.next() {
                context.response_edits.remove(old.on_response());
                context.response_edits.set(new.on_response(), first);
                for value in values {
                    context.response_edits.add(new.on_response(), value);
                }
            }
        }
        for (name, value) in &self.replace {
            if context.response_header(name.on_response()).is_some() {
                context.response_edits.set(name.on_response(), value);
            }
        }
        for (name, value) in &self.add {
            if context.response_header(name.on_response()).is_none() {
                context.response_edits.set(name.on_response(), value);
            }
        }
        for (name, value) in &self.append {
            context.response_edits.add(name.on_response(), value);
        }
    }
}
