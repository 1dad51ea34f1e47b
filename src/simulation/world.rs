//! The event loop of a simulated cluster, its faults and its invariants.

use super::network::{Conn, End, Link};
use super::nodes::{ControlPlane, DataPlane, Database, limits};
use crate::control_plane::session::{self, History, SyncStatus};
use crate::data_plane::cache_writer::Disk;
use crate::data_plane::heartbeat_client::{self as client, LinkId, Phase};
use crate::model::{Digests, Kind, KindSet, Op, Revision, Row};
use crate::wire::{FromDataPlane, Incoming, Position, decode};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// Mistakes on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Some acknowledgements are forgotten.
    LostAcknowledgement,
    /// Frames of one connection overtake each other.
    Reordering,
    /// The client believes that a write is done when it begins.
    AcknowledgementBeforePersistence,
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub writes: u64,
    pub changes: u64,
    pub snapshots: u64,
    pub acknowledgements: u64,
    pub crashes: u64,
    pub dropped_links: u64,
    pub ghosts: u64,
    pub failed_writes: u64,
    pub ahead: u64,
    pub restores: u64,
    /// Restored databases that a data plane which was ahead has told.
    pub noticed: u64,
    /// Data planes that prove nothing while another link of theirs is open.
    pub challenges: u64,
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Stats) {
        self.writes += other.writes;
        self.changes += other.changes;
        self.snapshots += other.snapshots;
        self.acknowledgements += other.acknowledgements;
        self.crashes += other.crashes;
        self.dropped_links += other.dropped_links;
        self.ghosts += other.ghosts;
        self.failed_writes += other.failed_writes;
        self.ahead += other.ahead;
        self.restores += other.restores;
        self.noticed += other.noticed;
        self.challenges += other.challenges;
    }
}

#[derive(Debug)]
pub(super) enum Event {
    Write,
    Fault,
    /// An operator begins another history, unless that was done already.
    Raise,
    /// A control plane looks into the journal.
    Poll(usize),
    Accept(Conn),
    Deliver(Conn, End, Bytes),
    /// A frame of a lost connection, once its data plane has given it up.
    Ghost(Conn, Bytes),
    Closed(Conn, End),
    SessionSent(Conn),
    SessionTick(Conn),
    ClientTick(usize, u64),
    Applied(usize, u64),
    Persisted(usize, u64),
    RestartControlPlane(usize),
    RestartDataPlane(usize),
}

/// Faults and writes end here; then there is time to converge.
pub(super) const CALM: Duration = Duration::from_secs(150);
const END: Duration = Duration::from_secs(500);

/// What is written: some that every data plane knows, one that only newer ones know, one that
/// no data plane is to hold.
const KINDS: [Kind; 4] = [Kind::Routes, Kind::Consumers, Kind::Acls, Kind::Sessions];

pub(super) type Outcome = Result<(), String>;

/// A node's slot: the process may be dead, its lives are numbered.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) process: Option<DataPlane>,
    pub(super) life: u64,
    pub(super) disk: Disk,
    /// The greatest position it has ever acknowledged.
    pub(super) acknowledged: Position,
    /// When its disk takes long.
    pub(super) slow_disk: bool,
    /// What its version knows.
    pub(super) kinds: KindSet,
    /// Whether its version has a secret that proves its id.
    pub(super) proves: bool,
}

#[derive(Debug)]
pub struct World {
    pub(super) random: StdRng,
    pub(super) now: Duration,
    pub(super) queue: BTreeMap<(Duration, u64), Event>,
    pub(super) sequence: u64,
    pub(super) database: Database,
    /// The digests of every revision there ever was.
    pub(super) truth: BTreeMap<(u64, Revision), Digests>,
    pub(super) control_planes: Vec<Option<ControlPlane>>,
    /// Control planes that cannot reach the database, and so lag behind.
    pub(super) blind: Vec<bool>,
    pub(super) data_planes: Vec<Slot>,
    pub(super) links: BTreeMap<Conn, Link>,
    pub(super) ticks: BTreeSet<(Conn, Duration)>,
    pub(super) bug: Option<Bug>,
    pub(super) stats: Stats,
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>) -> World {
        let mut random = StdRng::seed_from_u64(seed);
        let database = Database::default();
        let control_planes: Vec<_> = (0..random.random_range(1..=2))
            .map(|_| Some(ControlPlane::start(&database, &mut random)))
            .collect();
        let data_planes = (0..random.random_range(1..=3))
            .map(|_| Slot {
                process: None,
                life: 0,
                disk: Disk::default(),
                acknowledged: Position::default(),
                slow_disk: random.random_bool(0.3),
                kinds: match random.random_bool(0.3) {
                    true => KindSet::FIRST,
                    false => KindSet::DISTRIBUTED,
                },
                proves: random.random_bool(0.7),
            })
            .collect();
        let mut world = World {
            random,
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            truth: BTreeMap::from([((0, Revision(0)), Digests::default())]),
            database,
            blind: vec![false; control_planes.len()],
            control_planes,
            data_planes,
            links: BTreeMap::new(),
            ticks: BTreeSet::new(),
            bug,
            stats: Stats::default(),
        };
        for node in 0..world.data_planes.len() {
            world.after_millis(0..3000, Event::RestartDataPlane(node));
        }
        for node in 0..world.control_planes.len() {
            world.after_millis(0..5000, Event::Poll(node));
        }
        world.after_millis(0..5000, Event::Write);
        world.after_millis(0..20_000, Event::Fault);
        world
    }

    pub fn now(&self) -> Duration {
        self.now
    }

    pub fn run(&mut self) -> Result<Stats, String> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > END {
                break;
            }
            self.now = at;
            self.handle(event)?;
        }
        self.converged()?;
        Ok(self.stats)
    }

    pub(super) fn at(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    pub(super) fn after_millis(&mut self, range: std::ops::Range<u64>, event: Event) {
        let delay = Duration::from_micros(
            self.random
                .random_range(range.start * 1000..range.end * 1000),
        );
        self.at(self.now + delay, event);
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability)
    }

    fn handle(&mut self, event: Event) -> Outcome {
        match event {
            Event::Write => self.write(),
            Event::Fault => self.fault(),
            Event::Raise => {
                if self.database.is_restored {
                    self.raise();
                }
                Ok(())
            }
            Event::Poll(node) => self.poll(node),
            Event::Accept(conn) => self.accept(conn),
            Event::Deliver(conn, End::ControlPlane, bytes) => {
                let input = match decode::<FromDataPlane>(&bytes, &limits()) {
                    Ok(Incoming::Known(message)) => session::Input::Received(message),
                    other => return Err(format!("undecodable: {other:?}")),
                };
                self.session(conn, input)
            }
            Event::Deliver(conn, End::DataPlane, bytes) => self.deliver(conn, &bytes),
            Event::Ghost(conn, bytes) => self.ghost(conn, &bytes),
            Event::Closed(conn, End::ControlPlane) => {
                self.session(conn, session::Input::LinkClosed)
            }
            Event::Closed(conn, End::DataPlane) => {
                self.on_link(conn, |link| client::Input::LinkClosed {
                    link,
                    reason: "closed".into(),
                })
            }
            Event::SessionSent(conn) => self.session(conn, session::Input::Sent),
            Event::SessionTick(conn) => {
                self.ticks.remove(&(conn, self.now));
                self.session(conn, session::Input::Tick)
            }
            Event::ClientTick(node, life) => self.client(node, life, client::Input::Tick),
            Event::Applied(node, life) => self.applied(node, life),
            Event::Persisted(node, life) => self.persisted(node, life),
            Event::RestartControlPlane(node) => {
                if self.control_planes[node].is_none() {
                    let process = ControlPlane::start(&self.database, &mut self.random);
                    self.control_planes[node] = Some(process);
                }
                Ok(())
            }
            Event::RestartDataPlane(node) => self.start_data_plane(node),
        }
    }

    // --- writes ---

    fn write(&mut self) -> Outcome {
        if self.now > CALM {
            return Ok(());
        }
        // Until the loss is noticed nobody writes: the numbers of other revisions would be taken.
        if self.database.is_restored {
            self.after_millis(0..2000, Event::Write);
            return Ok(());
        }
        for _ in 0..self.random.random_range(1..3) {
            let ops = (0..self.random.random_range(1..4))
                .map(|_| self.op())
                .collect();
            self.database.write(ops);
            let order = self.database.position(KindSet::ALL).order();
            self.truth.insert(order, *self.database.config.digests());
            self.stats.writes += 1;
        }
        for node in 0..self.control_planes.len() {
            // A notification may be lost; the slow poll finds the write.
            if self.chance(0.9) {
                self.after_millis(0..300, Event::Poll(node));
            }
        }
        self.after_millis(0..16_000, Event::Write);
        Ok(())
    }

    fn op(&mut self) -> Op {
        let kind = KINDS[self.random.random_range(0..KINDS.len())];
        let id = Uuid::from_u128(self.random.random_range(0..12));
        if self.chance(0.2) {
            return Op::Delete { kind, id };
        }
        let mut noise = [0u8; 64];
        self.random.fill(&mut noise);
        let row = Row::from_bytes(&noise[..self.random.random_range(1..=64)]);
        Op::Put { kind, id, row }
    }

    fn poll(&mut self, node: usize) -> Outcome {
        if self.now < END {
            self.after_millis(4000..6000, Event::Poll(node));
        }
        if self.blind[node] && self.now < CALM {
            return Ok(());
        }
        let Some(process) = &mut self.control_planes[node] else {
            return Ok(());
        };
        let held = process.history.position(KindSet::ALL);
        if held.epoch != self.database.epoch {
            process.history = ControlPlane::read(&self.database, &mut self.random);
        }
        let from = process.history.position(KindSet::ALL).revision;
        let news = self.database.journal.iter().enumerate();
        for (index, ops) in news.skip(from.0 as usize) {
            let revision = Revision(index as u64 + 1);
            process
                .history
                .record(revision, ops.clone(), None)
                .map_err(|gap| gap.to_string())?;
        }
        let sessions: Vec<Conn> = process.sessions.keys().copied().collect();
        if held != process.history.position(KindSet::ALL) {
            for conn in sessions {
                self.session(conn, session::Input::ConfigAdvanced)?;
            }
        }
        Ok(())
    }

    // --- faults ---

    fn fault(&mut self) -> Outcome {
        if self.now > CALM {
            return Ok(());
        }
        self.after_millis(0..25_000, Event::Fault);
        match self.random.random_range(0..20) {
            0..=4 => {
                let node = self.random.random_range(0..self.data_planes.len());
                self.crash_data_plane(node);
            }
            5..=8 => {
                let node = self.random.random_range(0..self.control_planes.len());
                self.crash_control_plane(node);
            }
            9 => self.restore(),
            11 => {
                let node = self.random.random_range(0..self.control_planes.len());
                self.blind[node] = !self.blind[node];
            }
            10 => {
                let node = self.random.random_range(0..self.data_planes.len());
                self.data_planes[node].slow_disk = self.chance(0.5);
            }
            _ => {
                let open: Vec<Conn> = self.open_links(|_| true);
                if !open.is_empty() {
                    let conn = open[self.random.random_range(0..open.len())];
                    self.cut(conn);
                }
            }
        }
        Ok(())
    }

    fn open_links(&self, which: impl Fn(&Link) -> bool) -> Vec<Conn> {
        let open = self
            .links
            .iter()
            .filter(|(_, link)| !link.cut && which(link));
        open.map(|(conn, _)| *conn).collect()
    }

    /// Drops a connection. Each end learns it soon, or only by silence; frames that were on
    /// their way may show up again when nobody expects them.
    fn cut(&mut self, conn: Conn) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        link.cut = true;
        let ghosts = std::mem::take(&mut link.recent);
        self.stats.dropped_links += 1;
        for end in [End::ControlPlane, End::DataPlane] {
            if self.chance(0.7) {
                self.after_millis(0..2000, Event::Closed(conn, end));
            }
        }
        for bytes in ghosts {
            for _ in 0..self.random.random_range(0..=2) {
                let event = Event::Ghost(conn, bytes.clone());
                self.after_millis(0..60_000, event);
            }
        }
    }

    fn crash_data_plane(&mut self, node: usize) {
        if self.data_planes[node].process.take().is_none() {
            return;
        }
        self.stats.crashes += 1;
        for conn in self.open_links(|link| link.data_plane == node) {
            self.cut(conn);
        }
        self.after_millis(100..20_000, Event::RestartDataPlane(node));
    }

    fn crash_control_plane(&mut self, node: usize) {
        if self.control_planes[node].take().is_none() {
            return;
        }
        self.stats.crashes += 1;
        for conn in self.open_links(|link| link.control_plane == node) {
            self.cut(conn);
        }
        self.after_millis(100..40_000, Event::RestartControlPlane(node));
    }

    fn restore(&mut self) {
        for node in 0..self.control_planes.len() {
            self.crash_control_plane(node);
        }
        let revision = self.random.random_range(0..=self.database.journal.len());
        self.database.restore(revision);
        self.stats.restores += 1;
        match self.chance(0.5) {
            true => self.raise(),
            // By then a data plane that is ahead has told, or nobody was.
            false => self.after_millis(5000..60_000, Event::Raise),
        }
    }

    /// Another history begins.
    pub(super) fn raise(&mut self) {
        self.database.raise();
        let epoch = self.database.epoch;
        let mut config = crate::model::Config::default();
        self.truth.insert((epoch, Revision(0)), Digests::default());
        for ops in &self.database.journal {
            config.commit(config.revision().next(), ops.clone());
            self.truth
                .insert((epoch, config.revision()), *config.digests());
        }
        for node in 0..self.control_planes.len() {
            self.after_millis(0..2000, Event::Poll(node));
        }
    }

    // --- links ---

    pub(super) fn connect(&mut self, node: usize, link: LinkId, address: usize) {
        self.sequence += 1;
        let conn = Conn(self.sequence);
        if let Some(process) = &mut self.data_planes[node].process {
            process.links.insert(link, conn);
        }
        let mut wire = Link::new(address, node, &mut self.random);
        if self.control_planes[address].is_none() {
            wire.cut = true;
            self.links.insert(conn, wire);
            // Refused at once, or never answered.
            if self.chance(0.7) {
                self.after_millis(0..500, Event::Closed(conn, End::DataPlane));
            }
            return;
        }
        self.links.insert(conn, wire);
        self.after_millis(0..500, Event::Accept(conn));
    }

    fn accept(&mut self, conn: Conn) -> Outcome {
        let Some(link) = self.links.get(&conn).filter(|link| !link.cut) else {
            return Ok(());
        };
        let Some(process) = &mut self.control_planes[link.control_plane] else {
            return Ok(());
        };
        process.accept(conn, self.now);
        self.schedule_session(conn);
        self.on_link(conn, |link| client::Input::Connected { link })
    }

    pub(super) fn transmit(&mut self, conn: Conn, to: End, bytes: Bytes) {
        let Some(link) = self.links.get_mut(&conn).filter(|link| !link.cut) else {
            return;
        };
        let overtakes = to == End::DataPlane
            && self.bug == Some(Bug::Reordering)
            && self.random.random_bool(0.3);
        let at = if overtakes {
            link.unordered_arrival(self.now, &mut self.random)
        } else {
            link.arrival(to, self.now, &mut self.random)
        };
        if to == End::DataPlane {
            link.remember(&bytes);
        }
        self.at(at, Event::Deliver(conn, to, bytes));
    }

    fn deliver(&mut self, conn: Conn, bytes: &[u8]) -> Outcome {
        let message = match decode(bytes, &limits()) {
            Ok(Incoming::Known(message)) => message,
            other => return Err(format!("undecodable: {other:?}")),
        };
        self.on_link(conn, |link| client::Input::Received { link, message })
    }

    fn ghost(&mut self, conn: Conn, bytes: &[u8]) -> Outcome {
        let node = self.links.get(&conn).map(|link| link.data_plane);
        let process = node.and_then(|node| self.data_planes[node].process.as_ref());
        let Some(process) = process else {
            return Ok(());
        };
        let newest = process.links.last_key_value().map(|(_, conn)| *conn);
        if newest == Some(conn) && process.state.phase() != Phase::Waiting {
            return Ok(());
        }
        self.stats.ghosts += 1;
        self.deliver(conn, bytes)
    }

    /// Hands something to the data plane at the end of a connection, however old that is.
    pub(super) fn on_link(
        &mut self,
        conn: Conn,
        input: impl FnOnce(LinkId) -> client::Input,
    ) -> Outcome {
        let Some(node) = self.links.get(&conn).map(|link| link.data_plane) else {
            return Ok(());
        };
        let life = self.data_planes[node].life;
        let Some(process) = &self.data_planes[node].process else {
            return Ok(());
        };
        let link = process.links.iter().find(|(_, known)| **known == conn);
        match link.map(|(link, _)| *link) {
            Some(link) => self.client(node, life, input(link)),
            None => Ok(()),
        }
    }

    // --- the end ---

    fn converged(&self) -> Outcome {
        for (node, slot) in self.data_planes.iter().enumerate() {
            let tip = self.database.position(slot.kinds);
            let failed = |what: String| Err(format!("node {node} did not converge: {what}"));
            let Some(process) = &slot.process else {
                return failed("it is dead".into());
            };
            if process.state.phase() != Phase::Live {
                return failed(format!("it is {:?}", process.state.phase()));
            }
            let held = [
                process.position(),
                process.state.live(),
                process.state.persisted(),
                slot.disk.position(),
            ];
            if held != [tip; 4] {
                return failed(format!("it holds {held:?}, not {tip:?}"));
            }
            let session = self.control_planes.iter().flatten().find_map(|process| {
                let conn = process.registry.get(&node)?;
                process.sessions.get(conn)
            });
            let status = session.map(|state| (state.status(), state.acknowledged()));
            if status != Some((SyncStatus::Live, Some(tip))) {
                return failed(format!("its control plane says {status:?}, not {tip:?}"));
            }
        }
        Ok(())
    }
}
