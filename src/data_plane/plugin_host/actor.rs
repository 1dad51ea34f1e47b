//! The PluginHost actor: runs the queues of plugins, on an arbiter of its own.
//!
//! The queues stand outside of it, in [`Host`]: what waits and what is under way survives its death. Requests never
//! talk to it.

use crate::actor::{Guarded, Observe, Slot};
use crate::plugins::{Host, QueueState};
use actix::fut::wrap_future;
use actix::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Queues that are shown one by one: the fullest.
const MOST_SHOWN: usize = 20;

/// Runs the queues of plugins.
pub struct PluginHost {
    host: Host,
}

impl PluginHost {
    pub fn new(host: Host) -> PluginHost {
        PluginHost { host }
    }
}

impl Actor for PluginHost {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(wrap_future(self.host.clone().run()));
    }
}

impl Guarded for PluginHost {
    const MAILBOX: usize = 16;
}

/// Deliver what is in the queues without waiting for more, for so long. What is left then is dropped and
/// counted; the answer is how many entries those were.
pub struct FlushQueues {
    pub within: Duration,
}

impl Message for FlushQueues {
    type Result = u64;
}

impl Handler<FlushQueues> for PluginHost {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, message: FlushQueues, _: &mut Self::Context) -> Self::Result {
        let host = self.host.clone();
        Box::pin(async move { host.flush(message.within).await.values().sum() })
    }
}

/// Flushes all queues within this time, also where the actor dies over it; the answer is how many entries
/// were lost.
pub async fn flush(slot: &Slot<PluginHost>, host: &Host, within: Duration) -> u64 {
    let deadline = Instant::now() + within;
    loop {
        let within = deadline.saturating_duration_since(Instant::now());
        let asked = slot.ask_when_running(FlushQueues { within });
        // It answers in time by itself; a moment more for a busy machine.
        match tokio::time::timeout(within + Duration::from_millis(500), asked).await {
            Ok(Ok(lost)) => return lost,
            Ok(Err(_)) if Instant::now() < deadline => tokio::task::yield_now().await,
            _ => return host.abandon().values().sum(),
        }
    }
}

impl Handler<Observe> for PluginHost {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        MessageResult(shown(self.host.queues()))
    }
}

/// Sums by plugin, and the fullest queues.
fn shown(mut queues: Vec<QueueState>) -> Value {
    let mut plugins: BTreeMap<&str, [u64; 5]> = BTreeMap::new();
    for queue in &queues {
        let sums = plugins.entry(&queue.plugin).or_default();
        let own = [
            1,
            queue.waiting,
            queue.under_way,
            queue.delivered,
            queue.dropped,
        ];
        sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
    }
    let plugins: serde_json::Map<String, Value> = plugins
        .into_iter()
        .map(
            |(plugin, [queues, waiting, under_way, delivered, dropped])| {
                let sums = json!({
                    "queues": queues, "waiting": waiting, "under_way": under_way,
                    "delivered": delivered, "dropped": dropped,
                });
                (plugin.to_owned(), sums)
            },
        )
        .collect();
    queues.sort_by_key(|queue| std::cmp::Reverse(queue.waiting + queue.under_way));
    let fullest: Vec<Value> = queues
        .iter()
        .take(MOST_SHOWN)
        .map(|queue| {
            json!({
                "plugin": &*queue.plugin, "queue": &*queue.name, "waiting": queue.waiting, "bytes": queue.bytes,
                "under_way": queue.under_way, "failures": queue.failures,
            })
        })
        .collect();
    json!({ "plugins": plugins, "queues": fullest })
}
