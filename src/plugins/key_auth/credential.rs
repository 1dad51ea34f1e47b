//! Where a request carries its key.

use super::body::{Body, Field};
use super::config::Config;
use crate::http::query;
use crate::plugins::Context;
use std::borrow::Cow;

/// What a request presents. Never derive `Debug` here: it holds a key.
#[derive(PartialEq, Eq)]
pub enum Presented {
    /// No key, or an empty one.
    Nothing,
    Key(String),
    /// One name with several values.
    Duplicate,
}

enum Found<'a> {
    Missing,
    One(Cow<'a, [u8]>),
    Several,
}

/// Looks for the key under every name in turn, each in header, query and body, and hides
/// the place it was found in when the configuration says so. The first value ends the
/// search, even an empty one.
pub fn find(config: &Config, context: &mut Context<'_>) -> Presented {
    let mut body = match (config.key_in_body, context.body) {
        (true, Some(bytes)) => {
            let content_type = context.request_header("content-type").unwrap_or_default();
            Body::read(content_type, bytes)
        }
        _ => None,
    };
    for name in &config.key_names {
        let found = find_named(config, context, body.as_ref(), name);
        let key = match found {
            Found::Missing => continue,
            Found::Several => return Presented::Duplicate,
            Found::One(key) => String::from_utf8_lossy(&key).into_owned(),
        };
        if config.hide_credentials {
            hide(context, body.as_mut(), name);
            if let Some(body) = body.filter(|_| context.new_body.is_some()) {
                *context.new_body = Some(body.into_bytes());
            }
        }
        return match key.is_empty() {
            true => Presented::Nothing,
            false => Presented::Key(key),
        };
    }
    Presented::Nothing
}

fn find_named<'c>(
    config: &Config,
    context: &'c Context<'_>,
    body: Option<&Body<'_>>,
    name: &'c str,
) -> Found<'c> {
    if config.key_in_header {
        let found = only(context.request_headers(name).map(Cow::Borrowed));
        if !matches!(found, Found::Missing) {
            return found;
        }
    }
    if config.key_in_query {
        // An argument without `=` has no value that could be a key.
        let query = context.effective_query().unwrap_or_default();
        let values = query::arguments(query)
            .filter(|argument| *argument.name() == *name.as_bytes())
            .filter_map(query::Argument::value);
        let found = only(values);
        if !matches!(found, Found::Missing) {
            return found;
        }
    }
    match body.map_or(Field::Missing, |body| body.field(name)) {
        Field::Missing => Found::Missing,
        Field::One(key) => Found::One(Cow::Owned(key.into_bytes())),
        Field::Several => Found::Several,
    }
}

fn only<'a>(mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> Found<'a> {
    match (values.next(), values.next()) {
        (None, _) => Found::Missing,
        (Some(value), None) => Found::One(value),
        (Some(_), Some(_)) => Found::Several,
    }
}

/// Removes the name from header, query and body alike, wherever the key was.
fn hide(context: &mut Context<'_>, body: Option<&mut Body<'_>>, name: &str) {
    context.clear_request_header(name);
    let query = context.effective_query().unwrap_or_default();
    if query::arguments(query).any(|argument| *argument.name() == *name.as_bytes()) {
        *context.query = Some(query::without(query, name.as_bytes()));
    }
    if body.is_some_and(|body| body.remove(name)) {
        // Filled in by the caller, who owns the body.
        *context.new_body = Some(Vec::new());
    }
}
