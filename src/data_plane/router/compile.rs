//! From a stored row to what requests use, or to the reason why not.

use super::certificates::{CompiledCaCertificate, CompiledCertificate, SniBinding};
use super::identity::{CompiledConsumer, KeyCredential};
use super::matcher::Matcher;
use super::plugin_table::{PluginInstance, Scope};
use super::priority::MatchOrder;
use super::protocols::Protocols;
use super::references::Vaults;
use super::service::{CompiledService, TargetSpec, UpstreamSpec};
use crate::model::{self, Config, Kind, Reference, Row};
use crate::plugins::Built;
use crate::schema::{self, Field, Foreign};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map as JsonMap, Value};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use uuid::Uuid;

/// An entity of a configuration.
pub(super) type Key = (Kind, Uuid);

/// Makes plugins from their configurations.
pub trait PluginFactory: Send + Sync {
    /// # Errors
    /// The text for the user: no such plugin in this build, or what is wrong with `config`.
    fn build(&self, plugin: &model::Plugin) -> Result<Built, String>;

    /// Whether requests must not pass without the plugin of this name.
    fn guards(&self, name: &str) -> bool {
        let _ = name;
        true
    }
}

/// An entity in the form requests use. One pointer each: there are as many as entities.
#[derive(Clone)]
pub(super) enum Compiled {
    Certificate(Arc<CompiledCertificate>),
    CaCertificate(Arc<CompiledCaCertificate>),
    Sni(Arc<SniBinding>),
    Service(Arc<CompiledService>),
    Upstream(Arc<UpstreamSpec>),
    Target(Arc<TargetSpec>),
    Route(Arc<RouteMatchers>),
    Consumer(Arc<CompiledConsumer>),
    Credential(Arc<KeyCredential>),
    Plugin(Arc<PluginInstance>),
    /// A plugin that runs for no HTTP request: disabled, or for stream protocols alone.
    IdlePlugin(Arc<Scope>),
    /// A service that is disabled and could not be used either, with the entities it points to.
    UnusableService(Arc<Vec<Key>>),
    /// Kept for what will use it, with the entities it points to.
    Kept(Arc<Vec<Key>>),
}

const _: () = assert!(size_of::<Compiled>() == 2 * size_of::<usize>());

/// A route in effect.
pub(super) struct RouteMatchers {
    pub service: Option<Uuid>,
    /// None for stream protocols.
    pub matchers: Box<[Matcher]>,
}

/// What an entity should become.
pub(super) struct Wanted {
    pub compiled: Result<Compiled, String>,
    /// The entities it points to.
    pub parents: Vec<Key>,
    /// What people call it.
    pub name: Option<String>,
    /// Set for a plugin without which requests must not pass.
    pub guard: Option<Guard>,
    /// Switched off: it must stop, whatever else is wrong with it.
    pub disabled: bool,
    /// Why the plugin that was compiled refuses all requests instead of doing its work.
    pub closes_because: Option<String>,
}

/// What a plugin guards, as far as its row can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    /// Nothing given means everything, which is also the reading of an unreadable row.
    pub scope: Scope,
    /// `None`: the row does not say.
    pub name: Option<String>,
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
            Compiled::Route(route) => {
                let service = route.service;
                service.map(|id| (Kind::Services, id)).into_iter().collect()
            }
            Compiled::Credential(credential) => vec![(Kind::Consumers, credential.consumer)],
            Compiled::Plugin(plugin) => plugin.scope.parents(),
            Compiled::IdlePlugin(scope) => scope.parents(),
            Compiled::UnusableService(parents) | Compiled::Kept(parents) => parents.to_vec(),
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
    /// Whether a guard that cannot be built refuses what it was to guard.
    pub close_unguarded: bool,
    pub vaults: Vaults,
}

impl Compiler {
    /// A panic, such as of a plugin that is built, is an error of this entity alone. `config` has the
    /// vaults that the row may refer to.
    pub fn compile(&self, config: &Config, kind: Kind, id: Uuid, row: &Row) -> Wanted {
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            let resolved = self.vaults.resolve(config, (kind, id), row)?;
            self.try_compile(kind, id, resolved.as_ref().unwrap_or(row))
        }));
        let reason = match compiled {
            Ok(Ok(wanted)) => return wanted,
            Ok(Err(violations)) => violations.join("; "),
            Err(panic) => format!("panicked: {}", panic_text(&*panic)),
        };
        self.salvage(kind, id, row, reason)
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
                    Compiled::Route(Arc::new(RouteMatchers {
                        service: entity.service.map(|service| service.id),
                        matchers,
                    })),
                    entity.name,
                )
            }
            Kind::Consumers => {
                let entity: model::Consumer =
                    decode(row, id, |entity: &model::Consumer| entity.id)?;
                (
                    Compiled::Consumer(Arc::new(CompiledConsumer::compile(&entity, row))),
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
                (Compiled::Kept(references(kind, &json).into()), entity.name)
            }
        };
        let guard = match &compiled {
            Compiled::Plugin(plugin) if plugin.guards => Some(Guard {
                scope: plugin.scope,
                name: Some(plugin.name.to_string()),
            }),
            _ => None,
        };
        let disabled = match &compiled {
            Compiled::Service(service) => !service.enabled,
            Compiled::IdlePlugin(_) => true,
            _ => false,
        };
        Ok(Wanted {
            parents: compiled.parents(),
            compiled: Ok(compiled),
            name,
            guard,
            disabled,
            closes_because: None,
        })
    }

    /// What can be known of an entity that does not compile: its name, what it points to, what it
    /// was meant to guard, whether it is switched off.
    fn salvage(&self, kind: Kind, id: Uuid, row: &Row, reason: String) -> Wanted {
        let json = row.to_json().unwrap_or_default();
        let disabled = matches!(kind, Kind::Plugins | Kind::Services)
            && json.get("enabled") == Some(&Value::Bool(false));
        let mut wanted = Wanted {
            parents: references(kind, &json),
            compiled: Err(reason),
            name: ["name", "username", "target"]
                .into_iter()
                .find_map(|field| text(&json, field)),
            guard: None,
            disabled,
            closes_because: None,
        };
        match kind {
            Kind::Plugins => {
                let reference = |field: &str| json.get(field).and_then(|it| id_in(it.get("id")?));
                let scope = Scope {
                    route: reference("route"),
                    service: reference("service"),
                    consumer: reference("consumer"),
                };
                wanted.parents = scope.parents();
                let name = text(&json, "name");
                let guards = name.as_deref().is_none_or(|name| self.factory.guards(name));
                if disabled {
                    wanted.compiled = Ok(Compiled::IdlePlugin(Arc::new(scope)));
                } else if guards && protocols(&json).intersects(Protocols::HTTP) {
                    if self.close_unguarded {
                        let name = name.as_deref().unwrap_or_default();
                        let closing = PluginInstance::closing(id, name, scope);
                        let closing = Compiled::Plugin(Arc::new(closing));
                        wanted.closes_because =
                            std::mem::replace(&mut wanted.compiled, Ok(closing)).err();
                    }
                    wanted.guard = Some(Guard { scope, name });
                }
            }
            Kind::Services if disabled => {
                let parents = wanted.parents.clone().into();
                wanted.compiled = Ok(Compiled::UnusableService(parents));
            }
            _ => {}
        }
        wanted
    }

    fn compile_plugin(&self, plugin: &model::Plugin) -> Result<Compiled, Vec<String>> {
        let scope = Scope::of(plugin);
        if !plugin.enabled {
            return Ok(Compiled::IdlePlugin(Arc::new(scope)));
        }
        let protocols = Protocols::parse(&plugin.protocols)
            .map_err(|reason| vec![format!("protocols: {reason}")])?;
        let built = self.factory.build(plugin).map_err(|reason| vec![reason])?;
        if !protocols.intersects(Protocols::HTTP) {
            return Ok(Compiled::IdlePlugin(Arc::new(scope)));
        }
        Ok(Compiled::Plugin(Arc::new(PluginInstance {
            id: plugin.id,
            name: plugin.name.as_str().into(),
            scope,
            guards: self.factory.guards(&plugin.name),
            closes: false,
            handler: built.handler,
            priority: built.priority,
            phases: built.phases,
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

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
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
