//! The actor around the buffer: drains the rings, keeps a link, carries frames.

use super::{Input, Output, Rings, SharedBuffer, Totals, WINDOW};
use crate::actor::{Backoff, Guarded, Observe, RestartPolicy};
use crate::link::{Connect, Frame, Link, LinkError};
use crate::telemetry::batch::Answer;
use crate::telemetry::metrics::table::{TELEMETRY_ACKNOWLEDGED, TELEMETRY_DROPPED, TELEMETRY_SENT};
use crate::telemetry::metrics::{Metrics, RequestMetrics};
use crate::telemetry::record::Record;
use actix::fut::wrap_future;
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture,
    SpawnHandle, StreamHandler,
};
use bytes::Bytes;
use futures_util::stream::once;
use futures_util::{SinkExt, StreamExt};
use metrics::Counter;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// How often the rings are drained.
const DRAIN_INTERVAL: Duration = Duration::from_millis(100);

/// Records counted together; they stay in the processor's cache meanwhile.
const COUNTED_AT_ONCE: usize = 128;

/// How long opening a link may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a link that takes no more frames is still listened to.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How often a link is asked whether its other end is there.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// A link whose other end has answered before, and then nothing for so long, is given up.
const SILENT: Duration = Duration::from_secs(45);

/// What a telemetry buffer works with. It outlives a restart of the actor.
#[derive(Clone)]
pub struct TelemetryOptions {
    pub buffer: SharedBuffer,
    pub rings: Rings,
    pub metrics: Arc<Metrics>,
    pub requests: RequestMetrics,
    /// Opens links to a control plane. `None`: records are measured and not kept.
    pub connect: Option<Rc<dyn Connect>>,
    /// The wait between two links; up to as much again is added at random, so that a fleet
    /// does not come back all at once.
    pub reconnect: RestartPolicy,
}

impl TelemetryOptions {
    /// The wait between two links unless something else is asked for.
    pub const RECONNECT: RestartPolicy = RestartPolicy {
        first_delay: Duration::from_secs(5),
        max_delay: Duration::from_secs(30),
        healthy_after: Duration::from_secs(60),
    };
}

/// Drain the rings now, so that metrics show every request that has ended. Answered when it
/// is done.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;

/// The process is about to end and serves no requests any more: deliver everything. The
/// answer is whether that worked in time.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "bool")]
pub struct Finish {
    pub within: Duration,
}

/// The link that is open now.
struct OpenLink {
    number: u64,
    opened: Instant,
    frames: mpsc::Sender<Frame>,
    reader: SpawnHandle,
    writer: SpawnHandle,
    pinged: Instant,
    heard: Instant,
    /// A control plane of an earlier version does not answer pings.
    answers_pings: bool,
}

/// Mailbox overflow: only [`Drain`] and [`Finish`] come by message, both from callers that
/// wait for room; records never do.
pub struct TelemetryBuffer {
    options: TelemetryOptions,
    link: Option<OpenLink>,
    links_opened: u64,
    backoff: Backoff,
    /// Records sent, acknowledged and dropped, since the start of the process.
    counters: [Counter; 3],
    finishing: Vec<oneshot::Sender<()>>,
}

impl TelemetryBuffer {
    pub fn new(options: TelemetryOptions) -> TelemetryBuffer {
        TelemetryBuffer {
            link: None,
            links_opened: 0,
            backoff: Backoff::new(options.reconnect),
            counters: [&TELEMETRY_SENT, &TELEMETRY_ACKNOWLEDGED, &TELEMETRY_DROPPED]
                .map(|metric| options.metrics.counter(metric, [])),
            finishing: Vec::new(),
            options,
        }
    }

    fn drain(&mut self, context: &mut Context<Self>) {
        let keeps = self.options.connect.is_some();
        let mut outputs = Vec::new();
        let mut buffer = self.options.buffer.lock();
        let now = Instant::now();
        let mut take = |records: &mut Vec<Record>| {
            self.options.requests.observe(records);
            for record in records.drain(..).filter(|_| keeps) {
                outputs.append(&mut buffer.step(Input::Recorded(record), now));
            }
        };
        let mut records = Vec::with_capacity(COUNTED_AT_ONCE);
        let lost = self.options.rings.drain(|record| {
            records.push(record);
            if records.len() == COUNTED_AT_ONCE {
                take(&mut records);
            }
        });
        take(&mut records);
        drop(buffer);
        self.carry_out(outputs, context);
        if lost > 0 {
            tracing::warn!(
                records = lost,
                "request records lost, a worker's ring was full"
            );
            self.input(Input::Lost(lost), context);
        }
    }

    fn input(&mut self, input: Input, context: &mut Context<Self>) {
        let outputs = self.options.buffer.step(input);
        self.carry_out(outputs, context);
    }

    fn carry_out(&mut self, outputs: Vec<Output>, context: &mut Context<Self>) {
        for output in outputs {
            match output {
                Output::Send(frame) => self.send(frame, context),
                Output::CloseLink(reason) => self.end_link(reason, context),
                Output::Refused { records, reason } => {
                    tracing::error!(records, reason, "the control plane refused request records");
                }
            }
        }
        let totals = self.options.buffer.totals();
        for (counter, total) in
            self.counters
                .iter()
                .zip([totals.sent, totals.delivered, totals.dropped])
        {
            counter.absolute(total);
        }
        self.finish(&totals);
    }

    fn send(&mut self, frame: Bytes, context: &mut Context<Self>) {
        let Some(link) = &self.link else {
            return;
        };
        // Closed: the writer has failed, the reader is about to end the link, and the frame
        // is sent again on the next one. Full: the window bounds what is unanswered, so the
        // peer answers what it was not sent.
        if let Err(TrySendError::Full(_)) = link.frames.try_send(Frame::Binary(frame)) {
            self.end_link("the link takes no more frames", context);
        }
    }

    /// While no records flow, pings are what both ends know each other by.
    fn keep_alive(&mut self, context: &mut Context<Self>) {
        let now = Instant::now();
        let Some(link) = &mut self.link else {
            return;
        };
        if link.answers_pings && now.duration_since(link.heard) >= SILENT {
            return self.end_link("nothing was heard from the control plane", context);
        }
        if now.duration_since(link.pinged) >= PING_INTERVAL {
            link.pinged = now;
            // A link that is full of frames needs no ping.
            let _ = link.frames.try_send(Frame::Ping);
        }
    }

    fn finish(&mut self, totals: &Totals) {
        if totals.held == 0 {
            for waiting in self.finishing.drain(..) {
                // Whoever waited may have given up.
                let _ = waiting.send(());
            }
        }
    }

    fn open_link(&mut self, context: &mut Context<Self>) {
        let Some(connect) = self.options.connect.clone() else {
            return;
        };
        let attempt = async move {
            let timeout = tokio::time::timeout(CONNECT_TIMEOUT, connect.connect());
            timeout.await.unwrap_or_else(|_| {
                Err(LinkError::Failed(format!(
                    "not open after {CONNECT_TIMEOUT:?}"
                )))
            })
        };
        let attempt = wrap_future::<_, Self>(attempt).map(|result, this, context| match result {
            Ok(link) => this.link_opened(link, context),
            Err(err) => {
                let setting = "cluster_telemetry_endpoint";
                tracing::warn!(error = %err, setting, "no telemetry link");
                this.options.buffer.set_trouble(Some(err.to_string()));
                this.open_later(Duration::ZERO, context);
            }
        });
        context.spawn(attempt);
    }

    fn open_later(&mut self, lived: Duration, context: &mut Context<Self>) {
        let wait = self.backoff.after(lived);
        let jitter = wait.mul_f64(rand::random::<f64>());
        context.run_later(wait + jitter, Self::open_link);
    }

    fn link_opened(&mut self, link: Link, context: &mut Context<Self>) {
        self.links_opened += 1;
        let number = self.links_opened;
        let (frames, mut to_send) = mpsc::channel::<Frame>(2 * WINDOW);
        let mut sink = link.sink;
        let writer = async move {
            while let Some(frame) = to_send.recv().await {
                sink.send(frame).await?;
            }
            Ok::<(), LinkError>(())
        };
        let writer = context.spawn(wrap_future::<_, Self>(writer).map(
            move |result, this, context| {
                if let Err(err) = result {
                    this.writer_failed(number, err, context);
                }
            },
        ));
        let answers = link.stream.map(move |item| FromLink { number, item });
        let end = once(std::future::ready(FromLink {
            number,
            item: Err(LinkError::Closed),
        }));
        let reader = context.add_stream(answers.chain(end));
        let now = Instant::now();
        self.options.buffer.set_trouble(None);
        self.link = Some(OpenLink {
            number,
            opened: now,
            pinged: now,
            heard: now,
            answers_pings: false,
            frames,
            reader,
            writer,
        });
        tracing::info!("telemetry link open");
        self.input(Input::LinkUp, context);
    }

    /// Answers may have come before the link broke: the reader gets them first and then finds
    /// the end. It is not waited for for ever.
    fn writer_failed(&mut self, number: u64, err: LinkError, context: &mut Context<Self>) {
        context.run_later(LAST_ANSWERS, move |this, context| {
            this.link_failed(number, &err, context);
        });
    }

    fn link_failed(&mut self, number: u64, err: &LinkError, context: &mut Context<Self>) {
        if self.link.as_ref().is_some_and(|link| link.number == number) {
            self.end_link(&err.to_string(), context);
        }
    }

    fn end_link(&mut self, reason: &str, context: &mut Context<Self>) {
        let Some(link) = self.link.take() else {
            return;
        };
        tracing::warn!(reason, "telemetry link ended");
        let trouble = format!("the link ended: {reason}");
        self.options.buffer.set_trouble(Some(trouble));
        context.cancel_future(link.reader);
        context.cancel_future(link.writer);
        self.input(Input::LinkDown, context);
        self.open_later(link.opened.elapsed(), context);
    }
}

impl Actor for TelemetryBuffer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // What an earlier life knew about its link is not true any more.
        self.input(Input::LinkDown, context);
        context.run_interval(DRAIN_INTERVAL, |this, context| {
            this.drain(context);
            this.input(Input::Tick, context);
            this.keep_alive(context);
            if !this.finishing.is_empty() {
                this.input(Input::Flush, context);
            }
        });
        self.open_link(context);
    }
}

impl Guarded for TelemetryBuffer {
    const MAILBOX: usize = 16;
}

/// Something came from a link, perhaps one that has been given up meanwhile.
struct FromLink {
    number: u64,
    item: Result<Frame, LinkError>,
}

impl StreamHandler<FromLink> for TelemetryBuffer {
    fn handle(&mut self, from: FromLink, context: &mut Self::Context) {
        let current = self.link.as_mut();
        let Some(link) = current.filter(|link| link.number == from.number) else {
            return;
        };
        link.heard = Instant::now();
        match from.item {
            Ok(Frame::Binary(frame)) => match Answer::decode(&frame) {
                Ok(answer) => self.input(Input::Answered(answer), context),
                Err(err) => self.end_link(&err.to_string(), context),
            },
            Ok(Frame::Pong) => link.answers_pings = true,
            Ok(Frame::Ping) => {}
            Err(err) => self.end_link(&err.to_string(), context),
        }
    }

    /// The end of a link is not the end of the actor.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<Drain> for TelemetryBuffer {
    type Result = ();

    fn handle(&mut self, _: Drain, context: &mut Self::Context) {
        self.drain(context);
    }
}

impl Handler<Finish> for TelemetryBuffer {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, finish: Finish, context: &mut Self::Context) -> Self::Result {
        let (done, finished) = oneshot::channel();
        self.finishing.push(done);
        self.drain(context);
        self.input(Input::Flush, context);
        Box::pin(async move {
            let finished = tokio::time::timeout(finish.within, finished).await;
            matches!(finished, Ok(Ok(())))
        })
    }
}

impl Handler<Observe> for TelemetryBuffer {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let totals = self.options.buffer.totals();
        MessageResult(serde_json::json!({
            "buffer": totals,
            "links_opened": self.links_opened,
            "trouble": self.options.buffer.trouble(),
        }))
    }
}

#[cfg(test)]
mod tests;
