//! Presence in the database, also when that was away for a while.

use super::{
    ClusterRegistry, Doors, Identities, RegistryOptions, SessionStarted, Vouched, history,
};
use crate::actor::Observe;
use crate::control_plane::config_store::{DatabaseSettings, SqliteSettings, Store, Write};
use crate::control_plane::session::{
    CloseReason, Feed, Identity, Report, Session, SessionEvent, SessionId, SessionNews,
};
use crate::link::{MemoryEnd, memory_pair};
use crate::model::{Config, Kind, KindSet};
use crate::telemetry::metrics::Metrics;
use crate::wire::{Hello, Limits, Position};
use actix::prelude::*;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
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
    let options = RegistryOptions {
        feed: Arc::new(Feed::new(history, Limits::for_payload(4096))),
        identity: Identity {
            control_plane: CONTROL_PLANE,
            langur_version: "0.1.0".to_owned(),
            kong_version: "3.9.3".to_owned(),
        },
        hostname: "cp".to_owned(),
        purge_delay: Duration::from_secs(3600),
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

async fn close(registry: &Addr<ClusterRegistry>, session: u64) {
    let event = SessionEvent {
        session: SessionId(session),
        event: SessionNews::Closed(CloseReason::Silent),
    };
    registry.send(event).await.expect("closed");
}

/// Waits until no write is under way; how many rows the database does not have then.
async fn unwritten(registry: &Addr<ClusterRegistry>) -> u64 {
    loop {
        let state = registry.send(Observe).await.expect("answers");
        if state["writing"] == false {
            return state["unwritten"].as_u64().expect("a number");
        }
        tokio::task::yield_now().await;
    }
}

/// The data planes that the database calls connected.
async fn connected(store: &Store) -> Vec<u128> {
    let rows = store.data_planes().await.expect("reads").into_iter();
    let connected = rows.filter(|row| row.connected);
    connected.map(|row| row.id.as_u128()).collect()
}

#[actix::test]
async fn who_left_while_the_database_was_away_is_gone_afterwards() {
    let directory = tempfile::tempdir().expect("a directory");
    let (options, database) = options(&directory).await;
    let store = options.store.clone();
    let registry = ClusterRegistry::new(options.clone()).start();
    let _first = join(&registry, &options, 1).await;
    let _second = join(&registry, &options, 2).await;
    assert_eq!(unwritten(&registry).await, 0);
    assert_eq!(connected(&store).await, [1, 2]);

    rename(&database, "data_planes", "away").await;
    close(&registry, 1).await;
    assert_eq!(
        unwritten(&registry).await,
        2,
        "the one that left, and the one that is there"
    );
    rename(&database, "away", "data_planes").await;
    assert_eq!(connected(&store).await, [1, 2]);
    // Whatever happens next brings the rows up to date.
    close(&registry, 99).await;
    assert_eq!(unwritten(&registry).await, 0);
    assert_eq!(connected(&store).await, [2]);
}

#[actix::test]
async fn what_an_earlier_life_held_is_gone_also_when_the_database_was_away_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (options, database) = options(&directory).await;
    let store = options.store.clone();
    let earlier = ClusterRegistry::new(options.clone()).start();
    let _first = join(&earlier, &options, 1).await;
    assert_eq!(unwritten(&earlier).await, 0);

    rename(&database, "data_planes", "away").await;
    let registry = ClusterRegistry::new(options.clone()).start();
    unwritten(&registry).await;
    rename(&database, "away", "data_planes").await;
    assert_eq!(connected(&store).await, [1]);
    let _second = join(&registry, &options, 2).await;
    assert_eq!(unwritten(&registry).await, 0);
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
