//! Where configuration is kept: the control plane's database, the data plane's cache.

use super::node::Node;
use super::problems::Problems;
use super::secret::Secret;
use super::units;
use super::values::Values;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The control plane's database.
#[derive(Debug, Clone)]
pub enum Database {
    Sqlite {
        /// Absolute, or relative to the current directory when `prefix` is.
        path: PathBuf,
    },
    Postgres(Postgres),
    /// None: a data plane, or a node that lives from `declarative_config`.
    Off,
}

impl Database {
    /// The value of the key `database`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Database::Sqlite { .. } => "sqlite",
            Database::Postgres(_) => "postgres",
            Database::Off => "off",
        }
    }
}

/// How to reach PostgreSQL.
#[derive(Debug, Clone)]
pub struct Postgres {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<Secret>,
    pub database: String,
    pub schema: Option<String>,
    /// For a connection as for an answer.
    pub timeout: Duration,
    /// TLS, required.
    pub ssl: bool,
    /// Verify the server's certificate.
    pub ssl_verify: bool,
    pub pool_size: u32,
}

/// What a data plane starts from and keeps.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Directory of the LMDB environment.
    pub path: PathBuf,
    /// Bytes.
    pub map_size: usize,
    pub declarative: Option<Declarative>,
}

/// A configuration given to the node itself.
#[derive(Debug, Clone)]
pub enum Declarative {
    File(PathBuf),
    Text(Secret),
}

/// More often nobody looks into the database.
const MIN_UPDATE_FREQUENCY: Duration = Duration::from_millis(100);
const DEFAULT_POOL_SIZE: u32 = 10;
const MIN_MAP_SIZE: u64 = 1 << 20;

/// Gives `database` its default, which depends on the role and on what else is set: who says where
/// PostgreSQL is means to use it, as in Kong, where it is the default.
pub(super) fn set_database_default(values: &mut Values) {
    if values.text("database").is_some() {
        return;
    }
    let default = match values.text("role") {
        Some("data_plane") => "off",
        _ if values.changed().any(|name| name.starts_with("pg_")) => "postgres",
        _ => "sqlite",
    };
    values.set_text("database", default);
}

pub(super) fn database(node: &Node, values: &Values, problems: &mut Problems) -> Database {
    match values.text("database") {
        Some("postgres") => Database::Postgres(postgres(values, problems)),
        Some("off") => Database::Off,
        _ => Database::Sqlite {
            path: under_prefix(&node.prefix, values.text("sqlite_path")),
        },
    }
}

pub(super) fn update_frequency(values: &Values, problems: &mut Problems) -> Duration {
    let seconds = values.number("db_update_frequency").unwrap_or_default();
    if seconds < 0.0 {
        problems.violation("db_update_frequency must be 0 or greater");
    }
    units::seconds(seconds).max(MIN_UPDATE_FREQUENCY)
}

fn postgres(values: &Values, problems: &mut Problems) -> Postgres {
    let owned = |key| values.text(key).unwrap_or_default().to_owned();
    let port = values
        .number("pg_port")
        .filter(|p| (1.0..=65535.0).contains(p) && p.fract() == 0.0);
    if port.is_none() {
        problems.violation("pg_port must be an integer between 1 and 65535");
    }
    let timeout = values.number("pg_timeout").filter(|ms| *ms > 0.0);
    if timeout.is_none() {
        problems.violation("pg_timeout must be greater than 0");
    }
    let pool_size = values.number("pg_pool_size");
    if pool_size.is_some_and(|size| !(1.0..=10_000.0).contains(&size) || size.fract() != 0.0) {
        problems.violation("pg_pool_size must be an integer between 1 and 10000");
    }
    Postgres {
        host: owned("pg_host"),
        port: port.unwrap_or_default() as u16,
        user: owned("pg_user"),
        password: values.text("pg_password").map(Secret::new),
        database: owned("pg_database"),
        schema: values.text("pg_schema").map(str::to_owned),
        timeout: units::seconds(timeout.unwrap_or_default() / 1000.0),
        ssl: values.boolean("pg_ssl"),
        ssl_verify: values.boolean("pg_ssl_verify"),
        pool_size: pool_size.map_or(DEFAULT_POOL_SIZE, |size| size as u32),
    }
}

impl Cache {
    pub(super) fn resolve(node: &Node, values: &Values, problems: &mut Problems) -> Cache {
        let map_size = values.size("lmdb_map_size").unwrap_or_default();
        if map_size < MIN_MAP_SIZE {
            problems.violation("lmdb_map_size must be 1m or greater");
        }
        let file = values.text("declarative_config").map(PathBuf::from);
        let text = values.text("declarative_config_string").map(Secret::new);
        Cache {
            path: under_prefix(&node.prefix, values.text("lmdb_environment_path")),
            map_size: usize::try_from(map_size).unwrap_or(usize::MAX),
            declarative: file
                .map(Declarative::File)
                .or_else(|| text.map(Declarative::Text)),
        }
    }
}

fn under_prefix(prefix: &Path, path: Option<&str>) -> PathBuf {
    prefix.join(path.unwrap_or_default())
}
