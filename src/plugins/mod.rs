//! Plugins: what each does in which phase.
//!
//! A plugin is a folder here: `config.rs` (the typed configuration), `handler.rs` (the
//! phases) and whatever else it needs. A [`Handler`] is one configured instance; it is
//! built once, when the configuration changes, and then shared by all workers. Handlers
//! know requests by [`Context`] alone, and never the data plane that runs them.

mod context;
mod factory;
mod flow;
mod header_name;

pub mod correlation_id;
pub mod key_auth;
pub mod rate_limiting;
pub mod request_termination;

#[cfg(test)]
mod testing;

pub use context::{
    Captures, Consumer, Context, Directory, EntityRef, Identity, KeyOwner, Peer, Response,
    RouteView, Timestamp,
};
pub use factory::{BuildError, EnabledPlugins, Factory, Implemented, NodeName, VERSION};
pub use flow::{Access, Flow, Refusal};
pub use header_name::HeaderName;

/// Every plugin that comes with Langur, by descending priority (priorities as Kong's). A build of
/// one's own may have fewer: see `examples/fewer_plugins.rs`.
pub const BUNDLED: &[Implemented] = &[
    correlation_id::PLUGIN,
    key_auth::PLUGIN,
    rate_limiting::PLUGIN,
    request_termination::PLUGIN,
];

/// One configured plugin instance.
///
/// Phases run in this order, each over all plugins of the request by descending priority:
/// `access` until one of them answers, then `header_filter` and `log` over every plugin
/// that was collected during access, also after an early answer.
pub trait Handler: Send + Sync {
    /// Plugins run by descending priority; equal ones in reverse order of their names.
    fn priority(&self) -> i32;

    /// How many bytes of the request body the access phase wants to see. A longer body is
    /// not shown to it.
    fn body_limit(&self) -> Option<usize> {
        None
    }

    /// Before the request is sent anywhere. Synchronous plugins return `flow.into()`,
    /// which costs nothing; one that waits returns [`Access::Pending`].
    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        let _ = context;
        Access::Ready(Flow::Continue)
    }

    /// The response head is there, from the upstream or from the gateway itself.
    fn header_filter(&self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// After the last byte.
    fn log(&self, context: &Context<'_>) {
        let _ = context;
    }
}
