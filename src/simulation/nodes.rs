//! The processes of a simulated cluster: step functions with the least around them.

use super::network::Conn;
use crate::control_plane::session::{self, Identity, MemoryHistory};
use crate::data_plane::cache_writer::{ConfigCache, Disk, MemoryCache};
use crate::data_plane::heartbeat_client::{self as client, Persist};
use crate::model::{Config, KindSet, Op};
use crate::wire::{EncodeCache, Hello, Limits, NodeSecret, Position, SnapshotParts};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Small, so that snapshots take several chunks.
pub fn limits() -> Limits {
    Limits::for_payload(4096)
}

/// What all control planes share and what survives them.
#[derive(Clone, Debug, Default)]
pub struct Database {
    pub epoch: u64,
    /// The ops of revision n at index n - 1.
    pub journal: Vec<Vec<Op>>,
    /// The configuration after all of them.
    pub config: Config,
    /// It lacks what it had, and nobody has noticed yet.
    pub is_restored: bool,
}

impl Database {
    /// The position that a data plane has which knows only these kinds of entities.
    pub fn position(&self, kinds: KindSet) -> Position {
        Position::of_kinds(self.epoch, &self.config, kinds)
    }

    pub fn write(&mut self, ops: Vec<Op>) {
        let revision = self.config.revision().next();
        self.journal.push(ops.clone());
        self.config.commit(revision, ops);
    }

    /// What an operator does with a backup: back to an earlier revision, of the same epoch. What
    /// data planes hold tells that it was restored.
    pub fn restore(&mut self, revision: usize) {
        let journal = self.journal[..revision].to_vec();
        *self = Database {
            epoch: self.epoch,
            is_restored: true,
            ..Database::default()
        };
        for ops in journal {
            self.write(ops);
        }
    }

    /// Another history begins: by an operator, or because it was noticed.
    pub fn raise(&mut self) {
        self.epoch += 1;
        self.is_restored = false;
    }
}

/// A control plane's process.
#[derive(Debug)]
pub struct ControlPlane {
    pub id: Uuid,
    pub history: MemoryHistory,
    pub encoder: EncodeCache,
    pub sessions: BTreeMap<Conn, session::State>,
    /// Which session speaks for a data plane.
    pub registry: BTreeMap<usize, Conn>,
    /// Which one waits for a sign of life of another.
    pub waiting: BTreeMap<usize, Conn>,
}

impl ControlPlane {
    pub fn start(database: &Database, random: &mut StdRng) -> ControlPlane {
        ControlPlane {
            id: Uuid::from_u128(random.random()),
            history: ControlPlane::read(database, random),
            encoder: EncodeCache::new(limits()),
            sessions: BTreeMap::new(),
            registry: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// The history as it is read from the database, which may have forgotten its beginning.
    pub fn read(database: &Database, random: &mut StdRng) -> MemoryHistory {
        let reach = random.random_range(0..=database.journal.len());
        let journal = database.journal[database.journal.len() - reach..].iter();
        let journal = journal.map(|ops| (ops.clone(), None));
        MemoryHistory::with_journal(database.epoch, database.config.clone(), journal)
    }

    pub fn accept(&mut self, conn: Conn, now: Duration) {
        let identity = Identity {
            control_plane: self.id,
            langur_version: "0.1.0".into(),
            kong_version: "3.9.3".into(),
        };
        self.sessions
            .insert(conn, session::State::new(identity, now));
    }
}

/// What a data plane's router is busy with.
#[derive(Debug)]
pub enum Applying {
    Change(Arc<crate::wire::ChangeMessage>),
    Snapshot(SnapshotParts),
}

/// What a data plane's disk is busy with.
#[derive(Debug)]
pub enum Persisting {
    Write(Persist),
    /// A rewrite, with what was live when it began.
    Whole(u64, Box<Config>),
}

/// A data plane's process.
#[derive(Debug)]
pub struct DataPlane {
    pub state: client::State,
    pub cache: MemoryCache,
    pub epoch: u64,
    pub config: Config,
    pub applying: Option<Applying>,
    pub persisting: Option<Persisting>,
    /// The connection of each of the client's links.
    pub links: BTreeMap<client::LinkId, Conn>,
}

impl DataPlane {
    pub fn start(
        node: usize,
        kinds: KindSet,
        proves: bool,
        disk: &Disk,
        addresses: usize,
        random: &mut StdRng,
    ) -> DataPlane {
        let mut cache = MemoryCache::new(disk);
        let cached = cache.load().expect("loads").unwrap_or_default();
        let hello = Hello {
            node_id: Uuid::from_u128(node as u128 + 1),
            hostname: format!("node-{node}"),
            langur_version: "0.1.0".into(),
            kong_version: "3.9.3".into(),
            plugins: vec![],
            kinds,
            labels: BTreeMap::new(),
            held: cached.position(),
            incarnation: Uuid::from_u128(random.random()),
            secret: proves.then(|| NodeSecret::new([node as u8; NodeSecret::BYTES])),
        };
        let origin = client::Origin {
            persisted: hello.held,
            hello,
            in_effect_at: 0,
            quarantined: Arc::default(),
        };
        let seed = random.random();
        DataPlane {
            state: client::State::new(origin, addresses, seed, limits()),
            cache,
            epoch: cached.epoch,
            config: cached.config,
            applying: None,
            persisting: None,
            links: BTreeMap::new(),
        }
    }

    pub fn position(&self) -> Position {
        Position::of(self.epoch, &self.config)
    }
}
