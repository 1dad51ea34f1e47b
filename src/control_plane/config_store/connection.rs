//! Opening the database: pools whose every connection keeps what the store promises.

use super::place::{self, Place};
use super::settings::{DatabaseSettings, PostgresSettings, PostgresTlsMode, SqliteSettings};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// An open database, and how to open one more connection to it that listens.
pub(super) struct Connection {
    pub db: DatabaseConnection,
    pub listen: Option<PgConnectOptions>,
    /// On PostgreSQL, where the tables are.
    pub place: Option<Place>,
}

pub(super) async fn open(settings: &DatabaseSettings) -> Result<Connection, DbErr> {
    match settings {
        DatabaseSettings::Sqlite(settings) => open_sqlite(settings).await,
        DatabaseSettings::Postgres(settings) => open_postgres(settings).await,
    }
}

/// Pages a connection keeps, as SQLite wants it: minus KiB. Counts of 100 000 routes fit; SQLite's
/// own default is 2 MiB.
const CACHE_SIZE: &str = "-16384";

/// Pages in the log before they are moved into the database, 32 MiB: counting one batch of
/// telemetry may touch a page for each route, and SQLite's own 4 MiB would move them all every
/// time.
const CHECKPOINT: &str = "8192";

/// WAL lets readers go on while one writes; FULL syncs the log on every commit, so that what
/// was acknowledged survives a power loss (NORMAL would not).
async fn open_sqlite(settings: &SqliteSettings) -> Result<Connection, DbErr> {
    // SQLite gives its log and index files the mode of the database, which holds private keys.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&settings.path)
        .map_err(|err| failed(sqlx::Error::Io(err)))?;
    let options = SqliteConnectOptions::new()
        .filename(&settings.path)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", CACHE_SIZE)
        .pragma("wal_autocheckpoint", CHECKPOINT)
        .busy_timeout(settings.busy_timeout);
    let pool = SqlitePoolOptions::new()
        .max_connections(settings.max_connections.max(1))
        .connect_with(options)
        .await
        .map_err(failed)?;
    Ok(Connection {
        db: pool.into(),
        listen: None,
        place: None,
    })
}

async fn open_postgres(settings: &PostgresSettings) -> Result<Connection, DbErr> {
    let options = postgres_options(settings);
    let setup: Arc<str> = session_setup(settings).into();
    // The first connection looks where the tables are; all others follow it.
    let place: Arc<OnceCell<Place>> = Arc::default();
    let (known, asked) = (Arc::clone(&place), settings.schema.clone());
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections.max(1))
        .acquire_timeout(settings.connect_timeout)
        .idle_timeout(settings.idle_timeout)
        .after_connect(move |connection, _| {
            let (known, asked) = (Arc::clone(&known), asked.clone());
            let setup = setup.to_string();
            Box::pin(async move {
                let place = known
                    .get_or_try_init(|| place::find(&mut *connection, asked.as_deref()))
                    .await?;
                let setup = format!("{setup}; {}", place.search_path());
                sqlx::raw_sql(sqlx::AssertSqlSafe(setup))
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .connect_with(options.clone())
        .await
        .map_err(failed)?;
    Ok(Connection {
        db: pool.into(),
        listen: Some(options),
        place: place.get().cloned(),
    })
}

pub(super) fn postgres_options(settings: &PostgresSettings) -> PgConnectOptions {
    let tls = &settings.tls;
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&settings.host)
        .port(settings.port)
        .username(&settings.user)
        .database(&settings.database)
        .application_name("langur")
        .ssl_mode(match tls.mode {
            PostgresTlsMode::Disable => PgSslMode::Disable,
            PostgresTlsMode::Prefer => PgSslMode::Prefer,
            PostgresTlsMode::Require => PgSslMode::Require,
            PostgresTlsMode::VerifyFull => PgSslMode::VerifyFull,
        });
    if let Some(password) = &settings.password {
        options = options.password(password);
    }
    // A root given with `Require` would make the driver verify, which is `VerifyFull`'s to say.
    if let (PostgresTlsMode::VerifyFull, Some(path)) = (tls.mode, &tls.ca_certificates) {
        options = options.ssl_root_cert(path);
    }
    if let Some(path) = &tls.client_certificate {
        options = options.ssl_client_cert(path);
    }
    if let Some(path) = &tls.client_key {
        options = options.ssl_client_key(path);
    }
    options
}

/// After which PostgreSQL ends a transaction that nobody goes on with. A control plane whose machine
/// is gone would else keep the next revision from all others, until TCP gives up after hours.
const LONGEST_IDLE: Duration = Duration::from_secs(120);

/// Set after connecting rather than at startup, because connection poolers refuse startup
/// parameters they do not know.
fn session_setup(settings: &PostgresSettings) -> String {
    // An acknowledged write is on disk, whatever the server's default; stronger settings stay.
    let mut setup = "SELECT set_config('synchronous_commit', 'on', false) \
                     WHERE current_setting('synchronous_commit') = 'off'"
        .to_owned();
    setup.push_str(&format!(
        "; SET idle_in_transaction_session_timeout TO {}",
        LONGEST_IDLE.as_millis()
    ));
    if let Some(timeout) = settings.statement_timeout {
        setup.push_str(&format!(
            "; SET statement_timeout TO {}",
            timeout.as_millis()
        ));
    }
    setup
}

fn failed(err: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(err)))
}
