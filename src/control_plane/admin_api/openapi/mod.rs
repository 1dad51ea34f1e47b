//! `/openapi.json`: the Admin API described in OpenAPI 3.1, from the table of paths and the
//! schemas that it works by.
//!
//! Pure: the same node always gives the same text, so it is made once and has a tag.

mod bodies;
mod components;
mod document;
mod endpoints;
mod errors;
mod local;
mod operation;
mod pages;
mod revisions;
mod served;
mod upstream_health;

#[cfg(test)]
mod tests;

use crate::schema::Env;
use actix_web::web::Bytes;
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};

/// The description of one node's Admin API, made when it is first asked for.
#[derive(Clone, Debug, Default)]
pub struct Description(Arc<OnceLock<Text>>);

/// A text with the entity tag that changes with it.
#[derive(Clone, Debug)]
pub struct Text {
    pub body: Bytes,
    /// As `ETag` has it, quotes included.
    pub tag: String,
}

impl Description {
    /// `hybrid` is whether the node's role is `control_plane`; it and the surroundings are the
    /// node's own, and never change.
    pub fn text(&self, env: &Env<'_>, hybrid: bool) -> &Text {
        self.0.get_or_init(|| {
            let body = document::document(env, hybrid).to_string();
            Text {
                tag: format!("\"{:x}\"", Sha256::digest(&body)),
                body: Bytes::from(body),
            }
        })
    }
}
