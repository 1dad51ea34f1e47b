//! Where a request carries its key.

use super::body::{Body, Field};
use super::config::Config;
use crate::http::query;
use crate::plugins::{Context, HeaderName};
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
    /// There, but without a value that could be a key: an argument without `=`. As in Kong, the
    /// name is not looked for in further places.
    NoText,
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
            Found::Missing | Found::NoText => continue,
            Found::Several => return Presented::Duplicate,
            Found::One(key) => String::from_utf8_lossy(&key).into_owned(),
        };
        if config.hide_credentials {
            hide(context, body.as_mut(), name);
            if let Some(body) = body.filter(|_| context.upstream.body.is_some()) {
                context.upstream.body = Some(body.into_bytes());
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
    name: &'c HeaderName,
) -> Found<'c> {
    if config.key_in_header {
        let values = context.configured_headers(name);
        let found = only(values.map(|value| Some(Cow::Borrowed(value))));
        if !matches!(found, Found::Missing) {
            return found;
        }
    }
    if config.key_in_query {
        let query = context.effective_query().unwrap_or_default();
        let found = only(query::values(query, name.text().as_bytes()));
        if !matches!(found, Found::Missing) {
            return found;
        }
    }
    match body.map_or(Field::Missing, |body| body.field(name.text())) {
        Field::Missing => Found::Missing,
        Field::One(key) => Found::One(Cow::Owned(key.into_bytes())),
        Field::Several => Found::Several,
    }
}

/// What a name has in one place; `None` is a value that is no text. It counts all the same: of
/// two arguments a gateway and the upstream could take different ones.
fn only<'a>(mut values: impl Iterator<Item = Option<Cow<'a, [u8]>>>) -> Found<'a> {
    match (values.next(), values.next()) {
        (None, _) => Found::Missing,
        (Some(Some(value)), None) => Found::One(value),
        (Some(None), None) => Found::NoText,
        (Some(_), Some(_)) => Found::Several,
    }
}

/// Removes the name from header, query and body alike, wherever the key was.
fn hide(context: &mut Context<'_>, body: Option<&mut Body<'_>>, name: &HeaderName) {
    context.clear_request_header(name.as_str());
    if let Some(hyphenated) = name.hyphenated() {
        context.clear_request_header(hyphenated);
    }
    let text = name.text().as_bytes();
    let query = context.effective_query().unwrap_or_default();
    if query::values(query, text).next().is_some() {
        context.upstream.query = Some(query::without(query, text));
    }
    if body.is_some_and(|body| body.remove(name.text())) {
        // Filled in by the caller, who owns the body.
        context.upstream.body = Some(Vec::new());
    }
}
