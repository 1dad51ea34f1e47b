//! A request's body on its way through the client's read buffer.
//!
//! Payload is *held* at the front of the buffer until the upstream has it. What was held and
//! sent is gone: from then on the request cannot be sent to another upstream. A body that
//! fits the buffer is held whole, so that it can be sent again.

use super::buffer::Buffers;
use super::downstream::Downstream;
use super::pipeline::Refusal;
use crate::http::{BodyDecoder, Framing};
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
}

/// What a body looks like to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    Nothing,
    Length(u64),
    Chunked,
}

impl RequestBody {
    pub fn new(framing: Framing, limit: u64) -> RequestBody {
        RequestBody {
            decoder: BodyDecoder::new(framing),
            framing,
            held: 0,
            payload: 0,
            limit,
            gone: false,
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

    pub fn held(&self) -> usize {
        self.held
    }

    /// Bytes of a body whose length was named, as far as they have not come.
    pub fn missing(&self) -> Option<u64> {
        self.decoder.remaining()
    }

    /// How to send it. Chunks that came whole are sent with their length, as nginx does.
    pub fn sending(&self) -> Sending {
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

    /// The body, when all of it is held and it is not longer than `limit`.
    pub fn held_within<'c, S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        client: &'c Downstream<S>,
        limit: usize,
    ) -> Option<&'c [u8]> {
        (self.is_whole() && self.held <= limit).then(|| &client.unread()[..self.held])
    }

    /// Sends `new` instead of the body, which must be whole.
    pub fn replace<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        client: &mut Downstream<S>,
        new: &[u8],
    ) -> Result<(), BodyFault> {
        let replaced = match client.buffer_mut() {
            Some(buffer) => buffer.replace_front(self.held, new),
            None => new.is_empty(),
        };
        if !replaced {
            return Err(BodyFault::Refused(Refusal::BodyTooLarge));
        }
        self.held = new.len();
        self.framing = Framing::Length(new.len() as u64);
        Ok(())
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
