//! Sends the lines of each request to a Datadog agent.

use super::config::Config;
use super::lines::Lines;
use crate::plugins::runtime::{config_of, packets, without_host};
use crate::plugins::{
    Build, BuildError, Context, Datagrams, Deliver, Delivery, Handler, Queue, RequestLog,
    queue_name,
};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The port where a configuration has null.
const PORT: u16 = 8125;

/// How long sending a batch may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let plugin = build.plugin;
    let parameters = config.old.applied_to(&config.queue, "datadog", plugin.id);
    let (name, lines) = (queue_name(&config), Lines::new(&config));
    let Some(host) = config.host else {
        return Ok(without_host(plugin));
    };
    let agent = Agent(Datagrams {
        names: build.resources.names.clone(),
        host,
        port: config.port.unwrap_or(PORT),
        timeout: TIMEOUT,
    });
    let queues = &build.resources.host;
    Ok(Arc::new(Datadog {
        queue: queues.queue(&plugin.name, name, &parameters, agent),
        lines,
    }))
}

struct Datadog {
    lines: Lines,
    /// Each entry has the lines of one request.
    queue: Queue<Bytes>,
}

impl Handler for Datadog {
    fn log(&self, context: &mut Context<'_>, log: &RequestLog<'_>) {
        let text = self.lines.of(context, log);
        if !text.is_empty() {
            let size = text.len();
            self.queue.try_enqueue(Bytes::from(text), size);
        }
    }
}

struct Agent(Datagrams);

impl Deliver<Bytes> for Agent {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        Box::pin(async move {
            let lines = packets(batch, 0);
            let sent = self.0.send(lines.iter().map(|line| &**line)).await;
            sent.map_err(Into::into)
        })
    }
}
