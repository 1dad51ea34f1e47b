//! Documents: only what differs is written, all of it or nothing.

use super::support::{Database, document, id, insert, on_both_engines, reference, upsert};
use crate::control_plane::config_store::write::{Attempt, perform};
use crate::control_plane::config_store::{
    Committed, Declaration, Extent, Store, StoreError, Write,
};
use crate::model::{Kind, Op, Packed, Revision, Row};
use serde_json::{Value, json};
use std::time::Duration;

type Declared<'a> = &'a [(Kind, u128, Value)];

async fn declare(
    store: &Store,
    extent: Extent,
    entities: Declared<'_>,
) -> Result<Committed, StoreError> {
    let packed = |(kind, n, fields): &(Kind, u128, Value)| {
        let document = document(*kind, *n, fields.clone());
        (*kind, id(*n), Packed::of(&document))
    };
    let entities = entities.iter().map(packed).collect();
    store
        .declare(Declaration::new(extent, entities), None)
        .await
}

/// The declared entities as they are stored, in the order of kinds and ids.
fn stored(committed: Committed) -> Vec<Value> {
    let mut all = committed.unchanged;
    all.extend(committed.ops.into_iter().filter_map(|op| match op {
        Op::Put { kind, id, row } => Some(((kind, id), row)),
        Op::Delete { .. } => None,
    }));
    let json = |row: Row| Value::Object(row.to_json().expect("a row"));
    all.into_values().map(json).collect()
}

/// What a revision did, deletions negative.
fn changed(committed: &Committed) -> Vec<(Kind, i128)> {
    let op = |op: &Op| match op {
        Op::Put { kind, id, .. } => (*kind, id.as_u128() as i128),
        Op::Delete { kind, id } => (*kind, -(id.as_u128() as i128)),
    };
    committed.ops.iter().map(op).collect()
}

/// The journal and the tables say the same.
async fn check_journal(store: &Store) {
    use crate::control_plane::config_store::Changes;
    let config = store.config().await.expect("reads");
    let mut replayed = crate::model::Config::default();
    let Changes::Since(entries) = store.changes_since(Revision(0), 1000).await.expect("reads")
    else {
        panic!("the journal is whole");
    };
    for entry in entries {
        replayed.commit(entry.revision, entry.ops);
    }
    assert_eq!(replayed, config);
}

on_both_engines!(
    /// Parents that go and children that stay, names that change places, children that nobody
    /// touched below a parent that changed.
    the_whole_is_replaced_by_what_differs,
    async |database: &Database| {
        let store = &database.store;
        let done = declare(
            store,
            Extent::Whole,
            &[
                (Kind::Plugins, 1, json!({"service": reference(1), "name": "a"})),
                (Kind::Plugins, 2, json!({"service": reference(2), "name": "a"})),
                (Kind::Routes, 1, json!({"service": reference(1), "name": "r1"})),
                (Kind::Routes, 2, json!({"service": reference(2), "name": "r2"})),
                (Kind::Services, 1, json!({"name": "one"})),
                (Kind::Services, 2, json!({"name": "two"})),
                (Kind::Services, 3, json!({"name": "three"})),
                (Kind::Consumers, 1, json!({"username": "c"})),
                (Kind::KeyauthCredentials, 1, json!({"key": "k"})),
            ],
        )
        .await
        .expect("a revision");
        assert_eq!((done.revision, done.ops.len()), (Revision(1), 9));

        database.pass(Duration::from_secs(60));
        let second: Declared<'_> = &[
            (Kind::Services, 1, json!({"name": "two"})),
            (Kind::Services, 2, json!({"name": "one"})),
            (Kind::Routes, 1, json!({"service": reference(1), "name": "r1"})),
            (Kind::Routes, 2, json!({"service": reference(1), "name": "r2"})),
            (Kind::Plugins, 1, json!({"service": reference(1), "name": "a"})),
            (Kind::Plugins, 2, json!({"route": reference(2), "name": "a"})),
            (Kind::Consumers, 1, json!({"username": "c"})),
            (Kind::KeyauthCredentials, 2, json!({"key": "k"})),
        ];
        let done = declare(store, Extent::Whole, second).await.expect("a revision");
        assert_eq!(done.revision, Revision(2));
        assert_eq!(
            changed(&done),
            [
                (Kind::Services, 1),
                (Kind::Services, 2),
                (Kind::Services, -3),
                (Kind::Routes, 2),
                (Kind::KeyauthCredentials, -1),
                (Kind::KeyauthCredentials, 2),
                (Kind::Plugins, 2),
            ]
        );
        let stored = stored(done);
        let times: Vec<_> = stored.iter().map(|entity| &entity["created_at"]).collect();
        let (before, after) = (json!(1_700_000_000), json!(1_700_000_060));
        // In the order of kinds: services, routes, the consumer, its key, plugins.
        let expected = [&after, &after, &before, &after, &before, &after, &before, &after];
        assert_eq!(times, expected);
        check_journal(store).await;

        let same = declare(store, Extent::Whole, second).await.expect("nothing to do");
        assert_eq!((same.revision, same.ops.len()), (Revision(2), 0));
        assert_eq!(same.unchanged.len(), 8);
        let none = declare(store, Extent::Whole, &[]).await.expect("a revision");
        assert_eq!((none.revision, none.ops.len()), (Revision(3), 8));
        check_journal(store).await;
    }
);

on_both_engines!(
    /// Beside what is there, and only what is new or differs.
    a_part_is_put_beside_the_rest,
    async |database: &Database| {
        let store = &database.store;
        store.must(vec![insert(Kind::Services, 9, json!({"name": "nine"}))]).await;
        database.pass(Duration::from_secs(60));
        let times = json!({"name": "one", "created_at": 5, "updated_at": 6});
        let entities: Declared<'_> = &[
            (Kind::Routes, 1, json!({"service": reference(1), "name": "r1"})),
            (Kind::Routes, 2, json!({"service": reference(9), "name": "r2"})),
            (Kind::Services, 1, times),
            (Kind::Services, 9, json!({"name": "nine"})),
        ];
        let done = declare(store, Extent::Part, entities).await.expect("a revision");
        assert_eq!(done.revision, Revision(2));
        assert_eq!(
            changed(&done),
            [(Kind::Services, 1), (Kind::Routes, 1), (Kind::Routes, 2)]
        );
        let service = &stored(done)[0];
        assert_eq!((&service["created_at"], &service["updated_at"]), (&json!(5), &json!(6)));
        let same = declare(store, Extent::Part, entities).await.expect("nothing to do");
        assert_eq!((same.revision, same.ops.len()), (Revision(2), 0));

        let taken: Declared<'_> = &[
            (Kind::Services, 1, json!({"name": "other"})),
            (Kind::Services, 2, json!({"name": "nine"})),
        ];
        let refused = declare(store, Extent::Part, taken).await;
        let err = refused.expect_err("the name is taken");
        assert!(
            matches!(&err, StoreError::UniqueViolation { kind: Kind::Services, fields } if fields["name"] == "nine"),
            "{err}"
        );
        assert_eq!(store.latest_revision().await.expect("reads"), Revision(2));
        check_journal(store).await;
        assert!(store.config().await.expect("reads").get(Kind::Services, id(2)).is_none());
    }
);

on_both_engines!(
    /// An upsert twice in one batch, as a transaction may have it, is done twice.
    the_last_of_two_upserts_stays,
    async |database: &Database| {
        let store = &database.store;
        let service = |name: &str| upsert(Kind::Services, 1, json!({"name": name}));
        let done = store.must(vec![service("a"), service("b"), service("c")]).await;
        assert_eq!((done.revision, done.ops.len()), (Revision(1), 1));
        let last = done.documents[2].as_ref().expect("a service");
        assert_eq!(last["name"], "c");
        check_journal(store).await;
    }
);

on_both_engines!(
    /// What a declared part differs in is seen when nobody else can write any more: a change that
    /// was committed first does not survive in one entity and go in another.
    a_part_comes_wholly_after_what_was_committed_before,
    async |database: &Database| {
        let store = &database.store;
        let part = |fields: Value| [(Kind::Services, 1, fields.clone()), (Kind::Services, 2, fields)];
        declare(store, Extent::Part, &part(json!({"host": "a"}))).await.expect("declares");
        let other = database.another_store().await;
        let open = other.open_revision().await.expect("opens");
        let declared = part(json!({"host": "a"}));
        let declaring = declare(store, Extent::Part, &declared);
        let mut declaring = std::pin::pin!(declaring);
        // It cannot end while the other one writes, however long that takes.
        let early = tokio::time::timeout(Duration::from_millis(300), &mut declaring).await;
        assert!(early.is_err());
        let db = open.transaction.db();
        let writes: Vec<Write> = (1..=2).map(|n| upsert(Kind::Services, n, json!({"host": "b", "created_at": 1, "updated_at": 1}))).collect();
        let done = perform(&db, &writes, Attempt::Trusting, other.now()).await.expect("writes");
        other.seal(open, done.steps, None, other.now()).await.expect("commits");
        let done = declaring.await.expect("declares");
        assert_eq!(changed(&done), [(Kind::Services, 1), (Kind::Services, 2)]);
        check_journal(store).await;
        other.close().await;
    }
);
