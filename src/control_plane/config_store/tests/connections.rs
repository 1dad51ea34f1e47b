//! What every connection promises, and what happens when there is none.

use super::support::{Database, block_on, insert, on_both_engines};
use crate::control_plane::config_store::{
    DatabaseSettings, PostgresSettings, SqliteSettings, Store, StoreError,
};
use crate::model::Kind;
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const POLL: Duration = Duration::from_secs(5);

async fn ask(db: &impl ConnectionTrait, engine: DbBackend, question: &str) -> String {
    let statement = Statement::from_string(engine, question);
    let row = db.query_one_raw(statement).await.expect("asks");
    let row = row.expect("an answer");
    let text = row.try_get_by_index::<String>(0);
    text.unwrap_or_else(|_| {
        let number: i64 = row.try_get_by_index(0).expect("a number");
        number.to_string()
    })
}

on_both_engines!(
    /// Foreign keys are on and commits are synced, on each connection of the pool.
    connections_are_durable_and_strict,
    async |database: &Database| {
        let (store, mut held) = (&database.store, Vec::new());
        let promises: &[(&str, &str)] = match store.engine() {
            DbBackend::Sqlite => &[
                ("PRAGMA foreign_keys", "1"),
                ("PRAGMA journal_mode", "wal"),
                ("PRAGMA synchronous", "2"),
                ("PRAGMA busy_timeout", "5000"),
            ],
            _ => &[
                ("SHOW synchronous_commit", "on"),
                ("SHOW idle_in_transaction_session_timeout", "2min"),
                ("SHOW statement_timeout", "1min"),
                ("SHOW lock_timeout", "50s"),
                ("SHOW tcp_keepalives_idle", "60"),
            ],
        };
        for _ in 0..4 {
            // Held open, so that the next one is another.
            let connection = store.0.db.begin().await.expect("begins");
            for (question, expected) in promises {
                let answer = ask(&connection, store.engine(), question).await;
                assert_eq!(answer, *expected, "{question}");
            }
            held.push(connection);
        }
    }
);

#[test]
fn the_database_file_is_the_owners_alone() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("langur.db");
        let settings = DatabaseSettings::Sqlite(SqliteSettings::new(&path));
        let store = Store::connect(&settings, POLL).await.expect("connects");
        store.migrate().await.expect("migrates");
        for name in ["langur.db", "langur.db-wal"] {
            let file = std::fs::metadata(directory.path().join(name)).expect("is there");
            assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name}");
        }
    });
}

#[test]
fn a_database_out_of_reach_is_unavailable() {
    block_on(async {
        let missing = SqliteSettings::new("/nonexistent/langur.db");
        // Port 1 of this machine: nobody answers.
        let silent = PostgresSettings {
            port: 1,
            connect_timeout: Duration::from_millis(1),
            password: Some("s3cret".to_owned()),
            ..PostgresSettings::new("127.0.0.1", "langur", "langur")
        };
        for settings in [
            DatabaseSettings::Sqlite(missing),
            DatabaseSettings::Postgres(Box::new(silent)),
        ] {
            assert!(!format!("{settings:?}").contains("s3cret"));
            let err = Store::connect(&settings, POLL)
                .await
                .map(|_| ())
                .expect_err("fails");
            assert!(matches!(err, StoreError::Unavailable(_)), "{err:?}");
        }
    });
}

#[test]
fn what_was_acknowledged_is_in_the_files() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let open = async |path: &Path| {
            let settings = DatabaseSettings::Sqlite(SqliteSettings::new(path));
            Store::connect(&settings, POLL).await.expect("connects")
        };
        let store = open(&directory.path().join("langur.db")).await;
        store.migrate().await.expect("migrates");
        for n in 1..=5 {
            store.must(vec![insert(Kind::Routes, n, json!({}))]).await;
            // The files as a crash at this moment leaves them, without the shared memory.
            let crashed = tempfile::tempdir().expect("a directory");
            for name in ["langur.db", "langur.db-wal"] {
                let from = directory.path().join(name);
                std::fs::copy(from, crashed.path().join(name)).expect("copies");
            }
            let found = open(&crashed.path().join("langur.db")).await;
            let config = found.config().await.expect("reads");
            assert_eq!(config, store.config().await.expect("reads"));
            assert_eq!(u128::from(config.revision().0), n);
        }
    });
}
