//! Applying, listing and undoing the steps, each in one transaction and one at a time.

use crate::Migrator;
use sea_orm_migration::sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::{MigrationStatus, MigratorTrait};

/// The key of PostgreSQL's advisory lock: "langur" in ASCII. Control planes that start at the
/// same time wait for one another here.
const LOCK: i64 = 0x006c_616e_6775_7200;

/// One step and whether the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub applied: bool,
}

/// Applies the pending steps, all or none, and names them. On PostgreSQL the connections look for
/// tables in `schema`, which is made if it is not there.
///
/// # Errors
/// When the database fails, refuses to make the schema, or holds a step that this program does not know: it was written
/// by a later version.
pub async fn up(db: &DatabaseConnection, schema: Option<&str>) -> Result<Vec<String>, DbErr> {
    let transaction = begin(db).await?;
    if let Some(schema) = schema
        && !has_schema(&transaction, schema).await?
    {
        make_schema(&transaction, schema).await?;
    }
    let pending = Migrator::get_pending_migrations(&transaction).await?;
    let names: Vec<_> = pending.iter().map(|step| step.name().to_owned()).collect();
    if names.is_empty() {
        return Ok(names);
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await?;
    Ok(names)
}

/// All steps in order, without changing anything.
///
/// # Errors
/// As [`up`].
pub async fn list(db: &DatabaseConnection) -> Result<Vec<Step>, DbErr> {
    let steps = Migrator::get_migration_with_status_read_only(db).await?;
    let step = |step: &sea_orm_migration::Migration| Step {
        name: step.name().to_owned(),
        applied: step.status() == MigrationStatus::Applied,
    };
    Ok(steps.iter().map(step).collect())
}

/// Drops every table with all that is in it.
///
/// # Errors
/// As [`up`].
pub async fn reset(db: &DatabaseConnection, schema: Option<&str>) -> Result<(), DbErr> {
    let transaction = begin(db).await?;
    if let Some(schema) = schema
        && !has_schema(&transaction, schema).await?
    {
        return Ok(());
    }
    Migrator::reset(&transaction).await?;
    transaction.commit().await
}

async fn has_schema(db: &DatabaseTransaction, schema: &str) -> Result<bool, DbErr> {
    let question = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1",
        [schema.into()],
    );
    Ok(db.query_one_raw(question).await?.is_some())
}

async fn make_schema(db: &DatabaseTransaction, schema: &str) -> Result<(), DbErr> {
    let name = format!("\"{}\"", schema.replace('"', "\"\""));
    let made = db
        .execute_unprepared(&format!("CREATE SCHEMA {name}"))
        .await;
    made.map(|_| ()).map_err(|err| {
        DbErr::Custom(format!(
            "the schema {name} cannot be made ({err}): let an administrator of the database run \
             CREATE SCHEMA {name} AUTHORIZATION <pg_user>, or set pg_schema to one that is there"
        ))
    })
}

/// A transaction that no other migration runs beside.
async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let transaction = db
        .begin_with_options(TransactionOptions {
            sqlite_transaction_mode: match db.get_database_backend() {
                DbBackend::Sqlite => Some(SqliteTransactionMode::Immediate),
                _ => None,
            },
            ..TransactionOptions::default()
        })
        .await?;
    if db.get_database_backend() == DbBackend::Postgres {
        let lock = format!("SELECT pg_advisory_xact_lock({LOCK})");
        transaction
            .execute_raw(Statement::from_string(DbBackend::Postgres, lock))
            .await?;
    }
    Ok(transaction)
}
