//! The functions of one phase at work, where they may wait.

use super::call::{Call, Said};
use super::engine::{self, Engine, Run, Step};
use super::function::Functions;
use super::handler::text_of;
use super::instance::Instance;
use super::phase::Phase;
use super::request::LuaRequest;
use crate::plugins::Context;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the functions of a phase have come to.
pub struct Outcome {
    pub said: Said,
    pub error: Option<String>,
}

/// A run of the functions of rewrite or access.
pub struct Turn {
    engine: Rc<Engine>,
    pub phase: Phase,
    run: Run,
    said: Said,
    /// It goes on then.
    pub until: Option<Instant>,
}

impl Turn {
    /// # Errors
    /// There is no memory for it.
    pub fn begin(
        engine: Rc<Engine>,
        phase: Phase,
        functions: &Arc<Functions>,
    ) -> Result<Turn, String> {
        let run = engine.begin(functions).map_err(|error| text_of(&error))?;
        Ok(Turn {
            engine,
            phase,
            run,
            said: Said::default(),
            until: None,
        })
    }

    /// Goes on until it ends or waits: then the time is in `until`.
    pub fn step(&mut self, instance: &Instance, context: &mut Context<'_>) -> Option<Outcome> {
        let mut request = context.state.take::<LuaRequest>().unwrap_or_default();
        let mut call = Call {
            context,
            phase: self.phase,
            instance,
            request: &mut request,
            said: &mut self.said,
            chunk: None,
            log: None,
        };
        let stepped = self.engine.step(&mut self.run, &mut call);
        context.state.put(request);
        let error = match stepped {
            Ok(Step::Sleep(time)) => {
                // Longer waits than this are none that anybody lives to see.
                let time = time.min(Duration::from_secs(365 * 24 * 3600));
                self.until = Some(Instant::now() + time);
                return None;
            }
            Ok(Step::Done | Step::Exit) => None,
            Err(error) => Some(text_of(&error)),
        };
        engine::bound_memory();
        Some(Outcome {
            said: std::mem::take(&mut self.said),
            error,
        })
    }
}
