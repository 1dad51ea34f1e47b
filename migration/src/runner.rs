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

/// Applies the pending steps, all or none, and names them.
///
/// # Errors
/// When the database fails or holds a step that this program does not know: it was written
/// by a later version.
pub async fn up(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let transaction = begin(db).await?;
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
pub async fn reset(db: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = begin(db).await?;
    Migrator::reset(&transaction).await?;
    transaction.commit().await
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
