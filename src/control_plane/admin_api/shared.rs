//! What the handlers of one listener share, and what is known of the node they run on.

use super::api::Api;
use super::openapi::Description;
use super::reply::AnswerHeaders;
use crate::settings::LogControl;
use crate::telemetry::status::StatusContext;
use actix_web::web;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// What is known of the node at its start.
#[derive(Clone)]
pub struct Node {
    pub id: Uuid,
    pub hostname: String,
    /// The effective settings, secrets masked.
    pub configuration: Arc<Value>,
}

/// What the handlers of one listener share.
#[derive(Clone)]
pub struct Shared {
    pub api: Api,
    pub node: Node,
    /// Whether the role is `control_plane`: some endpoints are there only then, or only else.
    pub hybrid: bool,
    /// `/status`, `/metrics` and `/debug/actors`, the same as on the status listener.
    pub status: web::Data<StatusContext>,
    pub log: LogControl,
    pub openapi: Description,
    pub headers: AnswerHeaders,
    /// Bytes of a request body.
    pub max_body: usize,
}
