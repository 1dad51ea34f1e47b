//! What a decision of `quarantine` is made from, and the causes it gives.

use super::compile::{Compiled, Guard, Key, Wanted};
use super::effect::Effect;
use super::plugin_table::Scope;
use crate::model::{Config, Kind};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Why an entity is quarantined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its own row.
    Own(String),
    /// This other entity.
    Other(String),
}

impl Cause {
    pub fn text(&self) -> &str {
        match self {
            Cause::Own(text) | Cause::Other(text) => text,
        }
    }
}

/// Everything a decision is made from.
#[derive(Clone, Copy)]
pub(super) struct Situation<'a> {
    /// As wanted.
    pub config: &'a Config,
    pub effect: &'a Effect,
    /// What changed or is held; `None` is to be removed.
    pub pending: &'a BTreeMap<Key, Option<Wanted>>,
    /// (parent, child) for every reference in the wanted configuration.
    pub children: &'a BTreeSet<(Key, Key)>,
    /// The guards that were missing after the last decision.
    pub missing: &'a BTreeMap<Key, Guard>,
    /// Guards that ran before a restart and that this build cannot build.
    pub lost: &'a [Guard],
    /// Whether guards that cannot be built refuse requests; then plugins wait for nothing.
    pub close_unguarded: bool,
}

/// Whether every request in one scope is in the other, too.
pub(super) fn within(inner: Scope, outer: Scope) -> bool {
    let part = |inner: Option<Uuid>, outer: Option<Uuid>| outer.is_none() || inner == outer;
    part(inner.route, outer.route)
        && part(inner.service, outer.service)
        && part(inner.consumer, outer.consumer)
}

/// The service among what a route points to.
pub(super) fn service_in(parents: &[Key]) -> Option<Uuid> {
    let mut parents = parents.iter();
    let service = parents.find(|(kind, _)| *kind == Kind::Services)?;
    Some(service.1)
}

/// The service of a compiled route.
pub(super) fn service_of(compiled: Option<&Compiled>) -> Option<Uuid> {
    match compiled {
        Some(Compiled::Route(route)) => route.service,
        _ => None,
    }
}

pub(super) fn unguarded(plugin: Key) -> String {
    format!(
        "{}, which guards it, is not in effect here",
        describe(plugin)
    )
}

pub(super) fn depends_on(parent: Key) -> String {
    format!("depends on {}, which is quarantined", describe(parent))
}

pub(super) fn describe((kind, id): Key) -> String {
    let kind = kind.as_str();
    format!("{} {id}", kind.strip_suffix('s').unwrap_or(kind))
}
