//! The phases of a plugin that is made of configured functions.

use super::call::{Answer, Call, Said};
use super::counted;
use super::engine::{self, Engine};
use super::instance::Instance;
use super::phase::Phase;
use super::request::{LuaRequest, SharedRequest};
use super::turn::{Outcome, Turn};
use crate::http::Reply;
use crate::plugins::{Access, BodyUse, Chunk, Context, Flow, Handler, Phases, Refusal, RequestLog};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant;

/// How much of a request's body functions see that ask for it.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// What clients are told of a function that failed.
const UNEXPECTED: &str = "An unexpected error occurred";

/// Where functions ask for the request's body.
const BODY_READERS: [&str; 4] = ["get_raw_body", "get_body", "read_body", "get_post_args"];

/// What a plugin of functions does with requests.
pub struct LuaHandler(pub Arc<Instance>);

/// How far the functions of rewrite and access have come.
enum Stepped {
    Decided(Flow),
    /// They go on then.
    Until(Instant),
}

impl LuaHandler {
    fn engine(&self) -> Result<std::rc::Rc<Engine>, String> {
        Engine::of_worker(&self.0.node, &self.0.settings).map_err(|error| error.to_string())
    }

    /// Runs the functions of a phase that cannot wait.
    fn run(
        &self,
        phase: Phase,
        context: &mut Context<'_>,
        chunk: Option<&mut Chunk>,
        log: Option<&RequestLog<'_>>,
    ) -> Outcome {
        let mut said = Said::default();
        let Some(functions) = self.0.functions(phase) else {
            return Outcome { said, error: None };
        };
        let mut request = context.state.take::<LuaRequest>().unwrap_or_default();
        let outcome = self.engine().and_then(|engine| {
            let mut call = Call {
                context,
                phase,
                instance: &self.0,
                request: &mut request,
                said: &mut said,
                chunk,
                log,
            };
            let outcome = engine.call(functions, &mut call);
            outcome.map_err(|error| text_of(&error))
        });
        context.state.put(request);
        engine::bound_memory();
        Outcome {
            said,
            error: outcome.err(),
        }
    }

    /// What is to run in the access phase: first what waits since rewrite.
    fn turns(&self, context: &mut Context<'_>) -> Result<VecDeque<Turn>, String> {
        let mut turns = VecDeque::new();
        if self.0.functions(Phase::Rewrite).is_some() {
            let request = context.state.get_or_default::<LuaRequest>();
            turns.extend(request.waiting.take());
        }
        if let Some(functions) = self.0.functions(Phase::Access) {
            turns.push_back(Turn::begin(self.engine()?, Phase::Access, functions)?);
        }
        Ok(turns)
    }

    /// Goes on with them until one waits or decides.
    fn step(&self, turns: &mut VecDeque<Turn>, context: &mut Context<'_>) -> Stepped {
        while let Some(turn) = turns.front_mut() {
            if let Some(until) = turn.until.filter(|until| *until > Instant::now()) {
                return Stepped::Until(until);
            }
            let phase = turn.phase;
            let Some(outcome) = turn.step(&self.0, context) else {
                continue;
            };
            turns.pop_front();
            match self.decide(context, phase, outcome) {
                Flow::Continue => {}
                flow => return Stepped::Decided(flow),
            }
        }
        Stepped::Decided(Flow::Continue)
    }

    /// The decision of rewrite and access: a function that failed fails the request.
    fn decide(&self, context: &mut Context<'_>, phase: Phase, outcome: Outcome) -> Flow {
        if let Some(error) = &outcome.error {
            self.complain(context, phase, error);
            return Refusal::new(500, UNEXPECTED).into();
        }
        let flow = flow_of(outcome.said);
        if !matches!(flow, Flow::Continue) {
            // The later phases ask who has made the response.
            shared(context.shared).exited = true;
        }
        flow
    }

    /// A function has failed.
    fn complain(&self, context: &Context<'_>, phase: Phase, error: &str) {
        counted::failed(self.0.settings.metrics.as_ref(), self.0.plugin);
        tracing::error!(
            plugin = self.0.plugin,
            id = %self.0.id,
            phase = phase.name(),
            request_id = context.request_id,
            error,
            "a Lua function has failed"
        );
    }
}

/// What an error says: a text, or what kind of value it is.
pub fn text_of(error: &mlua::Error) -> String {
    match error {
        mlua::Error::RuntimeError(message) => {
            // The trace is of no use to operators and may be long.
            let text = message.split("\nstack traceback:").next();
            text.unwrap_or(message).to_owned()
        }
        mlua::Error::CallbackError { cause, .. } => text_of(cause),
        other => other.to_string(),
    }
}

/// What functions of rewrite and access have decided.
fn flow_of(said: Said) -> Flow {
    match (said.answer, said.printed) {
        (answer, Some(printed)) => {
            let status = match answer {
                Some(Answer::Status(status) | Answer::Body { status, .. }) if status >= 200 => {
                    said.status.unwrap_or(status)
                }
                _ => said.status.unwrap_or(200),
            };
            Flow::Respond(Reply {
                body: printed.into(),
                ..Reply::new(status)
            })
        }
        (Some(Answer::Body { status, body }), None) => Flow::Respond(Reply {
            body,
            close: status < 200,
            ..Reply::new(status)
        }),
        (Some(Answer::Status(status)), None) => Flow::Status(status),
        (Some(Answer::Error { status, message }), None) => {
            Flow::Refuse(Refusal::new(status, message))
        }
        (None, None) => Flow::Continue,
    }
}

/// What the functions of all plugins share of a request.
pub fn shared(shared: &mut crate::plugins::Shared) -> &mut SharedRequest {
    if shared.get::<SharedRequest>().is_none() {
        shared.put(SharedRequest::default());
    }
    match shared.get_mut() {
        Some(found) => found,
        // It was put there two lines above.
        None => unreachable!(),
    }
}

impl Handler for LuaHandler {
    fn phases(&self, declared: Phases) -> Phases {
        let phases = self.0.phases();
        let mut wanted = phases;
        if phases.contains(Phases::REWRITE) {
            // A function that waits goes on there.
            wanted = wanted.and(Phases::ACCESS);
        }
        if self.0.mentions("enable_buffering") {
            wanted = wanted.and(Phases::RESPONSE);
        }
        if phases.contains(Phases::HEADER_FILTER) {
            // An answer there takes the place of the body.
            wanted = wanted.and(Phases::BODY_FILTER);
        }
        debug_assert!(declared.contains(wanted));
        wanted
    }

    fn body_limit(&self) -> Option<usize> {
        let mentions = BODY_READERS.iter().any(|name| self.0.mentions(name));
        mentions.then_some(BODY_LIMIT)
    }

    fn rewrite(&self, context: &mut Context<'_>) -> Flow {
        let Some(functions) = self.0.functions(Phase::Rewrite) else {
            return Flow::Continue;
        };
        let begun = self.engine();
        let begun = begun.and_then(|engine| Turn::begin(engine, Phase::Rewrite, functions));
        let mut turn = match begun {
            Ok(turn) => turn,
            Err(error) => return Flow::Fail(error.into()),
        };
        match turn.step(&self.0, context) {
            Some(outcome) => self.decide(context, Phase::Rewrite, outcome),
            None => {
                // Nobody can wait before a route is found: it goes on in front of the access phase.
                let request = context.state.get_or_default::<LuaRequest>();
                request.waiting = Some(turn);
                Flow::Continue
            }
        }
    }

    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        let mut turns = match self.turns(context) {
            Ok(turns) if turns.is_empty() => return Flow::Continue.into(),
            Ok(turns) => turns,
            Err(error) => return Flow::Fail(error.into()).into(),
        };
        match self.step(&mut turns, context) {
            Stepped::Decided(flow) => flow.into(),
            Stepped::Until(time) => Access::Pending(Box::pin(async move {
                let mut time = time;
                loop {
                    tokio::time::sleep_until(time).await;
                    match self.step(&mut turns, context) {
                        Stepped::Decided(flow) => return flow,
                        Stepped::Until(again) => time = again,
                    }
                }
            })),
        }
    }

    fn response<'c>(&'c self, context: &'c mut Context<'_>, body: &'c mut Vec<u8>) -> Access<'c> {
        let shared = shared(context.shared);
        if shared.buffering && shared.buffered.is_none() {
            shared.buffered = Some(Bytes::copy_from_slice(body));
            if context.response_header("date").is_none() {
                // As Kong's buffered responses have one.
                let now = httpdate::fmt_http_date(std::time::SystemTime::now());
                context.response_edits.set("Date", now);
            }
        }
        Flow::Continue.into()
    }

    fn header_filter(&self, context: &mut Context<'_>) {
        let outcome = self.run(Phase::HeaderFilter, context, None, None);
        if let Some(error) = &outcome.error {
            self.complain(context, Phase::HeaderFilter, error);
            if let Some(response) = &mut context.response {
                response.failed = true;
            }
            return;
        }
        let body = match outcome.said.answer {
            None => return,
            Some(Answer::Body { status, body }) => {
                set_status(context, status);
                if status == 204 {
                    context.response_edits.remove("Content-Type");
                }
                body
            }
            Some(Answer::Status(status)) => {
                set_status(context, status);
                Bytes::new()
            }
            Some(Answer::Error { status, message }) => {
                set_status(context, status);
                context
                    .response_edits
                    .set("Content-Type", "application/json; charset=utf-8");
                let request_id = context.request_id;
                let error = serde_json::json!({"message": message, "request_id": request_id});
                error.to_string().into()
            }
        };
        let request = context.state.get_or_default::<LuaRequest>();
        request.body = Some(body);
    }

    fn body_use(&self, context: &mut Context<'_>) -> BodyUse {
        let replaced = context.state.get_or_default::<LuaRequest>().body.is_some();
        match replaced || self.0.functions(Phase::BodyFilter).is_some() {
            true => BodyUse::Transform,
            false => BodyUse::None,
        }
    }

    fn body_filter(&self, context: &mut Context<'_>, chunk: &mut Chunk) -> bool {
        let request = context.state.get_or_default::<LuaRequest>();
        if let Some(body) = &mut request.body {
            chunk.data = std::mem::take(body);
        }
        if self.0.functions(Phase::BodyFilter).is_none() {
            return true;
        }
        // As functions know it from Kong: pieces with text, then the end without any.
        if !chunk.last || !chunk.data.is_empty() {
            let mut piece = Chunk {
                data: std::mem::take(&mut chunk.data),
                last: false,
            };
            if !self.filter(context, &mut piece) {
                return false;
            }
            chunk.data = piece.data;
        }
        if chunk.last {
            let mut end = Chunk {
                data: Bytes::new(),
                last: true,
            };
            if !self.filter(context, &mut end) {
                return false;
            }
            if !end.data.is_empty() {
                let mut whole = chunk.data.to_vec();
                whole.extend_from_slice(&end.data);
                chunk.data = whole.into();
            }
        }
        true
    }

    fn log(&self, context: &mut Context<'_>, log: &RequestLog<'_>) {
        let outcome = self.run(Phase::Log, context, None, Some(log));
        if let Some(error) = &outcome.error {
            self.complain(context, Phase::Log, error);
        }
    }
}

impl LuaHandler {
    fn filter(&self, context: &mut Context<'_>, piece: &mut Chunk) -> bool {
        let request = context.state.get_or_default::<LuaRequest>();
        if request.ended {
            piece.data = Bytes::new();
            return true;
        }
        let last = piece.last;
        let outcome = self.run(Phase::BodyFilter, context, Some(piece), None);
        if let Some(error) = &outcome.error {
            self.complain(context, Phase::BodyFilter, error);
            return false;
        }
        if outcome.said.answer.is_some() {
            return false;
        }
        if piece.last && !last {
            context.state.get_or_default::<LuaRequest>().ended = true;
        }
        true
    }
}

fn set_status(context: &mut Context<'_>, status: u16) {
    if let Some(response) = &mut context.response {
        *response.status = status;
    }
}
