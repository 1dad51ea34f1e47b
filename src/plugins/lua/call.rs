//! The request that the functions of a worker work on at this moment.
//!
//! Functions of Rust that Lua calls are made once per state, long before any request; a request is
//! lent to them for as long as Lua runs on its behalf. The worker's thread keeps where it is.

use super::instance::Instance;
use super::phase::Phase;
use super::request::LuaRequest;
use crate::plugins::{Chunk, Context, RequestLog};
use bytes::Bytes;
use std::cell::Cell;
use std::ptr::NonNull;

/// A request in a phase, as functions of Rust see it.
pub struct Call<'a, 'c> {
    pub context: &'a mut Context<'c>,
    pub phase: Phase,
    pub instance: &'a Instance,
    /// What this instance keeps of the request.
    pub request: &'a mut LuaRequest,
    /// What the functions of this phase have said so far.
    pub said: &'a mut Said,
    pub chunk: Option<&'a mut Chunk>,
    pub log: Option<&'a RequestLog<'a>>,
}

/// What functions have said to the client.
#[derive(Debug, Default)]
pub struct Said {
    pub answer: Option<Answer>,
    /// What was printed, where something was, even if it is nothing.
    pub printed: Option<Vec<u8>>,
    /// The status that printed text goes out with.
    pub status: Option<u16>,
}

/// The end of a request in a function.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Exactly this; the headers are among the response's edits.
    Body { status: u16, body: Bytes },
    /// What the gateway says to a status.
    Status(u16),
    /// An error in the format that the client accepts.
    Error { status: u16, message: String },
}

thread_local! {
    static CURRENT: Cell<Option<NonNull<Call<'static, 'static>>>> = const { Cell::new(None) };
}

/// Puts back what was current before, also after a panic.
struct Restore(Option<NonNull<Call<'static, 'static>>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Lends `call` to the functions that Lua calls while `run` runs.
pub fn lend<T>(call: &mut Call<'_, '_>, run: impl FnOnce() -> T) -> T {
    let lent = NonNull::from(call).cast::<Call<'static, 'static>>();
    let _restore = Restore(CURRENT.replace(Some(lent)));
    run()
}

/// Runs with the current call; `None` where there is none, or while another function has it.
pub fn with_current<T>(run: impl FnOnce(&mut Call<'_, '_>) -> T) -> Option<T> {
    let mut lent = CURRENT.take()?;
    let _restore = Restore(Some(lent));
    // SAFETY: `lend` holds the only reference to the call while the pointer is set, does not use
    // it, and takes the pointer away before it returns. Taking it here keeps a second function
    // from having it too. `run` must work for any lifetimes, so that nothing of the call outlives this.
    let call = unsafe { lent.as_mut() };
    Some(run(call))
}
