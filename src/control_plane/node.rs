//! A control plane put together from its settings.

use super::admin_api::{self, AdminApi, Api, StopListening};
use super::cluster_registry::{
    ClusterListeners, ClusterRegistry, Doors, Fleet, Identities, LinkAcceptor, RegistryOptions,
    StopSessions, TelemetryAcceptor, history,
};
use super::config_store::{
    self, ConfigStoreHandle, DatabaseSettings, InspectError, Inspection, Place, PostgresSettings,
    PostgresTls, PostgresTlsMode, Retention, SqliteSettings, Store,
};
use super::document::CurrentDocument;
use super::session::{Feed, Identity};
use super::status::Status;
use super::telemetry::{Entities, FleetMetrics, Ingestor, Names, forget_old_telemetry};
use crate::actor::{RestartPolicy, Slot, guard};
use crate::declared::Rules;
use crate::model::{Config, KindSet};
use crate::node::{Node, NodeError};
use crate::serve::{self, Site};
use crate::settings::{self, Database, KONG_VERSION, Settings};
use crate::telemetry::metrics::table::CLUSTER_SENT;
use crate::telemetry::status::{NodeStatus, StatusContext};
use crate::wire::Limits;
use actix_web::web::Data;
use std::sync::Arc;
use uuid::Uuid;

/// Where a node without a database keeps what it was given, under its prefix.
const DBLESS_FILE: &str = "dbless.db";

/// Revisions that the journal of such a node keeps. Its one data plane is in the same process: it
/// needs the latest, and the one before if it was killed while it wrote its cache. Each may be a whole
/// configuration of new ids.
const DBLESS_REVISIONS: u64 = 2;

/// A control plane whose database is open; it serves nobody yet.
pub struct ControlPlane {
    node: Node,
    store: Store,
    /// On a node that lives from declarative configuration.
    document: Option<Arc<CurrentDocument>>,
    writer: ConfigStoreHandle,
    registry: Slot<ClusterRegistry>,
    fleet: Arc<Fleet>,
    links: LinkAcceptor,
    telemetry: TelemetryAcceptor,
    identities: Arc<Identities>,
    doors: Arc<Doors>,
    admin: Option<Slot<AdminApi>>,
    listeners: Option<ClusterListeners>,
    /// Epoch seconds.
    cluster_cert_expiry: Option<i64>,
}

impl ControlPlane {
    /// Opens the database and applies pending migrations.
    ///
    /// # Errors
    /// The database cannot be reached or refuses.
    pub async fn open(node: &Node) -> Result<ControlPlane, NodeError> {
        let store = connect(&node.settings).await?;
        let failed = |err| NodeError::Database(format!("database: migrations failed: {err:?}"));
        for step in store.migrate().await.map_err(failed)? {
            tracing::info!(step, "migration applied");
        }
        if let Err(err) = store.compact().await {
            tracing::warn!(?err, "the database file could not be made smaller");
        }
        let document = match node.settings.is_dbless() {
            true => Some(Arc::new(CurrentDocument::open(node, &store).await?)),
            false => None,
        };
        let writer = ConfigStoreHandle::start(
            store.clone(),
            Retention::default(),
            &node.metrics,
            &node.actors,
        );
        let settings = &node.settings;
        let cluster = settings.cluster.identity()?;
        let limits = Limits::for_payload(settings.cluster.max_payload);
        let feed = match settings.node.role.has_data_plane() {
            // Its data plane begins with the configuration.
            true => {
                let history = history(&store)
                    .await
                    .map_err(|err| NodeError::Database(format!("database: {err:?}")))?;
                let history = match settings.is_dbless() {
                    true => history.keeping(DBLESS_REVISIONS as usize),
                    false => history,
                };
                Feed::new(history, limits)
            }
            // Read by the registry while the Admin API answers from the database.
            false => Feed::unread(limits),
        };
        let feed = Arc::new(feed);
        let identity = Identity {
            control_plane: node.id,
            langur_version: env!("CARGO_PKG_VERSION").to_owned(),
            kong_version: KONG_VERSION.to_owned(),
        };
        let identities = Identities::new(store.clone());
        let doors = Doors::new(settings.cluster.max_data_planes, Arc::clone(&node.metrics));
        let purge_delay = settings.cluster.purge_delay;
        let known = Fleet::start(store.clone(), Arc::clone(&feed), node.id, purge_delay);
        let options = RegistryOptions {
            restores_itself: settings.cluster.restores_itself,
            identities: Arc::clone(&identities),
            doors: Arc::clone(&doors),
            store: store.clone(),
            feed: Arc::clone(&feed),
            identity: identity.clone(),
            hostname: node.hostname.clone(),
            fleet: Arc::clone(&known),
            metrics: Arc::clone(&node.metrics),
        };
        let policy = RestartPolicy::default();
        let registry = guard(&node.actors, "ClusterRegistry", policy, move || {
            ClusterRegistry::new(options.clone())
        });
        let fleet = FleetMetrics::new(
            node.metrics.clone(),
            settings.metrics.per_consumer,
            settings.cluster.purge_delay,
        );
        let names = Names::new(Arc::clone(&feed) as Arc<dyn Entities>);
        let ingestor = Ingestor::new(Arc::new(store.clone()), names, fleet);
        actix_rt::spawn(forget_old_telemetry(store.clone()));
        Ok(ControlPlane {
            node: node.clone(),
            writer,
            links: LinkAcceptor {
                feed,
                identity,
                registry: registry.clone(),
                next: Arc::default(),
            },
            telemetry: TelemetryAcceptor {
                ingestor: Arc::new(ingestor),
            },
            registry,
            fleet: known,
            store,
            document,
            identities,
            doors,
            admin: None,
            listeners: None,
            cluster_cert_expiry: cluster.and_then(|identity| identity.expiry()),
        })
    }

    /// What this plane says on the status pages.
    pub fn status(&self) -> Arc<dyn NodeStatus> {
        Arc::new(Status {
            has_database: self.document.is_none(),
            writer: self.writer.clone(),
            registry: self.registry.clone(),
            fleet: Arc::clone(&self.fleet),
            feed: Arc::clone(&self.links.feed),
            sent_bytes: self.node.metrics.counter(&CLUSTER_SENT, []),
            cluster_cert_expiry: self.cluster_cert_expiry,
        })
    }

    /// Takes configuration links of the same process.
    pub fn links(&self) -> LinkAcceptor {
        self.links.clone()
    }

    /// Takes telemetry links of the same process.
    pub fn telemetry(&self) -> TelemetryAcceptor {
        self.telemetry.clone()
    }

    /// The configuration as a data plane of the same process is to begin with it, and its epoch.
    pub fn configuration(&self) -> (u64, Config) {
        self.links.feed.of_kinds(KindSet::DISTRIBUTED)
    }

    /// Whether the configuration once was exactly this, as a data plane holds it.
    pub fn came_from(&self, earlier: &Config) -> bool {
        self.links.feed.came_from(earlier, KindSet::DISTRIBUTED)
    }

    pub fn node_id(&self) -> Uuid {
        self.node.id
    }

    /// Opens the admin and cluster listeners.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn serve(&mut self, pages: Data<StatusContext>) -> Result<(), NodeError> {
        self.admin = Some(self.serve_admin(pages)?);
        if self.node.settings.node.role == settings::Role::ControlPlane {
            let (links, telemetry) = (self.links.clone(), self.telemetry.clone());
            let (doors, identities) = (Arc::clone(&self.doors), Arc::clone(&self.identities));
            let opened = ClusterListeners::open(&self.node, links, telemetry, doors, identities)?;
            self.listeners = Some(opened);
        }
        Ok(())
    }

    fn serve_admin(&self, pages: Data<StatusContext>) -> Result<Slot<AdminApi>, NodeError> {
        let settings = &self.node.settings;
        let shared = admin_api::Shared {
            api: Api {
                store: self.writer.clone(),
                fleet: Arc::clone(&self.fleet),
                document: self.document.clone(),
                rules: Arc::new(Rules::of(settings)),
            },
            node: admin_api::Node {
                id: self.node.id,
                hostname: self.node.hostname.clone(),
                configuration: Arc::new(settings.report().into()),
            },
            hybrid: settings.node.role == settings::Role::ControlPlane,
            status: pages,
            log: self.node.log.clone(),
            openapi: admin_api::Description::default(),
            headers: admin_api::AnswerHeaders {
                server: settings.proxy.headers.server,
                latency: settings.proxy.headers.admin_latency,
            },
            max_body: match settings.proxy.limits.admin_max_body_size {
                0 => usize::MAX,
                size => usize::try_from(size).unwrap_or(usize::MAX),
            },
        };
        let (notices, log) = (self.store.notices(), self.node.log.clone());
        actix_rt::spawn(admin_api::follow_log_level(notices, log, self.node.id));
        let listens = &settings.listeners.admin;
        let identities = || {
            settings
                .certificates
                .admin_identities(&settings.node.prefix)
        };
        let tls = self.node.listener_tls(listens, identities)?;
        let site = Site {
            access_log: self.node.access_log("admin_access_log"),
            ..self.node.site("admin_listen", listens, tls)
        };
        let server = serve::serve(site, admin_api::configure(shared))?;
        let policy = RestartPolicy::default();
        Ok(guard(&self.node.actors, "AdminApi", policy, move || {
            AdminApi::new(server.clone())
        }))
    }

    /// Kills all sessions, as a bug in them would.
    #[cfg(test)]
    pub async fn kill_sessions(&self) -> usize {
        let killed = self.registry.ask(super::cluster_registry::KillSessions);
        killed.await.unwrap_or_default()
    }

    /// Stops serving; graceful lets requests in flight finish.
    pub async fn stop(&self, graceful: bool) {
        if let Some(admin) = &self.admin {
            // An actor that is gone has nothing to stop.
            let _ = admin.ask(StopListening { graceful }).await;
        }
        // A registry that is gone has no sessions.
        let _ = self.registry.ask(StopSessions).await;
        if let Some(listeners) = &self.listeners {
            listeners.stop().await;
        }
        self.store.close().await;
    }
}

/// Opens the database that the settings name.
///
/// # Errors
/// It cannot be reached; the sentence names the setting.
pub async fn connect(settings: &Settings) -> Result<Store, NodeError> {
    let Some(database) = database(settings) else {
        let why = "database: a control plane needs one".to_owned();
        return Err(NodeError::Database(why));
    };
    let setting = match &database {
        DatabaseSettings::Sqlite(sqlite) => {
            let setting = match settings.is_dbless() {
                true => "prefix",
                false => "sqlite_path",
            };
            if let Some(folder) = sqlite.path.parent() {
                std::fs::create_dir_all(folder).map_err(|err| {
                    let folder = folder.display();
                    NodeError::Database(format!("{setting}: cannot create {folder}: {err}"))
                })?;
            }
            setting
        }
        DatabaseSettings::Postgres(_) => "pg_host",
    };
    let store = Store::connect(&database, settings.update_frequency)
        .await
        .map_err(|err| NodeError::Database(format!("{setting}: {err:?}")))?;
    if let Some(place) = store.place() {
        tell_of_kongs_tables(place, settings);
    }
    Ok(store)
}

/// In one line, what becomes of the tables of a Kong that shares the database.
fn tell_of_kongs_tables(place: &Place, settings: &Settings) {
    let Some(kong) = &place.kong else {
        return;
    };
    let langur = &place.schema;
    tracing::info!(
        kong,
        langur,
        "Kong's tables are in this database: they are not touched, and langur migrate from-kong will read them"
    );
    if let Database::Postgres(postgres) = &settings.database
        && postgres.schema.as_ref() == Some(kong)
        && kong != langur
    {
        tracing::warn!(
            langur,
            "pg_schema names the schema with Kong's tables: another one is used"
        );
    }
}

/// Looks at the database that the settings name, without changing it.
///
/// # Errors
/// See [`InspectError`].
pub async fn inspect(settings: &Settings) -> Result<Inspection, InspectError> {
    match database(settings) {
        Some(database) => config_store::inspect(&database).await,
        None => Err(InspectError::Other("database is off".to_owned())),
    }
}

fn database(settings: &Settings) -> Option<DatabaseSettings> {
    match &settings.database {
        Database::Sqlite { path } => Some(DatabaseSettings::Sqlite(SqliteSettings::new(path))),
        Database::Postgres(postgres) => Some(DatabaseSettings::Postgres(Box::new(pg(postgres)))),
        // What such a node serves survives a restart, with the revisions its data plane knows.
        Database::Off if settings.is_dbless() => {
            let path = settings.node.prefix.join(DBLESS_FILE);
            Some(DatabaseSettings::Sqlite(SqliteSettings {
                keeps_revisions: Some(DBLESS_REVISIONS),
                ..SqliteSettings::new(path)
            }))
        }
        Database::Off => None,
    }
}

fn pg(settings: &settings::Postgres) -> PostgresSettings {
    PostgresSettings {
        port: settings.port,
        password: settings
            .password
            .as_ref()
            .map(|secret| secret.expose().to_owned()),
        schema: settings.schema.clone(),
        tls: PostgresTls {
            mode: match (settings.ssl, settings.ssl_verify) {
                (false, _) => PostgresTlsMode::Disable,
                (true, false) => PostgresTlsMode::Require,
                (true, true) => PostgresTlsMode::VerifyFull,
            },
            ..PostgresTls::default()
        },
        connect_timeout: settings.timeout,
        max_connections: settings.pool_size,
        ..PostgresSettings::new(&settings.host, &settings.user, &settings.database)
    }
}
