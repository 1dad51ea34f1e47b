//! What every Admin API handler works with: the store, the rules, and how keys in paths name
//! entities.

use super::error::ApiError;
use crate::control_plane::CurrentDocument;
use crate::control_plane::cluster_registry::Fleet;
use crate::control_plane::config_store::{ConfigStoreHandle, Document, Key, Transaction};
use crate::declared::Rules;
use crate::model::{Kind, RequestId};
use crate::schema::{self, Entity, Env};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// The store and the rules.
#[derive(Clone)]
pub struct Api {
    pub store: ConfigStoreHandle,
    pub fleet: Arc<Fleet>,
    /// On a node that lives from a declarative document, which is all that can be written there.
    pub document: Option<Arc<CurrentDocument>>,
    pub rules: Arc<Rules>,
}

/// The fields by which an entity is looked for, with their values; a new one gets them.
pub type Lookup = Vec<(&'static str, Value)>;

/// The schema of a kind; every kind has one.
pub fn schema_of(kind: Kind) -> Result<&'static Entity, ApiError> {
    schema::entity(kind.as_str()).ok_or(ApiError::NotFound)
}

/// The id of a document.
pub fn id_of(document: &Document) -> Result<Uuid, ApiError> {
    let id = document
        .get("id")
        .and_then(Value::as_str)
        .and_then(|id| Uuid::parse_str(id).ok());
    id.ok_or(ApiError::Internal)
}

/// A key that is a UUID in its canonical form names an id, whatever else it could name.
pub fn as_id(key: &str) -> Option<Uuid> {
    if key.len() != 36 {
        return None;
    }
    Uuid::try_parse(key).ok()
}

impl Api {
    /// The same, whose writes are known to come from this request.
    #[must_use]
    pub fn on_behalf_of(&self, request_id: RequestId) -> Api {
        Api {
            store: self.store.on_behalf_of(request_id),
            ..self.clone()
        }
    }

    /// The same inside of a transaction.
    #[must_use]
    pub fn inside(&self, transaction: Arc<Transaction>) -> Api {
        Api {
            store: self.store.inside(transaction),
            ..self.clone()
        }
    }

    pub fn env(&self) -> Env<'_> {
        self.rules.env()
    }

    /// An entity as answers show it.
    pub async fn show(&self, kind: Kind, document: Document) -> Result<Value, ApiError> {
        let mut shown = self.shown(kind, document)?;
        if kind == Kind::Certificates {
            let snis = self.sni_names(id_of(&shown)?).await?;
            shown.insert("snis".to_owned(), json!(snis));
        }
        Ok(Value::Object(shown))
    }

    /// The fields of an entity as answers show them. Without a database, as in Kong, there is no
    /// lifetime that never ends.
    pub fn shown(&self, kind: Kind, document: Document) -> Result<Document, ApiError> {
        let mut shown = schema_of(kind)?.read(document, &self.env());
        if self.document.is_some() && shown.get("ttl").is_some_and(Value::is_null) {
            shown.shift_remove("ttl");
        }
        Ok(shown)
    }

    /// The store's key for a key in a path.
    ///
    /// # Errors
    /// A key that the entity's field cannot have (code 10), or an entity that has only ids.
    pub fn key(&self, kind: Kind, key: &str) -> Result<Key, ApiError> {
        if let Some(id) = as_id(key) {
            return Ok(Key::Id(id));
        }
        let entity = schema_of(kind)?;
        let name = entity
            .endpoint_key
            .as_deref()
            .ok_or(ApiError::InvalidPrimaryKey)?;
        let value = Value::String(key.to_owned());
        entity
            .check_field(name, &value, &self.env())
            .map_err(|why| ApiError::InvalidUnique {
                field: name.to_owned(),
                why,
            })?;
        Ok(Key::Unique(name, value))
    }

    /// What a key in a path asks for.
    ///
    /// # Errors
    /// As [`Api::key`].
    pub fn lookup(&self, kind: Kind, key: &str) -> Result<Lookup, ApiError> {
        Ok(match self.key(kind, key)? {
            Key::Id(id) => vec![("id", json!(id))],
            Key::Unique(field, value) => vec![(field, value)],
        })
    }

    /// The same for the key of a child, where `field` points to the parent: groups have names
    /// only below their consumer.
    ///
    /// # Errors
    /// As [`Api::key`].
    pub fn child_lookup(
        &self,
        child: Kind,
        (field, parent): (&'static str, Uuid),
        key: &str,
    ) -> Result<Lookup, ApiError> {
        if child == Kind::Acls && as_id(key).is_none() {
            return Ok(vec![
                (field, json!({ "id": parent })),
                ("group", json!(key)),
            ]);
        }
        self.lookup(child, key)
    }

    /// The entity with a key of a path.
    pub async fn find(&self, kind: Kind, key: &str) -> Result<Option<Document>, ApiError> {
        let lookup = self.lookup(kind, key)?;
        Ok(self.store.entities().find(kind, &lookup).await?)
    }

    /// The entity with a key of a path, or 404.
    pub async fn get(&self, kind: Kind, key: &str) -> Result<Document, ApiError> {
        self.find(kind, key).await?.ok_or(ApiError::NotFound)
    }

    /// The entity with an id, or 404.
    pub async fn by_id(&self, kind: Kind, id: Uuid) -> Result<Document, ApiError> {
        self.store
            .entities()
            .get(kind, &Key::Id(id))
            .await?
            .ok_or(ApiError::NotFound)
    }
}
