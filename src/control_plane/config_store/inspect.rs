//! Looking at a database without changing it: for people who ask what is wrong.

use super::connection::postgres_options;
use super::place;
use super::settings::{DatabaseSettings, PostgresSettings};
use migration::Step;
use migration::sea_orm::{DatabaseConnection, DbErr};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use std::path::Path;

/// What a database says.
#[derive(Debug)]
pub struct Inspection {
    /// The steps of the schema that this program knows, in order.
    pub steps: Vec<Step>,
    /// There is no file yet.
    pub missing: bool,
    /// Epoch seconds by the clock of a server.
    pub server_time: Option<f64>,
}

/// Why a database cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("the server does not let this user in: {0}")]
    Credentials(String),
    #[error("the server has no such database: {0}")]
    NoDatabase(String),
    #[error("TLS fails: {0}")]
    Tls(String),
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("the schema is newer than this program: {0}")]
    Newer(String),
    #[error("cannot be read: {0}")]
    Other(String),
}

/// Looks at the database. A file that is not there is not made.
///
/// # Errors
/// See [`InspectError`].
pub async fn inspect(settings: &DatabaseSettings) -> Result<Inspection, InspectError> {
    match settings {
        DatabaseSettings::Sqlite(settings) => inspect_sqlite(&settings.path).await,
        DatabaseSettings::Postgres(settings) => inspect_postgres(settings).await,
    }
}

async fn inspect_sqlite(path: &Path) -> Result<Inspection, InspectError> {
    if !path.exists() {
        return Ok(Inspection {
            steps: Vec::new(),
            missing: true,
            server_time: None,
        });
    }
    // Without a log nobody has it open: then not even the log's files need to be made.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(!Path::new(&log).exists());
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(options).await.map_err(of_sqlx)?;
    let steps = steps(&pool.clone().into()).await;
    pool.close().await;
    Ok(Inspection {
        steps: steps?,
        missing: false,
        server_time: None,
    })
}

async fn inspect_postgres(settings: &PostgresSettings) -> Result<Inspection, InspectError> {
    let options = postgres_options(settings);
    // Beside the pool, which would try again and again.
    let mut connection = options.connect().await.map_err(of_sqlx)?;
    let question = "SELECT extract(epoch FROM clock_timestamp())::float8";
    let row = sqlx::query(question).fetch_one(&mut connection).await;
    let server_time = row.and_then(|row| row.try_get(0)).map_err(of_sqlx)?;
    let place = place::find(&mut connection, settings.schema.as_deref()).await;
    let setup = place.map_err(of_sqlx)?.search_path();
    connection.close().await.map_err(of_sqlx)?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .after_connect(move |connection, _| {
            let setup = sqlx::AssertSqlSafe(setup.clone());
            Box::pin(async move {
                sqlx::raw_sql(setup).execute(connection).await?;
                Ok(())
            })
        });
    let pool = pool.connect_with(options).await.map_err(of_sqlx)?;
    let steps = steps(&pool.clone().into()).await;
    pool.close().await;
    Ok(Inspection {
        steps: steps?,
        missing: false,
        server_time: Some(server_time),
    })
}

async fn steps(db: &DatabaseConnection) -> Result<Vec<Step>, InspectError> {
    migration::list(db).await.map_err(|error| match error {
        // The only thing that the steps themselves refuse: one that is not among them.
        DbErr::Custom(text) => InspectError::Newer(text),
        other => InspectError::Other(other.to_string()),
    })
}

fn of_sqlx(error: sqlx::Error) -> InspectError {
    let text = error.to_string();
    match &error {
        sqlx::Error::Database(refused) => of_code(refused.code().as_deref(), text),
        sqlx::Error::Tls(_) => InspectError::Tls(text),
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => InspectError::Unreachable(text),
        _ => InspectError::Other(text),
    }
}

/// PostgreSQL's codes: class 28 is authorization, 3D000 a database that is not there.
fn of_code(code: Option<&str>, text: String) -> InspectError {
    match code {
        Some("3D000") => InspectError::NoDatabase(text),
        Some(code) if code.len() == 5 && code.starts_with("28") => InspectError::Credentials(text),
        _ => InspectError::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        let of = |code: &str| of_code(Some(code), String::new());
        assert!(matches!(of("28P01"), InspectError::Credentials(_)));
        assert!(matches!(of("28000"), InspectError::Credentials(_)));
        assert!(matches!(of("3D000"), InspectError::NoDatabase(_)));
        assert!(matches!(of("42501"), InspectError::Other(_)));
        assert!(matches!(of("28"), InspectError::Other(_)));
    }
}
