//! Runs the plugins of a request, phase by phase.

use super::clock::Clock;
use super::errors::{Asked, negotiated, of_status, plain_json};
use super::exchange::{Current, Exchange, entities, plugin_protocol};
use crate::data_plane::router::{CompiledConsumer, Plan, PluginFactory, PluginInstance, Snapshot};
use crate::http::{HeaderEdits, Reply, ResponseHead};
use crate::model;
use crate::plugins::{
    Access, Consumer, Context, Directory, Factory, Flow, Handler, KeyOwner, Response, RouteView,
    Timestamp,
};
use bytes::Bytes;
use std::sync::Arc;
use uuid::Uuid;

impl PluginFactory for Factory {
    fn build(&self, plugin: &model::Plugin) -> Result<Arc<dyn Handler>, String> {
        Factory::build(self, plugin).map_err(|error| error.to_string())
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
    let current = exchange.current.as_ref()?;
    plan(current, None)
        .iter()
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
    error_default_type: &str,
    clock: &impl Clock,
) -> Option<Reply> {
    let current = exchange.current.take()?;
    let answer = access_with(exchange, &current, error_default_type, clock).await;
    exchange.current = Some(current);
    answer
}

async fn access_with(
    exchange: &mut Exchange,
    current: &Current,
    error_default_type: &str,
    clock: &impl Clock,
) -> Option<Reply> {
    let mut consumer = None;
    let mut plugins = plan(current, consumer);
    if plugins.is_empty() {
        return None;
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
        let flow = {
            let mut context = context(exchange, current, now);
            match instance.handler.access(&mut context) {
                Access::Ready(flow) => flow,
                Access::Pending(flow) => flow.await,
            }
        };
        answer = reply_of(flow, exchange, &instance, error_default_type);
        let found = exchange.identity.consumer.as_ref().map(|found| found.id);
        if found != consumer {
            consumer = found;
            plugins = plan(current, consumer);
            next = plugins.partition_point(|other| order(other) >= order(&instance));
        }
    }
    answer
}

/// A request that ends before access has the global plugins alone in its later phases.
pub fn collect_global(exchange: &mut Exchange) {
    let Some(current) = &exchange.current else {
        return;
    };
    let protocol = plugin_protocol(current.client.https);
    let plan = current.snapshot.plugins_for(None, None, None, protocol);
    exchange.plugins.extend(plan.iter().cloned());
}

/// Larger runs first.
fn order(instance: &PluginInstance) -> (i32, &str) {
    (instance.handler.priority(), &instance.name)
}

fn plan(current: &Current, consumer: Option<Uuid>) -> Plan {
    let matched = current.matched.as_ref();
    let route = matched.map(|matched| matched.route.id);
    let service = matched.and_then(|matched| matched.service.as_ref());
    let protocol = plugin_protocol(current.client.https);
    current
        .snapshot
        .plugins_for(route, service.map(|service| service.id), consumer, protocol)
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
            Some(plain_json(500, "An unexpected error occurred"))
        }
    }
}

/// The header phase over every collected plugin. `head` is `None` for the gateway's own
/// answers. Returns the status, which plugins may change.
pub fn header_filter(
    exchange: &mut Exchange,
    head: Option<&ResponseHead>,
    edits: &mut HeaderEdits,
    status: u16,
) -> u16 {
    if exchange.plugins.is_empty() {
        return status;
    }
    let Some(current) = exchange.current.take() else {
        return status;
    };
    let now = exchange.answered_at();
    let plugins = std::mem::take(&mut exchange.plugins);
    let mut status = status;
    std::mem::swap(&mut exchange.response_edits, edits);
    for instance in &plugins {
        let mut context = context(exchange, &current, now);
        context.response = Some(Response {
            status: &mut status,
            head,
        });
        instance.handler.header_filter(&mut context);
    }
    std::mem::swap(&mut exchange.response_edits, edits);
    exchange.plugins = plugins;
    exchange.current = Some(current);
    status
}

/// The log phase.
pub fn log(exchange: &mut Exchange, now: Timestamp) {
    if exchange.plugins.is_empty() {
        return;
    }
    let Some(current) = exchange.current.take() else {
        return;
    };
    let plugins = std::mem::take(&mut exchange.plugins);
    let mut status = exchange.status;
    for instance in &plugins {
        let mut context = context(exchange, &current, now);
        context.response = Some(Response {
            status: &mut status,
            head: None,
        });
        instance.handler.log(&context);
    }
    exchange.plugins = plugins;
    exchange.current = Some(current);
}

/// The request as a plugin sees it. The exchange's own `current` is out on loan.
fn context<'a>(exchange: &'a mut Exchange, current: &'a Current, now: Timestamp) -> Context<'a> {
    let peer = exchange.peer(&current.client);
    let matched = current.matched.as_ref();
    let entities = matched.map(entities);
    Context {
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
    }
}
