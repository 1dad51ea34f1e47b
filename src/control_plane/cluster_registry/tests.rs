//! Presence in the database, also when that was away for a while.

use super::{
    ClusterRegistry, Doors, Fleet, Identities, RegistryOptions, SessionStarted, Vouched, history,
};
use crate::actor::Observe;
use crate::control_plane::config_store::{
    DataPlanePresence, DatabaseSettings, SqliteSettings, Store, Write,
};
use crate::control_plane::session::{
    CloseReason, Feed, Identity, Report, Session, SessionEvent, SessionId, SessionNews,
};
use crate::link::{MemoryEnd, memory_pair};
use crate::model::{Config, Kind, KindSet, Revision};
use crate::telemetry::metrics::Metrics;
use crate::wire::{Applied, Hello, Limits, Position, Quarantined};
use actix::prelude::*;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const CONTROL_PLANE: Uuid = Uuid::from_u128(1);

/// A registry's options, and a second way to its database.
async fn options(directory: &tempfile::TempDir) -> (RegistryOptions, DatabaseConnection) {
    let path = directory.path().join("langur.db");
    let settings = DatabaseSettings::Sqlite(SqliteSettings::new(&path));
    let poll = Duration::from_secs(5);
    let store = Store::connect(&settings, poll).await.expect("connects");
    store.migrate().await.expect("migrates");
    let history = history(&store).await.expect("reads");
    let feed = Arc::new(Feed::new(history, Limits::for_payload(4096)));
    let purge = Duration::from_secs(3600);
    let options = RegistryOptions {
        fleet: Fleet::start(store.clone(), Arc::clone(&feed), CONTROL_PLANE, purge),
        feed,
        identity: Identity {
            control_plane: CONTROL_PLANE,
            langur_version: "0.1.0".to_owned(),
            kong_version: "3.9.3".to_owned(),
        },
        hostname: "cp".to_owned(),
        metrics: Arc::new(Metrics::new()),
        restores_itself: false,
        identities: Identities::new(store.clone()),
        doors: Doors::new(10, Arc::new(Metrics::new())),
        store,
    };
    let other = Database::connect(format!("sqlite://{}", path.display())).await;
    (options, other.expect("connects"))
}

/// From now on, rows of data planes cannot be written, or again can.
async fn rename(database: &DatabaseConnection, from: &str, to: &str) {
    let sql = format!("ALTER TABLE {from} RENAME TO {to}");
    database.execute_unprepared(&sql).await.expect("renames");
}

/// A session of a data plane that has joined, and the end of its link on which nobody speaks.
async fn join(
    registry: &Addr<ClusterRegistry>,
    options: &RegistryOptions,
    node: u128,
) -> MemoryEnd {
    let id = SessionId(u64::try_from(node).expect("small"));
    let (ours, theirs) = memory_pair(2);
    let session = Session::start_on(
        theirs.into(),
        id,
        options.identity.clone(),
        Arc::clone(&options.feed),
        registry.clone().recipient(),
    );
    let started = SessionStarted {
        id,
        session,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certificate_expiry: None,
        vouched: Vouched::Nobody,
    };
    registry.send(started).await.expect("started");
    let hello = Hello {
        node_id: Uuid::from_u128(node),
        hostname: "dp".to_owned(),
        langur_version: "0.1.0".to_owned(),
        kong_version: "3.9.3".to_owned(),
        plugins: Vec::new(),
        kinds: KindSet::DISTRIBUTED,
        labels: Default::default(),
        held: Position::default(),
        incarnation: Uuid::from_u128(9),
        secret: None,
    };
    let event = SessionNews::Report(Box::new(Report::Joined(hello)));
    let session = id;
    registry
        .send(SessionEvent { session, event })
        .await
        .expect("joined");
    ours
}

async fn report(registry: &Addr<ClusterRegistry>, session: u64, report: Report) {
    let event = SessionEvent {
        session: SessionId(session),
        event: SessionNews::Report(Box::new(report)),
    };
    registry.send(event).await.expect("reported");
}

async fn close(registry: &Addr<ClusterRegistry>, session: u64) {
    let event = SessionEvent {
        session: SessionId(session),
        event: SessionNews::Closed(CloseReason::Silent),
    };
    registry.send(event).await.expect("closed");
}

async fn state(registry: &Addr<ClusterRegistry>) -> serde_json::Value {
    registry.send(Observe).await.expect("answers")
}

/// Waits until so many rows are not in the database, and none is being written.
async fn until_unwritten(registry: &Addr<ClusterRegistry>, expected: u64) {
    let begun = Instant::now();
    loop {
        let state = state(registry).await;
        if state["writing"] == false && state["unwritten"] == expected {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{state}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The data planes that the database calls connected.
async fn connected(store: &Store) -> Vec<u128> {
    let rows = store.data_planes().await.expect("reads").into_iter();
    let connected = rows.filter(|row| row.connected);
    connected.map(|row| row.id.as_u128()).collect()
}

#[actix::test]
async fn trial_32_what_many_say_is_written_in_few_batches() {
    let directory = tempfile::tempdir().expect("a directory");
    let (options, _database) = options(&directory).await;
    let store = options.store.clone();
    let registry = ClusterRegistry::new(options.clone()).start();
    let begun = Instant::now();
    let mut links = Vec::new();
    for node in 1..=100 {
        links.push(join(&registry, &options, node).await);
    }
    for revision in 1..=20 {
        for session in 1..=100 {
            let position = Position {
                revision: Revision(revision),
                ..Position::default()
            };
            let applied = Report::Applied(Applied::new(position, 1, &[]));
            report(&registry, session, applied).await;
        }
    }
    // One that comes and goes before it is written, and what is known of it is all that there is.
    let _late = join(&registry, &options, 101).await;
    close(&registry, 101).await;
    until_unwritten(&registry, 0).await;
    let batches = state(&registry).await["batches"]
        .as_u64()
        .expect("a number");
    let most = begun.elapsed().as_secs() + 2;
    assert!(
        batches <= most,
        "{batches} batches for 2 100 reports, {most} are due"
    );
    let rows = store.data_planes().await.expect("reads");
    let there = rows.iter().filter(|row| row.connected);
    assert!(there.clone().all(|row| row.revision == Some(20)));
    assert_eq!((there.count(), rows.len()), (100, 101));
    assert!(!rows[100].connected);
}

/// A row that is not written yet is known all the same.
#[actix::test]
async fn trial_32_who_asks_the_fleet_need_not_wait_for_the_rows() {
    let directory = tempfile::tempdir().expect("a directory");
    let (options, database) = options(&directory).await;
    let registry = ClusterRegistry::new(options.clone()).start();
    until_unwritten(&registry, 0).await;
    let known = async || {
        let rows = options
            .fleet
            .data_planes()
            .await
            .expect("reads")
            .into_iter();
        let of = |row: DataPlanePresence| (row.id.as_u128(), row.connected);
        rows.map(of).collect::<Vec<_>>()
    };
    let _first = join(&registry, &options, 1).await;
    // Whoever is listed is so after a crash, too.
    assert_eq!(known().await, []);
    assert_eq!(
        options.fleet.all_data_planes().await.expect("reads").len(),
        1
    );
    until_unwritten(&registry, 0).await;
    assert_eq!(known().await, [(1, true)]);
    close(&registry, 1).await;
    assert_eq!(known().await, [(1, false)]);
    until_unwritten(&registry, 0).await;

    // What is quarantined, too.
    let withheld = Quarantined {
        entity: Kind::Plugins,
        id: Uuid::from_u128(7),
        name: None,
        reason: "it is not there".to_owned(),
        since: 1,
        in_effect: Quarantined::NOTHING.to_owned(),
    };
    let before = options.fleet.withheld();
    let _second = join(&registry, &options, 2).await;
    let applied = Applied::new(Position::default(), 1, &[withheld]);
    report(&registry, 2, Report::Applied(applied)).await;
    let now = options.fleet.withheld();
    let new: Vec<_> = now.since(&before).collect();
    assert_eq!(new, [(Kind::Plugins, Uuid::from_u128(7))]);
    close(&registry, 2).await;
    assert!(options.fleet.withheld().since(&before).next().is_none());

    // Without the table nobody knows of others; that is said.
    rename(&database, "data_planes", "away").await;
    assert!(options.fleet.data_planes().await.is_err());
}

#[actix::test]
async fn who_left_while_the_database_was_away_is_gone_afterwards() {
    let directory = tempfile::tempdir().expect("a directory");
    let (options, database) = options(&directory).await;
    let store = options.store.clone();
    let registry = ClusterRegistry::new(options.clone()).start();
    let _first = join(&registry, &options, 1).await;
    let _second = join(&registry, &options, 2).await;
    until_unwritten(&registry, 0).await;
    assert_eq!(connected(&store).await, [1, 2]);

    rename(&database, "data_planes", "away").await;
    close(&registry, 1).await;
    // After the database has refused it: the one that left, and the one that is there.
    until_unwritten(&registry, 2).await;
    rename(&database, "away", "data_planes").await;
    // It is tried again without anything happening.
    until_unwritten(&registry, 0).await;
    assert_eq!(connected(&store).await, [2]);
}

#[actix::test]
async fn what_an_earlier_life_held_is_gone_also_when_the_database_was_away_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (options, database) = options(&directory).await;
    let store = options.store.clone();
    let earlier = ClusterRegistry::new(options.clone()).start();
    let _first = join(&earlier, &options, 1).await;
    until_unwritten(&earlier, 0).await;

    rename(&database, "data_planes", "away").await;
    let registry = ClusterRegistry::new(options.clone()).start();
    // The second one is refused for as long as the table is away.
    let _second = join(&registry, &options, 2).await;
    until_unwritten(&registry, 1).await;
    rename(&database, "away", "data_planes").await;
    until_unwritten(&registry, 0).await;
    assert_eq!(connected(&store).await, [2]);
}

#[actix::test]
async fn trial_13_a_registry_reads_what_was_not_read_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (options, _database) = options(&directory).await;
    let fields = serde_json::json!({
        "id": Uuid::from_u128(5), "username": "somebody", "created_at": 1, "updated_at": 1,
    });
    let write = Write::Insert {
        kind: Kind::Consumers,
        document: fields.as_object().expect("an object").clone(),
    };
    options.store.write(vec![write]).await.expect("writes");
    let feed = Arc::new(Feed::unread(Limits::for_payload(4096)));
    assert!(!feed.is_read());
    let _registry = ClusterRegistry::new(RegistryOptions {
        feed: Arc::clone(&feed),
        ..options.clone()
    })
    .start();
    while !feed.is_read() {
        tokio::task::yield_now().await;
    }
    let read = options.store.config().await.expect("reads");
    assert_eq!(read.len(), 1);
    assert_eq!(*feed.config(), read);
    // And goes on from there.
    let reaches = feed.came_from(&Config::default(), KindSet::ALL);
    assert!(reaches, "the journal was read with it");
}
