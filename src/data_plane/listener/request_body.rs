//! A request's body on its way through the client's read buffer.
//!
//! Payload is *held* at the front of the buffer until the upstream has it. What was held and
//! sent is gone: from then on the request cannot be sent to another upstream. A body that
//! fits the buffer is held whole, so that it can be sent again.

use super::buffer::Buffers;
use super::downstream::Downstream;
use super::pipeline::Refusal;
use crate::http::{BodyDecoder, Framing};
use bytes::Bytes;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};

/// Why the rest of a body does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// The client closed in the middle of it.
    Gone,
    /// It must be answered with this refusal.
    Refused(Refusal),
}

#[derive(Debug)]
pub struct RequestBody {
    decoder: BodyDecoder,
    framing: Framing,
    /// Payload at the front of the buffer.
    held: usize,
    /// Payload so far, and the most there may be (0: no limit), in bytes.
    payload: u64,
    limit: u64,
    gone: bool,
    /// The client waits for `100 Continue`.
    awaits_continue: bool,
    /// What is sent instead of the client's body.
    replacement: Option<Bytes>,
}

/// What a body looks like to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    Nothing,
    Length(u64),
    Chunked,
}

impl RequestBody {
    /// `limit` is for the payload, in bytes; 0 is none.
    pub fn new(framing: Framing, limit: u64, awaits_continue: bool) -> RequestBody {
        RequestBody {
            decoder: BodyDecoder::new(framing),
            framing,
            held: 0,
            payload: 0,
            limit,
            gone: false,
            awaits_continue: awaits_continue && framing != Framing::None,
            replacement: None,
        }
    }

    /// Whether the length that the head names is above the limit.
    pub fn is_too_large(&self) -> bool {
        let named = match self.framing {
            Framing::Length(length) => length,
            _ => 0,
        };
        self.limit > 0 && named.max(self.payload) > self.limit
    }

    /// The client has sent all of it.
    pub fn is_complete(&self) -> bool {
        self.decoder.is_done()
    }

    /// All of it is held, so it can be sent as often as needed.
    pub fn is_whole(&self) -> bool {
        self.is_complete() && !self.gone
    }

    /// Nothing of it is gone yet.
    pub fn can_be_sent_again(&self) -> bool {
        !self.gone
    }

    /// Payload at the front of the client's buffer, in bytes.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether the client must still be told to send the body, or may never send it.
    pub fn awaits_continue(&self) -> bool {
        self.awaits_continue && !self.is_complete()
    }

    /// The client was told, or has begun without being told.
    pub fn continued(&mut self) {
        self.awaits_continue = false;
    }

    /// The payload that can be sent now.
    pub fn payload<'a, S: AsyncRead + AsyncWrite + Unpin>(
        &'a self,
        client: &'a Downstream<S>,
    ) -> &'a [u8] {
        match &self.replacement {
            Some(replacement) => replacement,
            None => client.unread().get(..self.held).unwrap_or_default(),
        }
    }

    /// Sends these bytes instead of the client's body, of which nothing must be left.
    pub fn replace(&mut self, replacement: Bytes) {
        debug_assert!(self.is_complete() && self.held == 0);
        self.gone = false;
        self.replacement = Some(replacement);
    }

    /// Bytes of a body whose length was named, as far as they have not come.
    pub fn missing(&self) -> Option<u64> {
        self.decoder.remaining()
    }

    /// How to send it. Chunks that came whole are sent with their length, as nginx does.
    pub fn sending(&self) -> Sending {
        if let Some(replacement) = &self.replacement {
            return Sending::Length(replacement.len() as u64);
        }
        match self.framing {
            Framing::None | Framing::UntilClose => Sending::Nothing,
            Framing::Length(length) => Sending::Length(length),
            Framing::Chunked if self.is_whole() => Sending::Length(self.held as u64),
            Framing::Chunked => Sending::Chunked,
        }
    }

    /// Decodes what has been read.
    pub fn absorb<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        client: &mut Downstream<S>,
    ) -> Result<(), BodyFault> {
        if self.is_complete() {
            return Ok(());
        }
        let Some(buffer) = client.buffer_mut() else {
            return Ok(());
        };
        let raw = &mut buffer.bytes_mut()[self.held..];
        let decoded = self
            .decoder
            .decode(raw)
            .map_err(|_| BodyFault::Refused(Refusal::BadRequest))?;
        let (payload, rest) = (decoded.data.len(), raw.len() - decoded.consumed);
        // Framing is cut out: payload after payload, then what belongs to the next request.
        if decoded.data.start > 0 {
            raw.copy_within(decoded.data, 0);
        }
        if decoded.consumed > payload {
            raw.copy_within(decoded.consumed.., payload);
        }
        buffer.truncate(self.held + payload + rest);
        self.held += payload;
        self.payload += payload as u64;
        client.received += decoded.consumed as u64;
        match self.is_too_large() {
            true => Err(BodyFault::Refused(Refusal::BodyTooLarge)),
            false => Ok(()),
        }
    }

    /// Reads and decodes once, if there is room.
    pub fn poll_more<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        client: &mut Downstream<S>,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), BodyFault>> {
        match ready!(client.poll_read(buffers, cx)) {
            Ok(0) | Err(_) => Poll::Ready(Err(BodyFault::Gone)),
            Ok(_) => Poll::Ready(self.absorb(client)),
        }
    }

    /// Drops the payload that is held: the upstream has it, or nobody wants it.
    pub fn drop_held<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        client: &mut Downstream<S>,
        buffers: &Buffers,
    ) {
        self.gone |= self.held > 0;
        client.consume(self.held, buffers);
        self.held = 0;
    }
}
