//! Answers with the headers that every Admin API answer carries.

use super::effect::Effect;
use super::error::ApiError;
use super::openapi;
use crate::model::{RequestId, Revision};
use crate::serve::browser::Grant;
use actix_web::http::header::HeaderValue;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde_json::Value;
use std::time::Instant;

/// What Langur calls itself in `Server`.
pub const SERVER: &str = concat!("langur/", env!("CARGO_PKG_VERSION"));

/// Which headers answers carry, by the settings.
#[derive(Clone, Debug)]
pub struct AnswerHeaders {
    pub server: bool,
    pub latency: bool,
}

/// A success, or something that is not an error of an entity.
#[derive(Debug)]
pub enum Answer {
    Json(u16, Value),
    /// JSON that is too much to be held as a tree.
    JsonText(u16, String),
    /// JSON with extra headers.
    JsonWith(u16, Value, Vec<(&'static str, String)>),
    Text {
        content_type: &'static str,
        body: String,
    },
    /// JSON that seldom changes; a client that has it already is told so.
    Tagged(openapi::Text),
    NoContent,
    /// What the client has is what there is.
    NotModified,
    /// The answer to OPTIONS: which methods there are.
    Options(&'static str),
}

/// What every answer says beside what it was asked.
pub struct About {
    /// By which the logs of both planes name what came of the request.
    pub request_id: RequestId,
    /// The newest committed revision, so that a client can ask `/clustering/data-planes` whether
    /// what it wrote is in effect.
    pub newest: Revision,
    /// Of a write that was waited for: its revision is said instead.
    pub effect: Effect,
    pub started: Instant,
    /// Who may see the answer.
    pub grant: Grant,
}

/// Builds the response.
pub fn respond(
    request: &HttpRequest,
    headers: &AnswerHeaders,
    result: Result<Answer, ApiError>,
    about: &About,
) -> HttpResponse {
    let status = match &result {
        Ok(
            Answer::Json(status, _) | Answer::JsonText(status, _) | Answer::JsonWith(status, _, _),
        ) => *status,
        Ok(Answer::Text { .. }) => 200,
        Ok(Answer::Tagged(text)) if has_already(request, &text.tag) => 304,
        Ok(Answer::Tagged(_)) => 200,
        Ok(Answer::NoContent | Answer::Options(_)) => 204,
        Ok(Answer::NotModified) => 304,
        Err(error) => error.status(),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::build(status);
    common_headers(&mut builder, headers, about);
    let is_trace = matches!(result, Err(ApiError::TraceNotAllowed));
    let mut response = match result {
        Ok(Answer::Json(_, body)) => json(&mut builder, &body),
        Ok(Answer::JsonText(_, text)) => json_text(&mut builder, text),
        Ok(Answer::JsonWith(_, body, headers)) => {
            for (name, value) in headers {
                builder.insert_header((name, value));
            }
            json(&mut builder, &body)
        }
        Ok(Answer::Text { content_type, body }) => builder.content_type(content_type).body(body),
        Ok(Answer::Tagged(text)) => {
            builder.insert_header((header::ETAG, text.tag));
            match status {
                StatusCode::NOT_MODIFIED => builder.finish(),
                _ => builder
                    .content_type("application/json; charset=utf-8")
                    .body(text.body),
            }
        }
        Ok(Answer::NoContent | Answer::NotModified) => builder.finish(),
        Ok(Answer::Options(methods)) => options(&mut builder, request, &about.grant, methods),
        Err(error) => {
            if matches!(error, ApiError::Busy | ApiError::Unavailable) {
                builder.insert_header((header::RETRY_AFTER, "1"));
            }
            if matches!(error, ApiError::TooSlow) {
                builder.force_close();
            }
            match error.body() {
                Some(body) => json(&mut builder, &body),
                None => page(&mut builder, status),
            }
        }
    };
    if !is_trace {
        about.grant.insert_headers(response.headers_mut());
    }
    response
}

fn common_headers(builder: &mut HttpResponseBuilder, headers: &AnswerHeaders, about: &About) {
    if headers.server {
        builder.insert_header((header::SERVER, SERVER));
    }
    if headers.latency {
        let latency = about.started.elapsed().as_millis().to_string();
        builder.insert_header(("X-Kong-Admin-Latency", latency));
    }
    let waited = about.effect.waited.as_ref();
    let revision = waited.map_or(about.newest, |(revision, _)| *revision);
    builder
        .insert_header(("X-Kong-Admin-Request-ID", about.request_id.to_string()))
        .insert_header(("X-Langur-Revision", revision.to_string()));
    about.effect.insert_headers(builder);
}

/// Whether one of the tags that the client has is this one (RFC 9110 §13.1.2).
fn has_already(request: &HttpRequest, tag: &str) -> bool {
    let known = request.headers().get_all(header::IF_NONE_MATCH);
    known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == tag || one == "*")
}

/// An answer that says its status to people.
fn page(builder: &mut HttpResponseBuilder, status: StatusCode) -> HttpResponse {
    builder
        .content_type("text/html; charset=UTF-8")
        .body(format!(
            "<!doctype html>\n<html><head><title>{status}</title></head>\
             <body><h1>{status}</h1></body></html>\n"
        ))
}

fn json(builder: &mut HttpResponseBuilder, body: &Value) -> HttpResponse {
    json_text(builder, body.to_string())
}

/// actix leaves the body of an answer to HEAD out and keeps its length.
fn json_text(builder: &mut HttpResponseBuilder, text: String) -> HttpResponse {
    builder
        .content_type("application/json; charset=utf-8")
        .body(text)
}

fn options(
    builder: &mut HttpResponseBuilder,
    request: &HttpRequest,
    grant: &Grant,
    methods: &'static str,
) -> HttpResponse {
    builder.insert_header((header::ALLOW, methods));
    if *grant == Grant::Nobody {
        return builder.finish();
    }
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let default = HeaderValue::from_static("Content-Type");
    let allowed = asked.unwrap_or(&default);
    builder
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, allowed))
        .finish()
}
