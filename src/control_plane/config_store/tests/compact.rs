//! A database whose every revision may be a whole configuration stays as small as one.

use super::support::{block_on, document, id};
use crate::control_plane::config_store::{
    DatabaseSettings, Declaration, Extent, SqliteSettings, Store,
};
use crate::model::{Kind, Packed, Revision};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

async fn open(path: &Path, keeps_revisions: Option<u64>) -> Store {
    let settings = SqliteSettings {
        keeps_revisions,
        ..SqliteSettings::new(path)
    };
    let settings = DatabaseSettings::Sqlite(settings);
    let store = Store::connect(&settings, Duration::from_secs(3600)).await;
    let store = store.expect("opens");
    store.migrate().await.expect("migrates");
    store.compact().await.expect("compacts");
    store
}

/// A configuration of consumers that no other document has.
async fn declare(store: &Store, document_number: u128, consumers: u128) -> Revision {
    let first = document_number * 1000;
    let entity = |n| {
        let name = json!({ "username": format!("consumer-{n}") });
        let document = document(Kind::Consumers, n, name);
        (Kind::Consumers, id(n), Packed::of(&document))
    };
    let entities = (first..first + consumers).map(entity).collect();
    let declaration = Declaration::new(Extent::Whole, entities);
    let done = store.declare(declaration, None).await;
    done.expect("declares").revision
}

async fn count(store: &Store, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table}");
    let question = Statement::from_string(DbBackend::Sqlite, sql);
    let row = store.db().query_one_raw(question).await.expect("asks");
    row.expect("a row").try_get_by_index(0).expect("a number")
}

async fn pages(store: &Store) -> i64 {
    store.pragma("page_count").await.expect("asks")
}

#[test]
fn trial_13_a_hundred_documents_take_no_more_room_than_a_few() {
    let folder = tempfile::tempdir().expect("a folder");
    block_on(async {
        let store = open(&folder.path().join("dbless.db"), Some(2)).await;
        for n in 1..=5 {
            declare(&store, n, 100).await;
        }
        let few = pages(&store).await;
        for n in 6..=100 {
            declare(&store, n, 100).await;
            // What the document puts, what it takes away, twice.
            assert!(count(&store, "config_journal").await <= 400);
        }
        assert_eq!(count(&store, "consumers").await, 100);
        let many = pages(&store).await;
        assert!(many <= few + few / 2, "{few} pages, then {many}");
        let oldest = store.oldest_journal_revision().await.expect("asks");
        assert_eq!(oldest, Some(Revision(99)));

        // What was large once is given back.
        declare(&store, 200, 5000).await;
        let large = pages(&store).await;
        for n in 201..=203 {
            declare(&store, n, 10).await;
        }
        store.compact().await.expect("compacts");
        let small = pages(&store).await;
        assert!(small <= few && small < large, "{large} pages, then {small}");
        store.close().await;
    });
}

#[test]
fn trial_13_the_file_of_an_earlier_version_is_made_small() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dbless.db");
    block_on(async {
        let before = open(&path, None).await;
        let mut latest = Revision(0);
        for n in 1..=40 {
            latest = declare(&before, n, 100).await;
        }
        let large = pages(&before).await;
        before.close().await;
        let after = open(&path, Some(2)).await;
        let small = pages(&after).await;
        assert!(small < large / 2, "{large} pages, then {small}");
        assert_eq!(after.latest_revision().await.expect("asks"), latest);
        assert_eq!(count(&after, "consumers").await, 100);
        after.close().await;
    });
}
