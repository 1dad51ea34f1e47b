//! A data plane put together from its settings.
//!
//! It serves what its cache holds before it has spoken to anybody; the actors only bring it on.

use super::beginning::{Beginning, OwnConfiguration};
use super::cache_writer::{CacheSource, CacheWriter, Cached, ConfigCache, Holds, LmdbCache};
use super::dns::Dns;
use super::health::{self, HealthChecker, HealthOptions};
use super::heartbeat_client::{Disconnect, HeartbeatClient, Origin, State};
use super::links::Links;
use super::listener::{CertificateResolver, DrainConnections, Listener, Server, StopAccepting};
use super::plugin_host::{self, PluginHost};
use super::preview;
use super::proxy::{PluginPanics, Proxy, ProxySettings};
use super::proxy_settings;
use super::router::{EffectCell, Kept, Published, Router, RouterOptions, SnapshotCell};
use super::status::Status;
use super::telemetry_buffer::{
    BufferOptions, Finish, Rings, SharedBuffer, TelemetryBuffer, TelemetryOptions,
};
use super::upstream::UpstreamClient;
use crate::actor::{RestartPolicy, Slot, guard, guard_on};
use crate::model::KindSet;
use crate::node::{Node, NodeError};
use crate::plugins::{
    EnabledPlugins, Factory, Host, Names, NodeName, NodeSettings, Phases, Resources,
};
use crate::settings::KONG_VERSION;
use crate::telemetry::metrics::RequestMetrics;
use crate::telemetry::status::{NodeStatus, Upstreams};
use crate::tls::resolving_config;
use crate::wire::{Hello, Limits, PluginVersion, Position};
use actix::Arbiter;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long the control plane may take to acknowledge the last records at a graceful stop.
const LAST_TELEMETRY: Duration = Duration::from_secs(5);

/// How long plugins may take at least to send what they have, also where requests have used up the time.
const LAST_ENTRIES: Duration = Duration::from_secs(5);

/// A running data plane.
pub struct DataPlane {
    node: Node,
    listener: Slot<Listener>,
    heartbeat: Slot<HeartbeatClient>,
    telemetry: Slot<TelemetryBuffer>,
    plugin_host: Slot<PluginHost>,
    snapshots: SnapshotCell,
    effect: EffectCell,
    buffer: SharedBuffer,
    upstreams: health::View,
    workers: usize,
    cluster_cert_expiry: Option<i64>,
    /// What the plugins of this node share.
    resources: Resources,
}

impl DataPlane {
    /// Serves what there is to begin with, and connects to the control plane. `own` is what the
    /// control plane of the same process has. No connection is taken before that is in effect.
    ///
    /// # Errors
    /// See [`NodeError`]; a damaged cache is none of them.
    pub async fn start(
        node: &Node,
        links: Links,
        own: Option<OwnConfiguration<'_>>,
    ) -> Result<DataPlane, NodeError> {
        let settings = &node.settings;
        let limits = Limits::for_payload(settings.cluster.max_payload);
        let name = NodeName {
            id: node.id,
            hostname: node.hostname.as_str().into(),
        };
        let dns = Dns::start(&settings.dns)
            .map_err(|err| NodeError::Setting(format!("no thread for name resolution: {err}")))?;
        let proxy = proxy_settings::proxy(settings)?;
        let host = Host::new(Some(Arc::clone(&node.metrics)));
        let names = Names::new(dns.clone());
        let roots = Arc::clone(&proxy.trusted_roots);
        let lent = Resources::new(name, host.clone(), names, roots).with_settings(NodeSettings {
            metrics: Some(Arc::clone(&node.metrics)),
            ..proxy_settings::for_plugins(settings)
        });
        let factory = Factory::new(node.build, enabled_plugins(node)?).with(lent);
        let queueing = factory
            .plugins()
            .filter(|plugin| plugin.phases.contains(Phases::LOG_WITHOUT_HEADERS));
        host.export(queueing.map(|plugin| plugin.name));
        #[cfg(feature = "lua")]
        crate::plugins::lua::announce(&node.metrics);
        let factory = Arc::new(factory);
        let source = match own {
            Some(_) => CacheSource::Own,
            None => CacheSource::Cluster,
        };
        let (path, map_size) = (settings.cache.path.clone(), settings.cache.map_size);
        let new_cache = move || LmdbCache::new(&path, map_size).of(source);
        let mut cache = new_cache();
        let loaded = cache
            .load()
            .map_err(|err| NodeError::Cache(err.to_string()))?;
        let cached = loaded.as_ref().map(Cached::position).unwrap_or_default();
        let beginning = Beginning::new(loaded, own, settings)?;
        let persisted = beginning.persisted;

        let snapshots = SnapshotCell::default();
        let effect = EffectCell::default();
        let published = Published::default();
        let options = RouterOptions {
            kept: Kept::new(factory.clone(), preview::options(settings)),
            limits,
            published: Arc::clone(&published),
        };
        let mut first = Router::new(options.clone(), snapshots.clone(), effect.clone());
        if let Some(in_effect) = beginning.put_in_effect(&mut first)? {
            tracing::info!(position = %in_effect.position, quarantined = in_effect.quarantined.len(),
                "serving the configuration at hand");
        }

        let workers = settings.node.workers.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        let rings = Rings::default();
        let proxy = Arc::new(ProxySettings {
            plugin_panics: PluginPanics::new(
                Arc::clone(&node.metrics),
                factory.plugins().map(|plugin| plugin.name),
            ),
            access_log: node.access_log("proxy_access_log"),
            ..proxy
        });
        let listener = serve(node, workers, &proxy, &snapshots, &rings, &dns)?;

        let plugin_host = {
            let host = host.clone();
            guard_on(
                &Arbiter::new().handle(),
                &node.actors,
                "PluginHost",
                RestartPolicy::default(),
                move || PluginHost::new(host.clone()),
            )
        };
        let compile = Arbiter::new().handle();
        let router = {
            let (cell, effect) = (snapshots.clone(), effect.clone());
            let mut first = Some(first);
            guard_on(
                &compile,
                &node.actors,
                "Router",
                RestartPolicy::default(),
                move || {
                    let again = || Router::new(options.clone(), cell.clone(), effect.clone());
                    first.take().unwrap_or_else(again)
                },
            )
        };
        let disk = Arbiter::new().handle();
        let writer = {
            let holds = Holds::new(cached, persisted);
            let mut first = Some(cache);
            guard_on(
                &disk,
                &node.actors,
                "CacheWriter",
                RestartPolicy::default(),
                move || {
                    let cache = first.take().unwrap_or_else(|| {
                        let mut cache = new_cache();
                        holds.is_read_again(load_again(&mut cache));
                        cache
                    });
                    CacheWriter::new(Box::new(cache), holds.clone())
                },
            )
        };
        router.started().await;
        writer.started().await;
        let upstreams = check_health(node, &proxy, &router, &snapshots, &published, dns);

        let incarnation = Uuid::new_v4();
        let hello = Hello {
            node_id: node.id,
            hostname: node.hostname.clone(),
            langur_version: env!("CARGO_PKG_VERSION").to_owned(),
            kong_version: KONG_VERSION.to_owned(),
            plugins: factory
                .plugins()
                .map(|plugin| PluginVersion {
                    name: plugin.name.to_owned(),
                    version: Some(plugin.version.to_owned()),
                })
                .collect(),
            kinds: KindSet::DISTRIBUTED,
            labels: settings.cluster.labels.clone(),
            held: Position::default(),
            incarnation,
            secret: node.secret.clone(),
        };
        let buffer = SharedBuffer::new(
            BufferOptions {
                size_limit: settings.analytics.buffer_size_limit,
                flush_interval: settings.analytics.flush_interval,
                ..BufferOptions::default()
            },
            node.id,
            incarnation,
        );
        let heartbeat = {
            let effect = effect.clone();
            let configuration = links.configuration.clone();
            let buffer = buffer.clone();
            guard(
                &node.actors,
                "HeartbeatClient",
                RestartPolicy::default(),
                move || {
                    let live = effect.load_full();
                    let held = live.as_ref().map(|live| live.position).unwrap_or_default();
                    let origin = Origin {
                        hello: Hello {
                            held,
                            ..hello.clone()
                        },
                        // It asks the cache writer before it starts.
                        persisted: Position::default(),
                        in_effect_at: live.as_ref().map_or(0, |live| live.at),
                        quarantined: live
                            .map(|live| live.quarantined.clone())
                            .unwrap_or_default(),
                    };
                    let seed = rand::random();
                    let buffer = buffer.clone();
                    HeartbeatClient::new(
                        State::new(origin, configuration.count(), seed, limits),
                        limits,
                        Box::new(router.clone()),
                        Box::new(configuration.clone()),
                        writer.clone(),
                        Box::new(move || buffer.trouble()),
                    )
                },
            )
        };
        let telemetry = {
            let options = TelemetryOptions {
                buffer: buffer.clone(),
                rings,
                metrics: node.metrics.clone(),
                requests: RequestMetrics::new(&node.metrics, node.metric_options),
                connect: Some(Rc::clone(&links.telemetry)),
                reconnect: TelemetryOptions::RECONNECT,
            };
            guard(
                &node.actors,
                "TelemetryBuffer",
                RestartPolicy::default(),
                move || TelemetryBuffer::new(options.clone()),
            )
        };
        let identity = settings.cluster.identity()?;
        Ok(DataPlane {
            node: node.clone(),
            listener,
            heartbeat,
            telemetry,
            plugin_host,
            snapshots,
            effect,
            buffer,
            upstreams,
            workers,
            cluster_cert_expiry: identity.and_then(|identity| identity.expiry()),
            resources: factory.resources().clone(),
        })
    }

    /// What this plane says on the status pages.
    pub fn status(&self) -> Arc<dyn NodeStatus> {
        Arc::new(Status {
            heartbeat: self.heartbeat.clone(),
            telemetry: self.telemetry.clone(),
            snapshots: self.snapshots.clone(),
            effect: self.effect.clone(),
            buffer: self.buffer.clone(),
            workers: self.workers,
            node: self.node.id,
            hostname: self.node.hostname.clone(),
            cluster_cert_expiry: self.cluster_cert_expiry,
            resources: self.resources.clone(),
        })
    }

    /// The upstreams that this plane balances over.
    pub fn upstreams(&self) -> Arc<dyn Upstreams> {
        Arc::new(self.upstreams.clone())
    }

    /// Stops serving. Graceful lets requests in flight finish, and delivers their records and what
    /// plugins have to send.
    pub async fn stop(&self, graceful: bool) {
        // Actors that are gone have nothing to stop.
        if graceful {
            let begun = Instant::now();
            let deadline = self.node.settings.node.shutdown_timeout;
            let drained = self.listener.ask(DrainConnections { deadline }).await;
            if drained.is_ok_and(|all| !all) {
                tracing::warn!(?deadline, "requests were dropped: they took too long");
            }
            let left = deadline.saturating_sub(begun.elapsed()).max(LAST_ENTRIES);
            let flushed = plugin_host::flush(&self.plugin_host, &self.resources.host, left);
            let within = LAST_TELEMETRY;
            let (_, told) = tokio::join!(flushed, self.telemetry.ask(Finish { within }));
            if !told.unwrap_or(false) {
                let records = self.buffer.totals().held;
                tracing::warn!(records, "telemetry was not acknowledged before the end");
            }
        } else {
            let _ = self.listener.ask(StopAccepting).await;
            self.resources.host.abandon();
        }
        let _ = self.heartbeat.ask(Disconnect).await;
    }
}

/// What the cache holds, for a writer that had to be restarted. The node serves on in any case, and
/// each write tries again to open it.
fn load_again(cache: &mut LmdbCache) -> Position {
    match cache.load() {
        Ok(cached) => cached.as_ref().map(Cached::position).unwrap_or_default(),
        Err(err) => {
            tracing::error!(%err, "the configuration cache cannot be opened");
            Position::default()
        }
    }
}

fn enabled_plugins(node: &Node) -> Result<EnabledPlugins, NodeError> {
    // What the setting names is there.
    node.plugins()?;
    let selection = &node.settings.node.plugins;
    Ok(EnabledPlugins::new(
        selection.bundled,
        selection.names.clone(),
    ))
}

/// Starts the checks; what they find out is seen through the answer.
fn check_health(
    node: &Node,
    proxy: &ProxySettings,
    router: &Slot<Router>,
    snapshots: &SnapshotCell,
    published: &Published,
    dns: Dns,
) -> health::View {
    let progress = health::Progress::default();
    let options = HealthOptions {
        snapshots: snapshots.clone(),
        published: Arc::clone(published),
        progress: Arc::clone(&progress),
        credentials: health::Credentials {
            roots: Arc::clone(&proxy.trusted_roots),
            certificate: proxy.client_certificate.clone(),
        },
        dns,
    };
    guard_on(
        &Arbiter::new().handle(),
        &node.actors,
        "HealthChecker",
        RestartPolicy::default(),
        move || HealthChecker::new(options.clone()),
    );
    health::View {
        router: router.clone(),
        snapshots: snapshots.clone(),
        published: Arc::clone(published),
        progress,
    }
}

fn serve(
    node: &Node,
    workers: usize,
    proxy: &Arc<ProxySettings>,
    snapshots: &SnapshotCell,
    rings: &Rings,
    dns: &Dns,
) -> Result<Slot<Listener>, NodeError> {
    let settings = &node.settings;
    let certificates = &settings.certificates;
    let own = match settings.listeners.proxy.iter().any(|listen| listen.ssl) {
        true => certificates.proxy_identities(&settings.node.prefix)?,
        false => Vec::new(),
    };
    let keys = own
        .iter()
        .map(crate::tls::Identity::certified_key)
        .collect();
    let resolver = Arc::new(CertificateResolver::new(snapshots.clone(), keys));
    // HTTP/2 is not spoken yet, so it is not offered either.
    let tls = resolving_config(resolver, certificates.versions, false)?;
    let config = proxy_settings::server(node, workers);
    let (proxy, cell, rings) = (Arc::clone(proxy), snapshots.clone(), rings.clone());
    let (upstream, dns) = (proxy_settings::upstream(settings), dns.clone());
    let parts = move |_| {
        let proxy = Proxy::new(proxy.clone(), cell.clone(), rings.recorder());
        (proxy, UpstreamClient::new(upstream, dns.clone()))
    };
    let server = Server::start(config, parts, Some(tls))
        .map_err(|err| NodeError::Listen(format!("proxy_listen: {err}")))?;
    for address in server.addresses() {
        tracing::info!(setting = "proxy_listen", %address, "listening");
    }
    let policy = RestartPolicy::default();
    Ok(guard(&node.actors, "Listener", policy, move || {
        Listener::new(server.clone())
    }))
}
