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

    /// The writes that give a certificate just these SNIs; `None` leaves them as they are.
    ///
    /// # Errors
    /// A name given twice, or owned by another certificate.
    pub async fn change_snis(
        &self,
        certificate: Uuid,
        asked: Option<&Value>,
        writes: &mut Vec<Write>,
    ) -> Result<(), ApiError> {
        let Some(asked) = asked else { return Ok(()) };
        let names: Vec<&str> = asked
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let refused = |why: String| ApiError::Schema(Violations::of("snis", why));
        let mut wanted = BTreeSet::new();
        for name in &names {
            if !wanted.insert(*name) {
                return Err(refused(format!("{name} is duplicated")));
            }
        }
        for name in &names {
            let owner = self
                .store
                .store()
                .get(Kind::Snis, &Key::Unique("name", json!(name)))
                .await?;
            let owner = owner
                .as_ref()
                .and_then(|sni| sni.get("certificate")?.get("id")?.as_str());
            match owner {
                Some(owner) if owner == certificate.to_string() => {}
                Some(owner) => {
                    let text =
                        format!("{name} already associated with existing certificate '{owner}'");
                    return Err(refused(text));
                }
                None => {
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
            }
        }
        for sni in self.snis(certificate).await? {
            let name = sni.get("name").and_then(Value::as_str).unwrap_or_default();
            if !wanted.contains(name) {
                writes.push(Write::Delete {
                    kind: Kind::Snis,
                    id: id_of(&sni)?,
                });
            }
        }
        Ok(())
    }

    /// The certificate that a path's key names: an id, or the name of one of its SNIs.
    ///
    /// # Errors
    /// No such SNI.
    pub async fn certificate_id(&self, key: &str) -> Result<Uuid, ApiError> {
        if let Some(id) = super::api::as_id(key) {
            return Ok(id);
        }
        let sni = self.find(Kind::Snis, key).await?;
        let id = sni
            .as_ref()
            .and_then(|sni| sni.get("certificate")?.get("id")?.as_str());
        let id = id.and_then(|id| Uuid::parse_str(id).ok());
        id.ok_or_else(|| ApiError::NotFoundBecause("SNI not found".to_owned()))
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
            let page = self.store.store().page(child, &request).await?;
            found.extend(page.documents);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }
}
