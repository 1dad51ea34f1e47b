//! A request's body on its way through the client's read buffer.
//!
//! Payload is *held* at the front of the buffer until the upstream has it. What was held and
//! sent is gone: from then on the request cannot be sent to another upstream. A body that
//! fits the buffer is held whole, so that it can be sent again; of a larger one that must be
//! complete first, the buffer is emptied into a spool each time it is full.

use super::downstream::Downstream;
use super::spool::{Spool, SpoolError};
use crate::data_plane::exchange::{BodyLength, Buffers, Refusal};
use crate::http::{BodyDecoder, Framing};
use bytes::Bytes;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};

/// Why a request comes to no answer in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client has gone away.
    Gone,
    /// It must be answered with this refusal.
    Refused(Refusal),
}

impl From<SpoolError> for Fault {
    fn from(error: SpoolError) -> Fault {
        Fault::Refused(match error {
            SpoolError::NoRoom | SpoolError::DiskFull(_) => Refusal::NoRoom,
            SpoolError::Disk(_) => Refusal::Internal,
        })
    }
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
    /// The body, where it is larger than the buffer and must be complete before it is sent.
    spool: Option<Box<Spool>>,
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
            spool: None,
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

    /// Payload that has come so far, in bytes.
    pub fn size(&self) -> u64 {
        self.payload
    }

    /// The part of the spool that can be read now has been read.
    pub fn use_chunk(&mut self) {
        if let Some(spool) = &mut self.spool {
            let count = spool.chunk().len();
            spool.consume(count);
        }
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
        match (&self.replacement, &self.spool) {
            (Some(replacement), _) => replacement,
            (None, Some(spool)) => spool.chunk(),
            (None, None) => client.unread().get(..self.held).unwrap_or_default(),
        }
    }

    /// The payload that can be sent now is the rest of the body.
    pub fn is_last(&self) -> bool {
        let in_spool = |spool: &Spool| spool.unread() == spool.chunk().len() as u64;
        self.is_complete() && self.spool.as_deref().is_none_or(in_spool)
    }

    /// It waits in a spool.
    pub fn is_spooled(&self) -> bool {
        self.spool.is_some()
    }

    /// Moves what is held to the spool; the first call brings it.
    pub fn spool<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        client: &mut Downstream<S>,
        buffers: &Buffers,
        spool: impl FnOnce() -> Spool,
    ) {
        let spool = self.spool.get_or_insert_with(|| Box::new(spool()));
        spool.push(client.unread().get(..self.held).unwrap_or_default());
        client.consume(self.held, buffers);
        self.held = 0;
    }

    /// Ready when the spool has moved to its file what is too much for memory.
    pub fn poll_store(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        match &mut self.spool {
            Some(spool) => spool.poll_store(cx).map_err(Fault::from),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Before an attempt: it is sent from its beginning.
    pub fn rewind(&mut self) {
        if let Some(spool) = &mut self.spool {
            spool.rewind();
        }
    }

    /// The payload that could be sent now has been sent.
    pub fn sent<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        client: &mut Downstream<S>,
        buffers: &Buffers,
    ) {
        // A body that was held whole stays for another attempt.
        let stays = self.is_whole();
        match &mut self.spool {
            Some(spool) => spool.consume(spool.chunk().len()),
            None if stays => {}
            None => self.drop_held(client, buffers),
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

    /// What the upstream is told of its length. Chunks that came whole are sent with their length, as nginx
    /// does.
    pub fn length(&self) -> BodyLength {
        if let Some(replacement) = &self.replacement {
            return BodyLength::Known(replacement.len() as u64);
        }
        match self.framing {
            Framing::None | Framing::UntilClose => BodyLength::Empty,
            Framing::Length(length) => BodyLength::Known(length),
            Framing::Chunked if self.is_whole() => BodyLength::Known(self.payload),
            Framing::Chunked => BodyLength::Unknown,
        }
    }

    /// Decodes what has been read.
    pub fn absorb<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        client: &mut Downstream<S>,
    ) -> Result<(), Fault> {
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
            .map_err(|_| Fault::Refused(Refusal::BadRequest))?;
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
            true => Err(Fault::Refused(Refusal::BodyTooLarge)),
            false => Ok(()),
        }
    }

    /// Brings more payload: reads and decodes once, if there is room, or gets it out of the
    /// spool.
    pub fn poll_more<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        client: &mut Downstream<S>,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        if self.is_complete()
            && let Some(spool) = &mut self.spool
        {
            return spool.poll_chunk(cx).map_err(Fault::from);
        }
        match ready!(client.poll_read(buffers, cx)) {
            Ok(0) | Err(_) => Poll::Ready(Err(Fault::Gone)),
            Ok(_) => Poll::Ready(self.absorb(client)),
        }
    }

    /// Drops the payload that is held: the upstream has it, or nobody wants it.
    pub fn drop_held<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        client: &mut Downstream<S>,
        buffers: &Buffers,
    ) {
        self.gone |= self.held > 0 || self.spool.take().is_some();
        client.consume(self.held, buffers);
        self.held = 0;
    }
}
