//! The thread on which plugins deliver what requests have put into their queues.

mod actor;
mod names;
#[cfg(test)]
mod tests;

pub use actor::{PluginHost, flush};
