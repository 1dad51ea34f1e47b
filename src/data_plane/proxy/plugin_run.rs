//! Which plugins a request has, and what they do before it is sent anywhere.

use super::clock::Clock;
use super::errors::{Asked, negotiated, of_status, plain_json};
use super::exchange::{Current, Exchange};
use super::plugin_context::context;
use super::settings::ProxySettings;
use crate::data_plane::router::{Plan, PluginInstance};
use crate::http::Reply;
use crate::plugins::{Access, Flow, Part, Phases, State, Timestamp};
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use uuid::Uuid;

/// What a client is told of a plugin that failed.
pub const UNEXPECTED: &str = "An unexpected error occurred";

/// What clients are told where this node cannot do what is configured.
const CLOSED: &str = "This route is closed: its configuration is not in effect on this gateway";

/// How much of the request's body the access phase wants to see, in bytes.
pub fn body_limit(exchange: &Exchange) -> Option<usize> {
    let plan = &exchange.plan;
    if plan.closes() {
        return None;
    }
    plan.iter()
        .filter_map(|instance| instance.handler.body_limit())
        .max()
}

/// The rewrite phase of the global plugins, before a route is looked for.
pub fn rewrite(
    exchange: &mut Exchange,
    settings: &ProxySettings,
    clock: &impl Clock,
) -> Option<Reply> {
    let plan = plan(exchange.current.as_ref()?, None);
    let mut answer = None;
    for instance in plan.iter() {
        if !instance.phases.contains(Phases::REWRITE) || answer.is_some() {
            continue;
        }
        let now = Timestamp(clock.epoch_ms());
        let mut running = exchange.take_running(instance);
        let timed = settings.instrumentations.plugin_rewrite;
        let begun = timed.then(|| clock.monotonic_us());
        let flow = match context(exchange, &mut running.state, now) {
            Some(mut context) => isolated(|| instance.handler.rewrite(&mut context)),
            None => Ok(Flow::Continue),
        };
        let done = || clock.monotonic_us();
        exchange.keep_time(Part::Rewrite, Some(&instance.name), begun, done);
        exchange.keep_early(running);
        answer = answer_of(flow, exchange, instance, "rewrite", settings);
    }
    answer
}

/// The access phase. Every plugin of the request is collected for the later phases, also
/// those behind one that answers. The configuration of each is chosen when its turn comes,
/// so that an authentication plugin changes what follows it.
///
/// Plugins see the time of this phase, not of the request's head: what has waited for its body
/// must not count into a window that is over.
pub async fn access(
    exchange: &mut Exchange,
    settings: &ProxySettings,
    clock: &impl Clock,
) -> Option<Reply> {
    let mut consumer = None;
    let mut plugins = std::mem::take(&mut exchange.plan);
    if plugins.is_empty() {
        return None;
    }
    if plugins.closes() {
        return Some(closed(exchange));
    }
    let mut answer = None;
    let now = Timestamp(clock.epoch_ms());
    let mut next = 0;
    while let Some(instance) = plugins.get(next) {
        let instance = Arc::clone(instance);
        let running = exchange.take_running(&instance);
        // Collected first: it has its later phases also where this one is never finished.
        exchange.collect(running);
        next += 1;
        if answer.is_some() || !instance.phases.contains(Phases::ACCESS) {
            continue;
        }
        let timed = settings.instrumentations.plugin_access;
        let begun = timed.then(|| clock.monotonic_us());
        let flow = run_access(exchange, &instance, now).await;
        let done = || clock.monotonic_us();
        exchange.keep_time(Part::Access, Some(&instance.name), begun, done);
        answer = answer_of(flow, exchange, &instance, "access", settings);
        let found = exchange.identity.consumer.as_ref().map(|found| found.id);
        if found != consumer {
            consumer = found;
            let current = exchange.current.as_ref()?;
            if !current.snapshot.plugins_depend_on_consumer() {
                continue;
            }
            plugins = plan(current, consumer);
            if answer.is_none() && plugins.closes() {
                return Some(closed(exchange));
            }
            next = plugins.partition_point(|other| other.order() >= instance.order());
        }
    }
    answer
}

async fn run_access(
    exchange: &mut Exchange,
    instance: &PluginInstance,
    now: Timestamp,
) -> Result<Flow, Panicked> {
    let own = exchange.plugins.last_mut();
    let mut state = own.map_or_else(State::default, |own| std::mem::take(&mut own.state));
    let flow = match context(exchange, &mut state, now) {
        None => Ok(Flow::Continue),
        Some(mut context) => match isolated(|| instance.handler.access(&mut context)) {
            Ok(access) => finished(access).await,
            Err(panicked) => Err(panicked),
        },
    };
    if let Some(own) = exchange.plugins.last_mut() {
        own.state = state;
    }
    flow
}

/// Waits for a decision that may take a while.
pub async fn finished(access: Access<'_>) -> Result<Flow, Panicked> {
    match access {
        Access::Ready(flow) => Ok(flow),
        Access::Pending(mut flow) => {
            std::future::poll_fn(|cx| match isolated(|| flow.as_mut().poll(cx)) {
                Ok(polled) => polled.map(Ok),
                Err(panicked) => Poll::Ready(Err(panicked)),
            })
            .await
        }
    }
}

/// A plugin has panicked; the panic hook has told where.
pub struct Panicked;

/// Runs a part of a plugin: what it does to itself is no harm to anybody else. The state it
/// shares with other requests is its own to keep sound.
pub fn isolated<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| Panicked)
}

/// A request that ends before access has the global plugins alone in its later phases.
pub fn collect_global(exchange: &mut Exchange) {
    let Some(current) = &exchange.current else {
        return;
    };
    let plan = current.snapshot.plugins_for(None, None, None);
    for instance in plan.iter().filter(|instance| !instance.closes) {
        let running = exchange.take_running(instance);
        exchange.collect(running);
    }
}

/// The later phases of a request that ends before its access phase does have all its plugins
/// all the same; those of a request that ends before access have the global ones.
pub fn collect_rest(exchange: &mut Exchange) {
    if std::mem::replace(&mut exchange.collected, true) {
        return;
    }
    let (Some(current), Some(last)) = (&exchange.current, exchange.plugins.last()) else {
        return collect_global(exchange);
    };
    let consumer = exchange.identity.consumer.as_ref().map(|found| found.id);
    let plugins = plan(current, consumer);
    let next = plugins.partition_point(|other| other.order() >= last.instance.order());
    for instance in plugins.iter().skip(next) {
        let running = exchange.take_running(instance);
        exchange.collect(running);
    }
}

/// The plugins of a request, as far as it is known.
pub fn plan(current: &Current, consumer: Option<Uuid>) -> Plan {
    let matched = current.matched.as_ref();
    let route = matched.map(|matched| matched.route.id);
    let service = matched.and_then(|matched| matched.service.as_ref());
    current
        .snapshot
        .plugins_for(route, service.map(|service| service.id), consumer)
}

/// The answer where requests must not pass. Why, the quarantine of this node says; it is none of
/// the client's business.
fn closed(exchange: &Exchange) -> Reply {
    let id = exchange.request_id.as_str();
    negotiated(503, CLOSED, &Asked::of(&exchange.head), id)
}

/// The answer that a phase has decided on, if any.
pub fn answer_of(
    flow: Result<Flow, Panicked>,
    exchange: &Exchange,
    instance: &PluginInstance,
    phase: &str,
    settings: &ProxySettings,
) -> Option<Reply> {
    if matches!(flow, Ok(Flow::Continue)) {
        return None;
    }
    let id = exchange.request_id.as_str();
    let asked = Asked::of(&exchange.head);
    match flow {
        Ok(Flow::Continue) => None,
        Ok(Flow::Respond(reply)) => Some(reply),
        Ok(Flow::Refuse(refusal)) => {
            let mut reply = negotiated(refusal.status, &refusal.message, &asked, id);
            let headers = refusal.headers.into_iter();
            let headers = headers.map(|(name, value): (_, Bytes)| (name.into(), value));
            reply.headers.extend(headers);
            Some(reply)
        }
        Ok(Flow::Status(status)) => {
            Some(of_status(status, &asked, &settings.error_default_type, id))
        }
        Ok(Flow::Fail(reason)) => {
            let plugin = &*instance.name;
            tracing::error!(plugin, phase, request_id = id, %reason, "plugin failed");
            Some(plain_json(500, UNEXPECTED))
        }
        Err(Panicked) => {
            settings.plugin_panics.report(&instance.name, phase, id);
            Some(plain_json(500, UNEXPECTED))
        }
    }
}
