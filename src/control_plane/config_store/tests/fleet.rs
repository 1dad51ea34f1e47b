//! Presence rows and telemetry counts.

use super::support::{Database, id, on_both_engines};
use crate::control_plane::config_store::{
    BatchKey, Count, Counted, CountedBy, DataPlanePresence, Dimensions, PresenceBatch, Store,
};
use crate::model::Revision;
use entity::columns::{Labels, Strings};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

const START: i64 = 1_700_000_000;

fn presence(n: u128, control_plane: u128) -> DataPlanePresence {
    DataPlanePresence {
        id: id(n),
        hostname: "dp".to_owned(),
        ip: "127.0.0.1".to_owned(),
        last_seen: START,
        updated_at: START,
        config_hash: "0".repeat(32),
        version: Some("3.9.3".to_owned()),
        sync_status: "normal".to_owned(),
        labels: Some(Labels([("zone".to_owned(), "a".to_owned())].into())),
        cert_details: json!({"expiry_timestamp": 1_897_136_778}),
        rpc_capabilities: Some(Strings(Vec::new())),
        ttl: START + 100,
        control_plane: Some(id(control_plane)),
        connected: true,
        revision: Some(7),
        in_effect_at: Some(1_700_000_000.25),
        quarantined: json!([{"entity": "plugins", "id": id(1), "name": "x", "reason": "r", "since": 1}]),
        langur_version: None,
        telemetry: None,
    }
}

on_both_engines!(data_planes_come_and_go, async |database: &Database| {
    let store = &database.store;
    store.present(presence(2, 1)).await;
    let first = presence(1, 1);
    store.present(first.clone()).await;
    assert_eq!(
        store.data_planes().await.expect("reads"),
        [first.clone(), presence(2, 1)]
    );

    // It moved on to control plane 2; what control plane 1 says of it comes late.
    let moved = DataPlanePresence {
        control_plane: Some(id(2)),
        labels: None,
        ..first
    };
    store.present(moved.clone()).await;
    let left = |control_plane| DataPlanePresence {
        connected: false,
        ..presence(1, control_plane)
    };
    store.present(left(1)).await;
    assert_eq!(store.data_planes().await.expect("reads")[0], moved);
    store.present(left(2)).await;
    assert!(!store.data_planes().await.expect("reads")[0].connected);

    database.pass(Duration::from_secs(100));
    assert!(store.data_planes().await.expect("reads").is_empty());
    store.pulse(id(1), "one", Duration::from_secs(60)).await;
    database
        .sql("INSERT INTO data_planes SELECT * FROM data_planes")
        .await
        .expect("there is nothing to duplicate");
});

on_both_engines!(
    trial_15_an_identity_is_bound_once_and_goes_with_its_row,
    async |database: &Database| {
        let store = &database.store;
        assert_eq!(store.node_secret(id(1)).await.expect("reads"), None);
        let bind = async |n: u8, replace: bool| {
            let bound = store.bind_node_secret(id(1), [n; 32], replace).await;
            bound.expect("binds")[0]
        };
        assert_eq!(bind(1, false).await, 1);
        assert_eq!(bind(2, false).await, 1, "the first one wins");
        assert_eq!(bind(3, true).await, 3, "unless the id is proved otherwise");
        assert_eq!(
            store.node_secret(id(1)).await.expect("reads"),
            Some([3; 32])
        );
        store.present(presence(1, 1)).await;
        let window = Duration::from_secs(60);
        let is_bound = async || {
            store.pulse(id(1), "one", window).await;
            store.node_secret(id(1)).await.expect("reads").is_some()
        };
        assert!(is_bound().await);
        // Its row is gone, and the identity old enough to have had one.
        database.pass(Duration::from_secs(101));
        assert!(is_bound().await, "it may be about to join");
        database.pass(Duration::from_secs(3600));
        assert!(!is_bound().await);

        assert_eq!(bind(4, false).await, 4);
        store.present(presence(1, 1)).await;
        assert!(store.forget_data_plane(id(1)).await.expect("forgets"));
        assert!(!store.forget_data_plane(id(1)).await.expect("forgets"));
        assert_eq!(store.node_secret(id(1)).await.expect("reads"), None);
    }
);

on_both_engines!(
    trial_35_an_epoch_is_raised_once_and_only_upwards,
    async |database: &Database| {
        let store = &database.store;
        let tip = async || store.tip().await.expect("reads");
        database
            .sql("UPDATE config_revision SET revision = 9")
            .await
            .expect("updates");
        assert_eq!(tip().await, (1, Revision(9)));
        let without = async |epoch: u64, revision: u64| {
            let raised = store.raise_epoch_without(epoch, (1, Revision(revision)));
            raised.await.expect("asks")
        };
        assert_eq!(without(1, 9).await, None, "it has that revision");
        let raised = without(1, 10).await.expect("it has not");
        assert!(raised > 1_000_000_000, "{raised}");
        assert_eq!(without(1, 10).await, None, "another one was faster");
        assert_eq!(tip().await, (raised, Revision(9)));
        // Within the same second, too.
        let again = store.raise_epoch().await.expect("raises");
        assert_eq!(again, (raised, raised + 1));
        // The numbers of revisions go on.
        assert_eq!(tip().await, (raised + 1, Revision(9)));
        // A backup of before an epoch was raised: what is held is of a later one.
        let later = (raised + 100, Revision(2));
        let beyond = store.raise_epoch_without(raised + 1, later).await;
        assert_eq!(beyond.expect("asks"), Some(raised + 101));
    }
);

on_both_engines!(
    trial_32_a_batch_lists_also_who_has_left_already,
    async |database: &Database| {
        let store = &database.store;
        let gone = |n, control_plane| DataPlanePresence {
            connected: false,
            ..presence(n, control_plane)
        };
        let write = async |begins, rows: Vec<DataPlanePresence>| {
            let rows = rows.into_iter().map(|row| (row.id, row)).collect();
            let batch = PresenceBatch {
                control_plane: id(1),
                begins,
                rows,
                pulse: None,
            };
            store.write_presence(&batch).await.expect("writes");
        };
        // The second one came and went before anything was written of it.
        write(true, vec![presence(1, 1), gone(2, 1)]).await;
        let listed = async || {
            let rows = store.data_planes().await.expect("reads").into_iter();
            rows.map(|row| row.connected).collect::<Vec<_>>()
        };
        assert_eq!(listed().await, [true, false]);
        // The first one is with another control plane; what is said here of it comes late.
        store.present(presence(1, 2)).await;
        write(false, vec![gone(1, 1)]).await;
        assert_eq!(listed().await, [true, false]);
        // Another life holds nobody, and more than one statement can take is written.
        write(false, vec![presence(2, 1)]).await;
        write(true, (3..1203).map(|n| presence(n, 1)).collect()).await;
        let connected = listed().await;
        assert_eq!(connected.len(), 1202);
        assert_eq!(
            (connected[0], connected[1], connected[2]),
            (true, false, true)
        );
        let mut elsewhere = store.data_planes_elsewhere(id(1)).await.expect("reads");
        let only = elsewhere.pop().expect("one");
        assert_eq!(
            (elsewhere.len(), only.id, only.revision),
            (0, id(1), Some(7))
        );
        let quarantined = store
            .quarantined_on(&[id(1), id(9999)])
            .await
            .expect("reads");
        assert_eq!(quarantined, [(id(1), presence(1, 1).quarantined)]);
    }
);

on_both_engines!(
    /// The data planes of a control plane that died are not connected.
    a_dead_control_plane_lets_go,
    async |database: &Database| {
        let store = &database.store;
        let window = Duration::from_secs(30);
        store.pulse(id(1), "one", window).await;
        store.pulse(id(2), "two", window).await;
        store.present(presence(1, 1)).await;
        store.present(presence(2, 2)).await;
        database.pass(Duration::from_secs(31));
        store.pulse(id(2), "two", window).await;
        let there = store.control_planes(window).await.expect("reads");
        assert_eq!(there.iter().map(|found| found.id).collect::<Vec<_>>(), [id(2)]);
        let connected: Vec<_> = store.data_planes().await.expect("reads").iter().map(|found| found.connected).collect();
        assert_eq!(connected, [false, true]);
    }
);

async fn ingest(
    store: &Store,
    batches: &[(BatchKey, BTreeMap<Dimensions, Count>)],
) -> Vec<Counted> {
    store.ingest(batches).await.expect("ingests")
}

on_both_engines!(batches_are_counted_once, async |database: &Database| {
    let stores = [database.store.clone(), database.another_store().await];
    let by = |route: Option<u128>, status| Dimensions {
        service: Some(id(1)),
        route: route.map(id),
        consumer: None,
        status,
        data_plane: id(9),
    };
    let count = |requests| Count {
        requests,
        request_bytes: 10 * requests,
        response_bytes: 100 * requests,
    };
    let batch = BTreeMap::from([(by(Some(2), 200), count(3)), (by(None, 404), count(1))]);
    let key = |incarnation, sequence| BatchKey {
        node: id(9),
        incarnation: id(incarnation),
        sequence,
    };
    let mut tasks = Vec::new();
    // Each batch arrives at both control planes, some at the same time.
    for sequence in 1..=5 {
        for store in &stores {
            let (store, batch) = (store.clone(), batch.clone());
            tasks.push(tokio::spawn(async move {
                store.ingest(&[(key(1, sequence), batch)]).await
            }));
        }
        for task in tasks.drain(..) {
            task.await.expect("no panic").expect("ingests");
        }
    }
    assert_eq!(
        ingest(&stores[1], &[(key(1, 4), batch.clone())]).await,
        [Counted::AlreadyCounted]
    );
    let sums = async |store: &Store, by| store.request_sums(by, 10).await.expect("reads");
    use crate::control_plane::config_store::InCommon::{Entity, Status};
    assert_eq!(
        sums(&stores[0], CountedBy::Route).await,
        [(Entity(Some(id(2))), count(15)), (Entity(None), count(5))]
    );
    assert_eq!(
        sums(&stores[0], CountedBy::Status).await,
        [(Status(200), count(15)), (Status(404), count(5))]
    );
    for (by, whole) in [
        (CountedBy::Service, Some(id(1))),
        (CountedBy::Consumer, None),
        (CountedBy::DataPlane, Some(id(9))),
    ] {
        assert_eq!(
            sums(&stores[0], by).await,
            [(Entity(whole), count(20))],
            "{by:?}"
        );
    }
    let first = stores[0].request_sums(CountedBy::Status, 1).await;
    assert_eq!(first.expect("reads"), [(Status(200), count(15))]);

    assert_eq!(
        ingest(
            &stores[0],
            &[
                (key(2, 1), batch.clone()),
                (key(1, 5), batch.clone()),
                (key(2, 2), batch.clone()),
                (key(2, 2), batch.clone()),
                (key(2, 3), BTreeMap::new()),
            ]
        )
        .await,
        [
            Counted::Counted,
            Counted::AlreadyCounted,
            Counted::Counted,
            Counted::AlreadyCounted,
            Counted::Counted
        ]
    );
    assert_eq!(
        sums(&stores[1], CountedBy::Status).await,
        [(Status(200), count(21)), (Status(404), count(7))]
    );

    database.pass(Duration::from_secs(11));
    let expire = async |seconds| {
        let expired = stores[0].expire_telemetry(Duration::from_secs(seconds));
        expired.await.expect("expires")
    };
    assert_eq!(expire(12).await, 0);
    // Two positions; and, their data plane being listed nowhere, its two counts.
    assert_eq!(expire(10).await, 4);
    assert_eq!(sums(&stores[0], CountedBy::Status).await, []);
    assert_eq!(
        ingest(&stores[0], &[(key(1, 1), batch)]).await,
        [Counted::Counted]
    );
    stores[1].close().await;
});
