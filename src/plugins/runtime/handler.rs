//! One configured plugin, and what it does in each phase.

use super::{Access, BodyUse, Chunk, Context, Flow, Phases, RequestLog};

/// One configured plugin instance, shared by all workers.
///
/// Phases run in the order of this trait, each over all plugins of the request by descending
/// priority: `rewrite` and `access` until one of them answers; the later ones over every plugin that
/// was collected during access, also after an early answer.
///
/// A phase is called only where the plugin's [`Descriptor`](super::Descriptor) declares it. A panic
/// in a phase is counted and logged; the client gets a 500, or the missing end of its response.
pub trait Handler: Send + Sync {
    /// The phases that this instance takes part in, of those that its descriptor declares.
    fn phases(&self, declared: Phases) -> Phases {
        declared
    }

    /// How many bytes of the request body the access phase wants to see. A longer body is
    /// not shown to it.
    fn body_limit(&self) -> Option<usize> {
        None
    }

    /// Before a route is looked for. Only global instances are asked, and none may wait.
    fn rewrite(&self, context: &mut Context<'_>) -> Flow {
        let _ = context;
        Flow::Continue
    }

    /// Before the request is sent anywhere. Synchronous plugins return `flow.into()`,
    /// which costs nothing; one that waits returns [`Access::Pending`].
    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        let _ = context;
        Access::Ready(Flow::Continue)
    }

    /// The largest body of a response, in bytes, that [`response`](Handler::response) takes. A larger one
    /// is not sent: the client gets a 502.
    fn response_limit(&self) -> usize {
        8 * 1024 * 1024
    }

    /// The whole response of the upstream is there; nothing of it has been sent on. Status, headers
    /// and `body` may be changed, or another answer given.
    fn response<'c>(&'c self, context: &'c mut Context<'_>, body: &'c mut Vec<u8>) -> Access<'c> {
        let _ = (context, body);
        Access::Ready(Flow::Continue)
    }

    /// The response head is there, from the upstream or from the gateway itself.
    fn header_filter(&self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// Asked after `header_filter` of an instance that has a `body_filter`: what that will do
    /// with the body of this response.
    fn body_use(&self, context: &mut Context<'_>) -> BodyUse {
        let _ = context;
        BodyUse::Transform
    }

    /// A piece of the response's body. `false` ends the response where it stands, because
    /// it cannot be sent as it should be.
    fn body_filter(&self, context: &mut Context<'_>, chunk: &mut Chunk) -> bool {
        let _ = (context, chunk);
        true
    }

    /// After the last byte, exactly once, whatever became of the request.
    fn log(&self, context: &mut Context<'_>, log: &RequestLog<'_>) {
        let _ = (context, log);
    }
}
