//! Opening the database: pools whose every connection keeps what the store promises.

use super::breaker::Breaker;
use super::database::LIMIT;
use super::place::{self, Place};
use super::settings::{DatabaseSettings, PostgresSettings, PostgresTlsMode, SqliteSettings};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// An open database, and how to open one more connection to it that listens.
pub(super) struct Connection {
    pub db: DatabaseConnection,
    pub breaker: Arc<Breaker>,
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
        .busy_timeout(settings.busy_timeout)
        // `slow` does that, in short.
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(settings.max_connections.max(1))
        .connect_with(options)
        .await
        .map_err(failed)?;
    Ok(Connection {
        db: pool.into(),
        breaker: Arc::new(Breaker::never()),
        listen: None,
        place: None,
    })
}

async fn open_postgres(settings: &PostgresSettings) -> Result<Connection, DbErr> {
    let options = postgres_options(settings);
    let breaker = Breaker::of_server(options.clone(), settings.connect_timeout);
    let (released, breaker) = (breaker.watch(), Arc::new(breaker));
    let place: Arc<OnceCell<Place>> = Arc::default();
    let setup = session_setup() + &limits(settings);
    let pool = postgres_pool(settings, setup, Arc::clone(&place))
        .max_connections(settings.max_connections.max(1))
        .acquire_timeout(settings.connect_timeout)
        .idle_timeout(settings.idle_timeout)
        // The driver asks a connection that comes back whether it is sound, and would wait for a
        // server that says nothing for as long as that does.
        .after_release(move |_, _| {
            let sound = !*released.borrow();
            Box::pin(std::future::ready(Ok(sound)))
        })
        .connect_with(options.clone())
        .await
        .map_err(failed)?;
    Ok(Connection {
        db: pool.into(),
        breaker,
        listen: Some(options),
        place: place.get().cloned(),
    })
}

/// One connection whose statements may take as long as they need: those of migrations.
pub(super) async fn without_limits(
    settings: &DatabaseSettings,
    usual: &DatabaseConnection,
) -> Result<DatabaseConnection, DbErr> {
    let DatabaseSettings::Postgres(settings) = settings else {
        return Ok(usual.clone());
    };
    let pool = postgres_pool(settings, session_setup(), Arc::default())
        .max_connections(1)
        .acquire_timeout(settings.connect_timeout)
        .connect_with(postgres_options(settings))
        .await
        .map_err(failed)?;
    Ok(pool.into())
}

/// Whose every connection begins with these statements, and has its tables where the first one has
/// found them.
fn postgres_pool(
    settings: &PostgresSettings,
    setup: String,
    place: Arc<OnceCell<Place>>,
) -> PgPoolOptions {
    let asked = settings.schema.clone();
    PgPoolOptions::new().after_connect(move |connection, _| {
        let (known, asked) = (Arc::clone(&place), asked.clone());
        let setup = setup.clone();
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
}

pub(super) fn postgres_options(settings: &PostgresSettings) -> PgConnectOptions {
    let tls = &settings.tls;
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&settings.host)
        .port(settings.port)
        .username(&settings.user)
        .database(&settings.database)
        .application_name("langur")
        .disable_statement_logging()
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
fn session_setup() -> String {
    // An acknowledged write is on disk, whatever the server's default; stronger settings stay.
    let mut setup = "SELECT set_config('synchronous_commit', 'on', false) \
                     WHERE current_setting('synchronous_commit') = 'off'"
        .to_owned();
    setup.push_str(&format!(
        "; SET idle_in_transaction_session_timeout TO {}",
        LONGEST_IDLE.as_millis()
    ));
    setup
}

/// How long a write waits for one of another control plane. It is told to come again then, before the
/// statement's own limit ends it in another way.
const LONGEST_WAIT: Duration = Duration::from_secs(50);

/// Nothing goes on for long after whoever asked has given up, and the server notices a control plane
/// whose machine is gone.
fn limits(settings: &PostgresSettings) -> String {
    let statement = settings.statement_timeout.unwrap_or(LIMIT);
    format!(
        "; SET statement_timeout TO {}; SET lock_timeout TO {}; SET tcp_keepalives_idle TO 60; \
         SET tcp_keepalives_interval TO 10; SET tcp_keepalives_count TO 6",
        statement.as_millis(),
        LONGEST_WAIT.min(statement).as_millis(),
    )
}

fn failed(err: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(err)))
}
