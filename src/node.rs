//! What every node has, whatever its role: who it is, what it counts, who its actors are, and
//! the status pages over all that.

use crate::access_log::{AccessLog, AccessLogs, OpenError};
use crate::actor::Registry;
use crate::link::LocalFuture;
use crate::plugins::Descriptor;
use crate::schema;
use crate::serve::{self, Running, ServeError, Site};
use crate::settings::identity::{IdentityError, hostname, node_id, node_secret};
use crate::settings::{CredentialError, KONG_VERSION, Listen, LogControl, Role, Settings};
use crate::telemetry::counters::ConnectionCounters;
use crate::telemetry::metrics::{MetricOptions, Metrics, NodeIdentity};
use crate::telemetry::status::{self, NodeState, NodeStatus, StatusContext, Upstreams};
use crate::tls::{self, TlsError};
use crate::wire::NodeSecret;
use actix_web::web::Data;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use uuid::Uuid;

/// Worker threads of listeners that are not the proxy's.
const WORKERS: usize = 2;

/// Why a part of a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("cluster_cert: cluster certificate and key must be provided to use Hybrid mode")]
    NoClusterCertificate,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A proxy address cannot be listened on; the sentence names setting and address.
    #[error("{0}")]
    Listen(String),
    #[error(transparent)]
    AccessLog(#[from] OpenError),
    /// A setting cannot be followed; the sentence names it.
    #[error("{0}")]
    Setting(String),
    /// The database cannot be reached or refuses; the sentence names the setting.
    #[error("{0}")]
    Database(String),
    /// The data plane's cache may be sound and cannot be opened; the sentence names the setting.
    #[error("lmdb_environment_path: {0}")]
    Cache(String),
    /// The configuration at hand cannot be put in effect, although it is valid.
    #[error("the configuration at hand cannot be put in effect: {0}")]
    Configuration(String),
    /// The declarative configuration cannot be used; every line is one violation.
    #[error("{0}")]
    Declarative(String),
}

/// A node without its planes.
#[derive(Clone)]
pub struct Node {
    pub id: Uuid,
    /// What a data plane proves to be this node by; none where it cannot be kept.
    pub secret: Option<NodeSecret>,
    pub hostname: String,
    pub settings: Arc<Settings>,
    pub log: LogControl,
    pub metrics: Arc<Metrics>,
    pub metric_options: MetricOptions,
    pub counters: Arc<ConnectionCounters>,
    pub actors: Registry,
    pub access_logs: AccessLogs,
    /// The plugins that are part of this build.
    pub build: &'static [Descriptor],
}

impl Node {
    /// # Errors
    /// The node's id cannot be read or written, or an access log not opened.
    pub fn new(
        settings: Arc<Settings>,
        log: LogControl,
        build: &'static [Descriptor],
    ) -> Result<Node, NodeError> {
        let shown = settings.metrics;
        let id = node_id(&settings.node)?;
        let (hostname, metrics) = (hostname(), Metrics::new());
        let access_logs = AccessLogs::open(&settings.logs.access, &hostname, &metrics)?;
        Ok(Node {
            id,
            secret: secret(&settings)?,
            hostname,
            log,
            metrics: Arc::new(metrics),
            metric_options: MetricOptions {
                status_code_metrics: shown.status_code,
                latency_metrics: shown.latency,
                bandwidth_metrics: shown.bandwidth,
                upstream_health_metrics: shown.upstream_health,
                per_consumer: shown.per_consumer,
            },
            counters: Arc::default(),
            actors: Registry::default(),
            access_logs,
            build,
            settings,
        })
    }

    /// The bundled plugins that the setting `plugins` selects.
    ///
    /// # Errors
    /// It names a plugin that there is not.
    pub fn plugins(&self) -> Result<Vec<String>, NodeError> {
        let known: Vec<&str> = schema::plugins().map(|plugin| plugin.name).collect();
        let selected = self.settings.node.plugins.select(&known);
        let refused = NodeError::Setting;
        Ok(selected
            .map_err(refused)?
            .into_iter()
            .map(str::to_owned)
            .collect())
    }

    /// What `/status`, `/metrics` and `/debug/actors` show of this node, and `/upstreams/…` of
    /// what it balances over.
    pub fn status_pages(
        &self,
        parts: Vec<Arc<dyn NodeStatus>>,
        upstreams: Option<Arc<dyn Upstreams>>,
    ) -> Data<StatusContext> {
        Data::new(StatusContext {
            identity: NodeIdentity {
                node_id: self.id,
                hostname: self.hostname.clone(),
                role: self.settings.node.role.as_str(),
                version: KONG_VERSION.to_owned(),
            },
            counters: Arc::clone(&self.counters),
            metrics: Arc::clone(&self.metrics),
            metric_options: self.metric_options,
            actors: self.actors.clone(),
            node: Arc::new(Parts(parts)),
            upstreams,
            draining: AtomicBool::new(false),
        })
    }

    /// Starts the status listener; `None` when it is off.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn serve_status(&self, pages: Data<StatusContext>) -> Result<Option<Running>, NodeError> {
        let listens = &self.settings.listeners.status;
        if listens.is_empty() {
            return Ok(None);
        }
        let certificates = &self.settings.certificates;
        let identities = || certificates.status_identities(&self.settings.node.prefix);
        let tls = self.listener_tls(listens, identities)?;
        let site = Site {
            access_log: self.access_log("status_access_log"),
            ..self.site("status_listen", listens, tls)
        };
        let configure = move |config: &mut _| status::configure(pages.clone())(config);
        Ok(Some(serve::serve(site, configure)?))
    }

    /// The TLS of a setting's `ssl` listens; `None` when there are none.
    ///
    /// # Errors
    /// A certificate cannot be loaded or made.
    pub fn listener_tls(
        &self,
        listens: &[Listen],
        identities: impl FnOnce() -> Result<Vec<tls::Identity>, CredentialError>,
    ) -> Result<Option<rustls::ServerConfig>, NodeError> {
        if !listens.iter().any(|listen| listen.ssl) {
            return Ok(None);
        }
        let http2 = listens.iter().any(|listen| listen.http2);
        let versions = self.settings.certificates.versions;
        Ok(Some(tls::listener_config(&identities()?, versions, http2)?))
    }

    /// What counts the connections of listeners that are not the proxy's: on a control plane
    /// they are all there is, elsewhere `/status` speaks of the proxy alone.
    fn listener_counters(&self) -> Arc<ConnectionCounters> {
        match self.settings.node.role.has_data_plane() {
            true => Arc::default(),
            false => Arc::clone(&self.counters),
        }
    }

    /// The access log of this setting, unless it is off.
    pub fn access_log(&self, setting: &str) -> Option<AccessLog> {
        self.access_logs.of(setting).cloned()
    }

    /// A site of this node.
    pub fn site<'a>(
        &self,
        setting: &'static str,
        listens: &'a [Listen],
        tls: Option<rustls::ServerConfig>,
    ) -> Site<'a> {
        Site {
            setting,
            listens,
            tls,
            workers: WORKERS,
            drain: self.settings.node.shutdown_timeout,
            on_connect: serve::ignore_connections,
            counters: self.listener_counters(),
            pages: self.settings.listeners.pages.clone(),
            patience: self.settings.listeners.patience,
            access_log: None,
        }
    }
}

/// The secret of a node with links over the network. One that cannot keep it, because its prefix
/// may only be read, goes on without.
fn secret(settings: &Settings) -> Result<Option<NodeSecret>, IdentityError> {
    if settings.node.role != Role::DataPlane {
        return Ok(None);
    }
    match node_secret(&settings.node.prefix) {
        Ok(secret) => Ok(Some(secret)),
        Err(error @ IdentityError::Io { .. }) => {
            tracing::warn!(%error, "this node cannot keep a secret that proves its id");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The state of a node of several planes: each says what it knows.
struct Parts(Vec<Arc<dyn NodeStatus>>);

impl NodeStatus for Parts {
    fn state(&self) -> LocalFuture<'_, NodeState> {
        Box::pin(async {
            let mut whole = NodeState::default();
            for part in &self.0 {
                whole = whole.or(part.state().await);
            }
            whole
        })
    }

    fn quarantine(&self) -> LocalFuture<'_, Vec<Value>> {
        Box::pin(async {
            let mut whole: Vec<Value> = Vec::new();
            // A node of both planes may be a row of its own fleet; what it says itself counts.
            for part in self.0.iter().rev() {
                let listed = part.quarantine().await;
                let known: HashSet<String> = whole
                    .iter()
                    .map(|entry| entry["node"]["id"].to_string())
                    .collect();
                let others = listed.into_iter();
                whole.extend(others.filter(|it| !known.contains(&it["node"]["id"].to_string())));
            }
            whole
        })
    }

    fn before_scrape(&self) -> LocalFuture<'_, ()> {
        Box::pin(async {
            for part in &self.0 {
                part.before_scrape().await;
            }
        })
    }
}
