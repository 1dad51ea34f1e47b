//! `ticket`: a request needs a header whose value is one of those that are configured.

use langur::plugins::{
    Access, Build, BuildError, Context, Descriptor, Flow, Handler, Phases, Refusal, config_of,
};
use serde::Deserialize;
use std::sync::Arc;

pub const PLUGIN: Descriptor = Descriptor {
    name: "ticket",
    version: "0.1.0",
    // After key-auth (1250), before rate-limiting (910): see `GET /` of an Admin API for all of them.
    priority: 960,
    phases: Phases::ACCESS.and(Phases::HEADER_FILTER),
    // Without it requests must not pass: where it cannot be built, its routes are closed.
    guards: true,
    // What a control plane accepts as its configuration, and what it fills in.
    definition: Some(
        r#"{"fields": [
            {"protocols": {"type": "set", "required": true, "default": ["http", "https"],
                "elements": {"type": "string", "one_of": ["http", "https"]}}},
            {"config": {"type": "record", "required": true, "fields": [
                {"header": {"type": "string", "required": true, "default": "X-Ticket"}},
                {"tickets": {"type": "array", "required": true, "elements": {"type": "string"}}}
            ]}}
        ]}"#,
    ),
    build,
};

/// The configuration, as the control plane has completed it.
#[derive(Debug, Deserialize)]
struct Config {
    header: String,
    tickets: Vec<String>,
}

/// One configured instance: made when the configuration changes, then shared by all workers.
struct Ticket {
    config: Config,
}

fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    Ok(Arc::new(Ticket { config }))
}

/// Kept from `access` to `header_filter` of a request.
struct Admitted(String);

impl Handler for Ticket {
    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        let shown = context.request_header(&self.config.header);
        let known = shown.and_then(|shown| {
            let mut tickets = self.config.tickets.iter();
            tickets.find(|ticket| ticket.as_bytes() == shown)
        });
        let Some(ticket) = known else {
            return Flow::from(Refusal::new(403, "You need a ticket")).into();
        };
        context.state.put(Admitted(ticket.clone()));
        context.clear_request_header(&self.config.header);
        Flow::Continue.into()
    }

    fn header_filter(&self, context: &mut Context<'_>) {
        if let Some(Admitted(ticket)) = context.state.take() {
            context.response_edits.set("X-Ticket-Used", ticket);
        }
    }
}
