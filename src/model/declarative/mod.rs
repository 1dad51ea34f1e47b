//! Declarative configuration: whole configurations as text, in the format of Kong.
//!
//! YAML or JSON with lists of entities, children nested in their parents or beside them. What
//! comes out are the rows that a control plane would have stored for the same entities. The
//! document stands for itself: every parent is in it. No IO.

mod collect;
mod document;
mod dump;
mod errors;
mod flatten;
mod header;
mod ids;
mod references;
mod unique;

#[cfg(test)]
mod tests;

use super::{Kind, Packed, Row};
use crate::schema::{Entity, Env, Ttl};
use collect::{Collected, Item};
pub use document::{MAX_DEPTH, MAX_STRING_BYTES, MAX_TEXT_BYTES, MAX_VALUES};
pub use dump::Dump;
pub use errors::{DeclarativeErrors, Fault, Identity, Problem, Stage, Step};
pub use flatten::Flattened;
use ids::Namespaces;
use references::Resolved;
use serde_json::{Map, Value, json};
use unique::Taken;
use uuid::Uuid;

/// The configuration that a document declares.
#[derive(Debug)]
pub struct Declared {
    /// In their stored shape and in the order of the document.
    pub entities: Vec<(Kind, Uuid, Packed)>,
    /// Lists that were read and have no effect here, for a log line: `workspaces` with the
    /// default one, `parameters`.
    pub ignored: Vec<&'static str>,
    /// What is taken here and keeps the document from being loaded by Kong, a line each.
    pub not_in_kong: Vec<String>,
}

impl Declared {
    /// Ready for [`Config::from_rows`](super::Config::from_rows).
    pub fn rows(&self) -> impl Iterator<Item = (Kind, Uuid, Row)> {
        let row = |(kind, id, entity): &(Kind, Uuid, Packed)| {
            (*kind, *id, Row::from_json(&entity.unpack()))
        };
        self.entities.iter().map(row)
    }
}

/// Reads a configuration from YAML or JSON.
///
/// Entities without an id get one derived from their name, as in Kong, so that reading again
/// gives the same; what has no lasting name (certificates, key-auth credentials) gets a random
/// one from `env`.
///
/// # Errors
/// Every problem at once; a text that cannot be read at all is a single one.
pub fn parse(text: &str, env: &Env<'_>) -> Result<Declared, DeclarativeErrors> {
    let document = document::read(text).map_err(|reason| DeclarativeErrors::text(&reason))?;
    let mut root = match document {
        Value::Object(root) => root,
        // Lua has one empty table for both.
        Value::Array(items) if items.is_empty() => Map::new(),
        _ => return Err(DeclarativeErrors::text("expected an object")),
    };
    let (header, wrong) = header::take(&mut root);
    let mut collected = collect::collect(root);
    if !wrong.is_empty() {
        collected.problem(None, Stage::Schema, Fault::Fields(wrong));
    }
    if header.before_3_0 {
        collected
            .routes_of_the_top()
            .for_each(header::migrate_paths);
    }
    let ids = identify(&collected, env);
    let parents = references::resolve(&mut collected, &ids);
    let entities = stored(&mut collected, &ids, parents, header.transform, env);
    let problems = collected.problems(&ids);
    match problems.is_empty() {
        true => Ok(Declared {
            entities,
            ignored: collected.ignored,
            not_in_kong: collected.not_in_kong,
        }),
        false => Err(DeclarativeErrors {
            problems,
            more: collected.more_problems,
        }),
    }
}

/// The id of every item. Parents come first, since ids of children depend on them.
fn identify(collected: &Collected, env: &Env<'_>) -> Vec<Uuid> {
    let mut namespaces = Namespaces::default();
    let mut ids: Vec<Uuid> = Vec::with_capacity(collected.items.len());
    for item in &collected.items {
        let parent = item.parent.map(|parent| ids[parent.item]);
        let id = ids::given(item)
            .or_else(|| namespaces.derive(item, parent))
            .unwrap_or_else(|| env.random.uuid());
        ids.push(id);
    }
    ids
}

/// The stored form of every item that is well; the others become problems. What they were made
/// of is gone afterwards.
fn stored(
    collected: &mut Collected,
    ids: &[Uuid],
    parents: Vec<Resolved>,
    transform: bool,
    env: &Env<'_>,
) -> Vec<(Kind, Uuid, Packed)> {
    let mut storing = Storing {
        transform,
        env,
        taken: Taken::default(),
    };
    let mut parents = parents.into_iter().peekable();
    let mut entities = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let item = &mut collected.items[at];
        let mut given = std::mem::take(&mut item.given);
        // Anything else the schema will refuse.
        if given.get("id").is_none_or(Value::is_null) {
            given.insert("id".to_owned(), json!(id));
        }
        while let Some(parent) = parents.next_if(|parent| parent.item == at) {
            given.insert(parent.field.to_owned(), json!({ "id": parent.id }));
        }
        let mut faults = Vec::new();
        if let Some(stored) = storing.store(item, given, *id, &mut faults) {
            entities.push((item.kind, *id, Packed::of(&stored)));
        }
        for (stage, fault) in faults {
            collected.problem(Some(at), stage, fault);
        }
    }
    entities
}

/// Brings items into their stored form, one after the other.
struct Storing<'a> {
    transform: bool,
    env: &'a Env<'a>,
    taken: Taken,
}

impl Storing<'_> {
    /// The stored form of one item, unless its fields are wrong. Adds all that is wrong.
    fn store(
        &mut self,
        item: &Item,
        mut given: Map<String, Value>,
        id: Uuid,
        faults: &mut Vec<(Stage, Fault)>,
    ) -> Option<Map<String, Value>> {
        let (kind, entity) = (item.kind, item.entity);
        if let Err(err) = Ttl::check(entity, &given) {
            faults.push((Stage::Schema, Fault::field(err.name, err.text)));
        }
        let updated_at = updated_at(entity, &given);
        let prepared = entity.prepare(&mut given);
        // The digest of a CA certificate is known only at the end.
        let digested = kind == Kind::CaCertificates;
        if !digested && let Err(text) = self.taken.take(kind, entity, id, &given) {
            faults.push((Stage::Uniqueness, Fault::Entry(text)));
        }
        let mut stored = match entity.insert(given, self.env) {
            Ok(stored) => stored,
            Err(violations) => {
                // What cannot be prepared is among them.
                faults.push((Stage::Schema, Fault::Fields(violations.fields)));
                return None;
            }
        };
        if let Err(violations) = prepared {
            faults.push((Stage::Schema, Fault::Fields(violations.fields)));
        }
        if let Some(at) = updated_at {
            stored.insert("updated_at".to_owned(), at);
        }
        if self.transform {
            entity.transform(&mut stored, None, self.env);
        }
        if digested && let Err(text) = self.taken.take(kind, entity, id, &stored) {
            faults.push((Stage::Uniqueness, Fault::Entry(text)));
        }
        Some(stored)
    }
}

/// The time of the last change that the document gives: an export says when that was, and what
/// is imported from it is the same.
fn updated_at(entity: &Entity, given: &Map<String, Value>) -> Option<Value> {
    entity.field("updated_at")?;
    let at = given.get("updated_at")?;
    let is_time = match entity.has_precise_timestamps() {
        true => at.is_number(),
        false => at.is_i64(),
    };
    is_time.then(|| at.clone())
}
