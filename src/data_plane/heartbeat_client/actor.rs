//! The HeartbeatClient actor: feeds the protocol and carries out what it says.

use super::{Input, LinkId, Output, Persist, Phase, Report, State, step};
use crate::actor::{Guarded, Observe, Slot};
use crate::data_plane::cache_writer::{CacheError, CacheWriter, GetHolds, LastGood, Write};
use crate::link::{Frame, FrameSink, Link, LinkError};
use crate::model::Config;
use crate::telemetry::status::RouteCounts;
use crate::wire::{
    ChangeMessage, FromControlPlane, FromDataPlane, Incoming, Limits, Position, Quarantined,
    SnapshotParts, decode, encode,
};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, MailboxError, Message, MessageResult,
    SpawnHandle, StreamHandler, WrapFuture,
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;

/// Acknowledgements are as many as changes, and those are bounded by the window; heartbeats
/// are two before the link counts as dead.
const OUTBOX: usize = 32;
/// How long the last frames may take to be written before the link is dropped.
const FAREWELL: Duration = Duration::from_secs(5);

/// Something that took effect.
#[derive(Clone, Debug)]
pub struct InEffect {
    pub position: Position,
    /// Milliseconds since the epoch.
    pub at: u64,
    /// The complete list.
    pub quarantined: Arc<[Quarantined]>,
    pub routes: RouteCounts,
    /// The rows that are in effect instead of the quarantined ones.
    pub last_good: LastGood,
}

/// What is in effect, to be written to the cache as a whole.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    pub epoch: u64,
    pub config: Arc<Config>,
    pub last_good: LastGood,
}

/// The node's router, as far as the client needs it. An error leaves everything as it was.
pub trait ApplyConfig {
    /// Puts a change in effect.
    fn apply(
        &self,
        change: Arc<ChangeMessage>,
    ) -> LocalBoxFuture<'static, Result<InEffect, String>>;

    /// Decodes a snapshot, away from the threads that serve, and puts it in effect.
    fn replace(&self, parts: SnapshotParts) -> LocalBoxFuture<'static, Result<InEffect, String>>;

    /// What is in effect once everything that anybody has asked for is done; `None`: nothing is.
    fn in_effect(&self) -> LocalBoxFuture<'static, Result<Option<InEffect>, String>>;

    /// What is in effect now.
    fn live(&self) -> LocalBoxFuture<'static, Result<LiveConfig, String>>;
}

/// Opens connections to the control planes of the address list.
pub trait ConnectLink {
    /// Connects to the control plane at this index of the list.
    fn connect(&self, address: usize) -> LocalBoxFuture<'static, Result<Link, LinkError>>;
}

/// The link as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    pub phase: Phase,
    pub live: Position,
    pub persisted: Position,
    pub cache_error: Option<String>,
    /// When the last frame of a control plane came.
    pub last_heard: Option<SystemTime>,
}

/// Says why the control plane gets no telemetry; `None` while it does.
pub type TelemetryTrouble = Box<dyn Fn() -> Option<String>>;

/// How often the client asks about telemetry, for the control plane to know.
const ASK_TELEMETRY: Duration = Duration::from_secs(1);

/// Asks for the [`LinkState`].
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "LinkState")]
pub struct GetLinkState;

/// Closes the link for good.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Disconnect;

/// The actor; see [`State`] for what it decides.
pub struct HeartbeatClient {
    state: State,
    limits: Limits,
    router: Box<dyn ApplyConfig>,
    connector: Box<dyn ConnectLink>,
    cache: Slot<CacheWriter>,
    telemetry: TelemetryTrouble,
    started: Instant,
    last_heard: Option<SystemTime>,
    /// Why the last write to the cache was not made.
    cache_failure: Option<String>,
    outbox: Option<(LinkId, mpsc::Sender<Bytes>)>,
    writer: Option<SpawnHandle>,
    /// The attempt and the reader of the current link.
    tasks: Vec<SpawnHandle>,
    timer: Option<(Duration, SpawnHandle)>,
}

/// A frame, an error or the end of one link.
struct FromLink {
    link: LinkId,
    frame: Option<Result<Bytes, LinkError>>,
}

impl HeartbeatClient {
    /// A client that connects when it is started.
    #[must_use]
    pub fn new(
        state: State,
        limits: Limits,
        router: Box<dyn ApplyConfig>,
        connector: Box<dyn ConnectLink>,
        cache: Slot<CacheWriter>,
        telemetry: TelemetryTrouble,
    ) -> HeartbeatClient {
        HeartbeatClient {
            state,
            limits,
            router,
            connector,
            cache,
            telemetry,
            started: Instant::now(),
            last_heard: None,
            cache_failure: None,
            outbox: None,
            writer: None,
            tasks: Vec::new(),
            timer: None,
        }
    }

    fn step(&mut self, input: Input, ctx: &mut Context<Self>) {
        for output in step(&mut self.state, input, self.started.elapsed()) {
            match output {
                Output::Connect { link, address } => self.connect(link, address, ctx),
                Output::Disconnect { link } => self.disconnect(link, ctx),
                Output::Send { link, message } => match encode(&message, &allowed(&message)) {
                    Ok(bytes) => self.send(link, bytes, ctx),
                    Err(err) => tracing::error!(%err, "message cannot be sent"),
                },
                Output::Apply(change) => {
                    let applying = self.router.apply(change);
                    self.when_applied(applying, ctx);
                }
                Output::ApplySnapshot(parts) => {
                    let applying = self.router.replace(parts);
                    self.when_applied(applying, ctx);
                }
                Output::Persist(persist) => self.persist(persist, ctx),
                Output::Report(report) => log(&report),
            }
        }
        self.set_timer(ctx);
    }

    fn connect(&mut self, link: LinkId, address: usize, ctx: &mut Context<Self>) {
        let connecting = self.connector.connect(address).into_actor(self);
        let done = connecting.map(move |result, client, ctx| match result {
            Ok(open) => client.connected(link, open, ctx),
            Err(err) => {
                let reason = err.to_string();
                client.step(Input::LinkClosed { link, reason }, ctx);
            }
        });
        self.tasks.push(ctx.spawn(done));
    }

    fn connected(&mut self, link: LinkId, open: Link, ctx: &mut Context<Self>) {
        let frames = open.stream.filter_map(|frame| {
            std::future::ready(match frame {
                Ok(Frame::Binary(bytes)) => Some(Ok(bytes)),
                // The dialect has heartbeats of its own.
                Ok(Frame::Ping | Frame::Pong) => None,
                Err(err) => Some(Err(err)),
            })
        });
        let frames = frames.map(Some);
        let end = futures_util::stream::once(async { None });
        let frames = frames.chain(end).map(move |frame| FromLink { link, frame });
        self.tasks.push(ctx.add_stream(frames));
        let (outbox, queue) = mpsc::channel(OUTBOX);
        self.outbox = Some((link, outbox));
        let writer = write(open.sink, queue).into_actor(self);
        let writer = ctx.spawn(writer.map(move |result, client, ctx| {
            if let Err(err) = result {
                let reason = err.to_string();
                client.step(Input::LinkClosed { link, reason }, ctx);
            }
        }));
        self.writer = Some(writer);
        self.step(Input::Connected { link }, ctx);
    }

    fn disconnect(&mut self, link: LinkId, ctx: &mut Context<Self>) {
        self.outbox.take_if(|(open, _)| *open == link);
        for task in self.tasks.drain(..) {
            ctx.cancel_future(task);
        }
        // It ends by itself once everything is written, unless nothing moves any more.
        if let Some(writer) = self.writer.take() {
            ctx.run_later(FAREWELL, move |_, ctx| {
                ctx.cancel_future(writer);
            });
        }
    }

    fn send(&mut self, link: LinkId, bytes: Bytes, ctx: &mut Context<Self>) {
        let outbox = self.outbox.as_ref().filter(|(open, _)| *open == link);
        let sent = outbox.map(|(_, outbox)| outbox.try_send(bytes).is_ok());
        if sent == Some(false) {
            let reason = "the control plane does not read".to_owned();
            self.step(Input::LinkClosed { link, reason }, ctx);
        }
    }

    fn when_applied(
        &self,
        applying: LocalBoxFuture<'static, Result<InEffect, String>>,
        ctx: &mut Context<Self>,
    ) {
        ctx.spawn(applying.into_actor(self).map(|result, client, ctx| {
            let input = match result {
                Ok(effect) => Input::InEffect {
                    position: effect.position,
                    at: effect.at,
                    quarantined: effect.quarantined,
                    last_good: effect.last_good,
                },
                Err(reason) => Input::NotApplied { reason },
            };
            client.step(input, ctx);
        }));
    }

    fn persist(&self, persist: Persist, ctx: &mut Context<Self>) {
        let writing = write_to_cache(persist, self.cache.clone(), self.router.live());
        ctx.spawn(writing.into_actor(self).map(|result, client, ctx| {
            client.tell_persisted(result.as_ref().err());
            let input = match result {
                Ok(position) => Input::Persisted { position },
                Err(err) => Input::NotPersisted {
                    reason: err.to_string(),
                },
            };
            client.step(input, ctx);
        }));
    }

    /// Logs when writing begins to fail, or fails in another way, and when it works again; not each
    /// of the attempts between.
    fn tell_persisted(&mut self, failure: Option<&NotPersisted>) {
        let reason = failure.map(ToString::to_string);
        if reason == self.cache_failure {
            return;
        }
        match (failure, &reason) {
            // Said when it was opened.
            (Some(NotPersisted::Cache(CacheError::ReadOnly(_))), _) => {}
            (_, Some(reason)) => tracing::error!(
                reason,
                "configuration cache was not written; it is in effect but a restart would lose it"
            ),
            (_, None) => tracing::info!("configuration cache is written again"),
        }
        self.cache_failure = reason;
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let deadline = self.state.deadline();
        if deadline == self.timer.map(|(at, _)| at) {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        let Some(at) = deadline else {
            return;
        };
        let pause = at.saturating_sub(self.started.elapsed());
        let handle = ctx.run_later(pause, |client, ctx| {
            client.timer = None;
            client.step(Input::Tick, ctx);
        });
        self.timer = Some((at, handle));
    }
}

/// Why a write to the cache was not made.
#[derive(Debug, thiserror::Error)]
enum NotPersisted {
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("the cache writer is gone: {0}")]
    Writer(#[from] MailboxError),
    #[error("{0}")]
    Router(String),
}

/// Makes one write; the answer is what the cache holds then.
async fn write_to_cache(
    persist: Persist,
    cache: Slot<CacheWriter>,
    live: LocalBoxFuture<'static, Result<LiveConfig, String>>,
) -> Result<Position, NotPersisted> {
    if let Persist::Change {
        epoch,
        change,
        last_good,
    } = persist
    {
        let write = Write::Change {
            epoch,
            change,
            last_good,
        };
        match cache.ask_when_running(write).await {
            // It holds something else than was thought, or nobody knows whether it was written: then
            // everything is.
            Ok(Err(CacheError::WrongBase { .. } | CacheError::DigestMismatch { .. })) | Err(_) => {}
            Ok(written) => return Ok(written?),
        }
    }
    let LiveConfig {
        epoch,
        config,
        last_good,
    } = live.await.map_err(NotPersisted::Router)?;
    let write = Write::Whole {
        epoch,
        config,
        last_good,
    };
    match cache.ask_when_running(write.clone()).await {
        // A life that ended over it; the next one may do better.
        Err(_) => Ok(cache.ask_when_running(write).await??),
        Ok(written) => Ok(written?),
    }
}

/// Writes until the client lets go of the other end, or the link breaks.
async fn write(mut sink: FrameSink, mut queue: mpsc::Receiver<Bytes>) -> Result<(), LinkError> {
    while let Some(bytes) = queue.recv().await {
        sink.send(Frame::Binary(bytes)).await?;
    }
    sink.close().await
}

/// What the control plane accepts of such a message.
fn allowed(message: &FromDataPlane) -> Limits {
    match message {
        FromDataPlane::Hello(_) => Limits::of_hello(),
        _ => Limits::of_data_plane(),
    }
}

fn log(report: &Report) {
    match report {
        Report::Welcomed { address, welcome } => tracing::info!(
            address, control_plane = %welcome.control_plane, position = %welcome.position,
            "connected to the control plane"
        ),
        Report::Disconnected { reason, retry_in } => tracing::warn!(
            reason,
            retry_in_ms = retry_in.as_millis() as u64,
            "no link to a control plane"
        ),
        Report::Rejected(rejected) => tracing::error!(
            revision = %rejected.revision, reason = rejected.reason,
            "configuration could not be applied"
        ),
        // Attempts repeat it: the actor logs the first.
        Report::NotPersisted { .. } => {}
    }
}

impl Actor for HeartbeatClient {
    type Context = Context<HeartbeatClient>;

    /// A client that takes over from one that died knows what that had known only when what it had
    /// begun is done: both are asked, and answer after it.
    fn started(&mut self, ctx: &mut Self::Context) {
        let (in_effect, cache) = (self.router.in_effect(), self.cache.clone());
        let asking = async move {
            let in_effect = in_effect.await.ok().flatten();
            // Unknown, the whole is written.
            let persisted = cache.ask_when_running(GetHolds).await.unwrap_or_default();
            (in_effect, persisted)
        };
        let start = asking.into_actor(self);
        ctx.spawn(start.map(|(in_effect, persisted), client, ctx| {
            client.state.goes_on_from(in_effect, persisted);
            client.step(Input::Start, ctx);
        }));
        ctx.run_interval(ASK_TELEMETRY, |client, ctx| {
            let trouble = (client.telemetry)();
            client.step(Input::Telemetry(trouble), ctx);
        });
    }
}

impl Guarded for HeartbeatClient {
    const MAILBOX: usize = 64;
}

impl Handler<Observe> for HeartbeatClient {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        MessageResult(serde_json::json!({
            "phase": format!("{:?}", self.state.phase()).to_lowercase(),
            "live": self.state.live().to_string(),
            "persisted": self.state.persisted().to_string(),
            "cache_error": self.state.cache_error(),
        }))
    }
}

impl StreamHandler<FromLink> for HeartbeatClient {
    fn handle(&mut self, FromLink { link, frame }: FromLink, ctx: &mut Self::Context) {
        if let Some(Ok(_)) = &frame {
            self.last_heard = Some(SystemTime::now());
        }
        let input = match frame {
            Some(Ok(bytes)) => match decode::<FromControlPlane>(&bytes, &self.limits) {
                Ok(Incoming::Known(message)) => Input::Received { link, message },
                Ok(Incoming::Unknown(message)) => {
                    tracing::debug!(message, "unknown message skipped");
                    Input::ReceivedUnknown { link }
                }
                Err(err) => Input::Malformed {
                    link,
                    reason: err.to_string(),
                },
            },
            Some(Err(err)) => Input::LinkClosed {
                link,
                reason: err.to_string(),
            },
            None => Input::LinkClosed {
                link,
                reason: "the control plane closed the link".into(),
            },
        };
        self.step(input, ctx);
    }

    // The end of a link is not the end of the client.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<GetLinkState> for HeartbeatClient {
    type Result = MessageResult<GetLinkState>;
    fn handle(&mut self, _: GetLinkState, _: &mut Self::Context) -> Self::Result {
        MessageResult(LinkState {
            phase: self.state.phase(),
            live: self.state.live(),
            persisted: self.state.persisted(),
            cache_error: self.state.cache_error().map(str::to_owned),
            last_heard: self.last_heard,
        })
    }
}

impl Handler<Disconnect> for HeartbeatClient {
    type Result = ();
    fn handle(&mut self, _: Disconnect, ctx: &mut Self::Context) {
        self.step(Input::Stop, ctx);
    }
}
