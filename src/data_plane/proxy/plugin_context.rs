//! A request as plugins see it.

use super::exchange::{Exchange, entities};
use crate::data_plane::balancer::TargetAddress;
use crate::data_plane::router::{CompiledConsumer, Destination, PluginFactory, Snapshot};
use crate::model;
use crate::plugins::{
    Built, Consumer, Context, Directory, Factory, KeyOwner, RouteView, State, Timestamp,
};
use serde_json::{Map, Value};
use uuid::Uuid;

impl PluginFactory for Factory {
    fn build(&self, plugin: &model::Plugin) -> Result<Built, String> {
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

    fn consumer_entity(&self, id: Uuid) -> Option<Map<String, Value>> {
        // What is in effect could be read before.
        Snapshot::consumer(self, id)?.row.to_json().ok()
    }

    fn has_upstream(&self, name: &str) -> bool {
        let address = TargetAddress::new(Uuid::nil(), name, 0);
        matches!(self.destination_of(&address), Destination::Balanced(_))
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

/// The request as a plugin with this state sees it; `None` where no request has begun.
pub fn context<'a>(
    exchange: &'a mut Exchange,
    state: &'a mut State,
    now: Timestamp,
) -> Option<Context<'a>> {
    let current = exchange.current.as_ref()?;
    let peer = exchange.peer(&current.client);
    let matched = current.matched.as_ref();
    let entities = matched.map(entities);
    Some(Context {
        head: &exchange.head,
        request_edits: &mut exchange.request_edits,
        upstream: &mut exchange.upstream,
        response_edits: &mut exchange.response_edits,
        body: exchange.body.as_deref(),
        state,
        shared: &mut exchange.shared,
        peer,
        normal_path: &exchange.path,
        matched: matched.map(|matched| matched as &dyn RouteView),
        route: entities.map(|(route, _)| route),
        service: entities.and_then(|(_, service)| service),
        identity: &mut exchange.identity,
        directory: &*current.snapshot,
        metrics: &mut exchange.metrics,
        request_id: exchange.request_id.as_str(),
        now,
        started: Timestamp(exchange.times.begun_at),
        sni: current.tls.as_ref().and_then(|tls| tls.sni.as_deref()),
        tls_protocol: current.client.tls.map(|tls| tls.version),
        tries: &exchange.tries.log,
        upstream_uri: &exchange.uri,
        response: None,
    })
}
