//! Settings: kong.conf grammar; defaults < file < environment < flags.
//!
//! `keys` is the one table of all keys; everything else follows from it: checks, documentation,
//! the report of the effective configuration. Reading is pure: texts in, [`Settings`] or every
//! violation out. Nothing in here reads a file
//! but `identity`, `credentials` and `file_variables`.

mod address;
mod analytics;
mod bind;
mod bodies;
mod certificates;
mod cluster;
mod credentials;
mod dns;
pub mod docs;
mod file_variables;
mod given;
mod grammar;
pub mod identity;
mod key;
mod keys;
mod labels;
mod listen;
mod listeners;
mod log_control;
mod logs;
mod node;
mod problems;
mod proxy;
mod reference;
mod report;
mod response_headers;
mod secret;
mod sources;
mod storage;
mod tracing;
mod units;
mod values;

pub use address::{HostPort, PortMap, TrustedPeer};
pub use analytics::{Analytics, Metrics};
pub use bodies::Bodies;
pub use certificates::{CertificatePair, Certificates, Trusted};
pub use cluster::{Cluster, ClusterMtls, TELEMETRY_PORT};
pub use credentials::{CredentialError, EXPIRES_SOON};
pub use dns::{Dns, RecordKind};
pub use file_variables::FileVariable;
pub use grammar::MAX_TEXT;
pub use key::{Effect, Key, Kind};
pub use keys::{SECTIONS, Section};
pub use listen::{Listen, parse as parse_listen};
pub use listeners::{Listeners, Pages, Patience};
pub use log_control::{LevelChange, LogControl};
pub use logs::Logs;
pub use node::{LogFormat, LogLevel, Node, PluginSelection, Role};
pub use problems::SettingsError;
pub use proxy::{
    ClientLimits, ErrorType, Proxy, RealIp, RouteMatchCalculation, UpstreamKeepalive,
    UpstreamVerification,
};
pub use reference::{resolve as resolve_reference, resolve_of as resolve_reference_of};
pub use response_headers::ResponseHeaders;
pub use secret::Secret;
pub use sources::{SettingsFile, Sources};
pub use storage::{Cache, Database, Declarative, Postgres};
pub use tracing::{Instrumentations, Tracing};

use problems::Problems;
use std::time::Duration;
use values::Values;

/// The Kong version whose behaviour is implemented.
pub const KONG_VERSION: &str = "3.9.3";

/// Everything a node was told, checked; it never changes while the process runs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub node: Node,
    pub listeners: Listeners,
    pub logs: Logs,
    pub cluster: Cluster,
    pub database: Database,
    /// Between two looks for what another process wrote into the database.
    pub update_frequency: Duration,
    pub cache: Cache,
    pub proxy: Proxy,
    pub dns: Dns,
    pub certificates: Certificates,
    pub analytics: Analytics,
    pub metrics: Metrics,
    pub tracing: Tracing,
    values: Values,
}

impl Settings {
    /// Reads all sources; the second part is warnings, each a sentence that names the key.
    pub fn load(sources: &Sources) -> Result<(Settings, Vec<String>), SettingsError> {
        let mut problems = Problems::default();
        let given = sources::merge(sources, &mut problems);
        let mut values = Values::new(given, &mut problems);
        storage::set_database_default(&mut values);
        let node = Node::resolve(&values, &mut problems);
        let listeners = Listeners::resolve(&values, &mut problems);
        let database = storage::database(&node, &values, &mut problems);
        cluster::check_role(
            node.role,
            database.as_str(),
            &listeners,
            &values,
            &mut problems,
        );
        let settings = Settings {
            cluster: Cluster::resolve(&values, &mut problems),
            cache: Cache::resolve(&node, &values, &mut problems),
            proxy: Proxy::resolve(&values, &mut problems),
            dns: Dns::resolve(&values, &mut problems),
            certificates: Certificates::resolve(node.role, &listeners, &values, &mut problems),
            logs: Logs::resolve(&node, &listeners, &values, &mut problems),
            analytics: Analytics::resolve(&values, &mut problems),
            tracing: Tracing::resolve(&values, &mut problems),
            metrics: Metrics::resolve(&values),
            node,
            listeners,
            database,
            update_frequency: storage::update_frequency(&values, &mut problems),
            values,
        };
        problems.finish(settings)
    }

    /// Whether the node lives from declarative configuration, without a control plane's database.
    #[must_use]
    pub fn is_dbless(&self) -> bool {
        self.node.role == Role::Traditional && matches!(self.database, Database::Off)
    }
}

#[cfg(test)]
mod kong_files;
#[cfg(test)]
mod tests;
