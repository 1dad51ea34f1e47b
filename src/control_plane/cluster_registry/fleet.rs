//! What is known of the whole fleet, for whoever asks: the data planes of this control plane as
//! they last spoke, those of others as their rows say.
//!
//! The registry tells of its own; nobody has to look. The rows of others are read by one task for
//! all who wait, and only while somebody does. Their rows are written in batches, so what is
//! written here is the truth about them up to a second ago.

use super::presence::Presence;
use crate::control_plane::config_store::{DataPlanePresence, Elsewhere, Store, StoreError};
use crate::control_plane::session::Feed;
use crate::model::{Kind, KindSet, Revision};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use uuid::Uuid;

/// A data plane that lacks a revision for so long, and has applied nothing meanwhile, is stuck:
/// nobody waits for it any more.
pub const STUCK: Duration = Duration::from_secs(10);
/// Data planes whose registry died connect anew; for so long they count as connected.
const COMING_BACK: Duration = Duration::from_secs(10);
/// Between two looks at the rows of others while somebody waits.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the database may take to say what others hold.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is quarantined: an entity.
pub type Key = (Kind, Uuid);
type Keys = Arc<BTreeSet<Key>>;

/// The data planes of all control planes on one database.
pub struct Fleet {
    store: Store,
    pub(super) feed: Arc<Feed>,
    /// This control plane.
    pub(super) own: Uuid,
    /// How long a data plane is listed after it was last seen.
    pub(super) purge_delay: Duration,
    here: Mutex<Here>,
    /// The last look at the rows of others.
    look: watch::Sender<Look>,
    /// Looks that were asked for; each is answered by one that began later.
    asked: AtomicU64,
    waiting: AtomicUsize,
    wake: Notify,
    changes: watch::Sender<u64>,
}

/// The data planes of this control plane.
#[derive(Default)]
struct Here {
    nodes: BTreeMap<Uuid, Known>,
    /// What is quarantined on any of them; `None` when it must be computed again.
    withheld: Option<Keys>,
}

struct Known {
    presence: Presence,
    /// When the registry that held its session died; `None` while it lives.
    lost: Option<Instant>,
}

/// What the rows of others said.
#[derive(Clone, Default)]
struct Look {
    /// The number of the last look that was asked for before this one began.
    upto: u64,
    /// None when the database could not be asked.
    rows: Option<Arc<BTreeMap<Uuid, Away>>>,
    /// What the database called the latest revision, after that.
    latest: Revision,
    /// Whether this process knew of a later one: the database was restored.
    restored: bool,
    withheld: Keys,
    /// How many looks there were.
    count: u64,
}

#[derive(Clone)]
struct Away {
    row: Elsewhere,
    /// When its row was first seen, or seen to have come to another revision.
    moved: Instant,
    withheld: Keys,
}

/// The data planes on which a revision is not in effect yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The connected data planes that have not got there, by ascending id.
    pub late: Vec<Late>,
    pub elsewhere: Sight,
}

/// How much is known of the data planes of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// Somebody is looking.
    #[default]
    Looking,
    Seen,
    /// The database could not be asked.
    Unknown,
}

/// A data plane that has not got there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    pub id: Uuid,
    /// From when on it is stuck, unless it applies something before.
    pub stuck_from: Instant,
}

/// What is quarantined somewhere.
#[derive(Clone, Default)]
pub struct Withheld {
    here: Keys,
    elsewhere: Keys,
}

impl Withheld {
    pub fn contains(&self, key: &Key) -> bool {
        self.here.contains(key) || self.elsewhere.contains(key)
    }

    /// Entities that were not quarantined before.
    pub fn since<'a>(&'a self, before: &'a Withheld) -> impl Iterator<Item = Key> + 'a {
        let all = self.here.iter().chain(self.elsewhere.iter());
        all.filter(|key| !before.contains(key)).copied()
    }
}

/// Somebody who waits: as long as there is one, the rows of others are looked at.
pub struct Waiting {
    fleet: Arc<Fleet>,
    ticket: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.fleet.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Fleet {
    /// The fleet as this control plane knows it, and the task that looks at the rows of others.
    pub fn start(store: Store, feed: Arc<Feed>, own: Uuid, purge_delay: Duration) -> Arc<Fleet> {
        let fleet = Arc::new(Fleet {
            store,
            feed,
            own,
            purge_delay,
            here: Mutex::default(),
            look: watch::Sender::default(),
            asked: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            wake: Notify::new(),
            changes: watch::Sender::default(),
        });
        tokio::spawn(Arc::clone(&fleet).look_at_others());
        fleet
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        // No code that can panic runs under this lock.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes whenever something new is known of a data plane.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A data plane of this control plane has joined, or said something.
    pub(super) fn learn(&self, node: Uuid, presence: &Presence) {
        let known = Known {
            presence: presence.clone(),
            lost: None,
        };
        let mut here = self.here();
        let is_clean = presence.withheld().is_empty();
        let before = here.nodes.insert(node, known);
        if !is_clean || before.is_some_and(|before| !before.presence.withheld().is_empty()) {
            here.withheld = None;
        }
        drop(here);
        self.changed();
    }

    /// A data plane of this control plane has left.
    pub(super) fn leave(&self, node: Uuid) {
        let mut here = self.here();
        here.nodes.remove(&node);
        here.withheld = None;
        drop(here);
        self.changed();
    }

    /// The registry begins another life: its sessions come back in a moment.
    pub(super) fn another_life(&self) {
        let now = Instant::now();
        for known in self.here().nodes.values_mut() {
            known.lost.get_or_insert(now);
        }
    }

    /// From time to time: who did not come back is gone, and others may have quarantined something.
    pub(super) fn pulse(&self) {
        let mut here = self.here();
        let before = here.nodes.len();
        here.nodes.retain(|_, known| {
            let lost = known.lost;
            lost.is_none_or(|since| since.elapsed() < COMING_BACK)
        });
        if here.nodes.len() < before {
            here.withheld = None;
            drop(here);
            self.changed();
        } else {
            drop(here);
        }
        self.ask();
    }

    /// Asks for a look at the rows of others that begins now or later.
    fn ask(&self) -> u64 {
        let ticket = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.wake.notify_one();
        ticket
    }

    /// For whoever waits for the fleet.
    pub fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting {
            fleet: Arc::clone(self),
            ticket: self.ask(),
        }
    }

    /// How often the rows of others were looked at.
    pub fn looks(&self) -> u64 {
        self.look.borrow().count
    }

    /// What is quarantined anywhere, as far as is known.
    pub fn withheld(&self) -> Withheld {
        let elsewhere = Arc::clone(&self.look.borrow().withheld);
        let mut here = self.here();
        let known = here.withheld.take().unwrap_or_else(|| {
            let nodes = here.nodes.values();
            let all = nodes.flat_map(|known| known.presence.withheld().iter());
            Arc::new(all.copied().collect())
        });
        here.withheld = Some(Arc::clone(&known));
        Withheld {
            here: known,
            elsewhere,
        }
    }

    /// Whether a data plane of this control plane does not know this kind of entity.
    pub fn lacks_kind(&self, kind: Kind) -> bool {
        let here = self.here();
        let mut nodes = here.nodes.values();
        KindSet::DISTRIBUTED.contains(kind)
            && nodes.any(|known| !known.presence.kinds().contains(kind))
    }

    /// Whether a data plane of this control plane says that it cannot run this plugin.
    pub fn lacks_plugin(&self, name: &str) -> bool {
        let here = self.here();
        let mut nodes = here.nodes.values();
        nodes.any(|known| !known.presence.runs(name))
    }

    /// The rows of the fleet, by ascending id. Of this control plane's own data planes they say
    /// what is known already and written in a moment; one that has no row yet is not listed, so
    /// that whoever is listed still is after a crash.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn data_planes(&self) -> Result<Vec<DataPlanePresence>, StoreError> {
        self.rows(false).await
    }

    /// The same, with those that have no row yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all_data_planes(&self) -> Result<Vec<DataPlanePresence>, StoreError> {
        self.rows(true).await
    }

    async fn rows(&self, unwritten: bool) -> Result<Vec<DataPlanePresence>, StoreError> {
        let written = self.store.data_planes().await?;
        let mut rows: BTreeMap<_, _> = written.into_iter().map(|row| (row.id, row)).collect();
        // Copied, for the lock: a row may take the whole configuration into account.
        let here: BTreeMap<_, _> = {
            let here = self.here();
            let nodes = here.nodes.iter();
            let known = |(id, known): (&Uuid, &Known)| {
                (*id, known.lost.is_none().then(|| known.presence.clone()))
            };
            nodes.map(known).collect()
        };
        for row in rows.values_mut() {
            if row.control_plane == Some(self.own) && !here.contains_key(&row.id) {
                row.connected = false;
            }
        }
        for (id, presence) in here {
            if (unwritten || rows.contains_key(&id))
                && let Some(row) = presence.and_then(|presence| presence.row(self))
            {
                rows.insert(id, row);
            }
        }
        Ok(rows.into_values().collect())
    }

    /// Who has not got to a revision, as far as is known.
    pub fn standing(&self, revision: Revision, waiting: &Waiting) -> Standing {
        let epoch = self.feed.position().epoch;
        let stuck_from = |held: Revision, moved: Instant| {
            let lacks_since = self.store.announced_at(Revision(held.0.saturating_add(1)));
            lacks_since.map_or(moved, |since| since.max(moved)) + STUCK
        };
        let look = self.look.borrow();
        // One that is ahead of the database has something else in effect.
        let is_ahead = |held: Revision| held > look.latest.max(revision);
        let mut late = BTreeMap::new();
        let here = self.here();
        for (id, known) in &here.nodes {
            let held = known.presence.held();
            let is_lost = look.restored && is_ahead(held.revision);
            if held.epoch == epoch && held.revision >= revision && !is_lost {
                continue;
            }
            let stuck_from = stuck_from(held.revision, known.presence.moved());
            late.insert(*id, stuck_from);
        }
        let elsewhere = match &look.rows {
            _ if look.upto < waiting.ticket => Sight::Looking,
            None => Sight::Unknown,
            Some(rows) => {
                for (id, away) in rows.iter().filter(|(id, _)| !here.nodes.contains_key(id)) {
                    let held = away.row.revision.and_then(|held| u64::try_from(held).ok());
                    let held = Revision(held.unwrap_or_default());
                    if held < revision || is_ahead(held) {
                        late.insert(*id, stuck_from(held, away.moved));
                    }
                }
                Sight::Seen
            }
        };
        let late = late.into_iter();
        Standing {
            late: late
                .map(|(id, stuck_from)| Late { id, stuck_from })
                .collect(),
            elsewhere,
        }
    }

    /// Looks at the rows of others whenever somebody has asked, and again and again while somebody
    /// waits. There is one such task, however many wait.
    async fn look_at_others(self: Arc<Self>) {
        loop {
            let upto = self.look.borrow().upto;
            if self.asked.load(Ordering::Relaxed) == upto {
                let woken = self.wake.notified();
                match self.waiting.load(Ordering::Relaxed) {
                    0 => {
                        woken.await;
                        continue;
                    }
                    _ => drop(timeout(PAUSE, woken).await),
                }
            }
            let upto = self.asked.load(Ordering::Relaxed);
            let found = match timeout(PATIENCE, self.look()).await {
                Ok(Ok(found)) => Some(found),
                Ok(Err(err)) => {
                    tracing::warn!(?err, "the fleet cannot be read");
                    None
                }
                Err(_) => {
                    tracing::warn!("the fleet cannot be read: no answer in time");
                    None
                }
            };
            let is_known = found.is_some();
            self.look.send_modify(|look| {
                look.upto = upto;
                look.count += 1;
                look.rows = found.map(|(rows, latest, restored)| {
                    let all = rows.values().flat_map(|away| away.withheld.iter());
                    look.withheld = Arc::new(all.copied().collect());
                    (look.latest, look.restored) = (latest, restored);
                    Arc::new(rows)
                });
            });
            self.changed();
            if !is_known {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// What the rows of others say, the latest revision after that, and whether the database was
    /// restored.
    async fn look(&self) -> Result<(BTreeMap<Uuid, Away>, Revision, bool), StoreError> {
        let known_before = *self.store.revisions().borrow();
        let before = self.look.borrow().rows.clone();
        let now = Instant::now();
        let (mut rows, mut changed) = (BTreeMap::new(), Vec::new());
        for row in self.store.data_planes_elsewhere(self.own).await? {
            let known = before.as_ref().and_then(|before| before.get(&row.id));
            let mut away = match known {
                Some(known) => known.clone(),
                None => Away {
                    row: row.clone(),
                    moved: now,
                    withheld: Keys::default(),
                },
            };
            if known.is_none_or(|known| known.row != row) {
                changed.push(row.id);
            }
            if away.row.revision != row.revision {
                away.moved = now;
            }
            away.row = row;
            rows.insert(away.row.id, away);
        }
        for (id, quarantined) in self.store.quarantined_on(&changed).await? {
            if let Some(away) = rows.get_mut(&id) {
                away.withheld = Arc::new(keys(&quarantined));
            }
        }
        let latest = self.store.latest_revision().await?;
        Ok((rows, latest, latest < known_before))
    }
}

/// The entities of a row's `quarantined`.
fn keys(quarantined: &Value) -> BTreeSet<Key> {
    let entries = quarantined.as_array().into_iter().flatten();
    let key = |entry: &Value| {
        let kind = Kind::parse(entry["entity"].as_str()?)?;
        let id = Uuid::parse_str(entry["id"].as_str()?).ok()?;
        Some((kind, id))
    };
    entries.filter_map(key).collect()
}
