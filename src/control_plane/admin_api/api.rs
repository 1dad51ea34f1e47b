//! What every Admin API handler works with, and the operations on single entities that all
//! endpoints are made of.

use super::error::ApiError;
use super::input;
use super::request::Body;
use crate::control_plane::config_store::{ConfigStoreHandle, Document, Key, StoreError, Write};
use crate::model::{Kind, Row};
use crate::schema::{self, Entity, Env, Random, Role, RouterFlavor};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// How often a PATCH is tried again when someone else changed the entity meanwhile.
const PATCH_ATTEMPTS: usize = 8;

/// The store and the rules.
#[derive(Clone)]
pub struct Api {
    pub store: ConfigStoreHandle,
    pub role: Role,
    pub router_flavor: RouterFlavor,
    /// The enabled plugins; `None` enables every bundled one.
    pub plugins: Option<BTreeSet<String>>,
}

struct SystemRandom;

impl Random for SystemRandom {
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }

    fn token(&self) -> String {
        use rand::Rng;
        let mut random = rand::rng();
        (0..32)
            .map(|_| char::from(random.sample(rand::distr::Alphanumeric)))
            .collect()
    }
}

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
    pub fn env(&self) -> Env<'_> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Env {
            now_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            random: &SystemRandom,
            role: self.role,
            router_flavor: self.router_flavor,
            plugins: self.plugins.as_ref(),
        }
    }

    /// An entity as answers show it.
    pub async fn show(&self, kind: Kind, document: Document) -> Result<Value, ApiError> {
        let mut shown = schema_of(kind)?.read(document, &self.env());
        if kind == Kind::Certificates {
            let snis = self.sni_names(id_of(&shown)?).await?;
            shown.insert("snis".to_owned(), json!(snis));
        }
        Ok(Value::Object(shown))
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

    /// The entity with a key of a path.
    pub async fn find(&self, kind: Kind, key: &str) -> Result<Option<Document>, ApiError> {
        let key = self.key(kind, key)?;
        Ok(self.store.store().get(kind, &key).await?)
    }

    /// The entity with a key of a path, or 404.
    pub async fn get(&self, kind: Kind, key: &str) -> Result<Document, ApiError> {
        self.find(kind, key).await?.ok_or(ApiError::NotFound)
    }

    /// The entity with an id, or 404.
    pub async fn by_id(&self, kind: Kind, id: Uuid) -> Result<Document, ApiError> {
        self.store
            .store()
            .get(kind, &Key::Id(id))
            .await?
            .ok_or(ApiError::NotFound)
    }

    /// A new entity; `forced` fields override what the body says.
    pub async fn create(
        &self,
        kind: Kind,
        body: Body,
        forced: &[(&str, Value)],
    ) -> Result<Value, ApiError> {
        let mut writes = Vec::new();
        let document = self
            .new_document(kind, body, forced, None, &mut writes)
            .await?;
        writes.insert(0, Write::Insert { kind, document });
        self.commit_first(kind, writes).await
    }

    /// A replacement of the entity with this key, or a new one.
    pub async fn replace(
        &self,
        kind: Kind,
        key: &str,
        body: Body,
        forced: &[(&str, Value)],
    ) -> Result<Value, ApiError> {
        let key = self.key(kind, key)?;
        let existing = self.store.store().get(kind, &key).await?;
        let mut forced = forced.to_vec();
        match (&key, &existing) {
            (Key::Id(id), _) => forced.push(("id", json!(id))),
            (Key::Unique(field, value), found) => {
                forced.push((field, value.clone()));
                if let Some(found) = found {
                    forced.push(("id", json!(id_of(found)?)));
                }
            }
        }
        let mut writes = Vec::new();
        let before = existing.as_ref();
        let document = self
            .new_document(kind, body, &forced, before, &mut writes)
            .await?;
        writes.insert(0, Write::Upsert { kind, document });
        self.commit_first(kind, writes).await
    }

    /// Body to stored form: types, parents by name, schema, and the rules between entities.
    /// `existing` is the entity that is replaced; `more` takes writes that belong to this one.
    pub async fn new_document(
        &self,
        kind: Kind,
        body: Body,
        forced: &[(&str, Value)],
        existing: Option<&Document>,
        more: &mut Vec<Write>,
    ) -> Result<Document, ApiError> {
        let entity = schema_of(kind)?;
        let mut input = input::document(entity, body, None, &self.env());
        for (field, value) in forced {
            input.insert((*field).to_owned(), value.clone());
        }
        let names_protocols = input.contains_key("protocols");
        self.prepare(entity, &mut input).await?;
        let snis = input.get("snis").cloned();
        let mut document = entity
            .insert(input, &self.env())
            .map_err(ApiError::Schema)?;
        entity.transform(&mut document, None, &self.env());
        if kind == Kind::Plugins && names_protocols {
            self.check_plugin_protocols(&document).await?;
        }
        if kind == Kind::Certificates {
            let asked = snis.filter(|snis| !snis.is_null());
            let asked = asked.or_else(|| existing.map(|_| json!([])));
            document.remove("snis");
            self.change_snis(id_of(&document)?, asked.as_ref(), more)
                .await?;
        }
        Ok(document)
    }

    /// What is done to every input before validation.
    async fn prepare(
        &self,
        entity: &Entity,
        input: &mut Map<String, Value>,
    ) -> Result<(), ApiError> {
        schema::Ttl::check(entity, input).map_err(|err| ApiError::InvalidOption {
            option: err.name,
            why: err.text.to_owned(),
        })?;
        entity.prepare(input).map_err(ApiError::Schema)?;
        input::resolve_parents(self.store.store(), entity, input, &self.env()).await
    }

    /// Changes some fields of an entity. `find` reads it, again after a concurrent change.
    pub async fn update(&self, kind: Kind, id: Uuid, body: Body) -> Result<Value, ApiError> {
        let entity = schema_of(kind)?;
        let mut stored = self.by_id(kind, id).await?;
        let name = stored
            .get("name")
            .and_then(Value::as_str)
            .filter(|_| kind == Kind::Plugins);
        let mut patch = input::document(entity, body, name, &self.env());
        patch.remove("id");
        self.prepare(entity, &mut patch).await?;
        let snis = patch.get("snis").cloned();
        for _ in 0..PATCH_ATTEMPTS {
            let read = Row::from_json(&stored);
            let mut document = entity
                .update(patch.clone(), &stored, &self.env())
                .map_err(ApiError::Schema)?;
            entity.transform(&mut document, Some(&patch), &self.env());
            if kind == Kind::Plugins {
                self.check_plugin_protocols(&document).await?;
            }
            let mut writes = Vec::new();
            if kind == Kind::Certificates {
                document.remove("snis");
                let asked = snis.as_ref().map(|snis| {
                    if snis.is_null() {
                        json!([])
                    } else {
                        snis.clone()
                    }
                });
                self.change_snis(id, asked.as_ref(), &mut writes).await?;
            }
            writes.insert(
                0,
                Write::Update {
                    kind,
                    document,
                    read: Some(read),
                },
            );
            match self.store.write(writes).await {
                Err(StoreError::Conflict { .. }) => stored = self.by_id(kind, id).await?,
                result => return self.shown_first(kind, result).await,
            }
        }
        Err(ApiError::Busy)
    }

    /// Deletes what there is.
    pub async fn delete(&self, kind: Kind, id: Uuid) -> Result<(), ApiError> {
        self.store.write(vec![Write::Delete { kind, id }]).await?;
        Ok(())
    }

    /// Commits writes and shows the entity of the first.
    pub async fn commit_first(&self, kind: Kind, writes: Vec<Write>) -> Result<Value, ApiError> {
        let result = self.store.write(writes).await;
        self.shown_first(kind, result).await
    }

    async fn shown_first(
        &self,
        kind: Kind,
        result: Result<crate::control_plane::config_store::Committed, StoreError>,
    ) -> Result<Value, ApiError> {
        let first = result?.documents.into_iter().next().flatten();
        self.show(kind, first.ok_or(ApiError::Internal)?).await
    }
}

impl From<StoreError> for ApiError {
    fn from(err: StoreError) -> ApiError {
        match err {
            StoreError::UniqueViolation { fields, .. } => ApiError::Unique(fields),
            StoreError::ForeignKeyMissing {
                field,
                reference,
                id,
                ..
            } => ApiError::ForeignKeyMissing {
                field: field.to_owned(),
                reference: reference.to_string(),
                id: id.to_string(),
            },
            StoreError::ReferencedBy { kind, by, .. } => ApiError::Referenced {
                kind: kind.to_string(),
                by: by.to_string(),
            },
            StoreError::ListedBy { id, by_id, .. } => ApiError::CaCertificateReferenced {
                id: id.to_string(),
                service: by_id.to_string(),
            },
            StoreError::PrimaryKeyViolation { id, .. } => {
                ApiError::PrimaryKeyViolation([("id".to_owned(), json!(id))].into_iter().collect())
            }
            StoreError::NotFound { .. } => ApiError::NotFound,
            StoreError::Busy | StoreError::Conflict { .. } => ApiError::Busy,
            other => {
                tracing::error!(err = ?other, "the store failed");
                ApiError::Internal
            }
        }
    }
}
