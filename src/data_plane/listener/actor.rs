//! The Listener actor: owns the proxy's sockets and workers.

use super::{Phase, ServerHandle};
use crate::actor::{Guarded, Observe};
use actix::prelude::*;
use serde_json::json;
use std::time::Duration;

/// Owns the running server; the server does not need it to serve.
pub struct Listener {
    server: ServerHandle,
}

impl Listener {
    pub fn new(server: ServerHandle) -> Listener {
        Listener { server }
    }
}

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Guarded for Listener {
    const MAILBOX: usize = 16;
}

/// Stops accepting and lets requests in flight finish within the deadline. The answer is
/// whether all of them did.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "bool")]
pub struct DrainConnections {
    pub deadline: Duration,
}

impl Handler<DrainConnections> for Listener {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, message: DrainConnections, _: &mut Self::Context) -> Self::Result {
        let server = self.server.clone();
        Box::pin(async move { server.drain(message.deadline).await })
    }
}

/// Drops every connection where it stands.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct StopAccepting;

impl Handler<StopAccepting> for Listener {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopAccepting, _: &mut Self::Context) -> Self::Result {
        let server = self.server.clone();
        Box::pin(async move { server.stop().await })
    }
}

impl Handler<Observe> for Listener {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let phase = match self.server.phase() {
            Phase::Running => "running",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        };
        MessageResult(json!({
            "phase": phase,
            "addresses": self.server.addresses(),
            "connections": self.server.counters().read(),
            "body_files": self.server.files().usage(),
        }))
    }
}
