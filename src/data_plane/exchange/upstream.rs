//! The way to upstreams as drivers of client connections see it. The codecs in `upstream` implement it,
//! one per protocol; a driver does not know which one it speaks with.

use super::{Attempt, AttemptError, Buffer, Buffers, Contact, Deadline};
use crate::http::ResponseHead;
use crate::http::parse::ResponseFacts;
use std::ops::Range;
use std::task::{Context, Poll};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

/// Leases streams to upstreams, each for one request. One value per worker.
#[allow(
    async_fn_in_trait,
    reason = "workers are single-threaded: the futures need not be Send"
)]
pub trait Upstreams: 'static {
    type Stream: UpstreamStream;

    /// A stream to the attempt's address: on an idle connection if `may_reuse` and there is one, else
    /// on a new one, made within the attempt's `connect_timeout` (name resolution, TCP and TLS
    /// handshake each). `contact` tells how far it came.
    async fn connect(
        &self,
        attempt: &Attempt,
        deadline: &Deadline,
        may_reuse: bool,
        contact: &mut Contact,
    ) -> Result<Self::Stream, AttemptError>;

    /// Gives a stream back whose response was read to its end. Its connection is kept for others if it
    /// can carry another request.
    fn release(&self, stream: Self::Stream);

    /// Closes idle connections whose time is over.
    fn expire(&self);
}

/// One request to an upstream and its response. Dropping it gives the request up.
///
/// The order of calls: `begin`, then `poll_send` until everything is sent and `poll_head` until the
/// final head has come, both at once; then `poll_body` to the end. An upstream may answer before it has
/// the whole request.
pub trait UpstreamStream {
    /// What carries bytes both ways once an upgrade is accepted.
    type Tunnel: AsyncRead + AsyncWrite + Unpin;

    /// The connection has carried requests before: it may turn out to be closed by the upstream.
    fn is_reused(&self) -> bool;

    /// Ends the request head that the pipeline has written, as the body's length asks for it. `to_head` says that
    /// the request is a HEAD, whose response has no body.
    fn begin(&mut self, head: &mut Vec<u8>, body: BodyLength, to_head: bool);

    /// How far the request has come.
    fn progress(&self) -> RequestProgress;

    /// Sends a piece of the body, the head before the first one; ready when it was handed to the socket.
    /// `last` says that nothing follows. Until it is ready, it must be called with the same piece. A write
    /// that fails is not the end: the upstream may have answered before it closed.
    fn poll_send(
        &mut self,
        head: &[u8],
        payload: &[u8],
        last: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()>;

    /// Bytes sent to the upstream and received from it for this request.
    fn traffic(&self) -> Traffic;

    /// Ready when a response head has come; after an interim one it is called again.
    fn poll_head(
        &mut self,
        response: &mut ResponseHead,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseKind, AttemptError>>;

    /// The next piece of the response's body, which may be empty. Must not be called after the last one.
    fn poll_body(
        &mut self,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BodyPiece, Truncated>>;

    /// The connection after an accepted upgrade, and what was already read of it.
    fn into_tunnel(self) -> (Self::Tunnel, Option<Buffer>);
}

/// What is known of a request's body before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    Empty,
    /// In bytes.
    Known(u64),
    Unknown,
}

/// How far a request has come on its way to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestProgress {
    /// The head waits for the first piece of the body to leave with it.
    Head,
    /// A piece is being sent.
    Sending,
    /// The head is sent, and pieces; more follow.
    Body,
    /// All was handed to the socket.
    Sent,
    /// The connection takes nothing more.
    Broken,
}

/// Bytes of one request at an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub sent: u64,
    pub received: u64,
}

/// A response head that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// An interim response other than `100 Continue`; another head follows.
    Interim,
    Final(ResponseFacts),
}

/// The upstream closed, or sent something that is no body, before the end of the response.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the response was cut short")]
pub struct Truncated;

/// A piece of a response's body, within a buffer of the worker.
#[derive(Debug, Default)]
pub struct BodyPiece {
    buffer: Option<Buffer>,
    range: Range<usize>,
    /// The body ends with this piece.
    pub last: bool,
}

impl BodyPiece {
    /// The piece in this range of what was read.
    pub fn new(buffer: Option<Buffer>, range: Range<usize>, last: bool) -> BodyPiece {
        BodyPiece {
            buffer,
            range,
            last,
        }
    }

    pub fn payload(&self) -> &[u8] {
        let bytes = self.buffer.as_ref().map_or(&[][..], Buffer::bytes);
        bytes.get(self.range.clone()).unwrap_or_default()
    }

    /// Gives the buffer back.
    pub fn recycle(self, buffers: &Buffers) {
        if let Some(buffer) = self.buffer {
            buffers.put(buffer);
        }
    }
}
