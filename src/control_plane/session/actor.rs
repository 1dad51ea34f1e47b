//! The Session actor: feeds the protocol and carries out what it says.

use super::feed::{Effect, Feed};
use super::{CloseReason, Identity, Input, Report, State, SyncStatus};
use crate::link::{Allowance, Frame, FrameSink, Link, LinkError};
use crate::wire::{DecodeError, FromDataPlane, Incoming, Limits, SnapshotSlot, decode, is_costly};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient,
    SpawnHandle, StreamHandler, WrapFuture,
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const MAILBOX: usize = 64;
/// Holds everything the protocol ever leaves unsent: its window, one snapshot, its answers.
const OUTBOX: usize = 64;
/// How long the last frames may take to be written before the link is dropped.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often a session looks whether the registry that it was announced to still lives.
const REGISTRY_CHECK: Duration = Duration::from_secs(1);

/// Names one session within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What the registry learns of a session.
///
/// Overflow: a session whose registry does not keep up ends, and its data plane connects anew.
/// The end itself is never lost: it waits for room.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SessionEvent {
    pub session: SessionId,
    pub event: SessionNews,
}

#[derive(Debug)]
pub enum SessionNews {
    Report(Box<Report>),
    Closed(CloseReason),
}

/// The feed has grown. Overflow: may be dropped, a later one says the same; if there is none,
/// the next message of the session catches up.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ConfigAdvanced;

/// The same data plane has a newer session.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Supersede;

/// The registry's answer to [`Report::Greeted`]: whether the data plane may join, or why not.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Admission(pub Result<(), String>);

/// Another link asks for the id of this data plane: it is to give a sign of life.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Challenge;

/// The control plane stops; the seconds are a hint for the data plane.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct StopSession {
    pub reconnect_after: Option<u32>,
}

/// One frame, or one snapshot, was written.
#[derive(Message)]
#[rtype(result = "()")]
struct Sent;

enum Outgoing {
    Frame(Bytes),
    Snapshot(SnapshotSlot),
}

/// One connected data plane.
pub struct Session {
    id: SessionId,
    feed: Arc<Feed>,
    registry: Recipient<SessionEvent>,
    state: State,
    started: Instant,
    link: Option<Link>,
    /// What the data plane may send, once the link is read.
    reading: Option<Reading>,
    outbox: Option<mpsc::Sender<Outgoing>>,
    timer: Option<(Duration, SpawnHandle)>,
}

/// What the data plane may send now.
#[derive(Clone)]
struct Reading {
    allowance: Allowance,
    limits: Rc<Cell<Limits>>,
}

impl Reading {
    fn of_stranger(allowance: Allowance) -> Reading {
        Reading {
            allowance,
            limits: Rc::new(Cell::new(Limits::of_hello())),
        }
    }

    /// Its hello was accepted.
    fn introduced(&self) {
        let limits = Limits::of_data_plane();
        self.allowance.introduced(limits.frame);
        self.limits.set(limits);
    }

    /// What a frame says. What takes long to decode is decoded where nobody else waits.
    async fn decode(self, bytes: Bytes) -> Result<Incoming<FromDataPlane>, DecodeError> {
        let limits = self.limits.get();
        if !is_costly(&bytes) || !limits.compression {
            return decode(&bytes, &limits);
        }
        let decoding = tokio::task::spawn_blocking(move || decode(&bytes, &limits));
        decoding
            .await
            .unwrap_or_else(|err| Err(DecodeError::Inflate(err.to_string())))
    }
}

/// What came from the link; `None` is its end.
type FromLink = Option<Result<Result<Incoming<FromDataPlane>, DecodeError>, LinkError>>;

impl Session {
    /// Starts a session on an open link, on the current arbiter.
    pub fn start_on(
        link: Link,
        id: SessionId,
        identity: Identity,
        feed: Arc<Feed>,
        registry: Recipient<SessionEvent>,
    ) -> Addr<Session> {
        Session {
            id,
            feed,
            registry,
            state: State::new(identity, Duration::ZERO),
            started: Instant::now(),
            link: Some(link),
            reading: None,
            outbox: None,
            timer: None,
        }
        .start()
    }

    fn step(&mut self, input: Input, ctx: &mut Context<Self>) {
        if self.outbox.is_none() {
            return;
        }
        let now = self.started.elapsed();
        let feed = Arc::clone(&self.feed);
        let was_stranger = self.state.status() == SyncStatus::Greeting;
        let effects = feed.step(&mut self.state, input, now);
        let joined = !matches!(
            self.state.status(),
            SyncStatus::Greeting | SyncStatus::Closing
        );
        if let Some(reading) = self.reading.as_ref().filter(|_| was_stranger && joined) {
            reading.introduced();
        }
        for effect in effects {
            match effect {
                Effect::Frame(bytes) => self.send(Outgoing::Frame(bytes), ctx),
                Effect::Snapshot(slot) => self.send(Outgoing::Snapshot(slot), ctx),
                Effect::Report(report) => self.report(report, ctx),
                Effect::Close(reason) => self.close(reason, ctx),
            }
        }
        self.set_timer(ctx);
    }

    fn send(&mut self, outgoing: Outgoing, ctx: &mut Context<Self>) {
        let Some(outbox) = &self.outbox else {
            return;
        };
        if outbox.try_send(outgoing).is_err() {
            self.close(CloseReason::Unsendable("the outbox is full".into()), ctx);
        }
    }

    fn report(&mut self, report: Report, ctx: &mut Context<Self>) {
        let event = SessionEvent {
            session: self.id,
            event: SessionNews::Report(Box::new(report)),
        };
        if self.registry.try_send(event).is_err() {
            tracing::warn!(session = self.id.0, "registry does not keep up");
            self.close(CloseReason::RegistryBusy, ctx);
        }
    }

    /// Lets the writer finish, tells the registry and stops. Only the first call counts.
    fn close(&mut self, reason: CloseReason, ctx: &mut Context<Self>) {
        // Without its sender the writer ends after the last frame, and the actor with it.
        if self.outbox.take().is_none() {
            return;
        }
        self.tell_closed(reason);
        ctx.run_later(FAREWELL, |_, ctx| ctx.stop());
    }

    fn tell_closed(&self, reason: CloseReason) {
        tracing::info!(session = self.id.0, %reason, "session closes");
        let told = self.registry.send(SessionEvent {
            session: self.id,
            event: SessionNews::Closed(reason),
        });
        actix::spawn(async move {
            // A registry that is gone needs no news.
            let _ = told.await;
        });
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
        let handle = ctx.run_later(pause, |session, ctx| {
            session.timer = None;
            session.step(Input::Tick, ctx);
        });
        self.timer = Some((at, handle));
    }
}

impl Actor for Session {
    type Context = Context<Session>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let Some(link) = self.link.take() else {
            return ctx.stop();
        };
        let reading = Reading::of_stranger(link.allowance);
        self.reading = Some(reading.clone());
        let frames = link.stream.filter_map(move |frame| {
            let reading = reading.clone();
            async move {
                match frame {
                    Ok(Frame::Binary(bytes)) => Some(Ok(reading.decode(bytes).await)),
                    // The dialect has heartbeats of its own.
                    Ok(Frame::Ping | Frame::Pong) => None,
                    Err(err) => Some(Err(err)),
                }
            }
        });
        // The end of the stream is news, too: the actor ends by its own decision.
        let frames = frames.map(Some);
        let end = futures_util::stream::once(async { None });
        ctx.add_stream(frames.chain(end));
        let (outbox, queue) = mpsc::channel(OUTBOX);
        self.outbox = Some(outbox);
        let writer = write(link.sink, queue, Arc::clone(&self.feed), ctx.address());
        ctx.spawn(writer.into_actor(self).map(|result, session, ctx| {
            if let Err(err) = result {
                let reason = err.to_string();
                tracing::debug!(session = session.id.0, reason, "link is lost");
                session.step(Input::LinkClosed, ctx);
            }
            ctx.stop();
        }));
        self.set_timer(ctx);
        // A registry that was born again does not know this session, and would wake it for no change:
        // the data plane is to come back at once, to a session that it does know.
        ctx.run_interval(REGISTRY_CHECK, |session, ctx| {
            if !session.registry.connected() {
                let reconnect_after = Some(0);
                session.step(Input::Stop { reconnect_after }, ctx);
            }
        });
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if self.outbox.take().is_some() {
            self.tell_closed(CloseReason::LinkClosed);
        }
    }
}

/// Writes until the session lets go of the other end, or the link breaks.
async fn write(
    mut sink: FrameSink,
    mut queue: mpsc::Receiver<Outgoing>,
    feed: Arc<Feed>,
    session: Addr<Session>,
) -> Result<(), LinkError> {
    while let Some(outgoing) = queue.recv().await {
        match outgoing {
            Outgoing::Frame(bytes) => {
                feed.count_sent(bytes.len());
                sink.send(Frame::Binary(bytes)).await?;
            }
            Outgoing::Snapshot(slot) => {
                let encoding = tokio::task::spawn_blocking(move || slot.chunks()).await;
                let chunks = encoding
                    .map_err(|err| LinkError::Failed(err.to_string()))?
                    .map_err(|err| LinkError::Failed(err.to_string()))?;
                for chunk in chunks.iter() {
                    feed.count_sent(chunk.len());
                    sink.send(Frame::Binary(chunk.clone())).await?;
                }
            }
        }
        // Waits when the session is busy; a session that is gone needs no news.
        let _ = session.send(Sent).await;
    }
    sink.close().await
}

impl StreamHandler<FromLink> for Session {
    fn handle(&mut self, received: FromLink, ctx: &mut Self::Context) {
        let input = match received {
            Some(Ok(Ok(Incoming::Known(message)))) => Input::Received(message),
            Some(Ok(Ok(Incoming::Unknown(message)))) => {
                tracing::debug!(session = self.id.0, message, "unknown message skipped");
                Input::ReceivedUnknown
            }
            Some(Ok(Err(err))) => Input::Malformed(err.to_string()),
            Some(Err(err)) => {
                let reason = err.to_string();
                tracing::debug!(session = self.id.0, reason, "link is lost");
                Input::LinkClosed
            }
            None => Input::LinkClosed,
        };
        self.step(input, ctx);
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<Sent> for Session {
    type Result = ();
    fn handle(&mut self, _: Sent, ctx: &mut Self::Context) {
        self.step(Input::Sent, ctx);
    }
}

impl Handler<ConfigAdvanced> for Session {
    type Result = ();
    fn handle(&mut self, _: ConfigAdvanced, ctx: &mut Self::Context) {
        self.step(Input::ConfigAdvanced, ctx);
    }
}

impl Handler<Supersede> for Session {
    type Result = ();
    fn handle(&mut self, _: Supersede, ctx: &mut Self::Context) {
        self.step(Input::Superseded, ctx);
    }
}

impl Handler<Admission> for Session {
    type Result = ();
    fn handle(&mut self, Admission(answer): Admission, ctx: &mut Self::Context) {
        let input = match answer {
            Ok(()) => Input::Admitted,
            Err(reason) => Input::TurnedAway { reason },
        };
        self.step(input, ctx);
    }
}

impl Handler<Challenge> for Session {
    type Result = ();
    fn handle(&mut self, _: Challenge, ctx: &mut Self::Context) {
        self.step(Input::Challenged, ctx);
    }
}

impl Handler<StopSession> for Session {
    type Result = ();
    fn handle(&mut self, stop: StopSession, ctx: &mut Self::Context) {
        let reconnect_after = stop.reconnect_after;
        self.step(Input::Stop { reconnect_after }, ctx);
    }
}

/// A death that a test asks for.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Die;

#[cfg(test)]
impl Handler<Die> for Session {
    type Result = ();
    fn handle(&mut self, _: Die, _: &mut Self::Context) {
        panic!("killed by a test");
    }
}
