//! Differences of revisions, and the way back.

use super::journal::{fold, is_integrity, write};
use super::support::{Database, delete, document, id, insert, on_both_engines, reference, upsert};
use crate::control_plane::config_store::{
    Batch, Delta, Part, Retention, RevisionSummary, Store, StoreError, Write,
};
use crate::model::{Config, Kind, RequestId, Revision};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

fn update(kind: Kind, n: u128, mut fields: Value) -> Write {
    fields["created_at"] = json!(7);
    Write::Update {
        kind,
        document: document(kind, n, fields),
        read: None,
    }
}

async fn deltas(store: &Store, from: u64, to: u64) -> Vec<Delta> {
    let found = store.difference(Revision(from), Revision(to), Part::WHOLE);
    let found = found.await.expect("reads");
    assert_eq!(found.next, None);
    found.deltas
}

/// Kind, number, and the name before and after.
fn names(deltas: &[Delta]) -> Vec<(Kind, u128, Value, Value)> {
    let name = |row: &Option<crate::model::Row>| match row {
        Some(row) => row.to_json().expect("a row")["name"].clone(),
        None => Value::Null,
    };
    let named = |delta: &Delta| {
        let (before, after) = (name(&delta.before), name(&delta.after));
        (delta.kind, delta.id.as_u128(), before, after)
    };
    deltas.iter().map(named).collect()
}

/// Everything of a configuration but its revision.
fn content(config: &Config) -> BTreeMap<(Kind, Uuid), Vec<u8>> {
    let row =
        |(kind, id, row): (Kind, Uuid, &crate::model::Row)| ((kind, id), row.as_bytes().to_vec());
    config.iter().map(row).collect()
}

on_both_engines!(
    a_difference_has_what_was_before_and_after,
    async |database: &Database| {
        let store = &database.store;
        let name = |name: &str| json!({"name": name});
        store.must(vec![insert(Kind::Services, 1, name("a"))]).await;
        store
            .must(vec![
                insert(Kind::Services, 2, name("b")),
                insert(
                    Kind::Routes,
                    1,
                    json!({"name": "r", "service": reference(1)}),
                ),
            ])
            .await;
        store.must(vec![upsert(Kind::Services, 1, name("c"))]).await;
        store
            .must(vec![delete(Kind::Routes, 1), delete(Kind::Services, 1)])
            .await;
        let all = async |from, to| names(&deltas(store, from, to).await);
        let null = Value::Null;
        assert_eq!(
            all(0, 1).await,
            [(Kind::Services, 1, null.clone(), json!("a"))]
        );
        assert_eq!(
            all(1, 3).await,
            [
                (Kind::Services, 1, json!("a"), json!("c")),
                (Kind::Services, 2, null.clone(), json!("b")),
                (Kind::Routes, 1, null.clone(), json!("r")),
            ]
        );
        assert_eq!(
            all(4, 1).await,
            [
                (Kind::Services, 1, null.clone(), json!("a")),
                (Kind::Services, 2, json!("b"), null.clone()),
            ],
            "backwards"
        );
        assert_eq!(
            all(0, 4).await,
            [(Kind::Services, 2, null.clone(), json!("b"))],
            "what came and went is no difference"
        );
        assert_eq!(all(2, 2).await, []);

        // In parts, of which none is longer than asked for.
        let mut part = Part {
            after: None,
            size: 2,
        };
        let mut parts = Vec::new();
        loop {
            let found = store.difference(Revision(1), Revision(3), part).await;
            let found = found.expect("reads");
            assert!(found.deltas.len() <= 2);
            parts.extend(found.deltas);
            match found.next {
                Some(next) => part.after = Some(next),
                None => break,
            }
        }
        assert_eq!(parts, deltas(store, 1, 3).await);
    }
);

on_both_engines!(
    /// More than one question to the database, and what was changed back within.
    a_long_difference_is_whole,
    async |database: &Database| {
        let store = &database.store;
        let one = |n| insert(Kind::Consumers, n, json!({}));
        store.must((1..=700).map(one).collect()).await;
        let away = |n| delete(Kind::Consumers, n);
        store.must((1..=650).map(away).collect()).await;
        assert_eq!(deltas(store, 0, 2).await.len(), 50);
        assert_eq!(deltas(store, 2, 1).await.len(), 650);
        let part = Part {
            after: None,
            size: 30,
        };
        let first = store.difference(Revision(0), Revision(2), part).await;
        let first = first.expect("reads");
        assert_eq!(first.next, Some((Kind::Consumers, id(680))));
    }
);

on_both_engines!(revisions_are_listed, async |database: &Database| {
    let store = &database.store;
    let request_id = RequestId(id(77));
    let batch = Batch {
        writes: vec![
            insert(Kind::Services, 1, json!({})),
            insert(Kind::Routes, 1, json!({})),
        ],
        request_id: Some(request_id),
    };
    store.write(batch).await.expect("is written");
    database.pass(Duration::from_secs(5));
    store.must(vec![insert(Kind::Routes, 2, json!({}))]).await;
    let first = RevisionSummary {
        revision: Revision(1),
        committed_at: 1_700_000_000,
        request_id: Some(request_id),
        changed: 2,
    };
    let second = RevisionSummary {
        revision: Revision(2),
        committed_at: 1_700_000_005,
        request_id: None,
        changed: 1,
    };
    let list = async |before: Option<u64>, size| {
        let before = before.map(Revision);
        store.revisions_before(before, size).await.expect("reads")
    };
    assert_eq!(list(None, 5).await, [second, first]);
    assert_eq!(list(None, 1).await, [second]);
    assert_eq!(list(Some(2), 5).await, [first]);
    assert_eq!(list(Some(1), 5).await, []);
    assert_eq!(store.revision(Revision(1)).await.expect("reads"), first);
});

on_both_engines!(
    what_the_journal_does_not_reach_is_refused,
    async |database: &Database| {
        let store = &database.store;
        for n in 1..=4 {
            store.must(vec![insert(Kind::Services, n, json!({}))]).await;
        }
        let refused = |result: Result<(), StoreError>| match result {
            Err(StoreError::OutOfReach(revision)) => ("out of reach", revision.0),
            Err(StoreError::NoSuchRevision { revision, latest }) => {
                assert_eq!(latest, Revision(4));
                ("not yet", revision.0)
            }
            other => panic!("{other:?}"),
        };
        let revision = async |n| refused(store.revision(Revision(n)).await.map(drop));
        let difference = async |from, to| {
            let found = store.difference(Revision(from), Revision(to), Part::WHOLE);
            refused(found.await.map(drop))
        };
        let back = async |n| refused(store.roll_back(Revision(n), None).await.map(drop));
        assert_eq!(revision(5).await, ("not yet", 5));
        assert_eq!(revision(0).await, ("not yet", 0));
        assert_eq!(difference(5, 1).await, ("not yet", 5));
        assert_eq!(back(9).await, ("not yet", 9));
        let retention = Retention {
            max_revisions: 2,
            max_age: Duration::from_secs(1000),
        };
        assert_eq!(store.prune_journal(retention).await.expect("prunes"), 2);
        assert_eq!(revision(2).await, ("out of reach", 2));
        assert_eq!(difference(1, 4).await, ("out of reach", 1));
        assert_eq!(difference(4, 0).await, ("out of reach", 0));
        assert_eq!(back(1).await, ("out of reach", 1));
        assert_eq!(deltas(store, 2, 4).await.len(), 2, "the last that is known");

        // As an earlier version wrote it.
        let sql = "UPDATE config_journal SET replaced = NULL WHERE revision = 3";
        database.sql(sql).await.expect("runs");
        assert_eq!(back(2).await, ("out of reach", 2));
        assert_eq!(store.latest_revision().await.expect("reads"), Revision(4));
        let kept = store.roll_back(Revision(3), None).await.expect("goes back");
        assert_eq!((kept.revision, kept.ops.len()), (Revision(5), 1));
    }
);

on_both_engines!(
    /// Every kind, deleted with all its dependants, and restored.
    everything_comes_back,
    async |database: &Database| {
        let store = &database.store;
        let all = Kind::ALL.map(|kind| insert(kind, 1, json!({})));
        store.must(all.to_vec()).await;
        let then = store.config().await.expect("reads");
        database.pass(Duration::from_secs(60));
        let parents = [
            Kind::Vaults,
            Kind::KeySets,
            Kind::Services,
            Kind::Certificates,
            Kind::CaCertificates,
            Kind::Upstreams,
            Kind::Routes,
            Kind::Consumers,
            Kind::AcmeStorage,
            Kind::Sessions,
            Kind::Plugins,
        ];
        store.must(vec![delete(Kind::Keys, 1)]).await;
        for kind in parents {
            store.must(vec![delete(kind, 1)]).await;
        }
        assert!(store.config().await.expect("reads").is_empty());
        store.must(vec![insert(Kind::Services, 2, json!({}))]).await;

        let request_id = Some(RequestId(id(5)));
        let back = store.roll_back(Revision(1), request_id).await;
        let back = back.expect("goes back");
        let now = store.config().await.expect("reads");
        assert_eq!(back.revision, now.revision());
        assert_eq!(back.ops.len(), Kind::ALL.len() + 1);
        assert_eq!(now.digest(), then.digest());
        assert_eq!(content(&now), content(&then));
        assert_eq!(fold(store).await, now);
        let summary = store.revision(back.revision).await.expect("reads");
        assert_eq!(summary.request_id, request_id);
        assert_eq!(deltas(store, 1, back.revision.0).await, []);

        // Once more changes nothing, and going back on it is going forward.
        let again = store.roll_back(Revision(1), None).await.expect("goes back");
        assert_eq!((again.revision, again.ops.len()), (back.revision, 0));
        let forward = store.roll_back(back.revision.before(), None).await;
        forward.expect("goes forward");
        assert_eq!(store.config().await.expect("reads").len(), 1);
    }
);

on_both_engines!(
    /// Half of the way would break constraints: names, places and parents go round in circles.
    exchanged_names_are_exchanged_back,
    async |database: &Database| {
        let store = &database.store;
        let name = |name: &str| json!({"name": name});
        let plugin = |n: u128| json!({"name": "cors", "route": reference(n)});
        store
            .must(vec![
                insert(Kind::Services, 1, name("a")),
                insert(Kind::Services, 2, name("b")),
                insert(Kind::Upstreams, 1, json!({})),
                insert(Kind::Targets, 1, json!({"target": "x"})),
                insert(Kind::Targets, 2, json!({"target": "y"})),
                insert(Kind::Routes, 1, json!({"service": reference(1)})),
                insert(Kind::Routes, 2, json!({"service": reference(2)})),
                insert(Kind::Plugins, 1, plugin(1)),
                insert(Kind::Plugins, 2, plugin(2)),
                insert(Kind::Consumers, 1, json!({"username": "u", "custom_id": "v"})),
                insert(Kind::Consumers, 2, json!({"username": "v", "custom_id": "u"})),
            ])
            .await;
        let then = store.config().await.expect("reads");
        store
            .must(vec![
                update(Kind::Services, 1, name("c")),
                update(Kind::Services, 2, name("a")),
                update(Kind::Services, 1, name("b")),
                update(Kind::Targets, 1, json!({"target": "z"})),
                update(Kind::Targets, 2, json!({"target": "x"})),
                update(Kind::Targets, 1, json!({"target": "y"})),
                delete(Kind::Plugins, 2),
                update(Kind::Plugins, 1, plugin(2)),
                insert(Kind::Plugins, 3, plugin(1)),
                // A new service takes the route, and the old one's name.
                delete(Kind::Routes, 1),
                delete(Kind::Services, 1),
                insert(Kind::Services, 3, name("b")),
                update(Kind::Routes, 2, json!({"service": reference(3)})),
                update(Kind::Consumers, 1, json!({"username": "w", "custom_id": null})),
                update(Kind::Consumers, 2, json!({"username": "u", "custom_id": "v"})),
            ])
            .await;
        store.roll_back(Revision(1), None).await.expect("goes back");
        let now = store.config().await.expect("reads");
        assert_eq!(content(&now), content(&then));
        assert_eq!(now.digest(), then.digest());
        assert_eq!(fold(store).await, now);
    }
);

on_both_engines!(
    /// Something else has written to the tables: the way back is barred, and nothing is done.
    a_rollback_that_would_break_references_is_refused,
    async |database: &Database| {
        let store = &database.store;
        store
            .must(vec![
                insert(Kind::Consumers, 1, json!({})),
                insert(Kind::Acls, 1, json!({})),
            ])
            .await;
        store
            .must(vec![insert(Kind::Consumers, 2, json!({}))])
            .await;
        let sql = "UPDATE acls SET consumer_id = uuid(2)";
        database.sql(sql).await.expect("runs");
        let before = store.config().await.expect("reads");
        let barred = store.roll_back(Revision(1), None).await;
        let Err(StoreError::Unrestorable { revision, reason }) = barred else {
            panic!("{barred:?}");
        };
        assert_eq!(revision, Revision(1));
        assert_eq!(
            reason,
            format!(
                "consumer of acls names consumers {}, which does not exist",
                id(2)
            )
        );
        assert_eq!(store.config().await.expect("reads"), before);
    }
);

on_both_engines!(
    /// From anywhere to anywhere: the configuration is the one that was.
    random_rollbacks_restore_what_was,
    async |database: &Database| {
        let store = &database.store;
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let mut runner = TestRunner::new_with_rng(Cases::default(), random);
        let batch = proptest::collection::vec(write(), 1..4);
        let place = proptest::num::u64::ANY;
        let mut known = vec![store.config().await.expect("reads")];
        for round in 0..420 {
            let random = place.new_tree(&mut runner).expect("a value").current();
            let done = if round % 6 == 5 {
                let to = usize::try_from(random).unwrap_or_default() % known.len();
                let to = known[to].revision();
                let done = store.roll_back(to, None).await.expect("goes back");
                let now = store.config().await.expect("reads");
                let then = known.iter().find(|config| config.revision() == to);
                let then = then.expect("a known revision");
                assert_eq!(content(&now), content(then), "{to}");
                assert_eq!(now.digest(), then.digest());
                Ok(done)
            } else {
                let writes = batch.new_tree(&mut runner).expect("a value").current();
                store.write(writes).await
            };
            match done {
                Ok(done) if !done.ops.is_empty() => {
                    known.push(store.config().await.expect("reads"));
                }
                Ok(_) => {}
                Err(err) => assert!(is_integrity(&err), "{err:?}"),
            }
        }
        assert!(known.len() > 60, "too little happened: {}", known.len());
        assert_eq!(&fold(store).await, known.last().expect("a configuration"));
        // And the differences say so, in both directions.
        for (from, to) in [(3, 40), (50, 7), (0, 60), (60, 0)] {
            let (from, to) = (&known[from], &known[to]);
            let found = deltas(store, from.revision().0, to.revision().0).await;
            let expected: Vec<_> = from.diff(to).ops.iter().map(|op| op.key()).collect();
            let found_keys: Vec<_> = found.iter().map(|delta| (delta.kind, delta.id)).collect();
            assert_eq!(found_keys, expected);
            for delta in found {
                assert_eq!(from.get(delta.kind, delta.id), delta.before.as_ref());
                assert_eq!(to.get(delta.kind, delta.id), delta.after.as_ref());
            }
        }
    }
);

on_both_engines!(
    /// More rows than are read, compared and put at once.
    large_revisions_have_a_difference_and_a_way_back,
    async |database: &Database| {
        let store = &database.store;
        let routes = |name: &str| -> Vec<Write> {
            let one = |n: u128| upsert(Kind::Routes, n, json!({"name": format!("{name}{n}")}));
            (1..=1_201).map(one).collect()
        };
        store.must(routes("a")).await;
        let first = content(&store.config().await.expect("reads"));
        store.must(routes("b")).await;
        store.must(vec![delete(Kind::Routes, 7)]).await;
        assert_eq!(deltas(store, 0, 3).await.len(), 1_200);
        assert_eq!(deltas(store, 1, 3).await.len(), 1_201);
        let back = store.roll_back(Revision(1), None).await.expect("rolls back");
        assert_eq!(back.ops.len(), 1_201);
        assert_eq!(content(&store.config().await.expect("reads")), first);
        store.roll_back(Revision(0), None).await.expect("rolls back");
        assert!(store.config().await.expect("reads").is_empty());
        assert_eq!(fold(store).await, store.config().await.expect("reads"));
    }
);
