//! Several control planes on one database: migrations, waking one another.

use super::support::{Database, insert, on_both_engines};
use crate::control_plane::config_store::{Changes, StoreError};
use crate::model::{Kind, Revision};
use serde_json::json;
use tokio::sync::watch;

on_both_engines!(
    migrations_are_listed_undone_and_applied_again,
    async |database: &Database| {
        let store = &database.store;
        let steps = store.migrations().await.expect("lists");
        assert!(steps.iter().all(|step| step.applied), "{steps:?}");
        assert!(store.migrate().await.expect("migrates").is_empty());
        store.must(vec![insert(Kind::Routes, 1, json!({}))]).await;
        store.reset().await.expect("resets");
        let undone = store.migrations().await.expect("lists");
        assert!(undone.iter().all(|step| !step.applied), "{undone:?}");
        assert!(store.config().await.is_err(), "there are no tables");
        let applied = store.migrate().await.expect("migrates");
        let names: Vec<_> = steps.into_iter().map(|step| step.name).collect();
        assert_eq!(applied, names);
        assert!(store.config().await.expect("reads").is_empty());
    }
);

on_both_engines!(
    /// Control planes that start at the same time: one migrates, all go on.
    migrations_run_once,
    async |database: &Database| {
        database.store.reset().await.expect("resets");
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let store = database.another_store().await;
            tasks.push(tokio::spawn(async move {
                let applied = store.migrate().await.expect("migrates").len();
                store.close().await;
                applied
            }));
        }
        let mut applied = Vec::new();
        for task in tasks {
            applied.push(task.await.expect("no panic"));
        }
        applied.sort_unstable();
        let all = database.store.migrations().await.expect("lists").len();
        assert_eq!(applied, [0, 0, 0, all]);
    }
);

on_both_engines!(
    /// A database of a later version is left alone.
    unknown_migrations_are_refused,
    async |database: &Database| {
        database
            .sql("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_later', 0)")
            .await
            .expect("inserts");
        let err = database.store.migrate().await.expect_err("is refused");
        assert!(matches!(err, StoreError::Database(_)));
        assert!(format!("{err:?}").contains("m29991231_000001_later"), "{err:?}");
    }
);

on_both_engines!(
    /// A commit of one control plane wakes the other.
    commits_of_others_are_noticed,
    async |database: &Database| {
        let other = database.another_store().await;
        let mut revisions = other.revisions();
        let following = tokio::spawn(async move { other.follow().await });
        // The first may be found by reading, the later ones come as they are committed.
        for n in 1..=3 {
            database.store.must(vec![insert(Kind::Routes, n, json!({}))]).await;
            let expected = Revision(u64::try_from(n).expect("small"));
            let seen = revisions.wait_for(|latest| *latest >= expected).await.expect("follows");
            assert_eq!(*seen, expected);
        }
        following.abort();
    }
);

on_both_engines!(
    /// A connection that is lost is made anew, and what was missed is found.
    following_survives_a_lost_connection,
    async |database: &Database| {
        let other = database.another_store().await;
        let mut revisions = other.revisions();
        let following = tokio::spawn(async move { other.follow().await });
        let commit_and_see = async |n: u64, revisions: &mut watch::Receiver<Revision>| {
            let route = insert(Kind::Routes, n.into(), json!({}));
            database.store.must(vec![route]).await;
            let noticed = revisions.wait_for(|latest| *latest >= Revision(n)).await;
            noticed.expect("follows");
        };
        // The second is noticed only by who listens.
        commit_and_see(1, &mut revisions).await;
        commit_and_see(2, &mut revisions).await;
        if database.settings_are_postgres() {
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
            database.sql(kill).await.expect("kills");
        }
        commit_and_see(3, &mut revisions).await;
        commit_and_see(4, &mut revisions).await;
        following.abort();
    }
);

on_both_engines!(
    what_the_journal_has_is_known,
    async |database: &Database| {
        let other = database.another_store().await;
        for n in 1..=2 {
            other
                .must(vec![insert(Kind::Consumers, n, json!({}))])
                .await;
        }
        // Nobody has told this store: it read of them first.
        let store = &database.store;
        assert_eq!(store.announced_at(Revision(2)), None);
        let read = store.changes_since(Revision(0), 10).await;
        assert!(matches!(read, Ok(Changes::Since(entries)) if entries.len() == 2));
        for revision in [1, 2] {
            let at = store.announced_at(Revision(revision));
            assert!(at.is_some(), "{revision}");
        }
        assert_eq!(*store.revisions().borrow(), Revision(2));
    }
);
