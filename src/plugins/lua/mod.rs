//! Lua in configurations, on LuaJIT: the functions of pre-function and post-function, and values of logs.
//!
//! Each worker has one state ([`engine`]), and each configured function an environment in it, made and
//! compiled when a request first needs it. Functions see requests through the PDK ([`pdk`], [`ngx`]), which
//! is written in Rust against the same [`Context`](super::Context) as every other plugin.

mod build;
mod call;
mod counted;
mod engine;
mod expression;
mod function;
mod handler;
mod instance;
mod json;
mod native;
mod ngx;
mod number;
mod pdk;
mod phase;
mod request;
mod turn;

#[cfg(test)]
mod docs;
#[cfg(test)]
mod tests;

pub use build::build;
pub use counted::announce;
pub use expression::{Expression, expression};

use super::Phases;

/// What plugins of functions take part in. A function of the phase `certificate` never runs.
pub const PHASES: Phases = Phases::REWRITE
    .and(Phases::ACCESS)
    .and(Phases::RESPONSE)
    .and(Phases::HEADER_FILTER)
    .and(Phases::BODY_FILTER)
    .and(Phases::LOG);
