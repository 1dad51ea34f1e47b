//! Where the configuration is stored and how it is reached.

use std::path::PathBuf;
use std::time::Duration;

/// The database of a control plane.
#[derive(Clone, Debug)]
pub enum DatabaseSettings {
    Sqlite(SqliteSettings),
    Postgres(Box<PostgresSettings>),
}

/// The embedded default: one file, one control plane.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// The file; its directory must exist. It is made readable for the owner alone.
    pub path: PathBuf,
    /// How long a statement waits for another process that writes to the file.
    pub busy_timeout: Duration,
    /// Connections; one writes at a time, all may read.
    pub max_connections: u32,
    /// Revisions that the journal keeps, when each of them may be a whole configuration: what is older
    /// goes with every commit, and the file gives back the room. `None`: maintenance prunes by and by.
    pub keeps_revisions: Option<u64>,
}

impl SqliteSettings {
    /// The defaults: 5 s, four connections.
    pub fn new(path: impl Into<PathBuf>) -> SqliteSettings {
        SqliteSettings {
            path: path.into(),
            busy_timeout: Duration::from_secs(5),
            max_connections: 4,
            keeps_revisions: None,
        }
    }
}

/// One database for any number of control planes: the `pg_*` settings.
#[derive(Clone)]
pub struct PostgresSettings {
    /// A host name, an address, or a directory with the server's socket.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    /// Tables are looked for and made here; none is the server's choice.
    pub schema: Option<String>,
    pub tls: PostgresTls,
    /// How long to wait for a connection, new or from the pool.
    pub connect_timeout: Duration,
    /// After this long the server gives a statement up; unset, a minute.
    pub statement_timeout: Option<Duration>,
    /// Connections in the pool; one more listens for changes of other control planes.
    pub max_connections: u32,
    /// Unused connections are closed after this long.
    pub idle_timeout: Duration,
}

/// How the connection to PostgreSQL is secured.
#[derive(Clone, Debug, Default)]
pub struct PostgresTls {
    pub mode: PostgresTlsMode,
    /// PEM file of the authorities to trust when the server is verified; none is the built-in roots.
    pub ca_certificates: Option<PathBuf>,
    /// PEM file of the client's certificate.
    pub client_certificate: Option<PathBuf>,
    /// PEM file of the client's key.
    pub client_key: Option<PathBuf>,
}

/// Whether TLS is used, and what is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PostgresTlsMode {
    /// `pg_ssl = off`.
    #[default]
    Disable,
    /// `pg_ssl = on`: TLS when the server offers it.
    Prefer,
    /// `pg_ssl_required = on`: TLS or no connection; the server is not verified.
    Require,
    /// `pg_ssl_verify = on`: the server's certificate and name are verified.
    VerifyFull,
}

impl PostgresSettings {
    /// The defaults beside what has none: port 5432, no TLS, 5 s to connect, 16 connections.
    pub fn new(host: &str, user: &str, database: &str) -> PostgresSettings {
        PostgresSettings {
            host: host.to_owned(),
            port: 5432,
            user: user.to_owned(),
            password: None,
            database: database.to_owned(),
            schema: None,
            tls: PostgresTls::default(),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: None,
            max_connections: 16,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

impl std::fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the password.
        f.debug_struct("PostgresSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("schema", &self.schema)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}
