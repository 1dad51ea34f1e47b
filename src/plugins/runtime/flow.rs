//! What a plugin's access phase decides.

use crate::http::Reply;
use bytes::Bytes;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

/// The decision of an access phase.
#[derive(Debug)]
pub enum Flow {
    /// Go on with the next plugin.
    Continue,
    /// Answer with exactly this.
    Respond(Reply),
    /// Answer with an error body in the format that the client accepts.
    Refuse(Refusal),
    /// Answer with this status and what the gateway itself says to it: an error text in the
    /// format that the client accepts, a page, or nothing.
    Status(u16),
    /// The plugin itself failed: the client gets a 500, the reason goes to the log and
    /// must therefore not contain secrets.
    Fail(Cow<'static, str>),
}

/// An error whose body the gateway writes in the format that the client accepts
/// (proxy errors of kind "a": JSON unless Accept says otherwise).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub message: Cow<'static, str>,
    pub headers: Vec<(&'static str, Bytes)>,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            status,
            message: message.into(),
            headers: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Bytes>) -> Refusal {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<Refusal> for Flow {
    fn from(refusal: Refusal) -> Flow {
        Flow::Refuse(refusal)
    }
}

/// A decision, or the promise of one. Workers are single-threaded: the future need not be
/// `Send`. It holds the context until it is done.
pub enum Access<'c> {
    Ready(Flow),
    Pending(Pin<Box<dyn Future<Output = Flow> + 'c>>),
}

impl From<Flow> for Access<'_> {
    fn from(flow: Flow) -> Self {
        Access::Ready(flow)
    }
}
