//! The actors of both planes, joined in memory: the mailmen deliver what the protocols say.

use crate::actor::{self, RestartPolicy, guard};
use crate::control_plane::session::{
    Admission, ConfigAdvanced, Feed, Identity, MemoryHistory, Report, Session, SessionEvent,
    SessionId, SessionNews, StopSession, SyncStatus,
};
use crate::data_plane::cache_writer::{CacheWriter, ConfigCache, Holds, LmdbCache};
use crate::data_plane::heartbeat_client::{
    ApplyConfig, ConnectLink, GetLinkState, HeartbeatClient, InEffect, LiveConfig, Origin, Phase,
    State,
};
use crate::link::{Link, LinkError, memory_pair};
use crate::model::{Config, Kind, KindSet, Op, Revision, Row};
use crate::wire::{ChangeMessage, Hello, Limits, Position, SnapshotParts};
use actix::{Actor, Addr, Context, Handler};
use futures_util::future::{FutureExt, LocalBoxFuture};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc;
use uuid::Uuid;

/// A registry that admits everybody and passes everything else on to the test.
struct Registry {
    news: mpsc::UnboundedSender<SessionNews>,
    session: CurrentSession,
}

/// The session of the link that was opened last.
type CurrentSession = Rc<RefCell<Option<Addr<Session>>>>;

impl Actor for Registry {
    type Context = Context<Registry>;
}

impl Handler<SessionEvent> for Registry {
    type Result = ();
    fn handle(&mut self, event: SessionEvent, _: &mut Self::Context) {
        if let Some(Report::Greeted(_)) = report(&event.event) {
            if let Some(session) = &*self.session.borrow() {
                let _ = session.try_send(Admission(Ok(())));
            }
            return;
        }
        let _ = self.news.send(event.event);
    }
}

/// A router that compiles nothing.
#[derive(Clone, Default)]
struct Router(Rc<RefCell<(u64, Config)>>);

impl Router {
    fn in_effect(&self) -> InEffect {
        let (epoch, config) = &*self.0.borrow();
        InEffect {
            position: Position::of(*epoch, config),
            at: 1,
            quarantined: Arc::default(),
            routes: Default::default(),
            last_good: Arc::default(),
        }
    }
}

impl ApplyConfig for Router {
    fn apply(
        &self,
        message: Arc<ChangeMessage>,
    ) -> LocalBoxFuture<'static, Result<InEffect, String>> {
        let applied = self.0.borrow_mut().1.apply(&message.change);
        let result = applied.map(|()| self.in_effect());
        async move { result.map_err(|err| err.to_string()) }.boxed_local()
    }

    fn replace(&self, parts: SnapshotParts) -> LocalBoxFuture<'static, Result<InEffect, String>> {
        let result = parts.decode(&limits()).map(|config| {
            *self.0.borrow_mut() = (parts.position.epoch, config);
            self.in_effect()
        });
        async move { result.map_err(|err| err.to_string()) }.boxed_local()
    }

    fn in_effect(&self) -> LocalBoxFuture<'static, Result<Option<InEffect>, String>> {
        let in_effect = Router::in_effect(self);
        async move { Ok(Some(in_effect)) }.boxed_local()
    }

    fn live(&self) -> LocalBoxFuture<'static, Result<LiveConfig, String>> {
        let (epoch, config) = self.0.borrow().clone();
        let live = LiveConfig {
            epoch,
            config: Arc::new(config),
            last_good: Arc::default(),
        };
        async move { Ok(live) }.boxed_local()
    }
}

/// Opens links straight into sessions.
#[derive(Clone)]
struct Switchboard {
    feed: Arc<Feed>,
    registry: Addr<Registry>,
    session: CurrentSession,
    connections: Rc<Cell<u64>>,
}

impl ConnectLink for Switchboard {
    fn connect(&self, _: usize) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        let board = self.clone();
        async move {
            let (ours, theirs) = memory_pair(2);
            board.connections.set(board.connections.get() + 1);
            let session = Session::start_on(
                theirs.into(),
                SessionId(board.connections.get()),
                Identity {
                    control_plane: Uuid::from_u128(1),
                    langur_version: "0.1.0".into(),
                    kong_version: "3.9.3".into(),
                },
                board.feed,
                board.registry.recipient(),
            );
            board.session.replace(Some(session));
            Ok(ours.into())
        }
        .boxed_local()
    }
}

fn limits() -> Limits {
    Limits::for_payload(4096)
}

fn put(id: u64) -> Op {
    let noise: String = (0..20)
        .map(|n| Uuid::from_u128(u128::from(id * 31 + n)).to_string())
        .collect();
    let json = serde_json::json!({ "noise": noise });
    Op::Put {
        kind: Kind::Routes,
        id: Uuid::from_u128(id.into()),
        row: Row::from_json(json.as_object().expect("an object")),
    }
}

/// One data plane and one control plane.
struct Cluster {
    board: Switchboard,
    news: mpsc::UnboundedReceiver<SessionNews>,
    client: Addr<HeartbeatClient>,
}

impl Cluster {
    /// A control plane with this history, a data plane with the cache of this directory.
    fn start(history: MemoryHistory, dir: &Path) -> Cluster {
        let (sender, news) = mpsc::unbounded_channel();
        let session = CurrentSession::default();
        let registry = Registry {
            news: sender,
            session: Rc::clone(&session),
        };
        let board = Switchboard {
            feed: Arc::new(Feed::new(history, limits())),
            registry: registry.start(),
            session,
            connections: Rc::default(),
        };
        let mut cache = LmdbCache::new(dir.join("dbless.lmdb"), 16 << 20);
        let cached = cache.load().expect("loads").unwrap_or_default();
        let held = cached.position();
        let mut cache: Option<Box<dyn ConfigCache + Send>> = Some(Box::new(cache));
        let actors = actor::Registry::default();
        let router = Router(Rc::new(RefCell::new((cached.epoch, cached.config))));
        let hello = Hello {
            node_id: Uuid::from_u128(2),
            hostname: String::new(),
            langur_version: "0.1.0".into(),
            kong_version: "3.9.3".into(),
            plugins: vec![],
            kinds: KindSet::DISTRIBUTED,
            labels: Default::default(),
            held,
            incarnation: Uuid::from_u128(3),
            secret: None,
        };
        let origin = Origin {
            hello,
            persisted: held,
            in_effect_at: 0,
            quarantined: Arc::default(),
        };
        let client = HeartbeatClient::new(
            State::new(origin, 1, 1, limits()),
            limits(),
            Box::new(router),
            Box::new(board.clone()),
            guard(
                &actors,
                "CacheWriter",
                RestartPolicy::default(),
                move || CacheWriter::new(cache.take().expect("one life"), Holds::new(held, held)),
            ),
            Box::new(|| None),
        )
        .start();
        Cluster {
            board,
            news,
            client,
        }
    }

    async fn write(&self, revision: u64) {
        self.board
            .feed
            .record(Revision(revision), vec![put(revision)], None)
            .expect("follows");
        let session = self.board.session.borrow().clone();
        if let Some(session) = session {
            let _ = session.send(ConfigAdvanced).await;
        }
    }

    /// Waits for the acknowledgement of a revision and returns what came before it.
    async fn acknowledged(&mut self, revision: u64) -> Vec<SessionNews> {
        let mut before = Vec::new();
        loop {
            let news = self.news.recv().await.expect("a registry");
            match report(&news) {
                Some(Report::Applied(applied))
                    if applied.position.revision == Revision(revision) =>
                {
                    return before;
                }
                _ => before.push(news),
            }
        }
    }
}

fn report(news: &SessionNews) -> Option<&Report> {
    match news {
        SessionNews::Report(report) => Some(report),
        SessionNews::Closed(_) => None,
    }
}

fn config(entities: u64) -> Config {
    let mut config = Config::default();
    config.commit(Revision(1), (1000..1000 + entities).map(put).collect());
    config
}

#[actix::test]
async fn writes_arrive_as_changes_after_a_first_snapshot() {
    let dir = tempfile::tempdir().expect("a directory");
    // No way back to revision 0: the first is a snapshot, in many chunks over a narrow link.
    let mut cluster = Cluster::start(MemoryHistory::new(0, config(200)), dir.path());
    cluster.acknowledged(1).await;
    let before = cluster.board.feed.sent_bytes();
    for revision in 2..30 {
        cluster.write(revision).await;
        cluster.acknowledged(revision).await;
    }
    // A change costs what was changed, whatever the size of the rest.
    assert!(cluster.board.feed.sent_bytes() - before < 28 * 4096);
    for revision in 30..=60 {
        cluster.write(revision).await;
    }
    cluster.acknowledged(60).await;
    let tip = cluster.board.feed.position();
    let state = cluster.client.send(GetLinkState).await.expect("is alive");
    assert_eq!(
        (state.phase, state.live, state.persisted),
        (Phase::Live, tip, tip)
    );
    assert_eq!(state.cache_error, None);
    assert_eq!(cluster.board.connections.get(), 1);
    // One snapshot, and no more changes than revisions.
    assert!(cluster.board.feed.encoded() <= 60);
}

#[actix::test]
async fn a_client_comes_back_when_told_and_needs_only_the_difference() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::start(MemoryHistory::new(0, Config::default()), dir.path());
    cluster.acknowledged(0).await;
    cluster.write(1).await;
    cluster.acknowledged(1).await;
    let session = cluster.board.session.take().expect("a session");
    let stop = StopSession {
        reconnect_after: Some(0),
    };
    session.send(stop).await.expect("is alive");
    cluster.write(2).await;
    let news = cluster.acknowledged(2).await;
    let closed = |news: &SessionNews| matches!(news, SessionNews::Closed(_));
    assert!(news.iter().any(closed), "{news:?}");
    let held = news.iter().find_map(|news| match report(news) {
        Some(Report::Joined(hello)) => Some(hello.held.revision),
        _ => None,
    });
    assert_eq!(held, Some(Revision(1)));
    assert_eq!(cluster.board.connections.get(), 2);
    loop {
        let news = cluster.news.recv().await.expect("a registry");
        if matches!(report(&news), Some(Report::Status(SyncStatus::Live))) {
            break;
        }
    }
}

#[actix::test]
async fn a_restarted_data_plane_begins_with_its_cache() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::start(MemoryHistory::new(0, config(20)), dir.path());
    cluster.acknowledged(1).await;
    let copy = tempfile::tempdir().expect("a directory");
    let (from, to) = [&dir, &copy]
        .map(|dir| dir.path().join("dbless.lmdb"))
        .into();
    std::fs::create_dir(&to).expect("creates");
    std::fs::copy(from.join("data.mdb"), to.join("data.mdb")).expect("copies");
    let mut other = Cluster::start(MemoryHistory::new(0, config(20)), copy.path());
    let news = other.acknowledged(1).await;
    assert!(matches!(
        report(&news[0]),
        Some(Report::Joined(hello)) if hello.held.revision == Revision(1)
    ));
    assert_eq!(other.board.feed.encoded(), 0);
}
