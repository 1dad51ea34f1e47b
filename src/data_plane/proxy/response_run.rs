//! What the plugins of a request do from its response's head on.

use super::clock::Clock;
use super::errors::{Asked, negotiated};
use super::exchange::Exchange;
use super::panics::PluginPanics;
use super::plugin_context::context;
use super::plugin_run::{Panicked, answer_of, finished, isolated};
use super::settings::ProxySettings;
use crate::data_plane::exchange::Piece;
use crate::http::{HeaderEdits, Reply, ResponseHead};
use crate::plugins::{BodyUse, Chunk, Part, Phases, RequestLog, Response, Timestamp};
use bytes::Bytes;
use std::sync::Arc;

/// The largest body that the plugins which want it whole take, in bytes; `None` when none wants it.
pub fn whole_response(exchange: &Exchange) -> Option<usize> {
    if !exchange.phases.contains(Phases::RESPONSE) {
        return None;
    }
    let plugins = exchange.plugins.iter();
    let wanting = plugins.filter(|running| running.instance.phases.contains(Phases::RESPONSE));
    wanting
        .map(|running| running.instance.handler.response_limit())
        .min()
}

/// The answer in place of a response that is larger than a plugin can take.
pub fn too_large(exchange: &Exchange, limit: usize) -> Reply {
    let request_id = exchange.request_id.as_str();
    tracing::error!(
        request_id,
        limit,
        "the body of a response is larger than its plugins take"
    );
    let message = "An invalid response was received from the upstream server";
    negotiated(502, message, &Asked::of(&exchange.head), request_id)
}

/// The response phase: `head` and `body` are those of the upstream.
///
/// # Errors
/// What the client gets instead of the response.
pub async fn response(
    exchange: &mut Exchange,
    head: &mut ResponseHead,
    body: &mut Vec<u8>,
    settings: &ProxySettings,
) -> Result<(), Reply> {
    let now = exchange.answered_at();
    let mut status = head.status;
    let mut plugins = std::mem::take(&mut exchange.plugins);
    let mut answer = None;
    for running in &mut plugins {
        if !running.instance.phases.contains(Phases::RESPONSE) {
            continue;
        }
        let instance = Arc::clone(&running.instance);
        let upstream_status = exchange.upstream_status;
        let flow = match context(exchange, &mut running.state, now) {
            Some(mut context) => {
                context.response = Some(Response {
                    status: &mut status,
                    head: Some(head),
                    upstream_status,
                    sent: None,
                    failed: false,
                });
                match isolated(|| instance.handler.response(&mut context, body)) {
                    Ok(access) => finished(access).await,
                    Err(panicked) => Err(panicked),
                }
            }
            None => break,
        };
        answer = answer_of(flow, exchange, &instance, "response", settings);
        if answer.is_some() {
            break;
        }
    }
    exchange.plugins = plugins;
    head.status = status;
    answer.map_or(Ok(()), Err)
}

/// The header phase over every collected plugin. `head` is `None` for the gateway's own
/// answers. Returns the status, which plugins may change, and what they will do with the body.
///
/// # Errors
/// A plugin has panicked or failed. The others ran, but its own work is not done: a response that it may
/// have had to change must not pass.
pub fn header_filter(
    exchange: &mut Exchange,
    head: Option<&ResponseHead>,
    edits: &mut HeaderEdits,
    status: u16,
    settings: &ProxySettings,
    clock: &impl Clock,
) -> (u16, Result<BodyUse, Panicked>) {
    let mut status = status;
    let mut outcome = Ok(BodyUse::None);
    let wanted = [Phases::HEADER_FILTER, Phases::BODY_FILTER];
    if !wanted.iter().any(|phase| exchange.phases.contains(*phase)) {
        return (status, outcome);
    }
    let now = exchange.answered_at();
    let upstream_status = exchange.upstream_status;
    let mut plugins = std::mem::take(&mut exchange.plugins);
    std::mem::swap(&mut exchange.response_edits, edits);
    for running in &mut plugins {
        let instance = &*running.instance;
        running.body_use = BodyUse::None;
        let (filters_head, filters_body) = (
            instance.phases.contains(Phases::HEADER_FILTER),
            instance.phases.contains(Phases::BODY_FILTER),
        );
        if !filters_head && !filters_body {
            continue;
        }
        let timed = filters_head && settings.instrumentations.plugin_header_filter;
        let begun = timed.then(|| clock.monotonic_us());
        let Some(mut context) = context(exchange, &mut running.state, now) else {
            break;
        };
        context.response = Some(Response {
            status: &mut status,
            head,
            upstream_status,
            sent: None,
            failed: false,
        });
        let filtered = isolated(|| {
            if filters_head {
                instance.handler.header_filter(&mut context);
            }
            match filters_body {
                true => instance.handler.body_use(&mut context),
                false => BodyUse::None,
            }
        });
        let failed = context.response.is_some_and(|response| response.failed);
        let done = || clock.monotonic_us();
        exchange.keep_time(Part::HeaderFilter, Some(&instance.name), begun, done);
        match filtered {
            Ok(_) if failed => outcome = Err(Panicked),
            Ok(body_use) => {
                running.body_use = body_use;
                outcome = outcome.map(|most| most.max(body_use));
            }
            Err(Panicked) => {
                let request_id = exchange.request_id.as_str();
                let panics = &settings.plugin_panics;
                panics.report(&instance.name, "header_filter", request_id);
                outcome = Err(Panicked);
            }
        }
    }
    std::mem::swap(&mut exchange.response_edits, edits);
    exchange.plugins = plugins;
    (status, outcome)
}

/// The body phase over every plugin that has said that it looks at the body.
pub fn body_filter(
    exchange: &mut Exchange,
    data: Bytes,
    last: bool,
    panics: &PluginPanics,
) -> Piece {
    let now = exchange.answered_at();
    let upstream_status = exchange.upstream_status;
    let mut status = exchange.status;
    let mut chunk = Chunk { data, last };
    let mut whole = true;
    let mut plugins = std::mem::take(&mut exchange.plugins);
    let sent = std::mem::take(&mut exchange.sent);
    for running in &mut plugins {
        if running.body_use == BodyUse::None {
            continue;
        }
        let instance = &*running.instance;
        let Some(mut context) = context(exchange, &mut running.state, now) else {
            break;
        };
        context.response = Some(Response {
            status: &mut status,
            head: None,
            upstream_status,
            sent: Some(&sent),
            failed: false,
        });
        let before = (running.body_use == BodyUse::Watch).then(|| chunk.data.clone());
        match isolated(|| instance.handler.body_filter(&mut context, &mut chunk)) {
            Ok(true) => {}
            Ok(false) => whole = false,
            Err(Panicked) => {
                panics.report(&instance.name, "body_filter", exchange.request_id.as_str());
                whole = false;
            }
        }
        if let Some(before) = before {
            chunk.data = before;
        }
        chunk.last = last;
        if !whole {
            break;
        }
    }
    exchange.plugins = plugins;
    exchange.sent = sent;
    match whole {
        true => Piece::Send(chunk.data),
        false => Piece::Abort,
    }
}

/// The log phase.
pub fn log(exchange: &mut Exchange, now: Timestamp, log: &RequestLog<'_>, panics: &PluginPanics) {
    if !exchange.phases.contains(Phases::LOG_WITHOUT_HEADERS) {
        return;
    }
    let mut plugins = std::mem::take(&mut exchange.plugins);
    let mut status = log.status;
    for running in &mut plugins {
        let instance = &*running.instance;
        if !instance.phases.contains(Phases::LOG_WITHOUT_HEADERS) {
            continue;
        }
        let Some(mut context) = context(exchange, &mut running.state, now) else {
            break;
        };
        context.response = Some(Response {
            status: &mut status,
            head: None,
            upstream_status: log.upstream_status,
            sent: Some(log.headers),
            failed: false,
        });
        if isolated(|| instance.handler.log(&mut context, log)).is_err() {
            panics.report(&instance.name, "log", exchange.request_id.as_str());
        }
    }
    exchange.plugins = plugins;
}
