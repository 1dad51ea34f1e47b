//! Runs the plugins of a request, phase by phase.

use super::clock::Clock;
use super::errors::{Asked, negotiated, of_status, plain_json};
use super::exchange::{Current, Exchange, entities};
use super::panics::PluginPanics;
use super::settings::ProxySettings;
use crate::data_plane::router::{CompiledConsumer, Plan, PluginFactory, PluginInstance, Snapshot};
use crate::http::{HeaderEdits, Reply, ResponseHead};
use crate::model;
use crate::plugins::{
    Access, Consumer, Context, Directory, Factory, Flow, Handler, KeyOwner, Response, RouteView,
    Timestamp,
};
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use uuid::Uuid;

/// What a client is told of a plugin that failed.
pub const UNEXPECTED: &str = "An unexpected error occurred";

/// What clients are told where this node cannot do what is configured.
const CLOSED: &str = "This route is closed: its configuration is not in effect on this gateway";

impl PluginFactory for Factory {
    fn build(&self, plugin: &model::Plugin) -> Result<Arc<dyn Handler>, String> {
        Factory::build(self, plugin).map_err(|error| error.to_string())
    }

    fn guards(&self, name: &str) -> bool {
        Factory::guards(self, name)
    }
}

impl Directory for Snapshot {
    fn key_owner(&self, key: &str) -> Option<KeyOwner> {
        let credential = self.credential_by_key(key)?;
        Some(KeyOwner {
            credential: credential.id,
            consumer: credential.consumer,
            expires_at: credential.expires_at,
        })
    }

    fn consumer(&self, id: Uuid) -> Option<Consumer> {
        Snapshot::consumer(self, id).map(|found| seen(found))
    }

    fn consumer_by_username(&self, username: &str) -> Option<Consumer> {
        Snapshot::consumer_by_username(self, username).map(|found| seen(found))
    }
}

/// A consumer as plugins see it.
fn seen(consumer: &CompiledConsumer) -> Consumer {
    Consumer {
        id: consumer.id,
        username: consumer.username.clone(),
        custom_id: consumer.custom_id.clone(),
    }
}

/// How much of the request's body the access phase wants to see.
pub fn body_limit(exchange: &Exchange) -> Option<usize> {
    let plan = plan(exchange.current.as_ref()?, None);
    if plan.closes() {
        return None;
    }
    plan.iter()
        .filter_map(|instance| instance.handler.body_limit())
        .max()
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
    let mut plugins = plan(exchange.current.as_ref()?, consumer);
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
        exchange.plugins.push(Arc::clone(&instance));
        next += 1;
        if answer.is_some() {
            continue;
        }
        answer = match run_access(exchange, &instance, now).await {
            Ok(flow) => reply_of(flow, exchange, &instance, &settings.error_default_type),
            Err(Panicked) => {
                let panics = &settings.plugin_panics;
                panics.report(&instance.name, "access", exchange.request_id.as_str());
                Some(plain_json(500, UNEXPECTED))
            }
        };
        let found = exchange.identity.consumer.as_ref().map(|found| found.id);
        if found != consumer {
            consumer = found;
            plugins = plan(exchange.current.as_ref()?, consumer);
            if answer.is_none() && plugins.closes() {
                return Some(closed(exchange));
            }
            next = plugins.partition_point(|other| order(other) >= order(&instance));
        }
    }
    answer
}

async fn run_access(
    exchange: &mut Exchange,
    instance: &PluginInstance,
    now: Timestamp,
) -> Result<Flow, Panicked> {
    let Some(mut context) = context(exchange, now) else {
        return Ok(Flow::Continue);
    };
    match isolated(|| instance.handler.access(&mut context))? {
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
fn isolated<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| Panicked)
}

/// A request that ends before access has the global plugins alone in its later phases.
pub fn collect_global(exchange: &mut Exchange) {
    let Some(current) = &exchange.current else {
        return;
    };
    let plan = current.snapshot.plugins_for(None, None, None);
    exchange
        .plugins
        .extend(plan.iter().filter(|instance| !instance.closes).cloned());
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
    let next = plugins.partition_point(|other| order(other) >= order(last));
    exchange.plugins.extend(plugins.iter().skip(next).cloned());
}

/// Larger runs first.
fn order(instance: &PluginInstance) -> (i32, &str) {
    (instance.handler.priority(), &instance.name)
}

fn plan(current: &Current, consumer: Option<Uuid>) -> Plan {
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

fn reply_of(
    flow: Flow,
    exchange: &Exchange,
    instance: &PluginInstance,
    error_default_type: &str,
) -> Option<Reply> {
    match flow {
        Flow::Continue => None,
        Flow::Respond(reply) => Some(reply),
        Flow::Refuse(refusal) => {
            let asked = Asked::of(&exchange.head);
            let id = exchange.request_id.as_str();
            let mut reply = negotiated(refusal.status, &refusal.message, &asked, id);
            let headers = refusal.headers.into_iter();
            let headers = headers.map(|(name, value): (_, Bytes)| (name.into(), value));
            reply.headers.extend(headers);
            Some(reply)
        }
        Flow::Status(status) => {
            let asked = Asked::of(&exchange.head);
            let id = exchange.request_id.as_str();
            Some(of_status(status, &asked, error_default_type, id))
        }
        Flow::Fail(reason) => {
            let (plugin, request_id) = (&*instance.name, exchange.request_id.as_str());
            tracing::error!(plugin, request_id, %reason, "plugin failed");
            Some(plain_json(500, UNEXPECTED))
        }
    }
}

/// The header phase over every collected plugin. `head` is `None` for the gateway's own
/// answers. Returns the status, which plugins may change.
///
/// # Errors
/// A plugin has panicked. The others ran, but its own work is not done: a response that it may
/// have had to change must not pass.
pub fn header_filter(
    exchange: &mut Exchange,
    head: Option<&ResponseHead>,
    edits: &mut HeaderEdits,
    status: u16,
    panics: &PluginPanics,
) -> (u16, Result<(), Panicked>) {
    let mut status = status;
    let mut outcome = Ok(());
    if exchange.plugins.is_empty() {
        return (status, outcome);
    }
    let now = exchange.answered_at();
    let plugins = std::mem::take(&mut exchange.plugins);
    std::mem::swap(&mut exchange.response_edits, edits);
    for instance in &plugins {
        let Some(mut context) = context(exchange, now) else {
            break;
        };
        context.response = Some(Response {
            status: &mut status,
            head,
        });
        if isolated(|| instance.handler.header_filter(&mut context)).is_err() {
            panics.report(
                &instance.name,
                "header_filter",
                exchange.request_id.as_str(),
            );
            outcome = Err(Panicked);
        }
    }
    std::mem::swap(&mut exchange.response_edits, edits);
    exchange.plugins = plugins;
    (status, outcome)
}

/// The log phase.
pub fn log(exchange: &mut Exchange, now: Timestamp, panics: &PluginPanics) {
    let plugins = std::mem::take(&mut exchange.plugins);
    let mut status = exchange.status;
    for instance in &plugins {
        let Some(mut context) = context(exchange, now) else {
            break;
        };
        context.response = Some(Response {
            status: &mut status,
            head: None,
        });
        if isolated(|| instance.handler.log(&context)).is_err() {
            panics.report(&instance.name, "log", exchange.request_id.as_str());
        }
    }
    exchange.plugins = plugins;
}

/// The request as a plugin sees it; `None` where no request has begun.
fn context(exchange: &mut Exchange, now: Timestamp) -> Option<Context<'_>> {
    let current = exchange.current.as_ref()?;
    let peer = exchange.peer(&current.client);
    let matched = current.matched.as_ref();
    let entities = matched.map(entities);
    Some(Context {
        head: &exchange.head,
        request_edits: &mut exchange.request_edits,
        query: &mut exchange.query,
        response_edits: &mut exchange.response_edits,
        body: exchange.body.as_deref(),
        new_body: &mut exchange.new_body,
        peer,
        normal_path: (!exchange.path_is_raw).then_some(&*exchange.path_buffer),
        matched: matched.map(|matched| matched as &dyn RouteView),
        route: entities.map(|(route, _)| route),
        service: entities.and_then(|(_, service)| service),
        identity: &mut exchange.identity,
        directory: &*current.snapshot,
        request_id: exchange.request_id.as_str(),
        now,
        response: None,
    })
}
