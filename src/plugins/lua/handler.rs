//! The phases of a plugin that is made of configured functions.

use super::call::{Answer, Call, Said};
use super::counted;
use super::engine::{self, Engine, Step};
use super::function::Functions;
use super::instance::Instance;
use super::phase::Phase;
use super::request::{LuaRequest, SharedRequest};
use crate::http::Reply;
use crate::plugins::{Access, BodyUse, Chunk, Context, Flow, Handler, Phases, Refusal, RequestLog};
use bytes::Bytes;
use std::sync::Arc;

/// How much of a request's body functions see that ask for it.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// What clients are told of a function that failed.
const UNEXPECTED: &str = "An unexpected error occurred";

/// Where functions ask for the request's body.
const BODY_READERS: [&str; 4] = ["get_raw_body", "get_body", "read_body", "get_post_args"];

/// What a plugin of functions does with requests.
pub struct LuaHandler(pub Arc<Instance>);

/// A run of the functions of one phase.
struct Outcome {
    said: Said,
    error: Option<String>,
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
            let outcome = match phase.is_coroutine() {
                true => begin_and_step(&engine, functions, &mut call),
                false => engine.call(functions, &mut call),
            };
            outcome.map_err(|error| text_of(&error))
        });
        context.state.put(request);
        engine::bound_memory();
        Outcome {
            said,
            error: outcome.err(),
        }
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

/// The functions of the rewrite phase cannot wait: the worker goes on with the request at once.
fn begin_and_step(
    engine: &Engine,
    functions: &Arc<Functions>,
    call: &mut Call<'_, '_>,
) -> mlua::Result<()> {
    let mut run = engine.begin(functions)?;
    match engine.step(&mut run, call)? {
        Step::Done | Step::Exit => Ok(()),
        Step::Sleep(_) => Err(mlua::Error::runtime(
            "functions cannot wait in the rewrite phase of this gateway",
        )),
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
        let outcome = self.run(Phase::Rewrite, context, None, None);
        self.decide(context, Phase::Rewrite, outcome)
    }

    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        let Some(functions) = self.0.functions(Phase::Access) else {
            return Flow::Continue.into();
        };
        let engine = match self.engine() {
            Ok(engine) => engine,
            Err(error) => return Flow::Fail(error.into()).into(),
        };
        let mut run = match engine.begin(functions) {
            Ok(run) => run,
            Err(error) => return Flow::Fail(text_of(&error).into()).into(),
        };
        let mut said = Said::default();
        let mut step = move |context: &mut Context<'_>| {
            let mut request = context.state.take::<LuaRequest>().unwrap_or_default();
            let mut call = Call {
                context: &mut *context,
                phase: Phase::Access,
                instance: &self.0,
                request: &mut request,
                said: &mut said,
                chunk: None,
                log: None,
            };
            let stepped = engine.step(&mut run, &mut call);
            context.state.put(request);
            let error = match stepped {
                Ok(Step::Sleep(time)) => return Err(time),
                Ok(Step::Done | Step::Exit) => None,
                Err(error) => Some(text_of(&error)),
            };
            engine::bound_memory();
            let said = std::mem::take(&mut said);
            Ok(self.decide(context, Phase::Access, Outcome { said, error }))
        };
        match step(context) {
            Ok(flow) => flow.into(),
            Err(time) => Access::Pending(Box::pin(async move {
                let mut time = time;
                loop {
                    tokio::time::sleep(time).await;
                    match step(context) {
                        Ok(flow) => return flow,
                        Err(again) => time = again,
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
