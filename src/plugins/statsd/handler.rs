//! Sends the lines of each request to a StatsD server, by UDP or TCP.

use super::config::Config;
use super::lines::Lines;
use crate::plugins::runtime::{config_of, packets, without_host};
use crate::plugins::{
    Build, BuildError, Context, Datagrams, Deliver, Delivery, Handler, KeptConnection, LineServer,
    Queue, RequestLog, queue_name,
};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The port where a configuration has null.
const PORT: u16 = 8125;

/// How long sending a batch may take, and how long a TCP connection is kept without lines.
const TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(60);

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let plugin = build.plugin;
    let parameters = config.old.applied_to(&config.queue, "statsd", plugin.id);
    let name = queue_name(&config);
    let lines = Lines::new(&config, &build.resources.node.hostname);
    let Some(host) = config.host else {
        return Ok(without_host(plugin));
    };
    let (names, port) = (build.resources.names.clone(), config.port.unwrap_or(PORT));
    let server = match config.use_tcp {
        Some(true) => Server::Tcp(LineServer {
            names,
            tls: None,
            host,
            port,
            timeout: TIMEOUT,
            keepalive: KEEPALIVE,
            kept: KeptConnection::default(),
        }),
        _ => Server::Udp {
            // A packet size is a whole number of at most 65507.
            packet: config.udp_packet_size.unwrap_or(0.0) as usize,
            datagrams: Datagrams {
                names,
                host,
                port,
                timeout: TIMEOUT,
            },
        },
    };
    let queues = &build.resources.host;
    Ok(Arc::new(Statsd {
        queue: queues.queue(&plugin.name, name, &parameters, server),
        lines,
    }))
}

struct Statsd {
    lines: Lines,
    /// Each entry has the lines of one request.
    queue: Queue<Bytes>,
}

impl Handler for Statsd {
    fn log(&self, context: &mut Context<'_>, log: &RequestLog<'_>) {
        let text = self.lines.of(context, log);
        if !text.is_empty() {
            let size = text.len();
            self.queue.try_enqueue(Bytes::from(text), size);
        }
    }
}

enum Server {
    Udp { datagrams: Datagrams, packet: usize },
    Tcp(LineServer),
}

impl Deliver<Bytes> for Server {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> Delivery<'a> {
        Box::pin(async move {
            let sent = match self {
                Server::Udp { datagrams, packet } => {
                    let packets = packets(batch, *packet);
                    datagrams.send(packets.iter().map(|packet| &**packet)).await
                }
                Server::Tcp(server) => {
                    let mut text = batch.join(&b'\n');
                    text.push(b'\n');
                    server.send(&text).await
                }
            };
            sent.map_err(Into::into)
        })
    }
}
