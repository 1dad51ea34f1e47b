//! Ids of entities that have none in the document: UUIDs of version 5, so that the same
//! document gives the same ids wherever it is read.
//!
//! The names and namespaces are Kong's, so that a document keeps its ids when it moves here.

use super::collect::Item;
use crate::schema::Entity;
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

const ROOT: Uuid = Uuid::from_u128(0xfd02_801f_0957_4a15_a55a_c8d9_606f_30b5);

/// The namespaces of the entities, computed once each.
#[derive(Default)]
pub(super) struct Namespaces(HashMap<&'static str, Uuid>);

impl Namespaces {
    /// The id of an item that gives none; `None` when nothing in it names it for good, which
    /// leaves a random one.
    pub fn derive(&mut self, item: &Item, parent: Option<Uuid>) -> Option<Uuid> {
        let key = key(item, parent)?;
        let name = item.kind.as_str();
        let namespace = self
            .0
            .entry(name)
            .or_insert_with(|| Uuid::new_v5(&ROOT, name.as_bytes()));
        Some(Uuid::new_v5(namespace, key.as_bytes()))
    }
}

/// The id that an entity gives, when it is one.
pub(super) fn given(item: &Item) -> Option<Uuid> {
    let id = item.given.get("id")?.as_str()?;
    // The other notations of a UUID are not accepted in this format.
    (id.len() == 36).then(|| Uuid::try_parse(id).ok())?
}

fn key(item: &Item, parent: Option<Uuid>) -> Option<String> {
    let entity = item.entity;
    // Names nested in a certificate are part of it and not known for themselves.
    if &*entity.name == "snis" && item.parent.is_some() {
        return None;
    }
    if !entity.cache_key.is_empty() {
        return by_cache_key(item, entity, parent);
    }
    let name = item.given.get(entity.endpoint_key.as_deref()?)?;
    name.as_str().map(str::to_owned)
}

/// The entity's name, the workspace (any) and the parts of its cache key, joined by colons.
fn by_cache_key(item: &Item, entity: &Entity, parent: Option<Uuid>) -> Option<String> {
    let mut key = format!("{}:*", entity.name);
    for part in &entity.cache_key {
        let field = entity.field(part)?;
        // Generated secrets are no names.
        if field.auto {
            return None;
        }
        key.push(':');
        let nested = item.parent.is_some_and(|parent| *parent.field == **part);
        match item.given.get(&**part) {
            Some(Value::String(text)) => key.push_str(text),
            // `{id: ...}` means the same as the id alone.
            Some(Value::Object(reference)) => key.push_str(reference.get("id")?.as_str()?),
            None | Some(Value::Null) if nested => key.push_str(&parent?.to_string()),
            None | Some(Value::Null) if !field.required => {}
            _ => return None,
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::super::super::Kind;
    use super::super::collect::Parent;
    use super::*;
    use serde_json::json;

    fn derive(kind: Kind, given: Value, nested: Option<(&'static str, &str)>) -> Option<String> {
        let item = Item {
            kind,
            entity: crate::schema::entity(kind.as_str()).expect("an entity"),
            at: 0,
            parent: nested.map(|(field, _)| Parent { item: 0, field }),
            name: None,
            given: given.as_object().cloned().unwrap_or_default(),
        };
        let parent = nested.map(|(_, id)| Uuid::parse_str(id).expect("an id"));
        let id = Namespaces::default().derive(&item, parent)?;
        Some(id.to_string())
    }

    #[test]
    fn recorded_ids() {
        let check = |kind, given, nested, expected: &str| {
            assert_eq!(derive(kind, given, nested).as_deref(), Some(expected));
        };
        let (s, u) = (
            "b268827a-8f7f-551f-8769-e6bceb2f3ec6",
            "597a2b96-28b9-56b9-8745-bb55e59539cc",
        );
        let my_service = "0855b320-0dd2-547d-891d-601e9b38647f";
        check(
            Kind::Services,
            json!({"name": "my-service"}),
            None,
            my_service,
        );
        let my_route = "481a9539-f49c-51b6-b2e2-fe99ee68866c";
        check(Kind::Routes, json!({"name": "my-route"}), None, my_route);
        check(Kind::Services, json!({"name": "s"}), None, s);
        check(Kind::Upstreams, json!({"name": "u"}), None, u);
        let consumer = "c4511917-5bd2-5306-8ee5-d63ca5c67080";
        check(Kind::Consumers, json!({"username": "c"}), None, consumer);
        let plugin = "a9d11628-ce50-5f63-9767-909c411edf06";
        let key_auth = json!({"name": "key-auth"});
        check(
            Kind::Plugins,
            key_auth.clone(),
            Some(("service", s)),
            plugin,
        );
        let flat = json!({"name": "key-auth", "service": s, "route": null});
        check(Kind::Plugins, flat, None, plugin);
        let flat = json!({"name": "key-auth", "service": {"id": s}});
        check(Kind::Plugins, flat, None, plugin);
        let target = json!({"target": "127.0.0.1:19000"});
        let first = "f66731f7-7734-5952-8067-38d4c061db3c";
        check(Kind::Targets, target, Some(("upstream", u)), first);
        let target = json!({"target": "127.0.0.1:19003"});
        let second = "16b22660-ec3a-561b-9b7c-e5211d719cbb";
        check(Kind::Targets, target, Some(("upstream", u)), second);
    }

    #[test]
    fn what_has_no_lasting_name() {
        let check = |kind, given, nested| assert_eq!(derive(kind, given, nested), None);
        let id = "597a2b96-28b9-56b9-8745-bb55e59539cc";
        check(Kind::Services, json!({"host": "h"}), None);
        check(Kind::Services, json!({"name": 1}), None);
        check(Kind::Consumers, json!({"custom_id": "c"}), None);
        check(Kind::Certificates, json!({"cert": "c"}), None);
        check(Kind::CaCertificates, json!({"cert": "c"}), None);
        check(
            Kind::Snis,
            json!({"name": "a.test"}),
            Some(("certificate", id)),
        );
        check(
            Kind::KeyauthCredentials,
            json!({"key": "k"}),
            Some(("consumer", id)),
        );
        check(Kind::Targets, json!({"target": "t:1"}), None);
        check(Kind::Plugins, json!({}), None);
        assert!(
            derive(
                Kind::Snis,
                json!({"name": "a.test", "certificate": id}),
                None
            )
            .is_some()
        );
    }
}
