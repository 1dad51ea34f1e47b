//! The `snis` of a certificate: a list of names in requests and answers, entities of their
//! own in the store.

use super::api::{Api, id_of, schema_of};
use super::error::ApiError;
use crate::control_plane::config_store::{Document, Key, PageRequest, Write};
use crate::model::Kind;
use crate::schema::Violations;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

impl Api {
    /// The SNIs of a certificate.
    async fn snis(&self, certificate: Uuid) -> Result<Vec<Document>, ApiError> {
        self.all_children(Kind::Snis, "certificate", certificate)
            .await
    }

    /// The names of a certificate's SNIs, sorted.
    pub async fn sni_names(&self, certificate: Uuid) -> Result<Vec<String>, ApiError> {
        let snis = self.snis(certificate).await?;
        let mut names: Vec<String> = snis
            .iter()
            .filter_map(|sni| sni.get("name")?.as_str().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// The names that a body asks for; `None` when it has no list. Checked before the schema
    /// sees the certificate: for repetition, then each name by itself and for its owner.
    /// `certificate` is the one that is changed.
    ///
    /// # Errors
    /// A name given twice, owned by another certificate (code 2), or not valid (code 10).
    pub async fn asked_snis(
        &self,
        asked: Option<&Value>,
        certificate: Option<Uuid>,
    ) -> Result<Option<Vec<String>>, ApiError> {
        let list = match asked {
            Some(Value::Array(list)) => list.as_slice(),
            Some(Value::Null) if certificate.is_some() => &[],
            // The schema says what is wrong with anything else.
            _ => return Ok(None),
        };
        let refused = |why: String| Err(ApiError::Schema(Violations::of("snis", why)));
        let mut seen = BTreeSet::new();
        for name in list {
            if !seen.insert(name.to_string()) {
                let name = name.as_str().map_or(name.to_string(), str::to_owned);
                return refused(format!("{name} is duplicated"));
            }
        }
        let entity = schema_of(Kind::Snis)?;
        let mut names = Vec::with_capacity(list.len());
        for name in list {
            let invalid = |why| ApiError::InvalidUnique {
                field: "name".to_owned(),
                why,
            };
            entity
                .check_field("name", name, &self.env())
                .map_err(invalid)?;
            let text = name.as_str().unwrap_or_default();
            match self.sni_owner(text).await? {
                Some(owner) if certificate != Some(owner) => {
                    return refused(format!(
                        "{text} already associated with existing certificate '{owner}'"
                    ));
                }
                _ => names.push(text.to_owned()),
            }
        }
        Ok(Some(names))
    }

    /// The writes that leave a certificate with just these SNIs.
    pub async fn sni_writes(
        &self,
        certificate: Uuid,
        names: &[String],
    ) -> Result<Vec<Write>, ApiError> {
        let mut missing: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let mut writes = Vec::new();
        for sni in self.snis(certificate).await? {
            let name = sni.get("name").and_then(Value::as_str).unwrap_or_default();
            if !missing.remove(name) {
                writes.push(Write::Delete {
                    kind: Kind::Snis,
                    id: id_of(&sni)?,
                });
            }
        }
        for name in missing {
            let sni = json!({"name": name, "certificate": {"id": certificate}});
            let sni = sni.as_object().cloned().unwrap_or_default();
            let document = schema_of(Kind::Snis)?
                .insert(sni, &self.env())
                .map_err(ApiError::Schema)?;
            writes.push(Write::Insert {
                kind: Kind::Snis,
                document,
            });
        }
        Ok(writes)
    }

    /// The certificate that an SNI belongs to.
    async fn sni_owner(&self, name: &str) -> Result<Option<Uuid>, ApiError> {
        let key = Key::Unique("name", json!(name));
        let sni = self.store.entities().get(Kind::Snis, &key).await?;
        let owner = sni
            .as_ref()
            .and_then(|sni| sni.get("certificate")?.get("id")?.as_str());
        Ok(owner.and_then(|id| Uuid::parse_str(id).ok()))
    }

    /// The certificate that a path's key names: an id, or the name of one of its SNIs.
    ///
    /// # Errors
    /// No such SNI, or a name that none can have (code 10).
    pub async fn certificate_id(&self, key: &str) -> Result<Uuid, ApiError> {
        if let Some(id) = super::api::as_id(key) {
            return Ok(id);
        }
        self.key(Kind::Snis, key)?;
        let owner = self.sni_owner(key).await?;
        owner.ok_or_else(|| ApiError::NotFoundBecause("SNI not found".to_owned()))
    }

    /// All children of a parent, however many pages they are.
    pub async fn all_children(
        &self,
        child: Kind,
        field: &'static str,
        parent: Uuid,
    ) -> Result<Vec<Document>, ApiError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let request = PageRequest {
                after,
                size: 1000,
                tags: None,
                filter: Some((field, parent)),
            };
            let page = self.store.entities().page(child, &request).await?;
            found.extend(page.documents);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }
}
