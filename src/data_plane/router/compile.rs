//! From a stored row to what requests use, or to the reason why not.

use super::certificates::{CompiledCaCertificate, CompiledCertificate, SniBinding};
use super::identity::{CompiledConsumer, KeyCredential};
use super::matcher::Matcher;
use super::plugin_table::{PluginInstance, Scope};
use super::priority::MatchOrder;
use super::protocols::Protocols;
use super::service::{CompiledService, TargetSpec, UpstreamSpec};
use crate::model::{self, Kind, Reference, Row};
use crate::plugins::Handler;
use crate::schema::{self, Field, Foreign};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map as JsonMap, Value};
use std::sync::Arc;
use uuid::Uuid;

/// An entity of a configuration.
pub(super) type Key = (Kind, Uuid);

/// Makes plugins from their configurations.
pub trait PluginFactory: Send + Sync {
    /// # Errors
    /// The text for the user: no such plugin in this build, or what is wrong with `config`.
    fn build(&self, plugin: &model::Plugin) -> Result<Arc<dyn Handler>, String>;
}

/// An entity in the form requests use.
#[derive(Clone)]
pub(super) enum Compiled {
    Certificate(Arc<CompiledCertificate>),
    CaCertificate(Arc<CompiledCaCertificate>),
    Sni(Arc<SniBinding>),
    Service(Arc<CompiledService>),
    Upstream(Arc<UpstreamSpec>),
    Target(Arc<TargetSpec>),
    /// The route's service, and its matchers (none for stream protocols).
    Route(Option<Uuid>, Arc<[Matcher]>),
    Consumer(Arc<CompiledConsumer>),
    Credential(Arc<KeyCredential>),
    Plugin(Arc<PluginInstance>),
    DisabledPlugin(Scope),
    /// Held for what will use it, with the entities it points to.
    Held(Arc<[Key]>),
}

/// What an entity should become.
pub(super) struct Wanted {
    pub compiled: Result<Compiled, String>,
    /// The entities it points to.
    pub parents: Vec<Key>,
    /// What people call it.
    pub name: Option<String>,
    /// Set for a plugin that is meant to run.
    pub protection: Option<Protection>,
}

/// What a plugin protects, as far as its row can be read.
pub(super) struct Protection {
    /// Nothing given means everything, which is also the reading of an unreadable row.
    pub scope: Scope,
    pub name: Option<String>,
    pub protocols: Protocols,
}

impl Compiled {
    /// The entities this one points to.
    pub fn parents(&self) -> Vec<Key> {
        match self {
            Compiled::Certificate(_) | Compiled::CaCertificate(_) | Compiled::Consumer(_) => {
                Vec::new()
            }
            Compiled::Sni(sni) => vec![(Kind::Certificates, sni.certificate)],
            Compiled::Service(service) => {
                let authorities = service
                    .ca_certificates
                    .iter()
                    .map(|id| (Kind::CaCertificates, *id));
                let own = service
                    .client_certificate
                    .map(|id| (Kind::Certificates, id));
                own.into_iter().chain(authorities).collect()
            }
            Compiled::Upstream(upstream) => upstream
                .client_certificate
                .map(|id| (Kind::Certificates, id))
                .into_iter()
                .collect(),
            Compiled::Target(target) => vec![(Kind::Upstreams, target.upstream)],
            Compiled::Route(service, _) => {
                service.map(|id| (Kind::Services, id)).into_iter().collect()
            }
            Compiled::Credential(credential) => vec![(Kind::Consumers, credential.consumer)],
            Compiled::Plugin(plugin) => plugin.scope.parents(),
            Compiled::DisabledPlugin(scope) => scope.parents(),
            Compiled::Held(parents) => parents.to_vec(),
        }
    }
}

impl Scope {
    fn of(plugin: &model::Plugin) -> Scope {
        let id = |reference: Option<Reference>| reference.map(|reference| reference.id);
        Scope {
            route: id(plugin.route),
            service: id(plugin.service),
            consumer: id(plugin.consumer),
        }
    }

    pub(super) fn parents(&self) -> Vec<Key> {
        let parts = [
            (Kind::Routes, self.route),
            (Kind::Services, self.service),
            (Kind::Consumers, self.consumer),
        ];
        parts
            .into_iter()
            .filter_map(|(kind, id)| Some((kind, id?)))
            .collect()
    }
}

/// Compiles rows; holds what does not change between them.
pub(super) struct Compiler {
    pub factory: Arc<dyn PluginFactory>,
    pub order: MatchOrder,
}

impl Compiler {
    pub fn compile(&self, kind: Kind, id: Uuid, row: &Row) -> Wanted {
        match self.try_compile(kind, id, row) {
            Ok(wanted) => wanted,
            Err(violations) => salvage(kind, row, violations.join("; ")),
        }
    }

    fn try_compile(&self, kind: Kind, id: Uuid, row: &Row) -> Result<Wanted, Vec<String>> {
        let (compiled, name) = match kind {
            Kind::Certificates => {
                let entity: model::Certificate =
                    decode(row, id, |entity: &model::Certificate| entity.id)?;
                (
                    Compiled::Certificate(Arc::new(CompiledCertificate::compile(&entity)?)),
                    None,
                )
            }
            Kind::CaCertificates => {
                let entity: model::CaCertificate =
                    decode(row, id, |entity: &model::CaCertificate| entity.id)?;
                (
                    Compiled::CaCertificate(Arc::new(CompiledCaCertificate::compile(&entity)?)),
                    None,
                )
            }
            Kind::Snis => {
                let entity: model::Sni = decode(row, id, |entity: &model::Sni| entity.id)?;
                (
                    Compiled::Sni(Arc::new(SniBinding::compile(&entity))),
                    Some(entity.name),
                )
            }
            Kind::Services => {
                let entity: model::Service = decode(row, id, |entity: &model::Service| entity.id)?;
                (
                    Compiled::Service(Arc::new(CompiledService::compile(&entity, row)?)),
                    entity.name,
                )
            }
            Kind::Upstreams => {
                let entity: model::Upstream =
                    decode(row, id, |entity: &model::Upstream| entity.id)?;
                (
                    Compiled::Upstream(Arc::new(UpstreamSpec::compile(&entity))),
                    Some(entity.name),
                )
            }
            Kind::Targets => {
                let entity: model::Target = decode(row, id, |entity: &model::Target| entity.id)?;
                (
                    Compiled::Target(Arc::new(TargetSpec::compile(&entity)?)),
                    Some(entity.target),
                )
            }
            Kind::Routes => {
                let entity: model::Route = decode(row, id, |entity: &model::Route| entity.id)?;
                let matchers = Matcher::compile(&entity, row, self.order)?;
                (
                    Compiled::Route(entity.service.map(|service| service.id), matchers.into()),
                    entity.name,
                )
            }
            Kind::Consumers => {
                let entity: model::Consumer =
                    decode(row, id, |entity: &model::Consumer| entity.id)?;
                (
                    Compiled::Consumer(Arc::new(CompiledConsumer::compile(&entity))),
                    entity.username,
                )
            }
            Kind::KeyauthCredentials => {
                let entity: model::KeyauthCredential =
                    decode(row, id, |entity: &model::KeyauthCredential| entity.id)?;
                (
                    Compiled::Credential(Arc::new(KeyCredential::compile(&entity))),
                    None,
                )
            }
            Kind::Plugins => {
                let entity: model::Plugin = decode(row, id, |entity: &model::Plugin| entity.id)?;
                (self.compile_plugin(&entity)?, Some(entity.name))
            }
            // Nothing of this build uses them yet.
            Kind::Vaults
            | Kind::KeySets
            | Kind::Keys
            | Kind::BasicauthCredentials
            | Kind::HmacauthCredentials
            | Kind::JwtSecrets
            | Kind::Acls
            | Kind::Oauth2Credentials
            | Kind::Oauth2Tokens
            | Kind::AcmeStorage
            | Kind::Sessions => {
                let entity: Named = decode(row, id, |entity: &Named| entity.id)?;
                let json = row.to_json().map_err(|error| vec![error.to_string()])?;
                (Compiled::Held(references(kind, &json).into()), entity.name)
            }
        };
        let protection = match &compiled {
            Compiled::Plugin(plugin) => Some(Protection {
                scope: plugin.scope,
                name: Some(plugin.name.to_string()),
                protocols: plugin.protocols,
            }),
            _ => None,
        };
        Ok(Wanted {
            parents: compiled.parents(),
            compiled: Ok(compiled),
            name,
            protection,
        })
    }

    fn compile_plugin(&self, plugin: &model::Plugin) -> Result<Compiled, Vec<String>> {
        let scope = Scope::of(plugin);
        if !plugin.enabled {
            return Ok(Compiled::DisabledPlugin(scope));
        }
        let protocols = Protocols::parse(&plugin.protocols)
            .map_err(|reason| vec![format!("protocols: {reason}")])?;
        let handler = self.factory.build(plugin).map_err(|reason| vec![reason])?;
        Ok(Compiled::Plugin(Arc::new(PluginInstance {
            id: plugin.id,
            name: plugin.name.as_str().into(),
            scope,
            protocols,
            handler,
        })))
    }
}

/// What every entity has, and many have.
#[derive(Deserialize)]
struct Named {
    id: Uuid,
    name: Option<String>,
}

/// The entities that a row of this kind points to.
fn references(kind: Kind, json: &JsonMap<String, Value>) -> Vec<Key> {
    let Some(entity) = schema::entity(kind.as_str()) else {
        return Vec::new();
    };
    let reference = |(field, foreign): (&Field, &Foreign)| {
        let id = id_in(json.get(&*field.name)?.get("id")?)?;
        Some((Kind::parse(&foreign.reference)?, id))
    };
    entity.foreign_fields().filter_map(reference).collect()
}

fn decode<T: DeserializeOwned>(
    row: &Row,
    id: Uuid,
    id_of: impl Fn(&T) -> Uuid,
) -> Result<T, Vec<String>> {
    let entity: T = row.decode().map_err(|error| vec![error.to_string()])?;
    match id_of(&entity) == id {
        true => Ok(entity),
        false => Err(vec!["id: differs from the id it is stored under".into()]),
    }
}

/// What can be known of an entity that does not compile: its name, what it points to, what it
/// was meant to protect.
fn salvage(kind: Kind, row: &Row, reason: String) -> Wanted {
    let json = row.to_json().unwrap_or_default();
    let reference = |field: &str| json.get(field).and_then(|value| id_in(value.get("id")?));
    let scope = Scope {
        route: reference("route"),
        service: reference("service"),
        consumer: reference("consumer"),
    };
    let (parents, protection) = match kind {
        Kind::Plugins => {
            let disabled = json.get("enabled") == Some(&Value::Bool(false));
            let protection = Protection {
                scope,
                name: text(&json, "name"),
                protocols: protocols(&json),
            };
            (scope.parents(), (!disabled).then_some(protection))
        }
        _ => (references(kind, &json), None),
    };
    Wanted {
        compiled: Err(reason),
        parents,
        name: ["name", "username", "target"]
            .into_iter()
            .find_map(|field| text(&json, field)),
        protection,
    }
}

/// Those a plugin's row names; all of HTTP when that cannot be read.
fn protocols(json: &JsonMap<String, Value>) -> Protocols {
    let names = json
        .get("protocols")
        .and_then(Value::as_array)
        .map(|names| {
            names
                .iter()
                .map(|name| name.as_str().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        });
    names
        .and_then(|names| Protocols::parse(&names).ok())
        .unwrap_or(Protocols::HTTP)
}

fn id_in(value: &Value) -> Option<Uuid> {
    value.as_str()?.parse().ok()
}

fn text(json: &JsonMap<String, Value>, field: &str) -> Option<String> {
    json.get(field)?.as_str().map(str::to_owned)
}
