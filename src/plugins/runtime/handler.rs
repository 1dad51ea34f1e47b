//! One configured plugin, and what it does in each phase.

use super::{Access, Context, Flow};

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
