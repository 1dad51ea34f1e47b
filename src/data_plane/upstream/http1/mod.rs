//! HTTP/1.1 towards upstreams: `request` frames what is sent, `response` reads what comes back. One
//! connection carries one request at a time.

mod request;
mod response;

use super::ConnectionKey;
use super::stream::Stream;
use crate::data_plane::exchange::{
    AttemptError, BodyLength, BodyPiece, Buffer, Buffers, RequestProgress, ResponseKind, Traffic,
    Truncated, UpstreamStream,
};
use crate::http::ResponseHead;
use crate::http::parse::Limits;
use request::RequestWriter;
use response::ResponseReader;
use std::task::{Context, Poll};

/// A connection in use for one request. Dropping it closes it.
#[derive(Debug)]
pub struct Http1Stream {
    stream: Stream,
    key: ConnectionKey,
    reused: bool,
    writer: RequestWriter,
    reader: ResponseReader,
}

impl Http1Stream {
    /// `limits` are for response heads.
    pub(super) fn new(
        stream: Stream,
        key: ConnectionKey,
        reused: bool,
        limits: Limits,
    ) -> Http1Stream {
        Http1Stream {
            stream,
            key,
            reused,
            writer: RequestWriter::default(),
            reader: ResponseReader::new(limits),
        }
    }

    /// The connection, if it can carry another request.
    pub(super) fn into_idle(self) -> Option<(ConnectionKey, Stream)> {
        let sent = self.writer.progress() == RequestProgress::Sent;
        (sent && self.reader.is_reusable()).then_some((self.key, self.stream))
    }
}

impl UpstreamStream for Http1Stream {
    type Tunnel = Stream;

    fn is_reused(&self) -> bool {
        self.reused
    }

    fn begin(&mut self, head: &mut Vec<u8>, body: BodyLength, to_head: bool) {
        self.writer.begin(head, body);
        self.reader.begin(to_head);
    }

    fn progress(&self) -> RequestProgress {
        self.writer.progress()
    }

    fn poll_send(
        &mut self,
        head: &[u8],
        payload: &[u8],
        last: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.writer
            .poll_send(&mut self.stream, head, payload, last, cx)
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.writer.sent(),
            received: self.reader.received(),
        }
    }

    fn poll_head(
        &mut self,
        response: &mut ResponseHead,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseKind, AttemptError>> {
        let sent = self.writer.sent() > 0;
        self.reader
            .poll_head(&mut self.stream, response, sent, buffers, cx)
    }

    fn poll_body(
        &mut self,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BodyPiece, Truncated>> {
        self.reader.poll_body(&mut self.stream, buffers, cx)
    }

    fn into_tunnel(self) -> (Stream, Option<Buffer>) {
        (self.stream, self.reader.into_buffer())
    }
}
