//! `/tags`: a view over the tags of all entities.

use super::api::Api;
use super::error::ApiError;
use super::paging::{self, argument};
use super::reply::Answer;
use crate::control_plane::config_store::{Document, PageRequest, TagFilter};
use crate::model::Kind;
use crate::schema;
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
        let (wanted, suffix) = paging::asked_size(arguments)?;
        let after = argument(arguments, "offset")?.map(after).transpose()?;
        // One more than asked for tells whether there is a next page.
        let mut tagged = Vec::new();
        let has_tags = |kind: &Kind| {
            schema::entity(kind.as_str()).is_some_and(|entity| entity.field("tags").is_some())
        };
        for kind in Kind::ALL.into_iter().filter(has_tags) {
            tagged.extend(self.tagged(kind, only, after, wanted + 1).await?);
        }
        tagged.sort();
        let page = &tagged[..tagged.len().min(wanted)];
        let is_last = page.len() == tagged.len();
        let next = page.last().filter(|_| !is_last);
        let token = next.map(|last| paging::token_of(&json!([last.id, last.ordinality])));
        // Kong pages kind by kind without a database: behind the last one is a page without tags.
        let ends_empty = self.document.is_some() && only.is_none() && after.is_none();
        let token = token.or_else(|| ends_empty.then(|| paging::token(Uuid::max())));
        let data = page.iter().map(tag_document).collect();
        let path = match only {
            Some(tag) => format!("/tags/{}", paging::escape(tag)),
            None => "/tags".to_owned(),
        };
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

    /// The first tags of a kind behind a place, `wanted` of them or a few more.
    async fn tagged(
        &self,
        kind: Kind,
        only: Option<&str>,
        after: Option<(Uuid, u64)>,
        wanted: usize,
    ) -> Result<Vec<Tagged>, ApiError> {
        let mut found = Vec::new();
        // The entity at the place may have further tags, so it is read again.
        let mut from = after.and_then(|(id, _)| id.as_u128().checked_sub(1).map(Uuid::from_u128));
        while found.len() < wanted {
            let request = PageRequest {
                after: from,
                size: wanted as u64,
                tags: Some(match only {
                    Some(tag) => TagFilter::All(vec![tag.to_owned()]),
                    None => TagFilter::AnyTag,
                }),
                filter: None,
            };
            let page = self.store.entities().page(kind, &request).await?;
            for document in &page.documents {
                let behind = tags_of(kind, document)?.into_iter().filter(|tagged| {
                    let is_behind = Some((tagged.id, tagged.ordinality)) > after;
                    is_behind && only.is_none_or(|only| only == tagged.tag)
                });
                found.extend(behind);
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        Ok(found)
    }
}

fn tags_of(kind: Kind, document: &Document) -> Result<Vec<Tagged>, ApiError> {
    let id = super::api::id_of(document)?;
    let tags = document.get("tags").and_then(Value::as_array);
    let texts = tags.into_iter().flatten().filter_map(Value::as_str);
    let tagged = texts.zip(1..).map(|(tag, ordinality)| Tagged {
        id,
        ordinality,
        kind,
        tag: tag.to_owned(),
    });
    Ok(tagged.collect())
}

fn tag_document(tag: &Tagged) -> Value {
    let entity = schema::entity(tag.kind.as_str());
    let name = entity.map_or(tag.kind.as_str(), |entity| &entity.table_name);
    json!({"tag": tag.tag, "entity_name": name, "entity_id": tag.id})
}

/// The place that a token names.
fn after(token: &str) -> Result<(Uuid, u64), ApiError> {
    let json = paging::token_json(token)?;
    let id = json
        .get(0)
        .and_then(Value::as_str)
        .and_then(|id| Uuid::parse_str(id).ok());
    let ordinality = json.get(1).and_then(Value::as_u64);
    Ok((id.unwrap_or(Uuid::max()), ordinality.unwrap_or(u64::MAX)))
}
