//! Writes of single entities: from a body to one commit, and to the entity as it is afterwards.

use super::api::{Api, id_of, schema_of};
use super::error::ApiError;
use super::input;
use super::request::Body;
use crate::control_plane::config_store::{Committed, Document, StoreError, Write};
use crate::model::{Kind, Row};
use crate::schema::{self, Entity};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// How often a write starts anew when what it was made from was changed meanwhile. Each time
/// somebody else's write went through, so this many writers of one entity all get theirs.
const ATTEMPTS: usize = 64;

/// Fields that the path decides, whatever the body says.
pub type Forced<'a> = &'a [(&'a str, Value)];

impl Api {
    /// A new entity.
    ///
    /// # Errors
    /// What the schema or the store refuses.
    pub async fn create(
        &self,
        kind: Kind,
        body: Body,
        forced: Forced<'_>,
    ) -> Result<Value, ApiError> {
        let input = self.input(schema_of(kind)?, body, None, forced).await?;
        let (document, more) = self.insertion(kind, input).await?;
        self.check_writable("create", kind, None)?;
        let mut writes = vec![Write::Insert { kind, document }];
        writes.extend(more);
        let result = self.store.write(writes).await;
        self.shown_first(kind, result).await
    }

    /// A replacement of the entity that is looked for, or a new one.
    ///
    /// # Errors
    /// As [`Api::create`]; 503 when others kept making and deleting the entity.
    pub async fn replace(
        &self,
        kind: Kind,
        lookup: &[(&'static str, Value)],
        body: Body,
        forced: Forced<'_>,
    ) -> Result<Value, ApiError> {
        let write = async |api: &Api| api.replace_one(kind, lookup, body, forced).await;
        self.undisturbed(kind, write).await
    }

    async fn replace_one(
        &self,
        kind: Kind,
        lookup: &[(&'static str, Value)],
        body: Body,
        forced: Forced<'_>,
    ) -> Result<Value, ApiError> {
        let mut forced = forced.to_vec();
        forced.extend(lookup.iter().cloned());
        let input = self.input(schema_of(kind)?, body, None, &forced).await?;
        for _ in 0..ATTEMPTS {
            let mut input = input.clone();
            let existing = self.store.entities().find(kind, lookup).await?;
            if let Some(found) = &existing {
                input.insert("id".to_owned(), json!(id_of(found)?));
            }
            let (document, more) = self.replacement(kind, input).await?;
            self.check_writable("create or update", kind, name_in(lookup))?;
            let mut writes = vec![Write::Upsert { kind, document }];
            writes.extend(more);
            match self.store.write(writes).await {
                // Somebody made it in between: now it can be replaced.
                Err(StoreError::UniqueViolation { fields, .. })
                    if existing.is_none() && is_about(&fields, lookup) => {}
                result => return self.shown_first(kind, result).await,
            }
        }
        Err(ApiError::Busy)
    }

    /// Changes some fields of an entity; concurrent changes of others are kept. `meant` are the
    /// fields that the path gives where the body does not, `by` the one by which it names the
    /// entity when that is not its id.
    ///
    /// # Errors
    /// As [`Api::create`]; 503 when others kept changing the entity.
    pub async fn update(
        &self,
        kind: Kind,
        id: Uuid,
        body: Body,
        meant: Forced<'_>,
        by: Option<&'static str>,
    ) -> Result<Value, ApiError> {
        let write = async |api: &Api| api.update_one(kind, id, body, meant, by).await;
        self.undisturbed(kind, write).await
    }

    async fn update_one(
        &self,
        kind: Kind,
        id: Uuid,
        body: Body,
        meant: Forced<'_>,
        by: Option<&'static str>,
    ) -> Result<Value, ApiError> {
        let entity = schema_of(kind)?;
        let mut stored = self.by_id(kind, id).await?;
        let name = stored.get("name").and_then(Value::as_str);
        let name = name.filter(|_| matches!(kind, Kind::Plugins | Kind::Vaults));
        let mut patch = self.input(entity, body, name, &[]).await?;
        patch.remove("id");
        for (field, value) in meant {
            patch.entry(*field).or_insert_with(|| value.clone());
        }
        for _ in 0..ATTEMPTS {
            let snis = match kind {
                Kind::Certificates => self.asked_snis(patch.get("snis"), Some(id)).await?,
                _ => None,
            };
            let mut document = entity
                .update(patch.clone(), &stored, &self.env())
                .map_err(ApiError::Schema)?;
            entity.transform(&mut document, Some(&patch), &self.env());
            if kind == Kind::Plugins {
                self.check_plugin_protocols(&document).await?;
            }
            self.check_writable("update", kind, by)?;
            let mut writes = vec![Write::Update {
                kind,
                document,
                read: Some(Row::from_json(&stored)),
            }];
            if let Some(names) = snis {
                writes.extend(self.sni_writes(id, &names).await?);
            }
            match self.store.write(writes).await {
                Err(StoreError::Conflict { .. }) => stored = self.by_id(kind, id).await?,
                result => return self.shown_first(kind, result).await,
            }
        }
        Err(ApiError::Busy)
    }

    /// A write of an entity. Of a certificate, whose names are entities of their own, it is a
    /// transaction: nobody else may come between looking at them and writing them.
    async fn undisturbed(
        &self,
        kind: Kind,
        write: impl AsyncFnOnce(&Api) -> Result<Value, ApiError>,
    ) -> Result<Value, ApiError> {
        if kind != Kind::Certificates || self.store.is_inside() {
            return write(self).await;
        }
        let (transaction, written) = self.in_transaction(write).await?;
        self.store.commit(transaction).await?;
        Ok(written)
    }

    /// A new parent of a child that has none, and the pointer to it, in one revision.
    ///
    /// # Errors
    /// As [`Api::create`]; 503 when the child was changed meanwhile.
    pub async fn create_parent(
        &self,
        (child, owner): (Kind, &Document),
        (field, parent): (&str, Kind),
        body: Body,
    ) -> Result<Value, ApiError> {
        let id = json!(self.env().random.uuid());
        let forced = [("id", id.clone())];
        let input = self.input(schema_of(parent)?, body, None, &forced).await?;
        let (document, more) = self.insertion(parent, input).await?;
        self.check_writable("create", parent, None)?;
        let pointer = json!({ field: { "id": id } });
        let patch = pointer.as_object().cloned().unwrap_or_default();
        let linked = schema_of(child)?
            .update(patch, owner, &self.env())
            .map_err(ApiError::Schema)?;
        let mut writes = vec![Write::Insert {
            kind: parent,
            document,
        }];
        writes.extend(more);
        writes.push(Write::Update {
            kind: child,
            document: linked,
            read: Some(Row::from_json(owner)),
        });
        let result = self.store.write(writes).await;
        self.shown_first(parent, result).await
    }

    /// Deletes what there is, with all that cannot be without it. `by` as for an update.
    ///
    /// # Errors
    /// Something else still needs it.
    pub async fn delete(
        &self,
        kind: Kind,
        id: Uuid,
        by: Option<&'static str>,
    ) -> Result<(), ApiError> {
        self.check_writable("remove", kind, by)?;
        self.store.write(vec![Write::Delete { kind, id }]).await?;
        Ok(())
    }

    /// Refuses single writes on a node that lives from a document, where Kong does: only what is
    /// valid and would change something gets this far.
    fn check_writable(
        &self,
        verb: &'static str,
        kind: Kind,
        by: Option<&'static str>,
    ) -> Result<(), ApiError> {
        match self.document {
            None => Ok(()),
            Some(_) => Err(ApiError::ReadOnly {
                verb,
                kind: kind.to_string(),
                by,
            }),
        }
    }

    /// The fields of a body, before validation: normalised, parents by id. `name` is the stored
    /// one of a plugin or vault that a PATCH changes.
    async fn input(
        &self,
        entity: &Entity,
        body: Body,
        name: Option<&str>,
        forced: Forced<'_>,
    ) -> Result<Map<String, Value>, ApiError> {
        let mut input = input::document(entity, body, name, &self.env());
        for (field, value) in forced {
            input.insert((*field).to_owned(), value.clone());
        }
        schema::Ttl::check(entity, &input).map_err(|err| ApiError::InvalidOption {
            option: err.name,
            why: err.text.to_owned(),
        })?;
        entity.prepare(&mut input).map_err(ApiError::Schema)?;
        input::resolve_parents(&self.store.entities(), entity, &mut input, &self.env()).await?;
        Ok(input)
    }

    /// The stored form of a new entity, and the writes that go with it.
    async fn insertion(
        &self,
        kind: Kind,
        input: Map<String, Value>,
    ) -> Result<(Document, Vec<Write>), ApiError> {
        let snis = match kind {
            Kind::Certificates => self.asked_snis(input.get("snis"), None).await?,
            _ => None,
        };
        self.whole(kind, input, snis).await
    }

    /// The stored form of what an entity becomes, and the writes that go with it.
    async fn replacement(
        &self,
        kind: Kind,
        input: Map<String, Value>,
    ) -> Result<(Document, Vec<Write>), ApiError> {
        let mut snis = None;
        if kind == Kind::Certificates {
            let names = self
                .asked_snis(input.get("snis"), id_of(&input).ok())
                .await?;
            snis = Some(names.unwrap_or_default());
        }
        self.whole(kind, input, snis).await
    }

    async fn whole(
        &self,
        kind: Kind,
        input: Map<String, Value>,
        snis: Option<Vec<String>>,
    ) -> Result<(Document, Vec<Write>), ApiError> {
        let entity = schema_of(kind)?;
        let gives_protocols = input.contains_key("protocols");
        let mut document = entity
            .insert(input, &self.env())
            .map_err(ApiError::Schema)?;
        entity.transform(&mut document, None, &self.env());
        if kind == Kind::Plugins && gives_protocols {
            self.check_plugin_protocols(&document).await?;
        }
        let more = match snis {
            Some(names) => self.sni_writes(id_of(&document)?, &names).await?,
            None => Vec::new(),
        };
        Ok((document, more))
    }

    /// The entity of a commit's first write, as answers show it.
    async fn shown_first(
        &self,
        kind: Kind,
        result: Result<Committed, StoreError>,
    ) -> Result<Value, ApiError> {
        let first = result?.documents.into_iter().next().flatten();
        self.show(kind, first.ok_or(ApiError::Internal)?).await
    }
}

/// The one field of a lookup, unless that is the id.
pub fn name_in(lookup: &[(&'static str, Value)]) -> Option<&'static str> {
    match lookup {
        [(field, _)] if *field != "id" => Some(field),
        _ => None,
    }
}

/// Whether a unique violation is about what was looked for.
fn is_about(fields: &Document, lookup: &[(&str, Value)]) -> bool {
    let same = |(field, value): &(&str, Value)| fields.get(*field) == Some(value);
    fields.len() == lookup.len() && lookup.iter().all(same)
}
