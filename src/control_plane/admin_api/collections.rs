//! The generated endpoints: collections, entities, children below their parent, parents
//! beside their child.

use super::api::{Api, Lookup, as_id, id_of, schema_of};
use super::endpoint::Endpoint;
use super::error::ApiError;
use super::paging::{self, PageQuery};
use super::reply::Answer;
use super::request::Body;
use super::writes::name_in;
use crate::control_plane::config_store::{Document, Key, PageRequest};
use crate::model::Kind;
use serde_json::{Value, json};
use uuid::Uuid;

/// HEAD is answered as GET; the HTTP layer leaves the body out.
fn is_read(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

impl Api {
    /// An endpoint that holds entities.
    ///
    /// # Errors
    /// What the endpoint refuses; 404 for one that holds none.
    pub async fn entity_endpoint(
        &self,
        endpoint: Endpoint,
        method: &str,
        arguments: &[(String, String)],
        body: Body,
    ) -> Result<Answer, ApiError> {
        match endpoint {
            Endpoint::Collection(kind) => self.collection(kind, method, arguments, body).await,
            Endpoint::Entity(kind, key) => self.entity(kind, &key, method, body).await,
            Endpoint::Children {
                parent,
                key,
                child,
                field,
            } => {
                self.children((parent, &key), (child, field), method, arguments, body)
                    .await
            }
            Endpoint::Child {
                parent,
                key,
                child,
                field,
                child_key,
            } => {
                self.child((parent, &key), (child, field), &child_key, method, body)
                    .await
            }
            Endpoint::Parent {
                child,
                key,
                field,
                parent,
            } => {
                self.parent((child, &key), (field, parent), method, body)
                    .await
            }
            _ => Err(ApiError::NotFound),
        }
    }

    /// `/services`.
    pub async fn collection(
        &self,
        kind: Kind,
        method: &str,
        arguments: &[(String, String)],
        body: Body,
    ) -> Result<Answer, ApiError> {
        if !is_read(method) {
            return Ok(Answer::Json(201, self.create(kind, body, &[]).await?));
        }
        if kind == Kind::Consumers && arguments.iter().any(|(name, _)| name == "custom_id") {
            return self.consumers_by_custom_id(arguments).await;
        }
        let query = paging::page_query(arguments)?;
        let path = format!("/{}", super::endpoint::path_name(kind));
        let suffix = paging::suffix(&query);
        Ok(Answer::Json(
            200,
            self.page(kind, &query, None, &path, &suffix).await?,
        ))
    }

    async fn consumers_by_custom_id(
        &self,
        arguments: &[(String, String)],
    ) -> Result<Answer, ApiError> {
        let custom_id = paging::argument(arguments, "custom_id").ok().flatten();
        let Some(custom_id) = custom_id.filter(|id| !id.is_empty()) else {
            let why = "custom_id must be an unempty string";
            return Err(ApiError::BadRequest(why.to_owned()));
        };
        let key = Key::Unique("custom_id", json!(custom_id));
        let mut data = Vec::new();
        if let Some(found) = self.store.entities().get(Kind::Consumers, &key).await? {
            data.push(self.show(Kind::Consumers, found).await?);
        }
        Ok(Answer::Json(200, json!({"data": data, "next": null})))
    }

    /// A page of a kind, or of a parent's children.
    pub async fn page(
        &self,
        kind: Kind,
        query: &PageQuery,
        parent: Option<(&'static str, Uuid)>,
        path: &str,
        suffix: &str,
    ) -> Result<Value, ApiError> {
        let request = PageRequest {
            after: query.after,
            size: query.size as u64,
            // Nested lists ignore tag filters.
            tags: query.tags.clone().filter(|_| parent.is_none()),
            filter: parent,
        };
        let page = self.store.entities().page(kind, &request).await?;
        let mut next = page.next;
        // Without a database, as in Kong, a full page does not know that it is the last.
        if self.document.is_some() && page.documents.len() == query.size {
            next = page.documents.last().map(id_of).transpose()?;
        }
        let mut data = Vec::with_capacity(page.documents.len());
        for document in page.documents {
            data.push(self.show(kind, document).await?);
        }
        Ok(paging::page(path, data, next.map(paging::token), suffix))
    }

    /// `/services/{key}`.
    pub async fn entity(
        &self,
        kind: Kind,
        key: &str,
        method: &str,
        body: Body,
    ) -> Result<Answer, ApiError> {
        if kind == Kind::Certificates {
            return self.certificate(key, method, body).await;
        }
        match method {
            "PUT" => {
                let lookup = self.lookup(kind, key)?;
                let replaced = self.replace(kind, &lookup, body, &[]).await?;
                Ok(Answer::Json(200, replaced))
            }
            "PATCH" => match self.find(kind, key).await? {
                Some(found) => {
                    let by = name_in(&self.lookup(kind, key)?);
                    let updated = self.update(kind, id_of(&found)?, body, &[], by).await?;
                    Ok(Answer::Json(200, updated))
                }
                // A plugin's name is needed to read the body, so it is looked for first.
                None if kind == Kind::Plugins => Err(ApiError::NotFound),
                None => Err(self.missing(kind, key)?),
            },
            "DELETE" => {
                if let Some(found) = self.find(kind, key).await? {
                    let by = name_in(&self.lookup(kind, key)?);
                    self.delete(kind, id_of(&found)?, by).await?;
                }
                Ok(Answer::NoContent)
            }
            _ => {
                let found = self.get(kind, key).await?;
                Ok(Answer::Json(200, self.show(kind, found).await?))
            }
        }
    }

    /// The answer to a PATCH of nothing: what it was looked up by.
    fn missing(&self, kind: Kind, key: &str) -> Result<ApiError, ApiError> {
        let lookup = self.lookup(kind, key)?;
        let by_primary_key = lookup.iter().all(|(field, _)| *field == "id");
        let field = |(field, value): (&str, Value)| (field.to_owned(), value);
        Ok(ApiError::Missing {
            fields: lookup.into_iter().map(field).collect(),
            by_primary_key,
        })
    }

    /// `/certificates/{key}`, where the key may be the name of an SNI.
    async fn certificate(&self, key: &str, method: &str, body: Body) -> Result<Answer, ApiError> {
        let kind = Kind::Certificates;
        let id = match self.certificate_id(key).await {
            Ok(id) => id,
            Err(ApiError::NotFoundBecause(_)) if method == "PUT" => {
                return self.certificate_for_sni(key, body).await;
            }
            Err(err) => return Err(err),
        };
        let text = id.to_string();
        match method {
            "PUT" => Ok(Answer::Json(
                200,
                self.replace(kind, &by_id(id), body, &[]).await?,
            )),
            "DELETE" => {
                self.delete(kind, id, None).await?;
                Ok(Answer::NoContent)
            }
            _ => {
                let Some(found) = self.find(kind, &text).await? else {
                    return Err(self.missing(kind, &text)?);
                };
                if is_read(method) {
                    return Ok(Answer::Json(200, self.show(kind, found).await?));
                }
                let updated = self.update(kind, id, body, &[], None).await?;
                Ok(Answer::Json(200, updated))
            }
        }
    }

    /// PUT by the name of a new SNI: a new certificate. As in Kong, the name joins a list of
    /// SNIs in the body, but makes none.
    async fn certificate_for_sni(&self, sni: &str, body: Body) -> Result<Answer, ApiError> {
        let kind = Kind::Certificates;
        let mut input = super::input::document(schema_of(kind)?, body, None, &self.env());
        if let Some(Value::Array(snis)) = input.get_mut("snis")
            && !snis.contains(&json!(sni))
        {
            snis.push(json!(sni));
        }
        let created = self.create(kind, Body::Json(input), &[]).await?;
        Ok(Answer::Json(200, created))
    }

    /// The parent that a nested path names, or 404.
    pub async fn parent_id(&self, parent: Kind, key: &str) -> Result<Uuid, ApiError> {
        if parent == Kind::Certificates && as_id(key).is_none() {
            return self.certificate_id(key).await;
        }
        id_of(&self.get(parent, key).await?)
    }

    /// `/services/{key}/routes`.
    pub async fn children(
        &self,
        (parent, key): (Kind, &str),
        (child, field): (Kind, &'static str),
        method: &str,
        arguments: &[(String, String)],
        body: Body,
    ) -> Result<Answer, ApiError> {
        let parent_id = self.parent_id(parent, key).await?;
        if !is_read(method) {
            let forced = [(field, json!({ "id": parent_id }))];
            return Ok(Answer::Json(201, self.create(child, body, &forced).await?));
        }
        let nested = &schema_of(child)?.nested_name;
        let path = format!(
            "/{}/{}/{nested}",
            super::endpoint::path_name(parent),
            paging::escape(key)
        );
        if child == Kind::Targets {
            return self.active_targets(parent_id, &path, arguments).await;
        }
        let query = paging::page_query(arguments)?;
        let page = self
            .page(child, &query, Some((field, parent_id)), &path, "")
            .await?;
        Ok(Answer::Json(200, page))
    }

    /// `/services/{key}/routes/{child}`.
    pub async fn child(
        &self,
        (parent, key): (Kind, &str),
        (child, field): (Kind, &'static str),
        child_key: &str,
        method: &str,
        body: Body,
    ) -> Result<Answer, ApiError> {
        let parent_id = self.parent_id(parent, key).await?;
        if child == Kind::Targets {
            return self.target(parent_id, child_key, method, body).await;
        }
        let lookup = self.child_lookup(child, (field, parent_id), child_key)?;
        let found = self.store.entities().find(child, &lookup).await?;
        let own = found.filter(|found| points_to(found, field, parent_id));
        let pointer = [(field, json!({ "id": parent_id }))];
        match method {
            "PUT" => Ok(Answer::Json(
                200,
                self.replace(child, &lookup, body, &pointer).await?,
            )),
            "PATCH" => {
                let own = own.ok_or(ApiError::NotFound)?;
                let id = id_of(&own)?;
                let updated = self.update(child, id, body, &pointer, None).await?;
                Ok(Answer::Json(200, updated))
            }
            "DELETE" => {
                let own = own.ok_or(ApiError::NotFound)?;
                self.delete(child, id_of(&own)?, None).await?;
                Ok(Answer::NoContent)
            }
            _ => {
                let own = own.ok_or(ApiError::NotFound)?;
                Ok(Answer::Json(200, self.show(child, own).await?))
            }
        }
    }

    /// `/routes/{key}/service`.
    pub async fn parent(
        &self,
        (child, key): (Kind, &str),
        (field, parent): (&'static str, Kind),
        method: &str,
        body: Body,
    ) -> Result<Answer, ApiError> {
        let owner = self.get(child, key).await?;
        let pointer = owner.get(field).and_then(|value| value.get("id")?.as_str());
        let parent_id = pointer.and_then(|id| Uuid::parse_str(id).ok());
        match (method, parent_id) {
            ("PUT", None) => Ok(Answer::Json(
                200,
                self.create_parent((child, &owner), (field, parent), body)
                    .await?,
            )),
            (_, None) => Err(ApiError::NotFound),
            ("PUT", Some(id)) => Ok(Answer::Json(
                200,
                self.replace(parent, &by_id(id), body, &[]).await?,
            )),
            ("PATCH", Some(id)) => {
                let updated = self.update(parent, id, body, &[], None).await?;
                Ok(Answer::Json(200, updated))
            }
            ("DELETE", Some(_)) => Err(ApiError::MethodNotAllowed),
            (_, Some(id)) => {
                let found = self.by_id(parent, id).await?;
                Ok(Answer::Json(200, self.show(parent, found).await?))
            }
        }
    }
}

fn by_id(id: Uuid) -> Lookup {
    vec![("id", json!(id))]
}

fn points_to(document: &Document, field: &str, parent: Uuid) -> bool {
    let id = document
        .get(field)
        .and_then(|value| value.get("id")?.as_str());
    id.and_then(|id| Uuid::parse_str(id).ok()) == Some(parent)
}
