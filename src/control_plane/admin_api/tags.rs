//! `/tags`: a view over the tags of all entities.

use super::api::Api;
use super::error::ApiError;
use super::paging::{self, argument};
use super::reply::Answer;
use crate::control_plane::config_store::{PageRequest, TagFilter};
use crate::model::Kind;
use crate::schema;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

/// One tag of one entity; ordered by entity id, then by its place in the entity's list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tagged {
    id: Uuid,
    ordinality: u64,
    kind: Kind,
    tag: String,
}

impl Api {
    /// `GET /tags` and `GET /tags/{tag}`.
    pub async fn tags(
        &self,
        only: Option<&str>,
        arguments: &[(String, String)],
    ) -> Result<Answer, ApiError> {
        if let Some(tag) = only {
            self.check_tag(tag)?;
        }
        let size = argument(arguments, "size").map(paging::size).transpose()?;
        let after = argument(arguments, "offset").map(after).transpose()?;
        let mut tagged = self.tagged(only).await?;
        tagged.sort();
        let start = match after {
            Some(after) => tagged.partition_point(|tag| (tag.id, tag.ordinality) <= after),
            None => 0,
        };
        let page = &tagged[start..tagged.len().min(start + size.unwrap_or(100))];
        let is_last = start + page.len() == tagged.len();
        let next = page.last().filter(|_| !is_last);
        let token =
            next.map(|last| STANDARD_NO_PAD.encode(json!([last.id, last.ordinality]).to_string()));
        let data = page
            .iter()
            .map(|tag| json!({"tag": tag.tag, "entity_name": tag.kind, "entity_id": tag.id}))
            .collect();
        let path = match only {
            Some(tag) => format!("/tags/{}", paging::escape(tag)),
            None => "/tags".to_owned(),
        };
        let suffix = size.map(|size| format!("&size={size}")).unwrap_or_default();
        Ok(Answer::Json(200, paging::page(&path, data, token, &suffix)))
    }

    fn check_tag(&self, tag: &str) -> Result<(), ApiError> {
        schema::entity("tags")
            .map_or(Ok(()), |tags| {
                tags.check_field("tag", &json!(tag), &self.env())
            })
            .map_err(|why| ApiError::InvalidUnique {
                field: "tag".to_owned(),
                why,
            })
    }

    async fn tagged(&self, only: Option<&str>) -> Result<Vec<Tagged>, ApiError> {
        let mut found = Vec::new();
        for kind in Kind::ALL {
            let mut after = None;
            loop {
                let tags = only.map(|tag| TagFilter::All(vec![tag.to_owned()]));
                let request = PageRequest {
                    after,
                    size: 1000,
                    tags,
                    filter: None,
                };
                let page = self.store.store().page(kind, &request).await?;
                for document in &page.documents {
                    let id = super::api::id_of(document)?;
                    let tags = document.get("tags").and_then(Value::as_array);
                    let texts = tags.into_iter().flatten().filter_map(Value::as_str);
                    found.extend(
                        texts
                            .zip(1..)
                            .filter(|(tag, _)| only.is_none_or(|only| only == *tag))
                            .map(|(tag, ordinality)| Tagged {
                                id,
                                ordinality,
                                kind,
                                tag: tag.to_owned(),
                            }),
                    );
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Ok(found)
    }
}

/// The place that a token names.
fn after(token: &str) -> Result<(Uuid, u64), ApiError> {
    let refused = |why| ApiError::InvalidOffset {
        token: token.to_owned(),
        why,
    };
    let bytes = STANDARD_NO_PAD
        .decode(token.trim_end_matches('='))
        .map_err(|_| refused("bad base64 encoding"))?;
    let json: Value = serde_json::from_slice(&bytes).map_err(|_| refused("bad json encoding"))?;
    let id = json
        .get(0)
        .and_then(Value::as_str)
        .and_then(|id| Uuid::parse_str(id).ok());
    let ordinality = json.get(1).and_then(Value::as_u64);
    Ok((id.unwrap_or(Uuid::max()), ordinality.unwrap_or(u64::MAX)))
}
