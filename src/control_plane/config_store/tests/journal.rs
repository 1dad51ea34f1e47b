//! Revisions and the journal: without holes, in order, equal to the tables.

use super::support::{Database, delete, document, id, insert, on_both_engines, reference, upsert};
use crate::control_plane::config_store::{Changes, Document, Retention, Store, StoreError, Write};
use crate::model::{Config, Kind, Op, Revision};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use std::task::Poll;
use std::time::Duration;

/// The configuration as one gets it by applying the journal from the beginning.
pub(super) async fn fold(store: &Store) -> Config {
    let mut config = Config::default();
    loop {
        let changes = store
            .changes_since(config.revision(), 3)
            .await
            .expect("reads");
        let Changes::Since(entries) = changes else {
            panic!("the journal begins at revision 1");
        };
        if entries.is_empty() {
            return config;
        }
        for entry in entries {
            assert_eq!(entry.revision, config.revision().next(), "no holes");
            assert!(!entry.ops.is_empty());
            assert!(entry.ops.is_sorted_by(|a, b| a.key() < b.key()));
            let change = config.clone().commit(entry.revision, entry.ops);
            config.apply(&change).expect("applies");
        }
    }
}

on_both_engines!(
    the_journal_tells_what_changed,
    async |database: &Database| {
        let store = &database.store;
        let revisions = store.revisions();
        let latest = || *revisions.borrow();
        assert_eq!(latest(), Revision(0));
        assert_eq!(store.oldest_journal_revision().await.expect("reads"), None);
        let first = store.must(vec![insert(Kind::Services, 1, json!({}))]).await;
        let second = store
            .must(vec![insert(
                Kind::Routes,
                1,
                json!({"service": reference(1)}),
            )])
            .await;
        let third = store
            .must(vec![delete(Kind::Routes, 1), delete(Kind::Services, 1)])
            .await;
        assert_eq!(latest(), Revision(3));
        let since = async |revision| match store.changes_since(Revision(revision), 10).await {
            Ok(Changes::Since(entries)) => Some(
                entries
                    .into_iter()
                    .map(|entry| (entry.revision.0, entry.ops))
                    .collect::<Vec<_>>(),
            ),
            Ok(Changes::OutOfReach) => None,
            Err(err) => panic!("{err:?}"),
        };
        let all = vec![(1, first.ops), (2, second.ops), (3, third.ops)];
        assert_eq!(since(0).await, Some(all.clone()));
        assert_eq!(since(2).await, Some(all[2..].to_vec()));
        assert_eq!(since(3).await, Some(Vec::new()));
        assert_eq!(since(4).await, None, "ahead of the database");
        let Ok(Changes::Since(limited)) = store.changes_since(Revision(0), 2).await else {
            panic!("the journal reaches back");
        };
        assert_eq!(limited.len(), 2);

        let by_count = Retention {
            max_revisions: 1,
            max_age: Duration::from_secs(1000),
        };
        assert_eq!(store.prune_journal(by_count).await.expect("prunes"), 2);
        assert_eq!(
            store.oldest_journal_revision().await.expect("reads"),
            Some(Revision(3))
        );
        assert_eq!(since(1).await, None, "out of reach");
        assert_eq!(since(2).await, Some(all[2..].to_vec()));
        database.pass(Duration::from_secs(1001));
        assert_eq!(store.prune_journal(by_count).await.expect("prunes"), 2);
        assert_eq!(since(2).await, None, "out of reach");
        assert_eq!(since(3).await, Some(Vec::new()));
        store.must(vec![insert(Kind::Services, 1, json!({}))]).await;
        assert_eq!(since(3).await.map(|entries| entries.len()), Some(1));
        assert_eq!(
            store
                .prune_journal(Retention::default())
                .await
                .expect("prunes"),
            0
        );
    }
);

on_both_engines!(
    trial_13_the_journal_is_read_back_as_far_as_so_many_ops_go,
    async |database: &Database| {
        let store = &database.store;
        let start = async |start, most| {
            let found = store.journal_start(Revision(start), most).await;
            found.expect("reads").0
        };
        assert_eq!(start(0, 1).await, 0, "an empty journal");
        // Three ops, then one, then two.
        let service = |n| insert(Kind::Services, n, json!({}));
        store.must(vec![service(1), service(2), service(3)]).await;
        store.must(vec![service(4)]).await;
        store.must(vec![service(5), service(6)]).await;
        for (from, most, expected) in [
            (0, 6, 0),
            (0, 5, 1),
            (0, 3, 1),
            (0, 2, 2),
            (0, 1, 3),
            (0, 0, 3),
            (2, 100, 2),
            (3, 100, 3),
        ] {
            assert_eq!(start(from, most).await, expected, "{most} ops from {from}");
        }
    }
);

on_both_engines!(
    /// Two control planes, many tasks: every success is a revision of its own.
    concurrent_writers_leave_no_holes,
    async |database: &Database| {
        let stores = [database.store.clone(), database.another_store().await];
        let mut tasks = Vec::new();
        for n in 1..=32_u128 {
            let store = stores[usize::from(n % 2 == 0)].clone();
            tasks.push(tokio::spawn(async move {
                // Three names for all: most inserts collide, some deletes find nothing.
                let name = format!("name-{}", n % 3);
                let mut successes = Vec::new();
                let writes = [
                    insert(Kind::Services, n, json!({"name": name})),
                    insert(Kind::Routes, n, json!({"service": reference(n)})),
                    upsert(Kind::Consumers, 1, json!({"custom_id": name})),
                    insert(Kind::Acls, n, json!({"group": name})),
                    insert(Kind::Keys, n, json!({"kid": name})),
                    delete(Kind::Consumers, if n % 4 == 0 { 1 } else { 2 }),
                    delete(Kind::Keys, n),
                    delete(Kind::Routes, n),
                    delete(Kind::Services, n),
                ];
                for write in writes {
                    match store.write(vec![write]).await {
                        Ok(done) if !done.ops.is_empty() => successes.push(done.revision),
                        Ok(_) => {}
                        Err(err) => assert!(is_integrity(&err), "{err:?}"),
                    }
                }
                successes
            }));
        }
        let mut revisions = Vec::new();
        for task in tasks {
            revisions.extend(task.await.expect("no panic"));
        }
        revisions.sort_unstable();
        let expected: Vec<_> = (1..=revisions.len() as u64).map(Revision).collect();
        assert_eq!(revisions, expected);
        for store in &stores {
            let config = store.config().await.expect("reads");
            assert_eq!(config.revision().0, revisions.len() as u64);
            assert_eq!(fold(store).await, config);
        }
        stores[1].close().await;
    }
);

pub(super) fn is_integrity(err: &StoreError) -> bool {
    use StoreError as E;
    matches!(
        err,
        E::UniqueViolation { .. }
            | E::ForeignKeyMissing { .. }
            | E::ReferencedBy { .. }
            | E::ListedBy { .. }
            | E::PrimaryKeyViolation { .. }
            | E::NotFound { .. }
            | E::Refused(_)
    )
}

/// Few ids and few names, so that writes meet.
pub(super) fn write() -> impl Strategy<Value = Write> {
    let number = 1..4_u128;
    (
        0..Kind::ALL.len(),
        number.clone(),
        number.clone(),
        number,
        0..4_u8,
    )
        .prop_map(|(kind, n, name, parent, what)| {
            let kind = Kind::ALL[kind];
            let fields = fields(kind, name, parent);
            match what {
                0 => insert(kind, n, fields),
                1 => upsert(kind, n, fields),
                2 => Write::Update {
                    kind,
                    document: with_created_at(document(kind, n, fields)),
                    read: None,
                },
                _ => delete(kind, n),
            }
        })
}

fn with_created_at(mut document: Document) -> Document {
    document.insert("created_at".to_owned(), json!(7));
    document
}

fn fields(kind: Kind, name: u128, parent: u128) -> Value {
    let parent = reference(parent);
    match kind {
        Kind::Certificates => json!({}),
        Kind::CaCertificates => json!({"cert_digest": format!("d{name}")}),
        Kind::Snis => json!({"name": format!("n{name}"), "certificate": parent}),
        Kind::Services => {
            json!({"name": format!("s{name}"), "client_certificate": parent, "ca_certificates": [id(name)]})
        }
        Kind::Upstreams => json!({"name": format!("u{name}"), "healthchecks": {"threshold": 0.1}}),
        Kind::Targets => json!({"target": format!("t{name}"), "upstream": parent}),
        Kind::Routes => json!({"name": format!("r{name}"), "service": parent}),
        Kind::Consumers => json!({"username": format!("c{name}")}),
        Kind::KeyauthCredentials | Kind::JwtSecrets => {
            json!({"key": format!("k{name}"), "consumer": parent})
        }
        Kind::BasicauthCredentials | Kind::HmacauthCredentials => {
            json!({"username": format!("u{name}"), "consumer": parent})
        }
        Kind::Acls => json!({"group": format!("g{name}"), "consumer": parent}),
        Kind::Oauth2Credentials => json!({"client_id": format!("i{name}"), "consumer": parent}),
        Kind::Oauth2Tokens => json!({"access_token": format!("t{name}"), "credential": parent}),
        Kind::AcmeStorage => json!({"key": format!("k{name}")}),
        Kind::Sessions => json!({"session_id": format!("s{name}")}),
        Kind::Vaults => json!({"prefix": format!("v{name}"), "config": {"prefix": "X_"}}),
        Kind::KeySets => json!({"name": format!("n{name}")}),
        Kind::Keys => match name {
            1 => json!({"kid": "k"}),
            _ => json!({"kid": "k", "set": parent}),
        },
        Kind::Plugins => match name {
            1 => json!({"name": "cors", "config": {"a": 1e21, "b": -0.0, "c": 1e-7}}),
            2 => json!({"name": "cors", "route": parent}),
            _ => json!({"name": "cors", "consumer": parent}),
        },
    }
}

on_both_engines!(
    /// Whatever is written: tables and journal agree, refused writes leave no trace.
    random_writes_keep_tables_and_journal_equal,
    async |database: &Database| {
        let store = &database.store;
        // The same writes every time: a failure can be run again.
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]);
        let mut runner = TestRunner::new_with_rng(Cases::default(), random);
        let strategy = proptest::collection::vec(proptest::collection::vec(write(), 1..4), 60);
        let mut accepted = 0;
        for _ in 0..6 {
            let batches = strategy.new_tree(&mut runner).expect("a value").current();
            for batch in batches {
                let before = store.latest_revision().await.expect("reads");
                match store.write(batch).await {
                    Ok(done) if done.ops.is_empty() => assert_eq!(done.revision, before),
                    Ok(done) => {
                        accepted += 1;
                        assert_eq!(done.revision, before.next());
                    }
                    Err(err) => {
                        assert!(is_integrity(&err), "{err:?}");
                        assert!(!matches!(err, StoreError::Refused(_)), "unexplained: {err:?}");
                        assert_eq!(store.latest_revision().await.expect("reads"), before);
                    }
                }
            }
            let config = store.config().await.expect("reads");
            let folded = fold(store).await;
            assert_eq!(folded.digest(), config.digest());
            assert_eq!(folded, config);
        }
        assert!(accepted > 20, "the test must write something: {accepted}");
    }
);

on_both_engines!(
    /// An entity that is put and deleted, or put twice, in one write is one op.
    a_revision_has_one_op_per_entity,
    async |database: &Database| {
        let store = &database.store;
        let committed = store.must(vec![
            insert(Kind::Consumers, 1, json!({})),
            upsert(Kind::Consumers, 1, json!({"custom_id": "x"})),
            insert(Kind::Consumers, 2, json!({})),
            delete(Kind::Consumers, 2),
        ]).await;
        assert_eq!(committed.documents.len(), 4);
        let kinds: Vec<_> = committed.ops.iter().map(|op| matches!(op, Op::Put { .. })).collect();
        // What was there neither before nor after is no change.
        assert_eq!(kinds, [true]);
        assert_eq!(fold(store).await, store.config().await.expect("reads"));
    }
);

on_both_engines!(
    /// Whoever asked may go away at any moment: the write is whole or not at all, and the next
    /// one goes on.
    an_abandoned_write_leaves_no_trace,
    async |database: &Database| {
        let store = &database.store;
        let mut finished = 0;
        for polls in 0..40 {
            let writes = vec![
                upsert(Kind::Consumers, 1, json!({"custom_id": format!("c{polls}")})),
                insert(Kind::Plugins, 1, json!({"consumer": reference(1)})),
                delete(Kind::Plugins, 1),
            ];
            let mut write = Box::pin(store.write(writes));
            let mut left = polls;
            let done = std::future::poll_fn(|context| {
                if left == 0 {
                    return Poll::Ready(false);
                }
                left -= 1;
                write.as_mut().poll(context).map(|result| result.is_ok())
            });
            finished += u64::from(done.await);
            drop(write);
        }
        assert!(finished > 0, "some must have come through");
        let config = store.config().await.expect("reads");
        // The last poll of an abandoned write may have sent the commit.
        assert!(config.revision().0 >= finished);
        assert_eq!(fold(store).await, config);
        store.must(vec![insert(Kind::Routes, 1, json!({}))]).await;
    }
);
